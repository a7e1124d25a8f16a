"""The small parts: plans, events, reservations, the virtual clock."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.simhost import guest, vif
from xend.core.plan import (
    Begin,
    Build,
    EndOld,
    Insist,
    Own,
    RemoveFile,
    ReserveIdentity,
    ReserveMemory,
    Settle,
    Unpause,
    plan_create,
    plan_restart,
    plan_restore,
)
from xend.core.reservations import complete, random_mac
from xend.core.validate import local_path
from xend.model.devices import Disk
from xend.model.domain import DomainConfig
from xend.model.units import Domid
from xend.sim.clock import VirtualClock

# -- Plans ---------------------------------------------------------------------------------------


def test_the_plan_of_a_create() -> None:
    config = guest()
    assert plan_create(config, paused=False, managed=False, timeout=60.0) == (
        ReserveIdentity(config),
        Begin("create", str(config.uuid), {"paused": False, "name": "web"}),
        ReserveMemory(config),
        Build(config, timeout=60.0, own=Own(config, False)),
        Own(config, False),
        Unpause(),
        Settle(),
    )


def test_a_paused_create_does_not_unpause_and_a_boot_loader_has_time() -> None:
    plan = plan_create(guest(bootloader="pygrub"), paused=True, managed=False, timeout=60.0)
    assert Unpause() not in plan
    [build] = [step for step in plan if isinstance(step, Build)]
    assert build.timeout is None


def test_a_restart_frees_the_old_memory_before_it_reserves_and_journals_before_all() -> None:
    plan = plan_restart(
        guest(),
        Domid(4),
        managed=True,
        restarts=2,
        quick=1,
        paused=False,
        timeout=60.0,
        destroy_timeout=30.0,
        pauses=(1.0, 2.0),
    )
    assert [type(step) for step in plan] == [Begin, EndOld, Insist, Settle]
    insist = plan[2]
    assert isinstance(insist, Insist)
    assert [type(step) for step in insist.steps] == [
        ReserveIdentity,
        ReserveMemory,
        Build,
        Own,
        Unpause,
    ]
    begin = plan[0]
    assert isinstance(begin, Begin)
    assert DomainConfig.model_validate(begin.data["config"]).name == "web"


def test_a_checkpoint_goes_before_its_guest_runs() -> None:
    config = guest()
    remove = RemoveFile(Path("/x"), str(config.uuid))
    plan = plan_restore(
        config,
        Path("/x"),
        paused=False,
        managed=True,
        remove_source=True,
        timeout=60.0,
    )
    assert plan.index(remove) < plan.index(Unpause())
    assert remove not in plan_restore(
        config, Path("/x"), paused=False, managed=False, remove_source=False, timeout=60.0
    )


# -- MACs and devices ----------------------------------------------------------------------------


def test_made_up_macs_are_xens_and_not_taken() -> None:
    macs = {random_mac(set()) for _ in range(200)}
    assert all(mac.startswith("00:16:3e:") for mac in macs)
    assert all(int(mac.split(":")[3], 16) < 0x80 for mac in macs)
    assert len(macs) > 190


def test_what_is_given_is_kept_and_what_lacks_is_made_up() -> None:
    config = complete(guest(vifs=(vif("00:16:3e:01:02:03"), vif(), vif())), set())
    macs = [each.mac for each in config.vifs]
    assert macs[0] == "00:16:3e:01:02:03"
    assert len(set(macs)) == 3
    uuids = [each.uuid for each in config.vifs]
    assert None not in uuids
    assert complete(config, set()) == config


@pytest.mark.parametrize(
    ("scheme", "path", "found"),
    [
        ("file", "/srv/a.img", "/srv/a.img"),
        ("", "/srv/a.img", "/srv/a.img"),
        ("phy", "/dev/sda1", "/dev/sda1"),
        ("phy", "sda1", "/dev/sda1"),
        ("tap:aio", "/srv/a.img", "/srv/a.img"),
        ("tap2:qcow2", "/srv/a.qcow2", "/srv/a.qcow2"),
        ("nbd", "server:1234", None),
        ("drbd", "r0", None),
        ("", "", None),
    ],
)
def test_which_file_of_dom0_backs_a_disk(scheme: str, path: str, found: str | None) -> None:
    disk = Disk(scheme=scheme, path=path, vdev="xvda")
    assert local_path(disk) == (Path(found) if found else None)
    other = disk.model_copy(update={"backend": "storage"})
    assert local_path(other) is None
    scripted = disk.model_copy(update={"script": "block-iscsi"})
    assert local_path(scripted) is None


# -- The clock -----------------------------------------------------------------------------------


async def test_virtual_time_passes_when_it_is_told_to() -> None:
    clock = VirtualClock(1000.0)
    woken: list[tuple[str, float]] = []

    async def sleep(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.time()))

    tasks = [asyncio.create_task(sleep(str(s), s)) for s in (30, 10, 20)]
    await asyncio.sleep(0)
    await clock.advance(25)
    assert woken == [("10", 1010.0), ("20", 1020.0)]
    assert clock.time() == 1025.0
    await clock.advance(5)
    await asyncio.gather(*tasks)
    assert woken[-1] == ("30", 1030.0)


async def test_virtual_time_passes_by_itself_when_all_wait() -> None:
    clock = VirtualClock(0.0, auto=True)
    async with asyncio.timeout(5):
        await asyncio.gather(*(clock.sleep(seconds) for seconds in (3600, 60, 86400)))
    assert clock.time() == 86400.0
