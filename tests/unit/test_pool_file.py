"""Registered CPU pools on disk, and what becomes of them at a start."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import pytest

from tests.simhost import SimHost, guest
from xend.errors import OperationFailed
from xend.model.pools import PoolConfig
from xend.store.poolfile import FILE, PoolFile, decode, encode

UUID_1 = UUID("6ba7b810-0000-4000-8000-000000000001")
POOL = PoolConfig(
    UUID_1, "Pool-db", "for <databases> & such", "credit", 2, (2, 3), True, {"owner": "dba"}
)

FOUR_FOUR = b"""<?xml version="1.0" ?>
<cpu_pools>
\t<cpu_pool uuid="6ba7b810-0000-4000-8000-000000000001">
\t\t<activated type="bool">
\t\t\t0
\t\t</activated>
\t\t<name_label type="string">
\t\t\tPool-db
\t\t</name_label>
\t\t<ncpu type="int">
\t\t\t2
\t\t</ncpu>
\t\t<sched_policy type="string">
\t\t\tcredit
\t\t</sched_policy>
\t\t<proposed_CPUs type="list">
\t\t\t<item uuid="2"/>
\t\t\t<item uuid="3"/>
\t\t</proposed_CPUs>
\t\t<auto_power_on type="bool">
\t\t\t1
\t\t</auto_power_on>
\t\t<other_config type="dict">
\t\t\t<item key="owner" value="dba"/>
\t\t</other_config>
\t</cpu_pool>
</cpu_pools>
"""


def test_what_is_written_is_read_again() -> None:
    assert decode(encode([POOL, PoolConfig(UUID(int=1), "x")])) == [
        POOL,
        PoolConfig(UUID(int=1), "x"),
    ]


def test_the_layout_of_an_old_host_is_read() -> None:
    [pool] = decode(FOUR_FOUR)
    assert (pool.name, pool.cpus, pool.ncpu, pool.auto_power_on) == ("Pool-db", (2, 3), 2, True)
    assert pool.other == {"owner": "dba"}


async def test_a_file_that_cannot_be_read_is_kept_aside(tmp_path: Path) -> None:
    bomb = b'<!DOCTYPE a [<!ENTITY b "c">]><cpu_pools>&b;</cpu_pools>'
    (tmp_path / FILE).write_bytes(bomb)
    file = PoolFile(tmp_path)
    assert list(await file.load()) == []
    await file.save([POOL])
    assert list(await file.load()) == [POOL]
    assert (tmp_path / FILE).with_suffix(".unreadable").read_bytes() == bomb
    await file.close()


async def test_no_file_is_no_pools_and_no_directory_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "nowhere", tmp_path / "file"):
        file = PoolFile(folder)
        if folder.name == "nowhere":
            assert list(await file.load()) == []
        else:
            with pytest.raises(OperationFailed, match="Failed to save CPU pools"):
                await file.save([POOL])
        await file.close()


class Kept:
    """A `PoolRepository`."""

    def __init__(self, *pools: PoolConfig) -> None:
        self.pools: Sequence[PoolConfig] = pools

    async def load(self) -> Sequence[PoolConfig]:
        return self.pools

    async def save(self, pools: Sequence[PoolConfig]) -> None:
        self.pools = [*pools]


async def test_pools_that_start_with_the_daemon(tmp_path: Path) -> None:
    """Each as far as there are CPUs; one that cannot be started keeps nothing else from it."""
    wants_two = PoolConfig(UUID(int=2), "two", ncpu=2, auto_power_on=True)
    wants_one = PoolConfig(UUID(int=3), "one", ncpu=1, auto_power_on=True)
    rests = PoolConfig(UUID(int=4), "rests")
    kept = Kept(wants_two, wants_one, rests)
    host = SimHost(tmp_path)
    host.machine.pools[0].cpus.discard(3)
    host.pools = kept
    await host.start()
    views = {view.config.name: view for view in await host.service.cpu_pools.list()}
    assert [name for name, view in views.items() if view.active] == ["Pool-0", "one"]
    assert views["one"].cpus == (3,)
    await host.service.change_pool("cpu-remove", pool="one", cpu=3)
    assert {pool.name: pool.ncpu for pool in kept.pools} == {"two": 2, "one": 0, "rests": 1}
    await host.close()


async def test_a_number_that_is_used_again_has_the_new_name(tmp_path: Path) -> None:
    """Other tools make and rename pools without asking xend."""
    host = SimHost(tmp_path)
    await host.start()
    pools = host.hypervisor.pools
    await pools.remove_cpu(0, 3)
    for name in ("first", "second"):
        number = await pools.create(name, UUID(int=7), "credit", [3])
        domid = await host.hypervisor.create(guest(name))
        await pools.move(number, domid)

        async def in_it(domain: str = name) -> bool:
            return (await host.view(domain)).pool == domain

        await host.until(in_it)
        await host.hypervisor.destroy(domid)
        await pools.destroy(number)
    await host.close()
