"""What happens when a domain ends: the pure decision, and its being carried out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.simhost import SimHost, disk, guest, running
from xend.core.lifecycle import Decision, decide
from xend.core.ports import OwnedDomain
from xend.core.views import ServiceSettings
from xend.errors import HypervisorError
from xend.model.domain import DomainConfig, ShutdownAction
from xend.model.status import Origin, PowerState, ShutdownReason
from xend.model.units import Domid
from xend.sim.clock import VirtualClock
from xend.sim.guests import GuestBehaviour

SETTINGS = ServiceSettings()


def owned(
    *, poweroff: str = "destroy", reboot: str = "restart", crash: str = "restart", quick: int = 0
) -> OwnedDomain:
    config = guest(
        on_poweroff=ShutdownAction(poweroff),
        on_reboot=ShutdownAction(reboot),
        on_crash=ShutdownAction(crash),
    )
    return OwnedDomain(str(config.uuid), Domid(1), config, started=5.0, quick=quick, since=1000.0)


def decided(reason: ShutdownReason, domain: OwnedDomain, after: float = 3600.0) -> Decision:
    return decide(reason, domain, 1000.0 + after, SETTINGS)


@pytest.mark.parametrize(
    ("action", "then", "dump"),
    [
        ("destroy", "destroy", False),
        ("restart", "restart", False),
        ("preserve", "preserve", False),
        ("rename-restart", "rename-restart", False),
        ("coredump-destroy", "destroy", True),
        ("coredump-restart", "restart", True),
        ("soft-reset", "restart", False),
    ],
)
def test_each_action_on_a_crash(action: str, then: str, dump: bool) -> None:
    found = decided(ShutdownReason.CRASH, owned(crash=action))
    assert (found.then, found.dump) == (then, dump)


def test_each_reason_has_its_own_action() -> None:
    domain = owned(poweroff="preserve", reboot="destroy", crash="restart")
    found = {reason: decided(reason, domain).then for reason in ShutdownReason}
    assert found == {
        ShutdownReason.UNKNOWN: "destroy",
        ShutdownReason.POWEROFF: "preserve",
        ShutdownReason.REBOOT: "destroy",
        ShutdownReason.SUSPEND: "leave",
        ShutdownReason.CRASH: "restart",
        ShutdownReason.WATCHDOG: "destroy",
        ShutdownReason.SOFT_RESET: "restart",
    }


def test_a_core_is_only_written_for_a_crash() -> None:
    domain = owned(poweroff="coredump-destroy", crash="destroy")
    assert decided(ShutdownReason.POWEROFF, domain) == Decision("destroy")
    dumping = ServiceSettings(enable_dump=True)
    assert decide(ShutdownReason.CRASH, domain, 9999.0, dumping) == Decision("destroy", dump=True)


def test_a_crash_soon_after_the_start_is_not_restarted() -> None:
    found = decided(ShutdownReason.CRASH, owned(), after=59.0)
    assert found.then == "destroy"
    assert "restarting too fast" in found.why
    assert decided(ShutdownReason.CRASH, owned(), after=60.0).then == "restart"


def test_a_reboot_may_be_quick_but_not_for_ever() -> None:
    quick = 0
    for _ in range(SETTINGS.quick_reboots):
        found = decided(ShutdownReason.REBOOT, owned(quick=quick), after=5.0)
        assert found.then == "restart"
        quick = found.quick
    assert decided(ShutdownReason.REBOOT, owned(quick=quick), after=5.0).then == "destroy"
    slow = decided(ShutdownReason.REBOOT, owned(quick=quick), after=500.0)
    assert (slow.then, slow.quick) == ("restart", 0)


def test_a_preserved_domain_is_left_alone() -> None:
    domain = owned()
    kept = OwnedDomain(domain.uuid, domain.domid, domain.config, 1000.0, preserved=True)
    assert decided(ShutdownReason.CRASH, kept).then == "leave"


# -- Carried out ---------------------------------------------------------------------------------


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[SimHost]:
    async with running(tmp_path) as host:
        yield host


async def _restarted(host: SimHost, times: int = 1) -> None:
    async def back() -> bool:
        views = await host.service.list()
        return any(view.name == "web" and view.restarts == times for view in views)

    await host.until(back, f"restart {times}")
    await host.quiet()


async def _gone(host: SimHost) -> None:
    async def gone() -> bool:
        return await host.names() == []

    await host.until(gone)
    await host.quiet()


async def test_a_reboot_keeps_name_and_uuid_and_gets_a_new_domid(host: SimHost) -> None:
    before = await host.service.create(guest(disks=(disk(),)))
    await host.service.shutdown("web", "reboot")
    await _restarted(host)
    after = await host.view("web")
    assert (after.name, after.uuid, after.config) == (before.name, before.uuid, before.config)
    assert (before.domid, after.domid) == (1, 2)
    assert after.power_state is PowerState.RUNNING
    assert len(await host.names()) == 1


async def test_during_a_reboot_the_domain_never_drops_out_of_the_list(host: SimHost) -> None:
    await host.service.create(guest())
    host.hypervisor.latency = 0.01
    seen: set[tuple[str, ...]] = set()
    await host.service.shutdown("web", "reboot")
    async with asyncio.timeout(5):
        while (await host.view("web")).restarts == 0:
            seen.add(tuple(await host.names()))
            await asyncio.sleep(0)
    assert seen == {("web",)}


async def test_a_poweroff_ends_it(host: SimHost) -> None:
    free = host.free
    await host.service.create(guest())
    await host.service.shutdown("web")
    await _gone(host)
    assert host.free == free
    assert not await host.journal.owned()


async def test_a_managed_domain_that_powers_off_is_halted(host: SimHost) -> None:
    await host.service.new(guest())
    await host.service.start_domain("web", paused=False)
    await host.service.shutdown("web")

    async def halted() -> bool:
        return (await host.view("web")).power_state is PowerState.HALTED

    await host.until(halted)


async def test_a_crash_is_restarted_once_it_has_run_long_enough(host: SimHost) -> None:
    await host.service.create(guest())
    await host.clock.sleep(61)
    host.machine.crash(Domid(1))
    await _restarted(host)


async def test_a_crash_loop_ends(tmp_path: Path) -> None:
    async with running(
        tmp_path, behaviour=lambda config: GuestBehaviour(crashes_after=1.0)
    ) as host:
        await host.service.create(guest())
        await _gone(host)
        assert host.machine._last == 1


async def test_a_reboot_loop_ends(host: SimHost) -> None:
    await host.service.create(guest())
    for times in range(1, SETTINGS.quick_reboots + 1):
        await host.service.shutdown("web", "reboot")
        await _restarted(host, times)
    await host.service.shutdown("web", "reboot")
    await _gone(host)


async def test_preserve_keeps_it_also_over_a_restart_of_xend(host: SimHost) -> None:
    await host.service.create(guest(on_crash=ShutdownAction.PRESERVE))
    host.machine.crash(Domid(1))

    async def kept() -> bool:
        return any(each.preserved for each in await host.journal.owned())

    await host.until(kept)
    await host.restart()
    await host.quiet()
    view = await host.view("web")
    assert view.power_state is PowerState.CRASHED
    await host.service.destroy("web")


async def test_rename_restart_keeps_the_dead_one_beside_the_new_one(host: SimHost) -> None:
    config = guest(on_crash=ShutdownAction.RENAME_RESTART, disks=(disk(),))
    await host.service.create(config)
    await host.clock.sleep(100)
    host.machine.crash(Domid(1))
    await _restarted(host)
    dead, new = [view for view in await host.service.list() if view.domid]
    assert (new.name, new.uuid) == ("web", str(config.uuid))
    assert dead.name == f"Domain-{dead.uuid}"
    assert dead.power_state is PowerState.CRASHED
    assert await host.service.devices(dead.name, "vbd") == []
    await host.service.destroy(dead.name)
    assert await host.names() == ["web"]


async def test_a_core_is_written_where_the_original_did(host: SimHost) -> None:
    await host.service.create(guest(on_crash=ShutdownAction.COREDUMP_DESTROY))
    host.machine.crash(Domid(1))
    await _gone(host)
    [core] = (host.folder / "dump" / "web").iterdir()
    assert core.name.endswith("-web.1.core")


async def test_a_core_that_cannot_be_written_does_not_stop_the_restart(
    host: SimHost, caplog: pytest.LogCaptureFixture
) -> None:
    await host.service.create(guest(on_crash=ShutdownAction.COREDUMP_RESTART))
    await host.clock.sleep(100)

    async def full(operation: str, stage: str, domid: Domid | None) -> None:
        if operation == "dump":
            raise HypervisorError("No space left on device", operation="dump", rc=-3)

    host.hypervisor.faults = full
    host.machine.crash(Domid(1))
    await _restarted(host)
    assert "no core of domain web was written: No space left" in caplog.text


async def test_others_domains_are_not_touched(host: SimHost) -> None:
    domain = host.machine.add(guest("theirs"))
    host.machine.populate(domain)
    host.machine.introduce(domain)
    host.machine.unpause(domain)
    host.machine.crash(domain.domid)
    await asyncio.sleep(0.3)
    await host.quiet()
    assert (await host.view("theirs")).power_state is PowerState.CRASHED
    assert host.service.jobs.list() == []


async def test_an_adopted_domain_gets_its_policy(host: SimHost) -> None:
    domain = host.machine.add(guest("theirs"))
    host.machine.populate(domain)
    host.machine.introduce(domain)
    host.machine.unpause(domain)
    view = await host.service.adopt("theirs")
    assert view.origin is Origin.XEND
    await host.service.shutdown("theirs", "poweroff")
    await _gone(host)


async def test_a_save_is_no_crash(host: SimHost) -> None:
    await host.service.create(guest(on_crash=ShutdownAction.RESTART))
    await host.service.save("web", host.folder / "web.save")
    await host.quiet()
    assert [job.kind for job in host.service.jobs.list()] == ["create", "save"]


async def test_what_ended_while_xend_was_away_gets_its_policy_at_the_start(
    host: SimHost,
) -> None:
    await host.service.create(guest("reboots"))
    await host.service.create(guest("stops"))
    await host.service.create(guest("stays"))
    await host.stop()
    host.machine.end(host.machine.get(Domid(1)), ShutdownReason.REBOOT)
    host.machine.end(host.machine.get(Domid(2)), ShutdownReason.POWEROFF)
    await host.start()
    await host.quiet()
    views = [(view.name, view.domid, view.origin) for view in await host.service.list()]
    assert views[1:] == [("stays", 3, Origin.XEND), ("reboots", 4, Origin.XEND)]


async def test_what_was_destroyed_while_xend_was_away_is_forgotten(host: SimHost) -> None:
    await host.service.create(guest())
    await host.stop()
    host.machine.remove(host.machine.get(Domid(1)))
    await host.start()
    assert await host.names() == []
    assert not await host.journal.owned()


async def test_a_restart_of_xend_disturbs_no_domain(host: SimHost) -> None:
    for number in range(5):
        await host.service.create(guest(f"g{number}"))
    await host.service.pause("g1")
    await host.service.set_paused_by_admin("g1", True)
    await host.clock.sleep(10)
    before = [
        (view.name, view.domid, view.started, view.power_state, view.paused_by_admin)
        for view in await host.service.list()
    ]
    spent = (await host.view("g0")).cpu_time
    await host.restart()
    await host.clock.sleep(10)
    after = [
        (view.name, view.domid, view.started, view.power_state, view.paused_by_admin)
        for view in await host.service.list()
    ]
    assert before[1:] == after[1:]
    assert {view.origin for view in await host.service.list()} == {Origin.HOST, Origin.XEND}
    assert (await host.view("g0")).cpu_time > spent


async def test_somebody_elses_domain_with_the_uuid_of_a_cut_off_create_is_spared(
    host: SimHost,
) -> None:
    config = guest()
    await host.journal.begin("create", str(config.uuid), {"name": "web", "paused": False})
    await host.stop()
    theirs = host.machine.add(config)
    host.machine.populate(theirs)
    host.machine.introduce(theirs)
    host.machine.unpause(theirs)
    await host.clock.sleep(1)
    await host.start()
    view = await host.view("web")
    assert (view.domid, view.origin) == (1, Origin.FOREIGN)
    assert not await host.journal.open_intents()


async def test_on_xend_start(host: SimHost) -> None:
    config = DomainConfig.model_validate(dict(guest()) | {"on_xend_start": "start"})
    await host.service.new(config)
    await host.restart()
    await host.quiet()
    assert (await host.view("web")).power_state is PowerState.RUNNING


async def test_a_clock_that_is_set_makes_no_crash_loop_and_breaks_none(host: SimHost) -> None:
    config = guest(on_crash=ShutdownAction.RESTART)
    view = await host.service.create(config)
    assert isinstance(host.clock, VirtualClock)
    for jump in (-5e8, 1e9):  # Neither of them makes a quick crash look like a slow one.
        await host.clock.advance(120.0)
        host.clock.jump(jump)
        assert view.domid is not None
        host.machine.crash(view.domid)
        await _restarted(host, view.restarts + 1)
        await host.quiet()
        view = await host.service.lookup("web")
    assert isinstance(host.clock, VirtualClock)
    host.clock.jump(3600.0)
    assert view.domid is not None
    host.machine.crash(view.domid)
    await host.until(lambda: _nobody(host))


async def _nobody(host: SimHost) -> bool:
    return await host.names() == []


async def test_a_soft_reset_keeps_the_domain_where_xen_can(host: SimHost) -> None:
    for kind, same in (("hvm", True), ("pvh", False), ("pv", False)):
        view = await host.service.create(guest(type=kind))
        assert view.domid is not None
        await host.clock.sleep(1000)
        host.machine.end(host.machine.get(view.domid), ShutdownReason.SOFT_RESET)
        await _restarted(host)
        await host.quiet()
        after = await host.service.lookup("web")
        assert (after.domid == view.domid) is same
        assert after.power_state is PowerState.RUNNING
        await host.service.destroy("web")


async def test_a_soft_reset_that_fails_is_a_restart(host: SimHost) -> None:
    view = await host.service.create(guest(type="hvm"))
    assert view.domid is not None
    await host.clock.sleep(1000)

    async def fail(operation: str, stage: str, domid: object) -> None:
        if operation == "soft reset":
            raise HypervisorError("it does not", operation=operation)

    host.hypervisor.faults = fail
    host.machine.end(host.machine.get(view.domid), ShutdownReason.SOFT_RESET)
    await _restarted(host)
    await host.quiet()
    assert (await host.service.lookup("web")).domid != view.domid
