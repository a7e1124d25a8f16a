"""What every `ports.PoolControl` does.  The host needs two CPUs; all are in Pool-0 at first."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.contract.hypervisor_bench import Bench, bench
from xend.errors import HypervisorError, InvalidArgument
from xend.model.pools import PoolInfo
from xend.model.units import DOM0

NAME = "contract-pool"


@pytest.fixture
async def xen(hypervisor_kind: str, tmp_path: Path) -> AsyncIterator[Bench]:
    """Afterwards Pool-0 has all CPUs again."""
    async with bench(hypervisor_kind, tmp_path) as made:
        yield made
        await made.clean()
        pools = made.hypervisor.pools
        for info in await pools.list():
            if info.name == NAME:
                await pools.destroy(info.id)
        for cpu in await pools.free_cpus():
            await pools.add_cpu(0, cpu)


async def named(xen: Bench, name: str) -> PoolInfo:
    [info] = [info for info in await xen.hypervisor.pools.list() if info.name == name]
    return info


async def test_pool_0_has_everything(xen: Bench) -> None:
    info = await named(xen, "Pool-0")
    host = await xen.hypervisor.host()
    assert (info.id, info.scheduler) == (0, host.xen_scheduler)
    assert info.cpus == tuple(range(host.nr_cpus))
    assert info.domains == len(await xen.hypervisor.list_domains())
    assert await xen.hypervisor.pools.free_cpus() == ()


async def test_a_pool_comes_and_goes_with_a_cpu(xen: Bench) -> None:
    pools = xen.hypervisor.pools
    await pools.remove_cpu(0, 1)
    assert await pools.free_cpus() == (1,)
    number = await pools.create(NAME, uuid4(), "credit", [1])
    info = await named(xen, NAME)
    assert (info.id, info.cpus, info.scheduler, info.domains) == (number, (1,), "credit", 0)
    assert (await xen.hypervisor.cpupools())[number] == NAME
    assert await pools.free_cpus() == ()
    await pools.remove_cpu(number, 1)
    assert (await named(xen, NAME)).cpus == ()
    await pools.add_cpu(number, 1)
    await pools.destroy(number)
    assert await pools.free_cpus() == (1,)
    await pools.add_cpu(0, 1)


async def test_a_pool_gets_another_name(xen: Bench) -> None:
    pools = xen.hypervisor.pools
    number = await pools.create("contract-old", uuid4(), "credit", [])
    await pools.rename(number, NAME)
    assert (await named(xen, NAME)).id == number
    assert (await xen.hypervisor.cpupools())[number] == NAME
    with pytest.raises(HypervisorError):
        await pools.rename(4000, "nobody")


async def test_a_domain_moves_there_and_back(xen: Bench) -> None:
    pools = xen.hypervisor.pools
    await pools.remove_cpu(0, 1)
    number = await pools.create(NAME, uuid4(), "credit", [1])
    domid = await xen.start(xen.tiny("moves"))
    await pools.move(number, domid)
    assert (await xen.info(domid)).cpupool == number
    assert (await named(xen, NAME)).domains == 1
    with pytest.raises(HypervisorError):
        await pools.destroy(number)
    with pytest.raises(HypervisorError):
        await pools.remove_cpu(number, 1)
    await pools.move(0, domid)
    assert (await xen.info(domid)).cpupool == 0


async def test_what_cannot_be_done_is_refused(xen: Bench) -> None:
    pools = xen.hypervisor.pools
    with pytest.raises(HypervisorError):
        await pools.create(NAME, uuid4(), "credit", [0])  # Pool-0 has it
    with pytest.raises(InvalidArgument):
        await pools.create(NAME, uuid4(), "sedf-no-more", [])
    with pytest.raises(InvalidArgument):
        await pools.add_cpu(0, -1)
    with pytest.raises(HypervisorError):
        await pools.add_cpu(0, 0)
    with pytest.raises(HypervisorError):
        await pools.destroy(0)
    with pytest.raises(HypervisorError):
        await pools.destroy(4000)
    with pytest.raises(HypervisorError):
        await pools.move(4000, DOM0)
    assert [info.id for info in await pools.list()] == [0]
