"""What another toolstack does to a domain is in xend's configurations, and stays what it was there
when it was no change of the configuration.  The other toolstack is a second hypervisor port on the
same machine, of which the service under test knows nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.simhost import SimHost, disk, guest, running, vif
from xend.core import following
from xend.core.differences import difference
from xend.errors import HypervisorError
from xend.model.devices import Disk, Pci
from xend.model.domain import DomainConfig, DomainType
from xend.model.status import Origin
from xend.model.units import Domid, kib
from xend.sim.hypervisor import SimHypervisor
from xend.store.repository import RepositoryError

ROOT = disk("/srv/web.img", "xvda")
DATA = disk("/srv/data.img", "xvdb")
NET = vif("00:16:3e:00:00:01")
MORE = vif("00:16:3e:00:00:02")
CARD = Pci(bus=3, slot=0, func=0)
DRIVE = Disk(vdev="hdc", path="", device_type="cdrom", access="r")


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[SimHost]:
    async with running(tmp_path) as host:
        yield host


@pytest.fixture
def xl(host: SimHost) -> SimHypervisor:
    return SimHypervisor(host.machine)


async def _until(host: SimHost, true: Callable[[], Awaitable[bool]], what: str = "it") -> None:
    """The follower lets things settle in real time: on a busy machine that takes a while."""
    await host.until(true, what, seconds=30)


async def _started(host: SimHost, *, managed: bool, **settings: Any) -> Domid:
    values: dict[str, Any] = {"disks": (ROOT,), "vifs": (NET,), "vcpus": 2} | settings
    config = guest(**values)
    if managed:
        await host.service.new(config)
        view = await host.service.start_domain("web", paused=False)
    else:
        view = await host.service.create(config)
    await host.quiet()
    assert view.domid is not None
    return view.domid


async def _shown(host: SimHost) -> DomainConfig:
    view = await host.service.with_config(await host.view("web"))
    assert view.config is not None
    return view.config


async def _kept(host: SimHost) -> DomainConfig:
    """What it is built from after a reboot."""
    [owned] = await host.journal.owned()
    return owned.config


async def _stored(host: SimHost) -> DomainConfig:
    [managed], _ = await host.repository.load()
    return managed.config


def _vdevs(config: DomainConfig) -> list[str]:
    return [each.vdev for each in config.disks]


def _macs(config: DomainConfig) -> list[str]:
    return [each.mac for each in config.vifs]


Act = Callable[[SimHypervisor, Domid], Awaitable[Any]]
Seen = Callable[[DomainConfig], bool]

ACTS: dict[str, tuple[Act, Seen]] = {
    "block-attach": (
        lambda xl, domid: xl.attach_device(domid, "vbd", DATA),
        lambda config: _vdevs(config) == ["xvda", "xvdb"],
    ),
    "block-detach": (
        lambda xl, domid: xl.detach_device(domid, "vbd", 51712),
        lambda config: _vdevs(config) == [] and _macs(config) == [NET.mac],
    ),
    "network-attach": (
        lambda xl, domid: xl.attach_device(domid, "vif", MORE),
        lambda config: _macs(config) == [NET.mac, MORE.mac],
    ),
    "network-detach": (
        lambda xl, domid: xl.detach_device(domid, "vif", 0),
        lambda config: _macs(config) == [],
    ),
    "pci-attach": (
        lambda xl, domid: xl.attach_device(domid, "pci", CARD),
        lambda config: [pci.bdf for pci in config.pcis] == [CARD.bdf],
    ),
    "mem-set": (
        lambda xl, domid: xl.set_memory_target(domid, kib(32)),
        lambda config: (config.memory, config.max_memory) == (kib(32), kib(64)),
    ),
    "vcpu-set": (
        lambda xl, domid: xl.set_vcpus(domid, 1),
        lambda config: (config.vcpus, config.vcpus_online) == (2, 1),
    ),
    "rename": (
        lambda xl, domid: xl.rename(domid, "web", "www"),
        lambda config: config.name == "www",
    ),
}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("managed", [False, True], ids=["ours", "managed"])
async def test_it_is_followed_and_outlives_a_reboot(
    act: str, managed: bool, host: SimHost, xl: SimHypervisor
) -> None:
    domid = await _started(host, managed=managed)
    do, seen = ACTS[act]
    await do(xl, domid)

    async def followed() -> bool:
        kept = [seen(await _kept(host))] + ([seen(await _stored(host))] if managed else [])
        views = [view for view in await host.service.list() if view.domid == domid]
        shown = await host.service.with_config(views[0])
        return all(kept) and shown.config is not None and seen(shown.config)

    await _until(host, followed, act)
    await host.quiet()
    name = "www" if act == "rename" else "web"
    await host.service.reset(name)
    after = await host.service.with_config(await host.view(name))
    assert after.config is not None
    assert seen(after.config)
    info = host.machine.domains[Domid(after.domid or 0)]
    assert seen(info.config_now)


@pytest.mark.parametrize("act", [act for act in ACTS if act not in ("vcpu-set", "rename")])
async def test_a_strangers_configuration_follows(
    act: str, host: SimHost, xl: SimHypervisor
) -> None:
    config = guest(disks=(ROOT,), vifs=(NET,), vcpus=2)
    await xl.create(config)
    view = await host.service.with_config(await host.view("web"))
    assert (view.origin, _vdevs(await _shown(host))) == (Origin.FOREIGN, ["xvda"])
    assert view.domid is not None
    do, seen = ACTS[act]
    await do(xl, view.domid)

    async def listed() -> bool:
        """In the list, which asks nobody."""
        [found] = [each for each in await host.service.list() if each.name == "web"]
        return found.config is not None and seen(found.config)

    await _until(host, listed, act)
    assert not host.service.jobs.list()


async def test_a_reader_sees_it_at_once(
    host: SimHost, xl: SimHypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the follower would have let it settle."""
    domid = await _started(host, managed=False)
    await _until(host, lambda: _idle(host), "the look at everything")
    monkeypatch.setattr(following, "SETTLE_SECONDS", 3600.0)
    await xl.attach_device(domid, "vbd", DATA)

    async def seen() -> bool:
        return _vdevs(await _shown(host)) == ["xvda", "xvdb"]

    await _until(host, seen)


async def _true(value: bool) -> bool:
    return value


async def _idle(host: SimHost) -> bool:
    follower = host.service._following
    waiting = follower._touched or follower._doubtful or follower._looks
    return not waiting and not follower._wake.is_set()


async def test_the_medium_of_a_drive(host: SimHost, xl: SimHypervisor) -> None:
    domid = await _started(host, managed=True, type=DomainType.HVM, disks=(ROOT, DRIVE))
    medium = Disk(vdev="hdc", path="/srv/cd.iso", scheme="file", device_type="cdrom", access="r")
    await xl.change_medium(domid, medium)

    async def inserted() -> bool:
        return all(
            [each.path for each in config.disks] == [ROOT.path, "/srv/cd.iso"]
            for config in (await _stored(host), await _shown(host))
        )

    await _until(host, inserted)
    await xl.change_medium(domid, DRIVE)

    async def ejected() -> bool:
        return (await _stored(host)).disks[1].path == ""

    await _until(host, ejected)


async def test_who_destroys_it_does_not_empty_its_configuration(
    host: SimHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """xl takes the PCI devices first, pauses it, takes the other devices, and then destroys it;
    each for as long as it wants."""
    monkeypatch.setattr(following, "PCI_SECONDS", 3600.0)
    domid = await _started(host, managed=True, pcis=(CARD,))
    await _until(host, lambda: _idle(host))
    reached: list[str] = []
    gates = {"pci": asyncio.Event(), "domain": asyncio.Event()}

    async def hang(operation: str, stage: str, domid: Domid | None) -> None:
        reached.append(stage)
        if stage in gates:
            await gates[stage].wait()

    xl = SimHypervisor(host.machine, faults=hang)
    destroying = asyncio.create_task(xl.destroy(domid))
    for stage in ("pci", "domain"):
        await _until(host, lambda stage=stage: _true(stage in reached), stage)  # type: ignore[misc]
        await _until(host, lambda: _true(domid in _withheld(host)), f"a look after {stage}")
        assert [pci.bdf for pci in (await _stored(host)).pcis] == [CARD.bdf]
        assert _vdevs(await _stored(host)) == _vdevs(await _kept(host)) == ["xvda"]
        gates[stage].set()
    await destroying
    await _until(host, lambda: _halted(host), "the end")
    await host.quiet()
    stored = await _stored(host)
    assert (_vdevs(stored), _macs(stored), len(stored.pcis)) == (["xvda"], [NET.mac], 1)


def _withheld(host: SimHost) -> set[Domid]:
    follower = host.service._following
    running = [domid for domid, each in host.machine.domains.items() if not each.paused]
    return {*follower._held} | {domid for domid in follower._without if domid in running}


async def _halted(host: SimHost) -> bool:
    return (await host.view("web")).domid is None


async def test_a_pci_device_that_was_taken_away(
    host: SimHost, xl: SimHypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "PCI_SECONDS", 0.01)
    domid = await _started(host, managed=True, pcis=(CARD,))
    await xl.detach_pci(domid, CARD)

    async def gone() -> bool:
        return (await _stored(host)).pcis == ()

    await _until(host, gone)


async def test_what_is_missing_from_a_paused_domain_waits_until_it_runs(
    host: SimHost, xl: SimHypervisor
) -> None:
    domid = await _started(host, managed=False)
    await host.service.pause("web")
    await xl.detach_device(domid, "vbd", 51712, force=True)
    await xl.attach_device(domid, "vif", MORE)

    async def came() -> bool:
        return _macs(await _kept(host)) == [NET.mac, MORE.mac]

    await _until(host, came)
    assert _vdevs(await _kept(host)) == ["xvda"]
    await xl.unpause(domid)

    async def gone() -> bool:
        await host.service.list()
        return _vdevs(await _kept(host)) == []

    await _until(host, gone)


async def test_our_own_verbs_are_not_undone(host: SimHost, xl: SimHypervisor) -> None:
    """The follower looks after each of them, and finds nothing to do."""
    domid = await _started(host, managed=True, vcpus=4)
    service = host.service
    await service.attach_device("web", "vbd", DATA)
    await service.attach_device("web", "vif", vif())
    await service.set_memory("web", kib(48))
    await service.set_vcpus("web", 2)
    await service.set_max_memory("web", kib(56))
    await service.detach_device("web", "vbd", "xvda")
    wanted = await _kept(host)
    assert (wanted.memory, wanted.maxmem, wanted.vcpus_online) == (kib(48), kib(56), 2)
    service._following.doubt_all()
    await _until(host, lambda: _idle(host))
    await host.quiet()
    assert await _kept(host) == wanted
    assert (await _stored(host)).disks == wanted.disks
    assert not [job for job in service.jobs.list() if job.kind == "follow-change"]
    assert [disk.vdev for disk in host.machine.domains[domid].disks.values()] == ["xvdb"]


async def test_what_was_done_while_xend_was_down(host: SimHost, xl: SimHypervisor) -> None:
    domid = await _started(host, managed=True)
    await host.stop()
    await xl.attach_device(domid, "vbd", DATA)
    await xl.set_memory_target(domid, kib(32))
    await host.start()

    async def followed() -> bool:
        stored = await _stored(host)
        return (_vdevs(stored), stored.memory) == (["xvda", "xvdb"], kib(32))

    await _until(host, followed)


async def test_another_configuration_for_the_next_start_gets_only_the_change(
    host: SimHost, xl: SimHypervisor
) -> None:
    domid = await _started(host, managed=True)
    running_now = await _kept(host)
    other = disk("/srv/other.img", "xvdf")
    next_time = running_now.model_copy(update={"disks": (other,), "cmdline": "single"})
    await host.service.new(next_time)
    await xl.attach_device(domid, "vbd", DATA)

    async def followed() -> bool:
        kept = _vdevs(await _kept(host)) == ["xvda", "xvdb"]
        return kept and _vdevs(await _stored(host)) == ["xvdf", "xvdb"]

    await _until(host, followed)
    assert (await _stored(host)).cmdline == "single"


async def test_a_change_that_cannot_be_kept_is_tried_again(
    host: SimHost, xl: SimHypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    domid = await _started(host, managed=True)
    save, failed = host.repository.save, asyncio.Event()

    async def full(config: DomainConfig) -> None:
        failed.set()
        monkeypatch.setattr(host.repository, "save", save)
        raise RepositoryError(path="domains", reason="No space left on device")

    monkeypatch.setattr(host.repository, "save", full)
    await xl.attach_device(domid, "vbd", DATA)
    await failed.wait()

    async def kept() -> bool:
        return _vdevs(await _stored(host)) == ["xvda", "xvdb"]

    await _until(host, kept)


async def test_a_configuration_that_is_locked_holds_up_no_reader(
    host: SimHost, xl: SimHypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libxl waits for whoever is at work on the domain (libxl__ev_devlock)."""
    domid = await _started(host, managed=False)
    await _until(host, lambda: _idle(host))
    real, locked = host.hypervisor.config_of, asyncio.Event()

    async def waits(domid: Domid) -> DomainConfig | None:
        await locked.wait()
        return await real(domid)

    monkeypatch.setattr(host.hypervisor, "config_of", waits)
    monkeypatch.setattr(following, "PATIENCE", 0.01)
    await xl.attach_device(domid, "vbd", DATA)
    follower = host.service._following
    await _until(host, lambda: _true(domid in follower._touched or domid in follower._looks))
    assert _vdevs(await _shown(host)) == ["xvda"]
    locked.set()

    async def followed() -> bool:
        return _vdevs(await _shown(host)) == ["xvda", "xvdb"]

    await _until(host, followed)


async def test_a_configuration_that_cannot_be_read_is_asked_for_again(
    host: SimHost, xl: SimHypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    domid = await _started(host, managed=False)
    await _until(host, lambda: _idle(host))
    real = host.hypervisor.config_of

    async def fails(domid: Domid) -> DomainConfig | None:
        monkeypatch.setattr(host.hypervisor, "config_of", real)
        raise HypervisorError("timed out", operation="retrieve configuration")

    monkeypatch.setattr(host.hypervisor, "config_of", fails)
    await xl.attach_device(domid, "vbd", DATA)

    async def followed() -> bool:
        return _vdevs(await _kept(host)) == ["xvda", "xvdb"]

    await _until(host, followed)


async def test_nobody_is_asked_about_domains_that_nobody_touched(
    host: SimHost, xl: SimHypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        await host.service.create(guest(f"g{number}", mib=4))
    domid = await _started(host, managed=False)
    await _until(host, lambda: _idle(host))
    asked: list[Domid] = []
    real = host.hypervisor.config_of

    async def counted(domid: Domid) -> DomainConfig | None:
        asked.append(domid)
        return await real(domid)

    monkeypatch.setattr(host.hypervisor, "config_of", counted)
    for _ in range(10):
        for view in await host.service.list():
            await host.service.with_config(view)
    assert [each for each in asked if each != 0] == []
    await xl.attach_device(domid, "vbd", DATA)

    async def followed() -> bool:
        return _vdevs(await _shown(host)) == ["xvda", "xvdb"]

    await _until(host, followed)
    assert {*asked} - {0} == {domid}


def test_what_libxl_fills_in_is_no_change() -> None:
    config = guest(disks=(ROOT,), vifs=(NET,), vcpus=4, maxmem=kib(128), cmdline="quiet")
    seen = config.model_copy(
        update={
            "disks": (ROOT.model_copy(update={"script": "block-x", "access": "r"}),),
            "vifs": (NET.model_copy(update={"mac": NET.mac.upper(), "devid": 3}),),
            "memory": config.memory - 512,
            "cmdline": "",
            "cpu_weight": 512,
        }
    )
    assert not difference(config, seen)


def test_disks_are_known_by_number_and_devices_get_uuids() -> None:
    config = guest(disks=(disk("/srv/a", "51712"),))
    found = difference(config, config.model_copy(update={"disks": (ROOT, DATA)}))
    assert {name: [each.vdev for each in come] for name, come in found.come.items()} == {  # type: ignore[attr-defined]
        "disks": ["xvdb"]
    }
    assert not found.gone
    [_, new] = found.updates(config)["disks"]
    assert new.uuid is not None


def test_interfaces_without_an_address_are_not_told_apart() -> None:
    config = guest(vifs=(vif(),))
    assert not difference(config, config.model_copy(update={"vifs": (NET,)}))


def test_an_update_fits_the_configuration_that_it_is_made_for() -> None:
    config = guest(mib=64, maxmem=kib(64), vcpus=4)
    found = difference(
        config.model_copy(update={"memory": kib(16)}),
        config.model_copy(update={"vcpus_online": 3}),
    )
    smaller = guest(mib=8, maxmem=kib(32), vcpus=2)
    assert found.updates(smaller) == {"memory": kib(32), "vcpus_online": 2}
    DomainConfig.model_validate(dict(smaller) | found.updates(smaller))
