"""The service is killed at every journalled step of every operation, and started again.

A kill is simulated by stopping the operation at the point and dropping the service without any
undoing; the machine, XenStore and the files stay, as they stay after `kill -9`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.killing import Killing, KillSwitch, tried
from tests.simhost import SimHost, disk, guest, vif
from xend.errors import WorkerCrashed
from xend.model.domain import DomainConfig, ShutdownAction
from xend.model.status import Origin, PowerState
from xend.model.units import Domid, kib

MAC = "00:16:3e:00:00:07"


WEB = guest("web", disks=(disk(),), vifs=(vif(MAC),), maxmem=kib(128))
Step = Callable[[SimHost], Awaitable[Any]]


@dataclass(frozen=True)
class Scenario:
    """`before` runs undisturbed, `act` is what is killed, `after` says what may have become of
    it: whatever it returns false for is a failure."""

    before: Step
    act: Step
    after: Callable[[SimHost], Awaitable[bool]]


async def _nothing(host: SimHost) -> None:
    pass


async def _create(host: SimHost) -> None:
    await host.service.create(WEB)


async def _started(host: SimHost) -> None:
    await host.service.new(WEB)
    await host.service.start_domain("web", paused=False)


async def _saved(host: SimHost) -> None:
    await _create(host)
    await _save(host)


async def _suspended(host: SimHost) -> None:
    await _started(host)
    await host.service.suspend("web")


async def _save(host: SimHost) -> None:
    await host.service.save("web", host.folder / "web.save")


async def _reboot(host: SimHost) -> None:
    before = (await host.view("web")).restarts
    await host.service.shutdown("web", "reboot")

    async def back() -> bool:
        return any(view.restarts > before for view in await host.service.list())

    await host.until(back)
    await host.quiet()


async def _crash(host: SimHost) -> None:
    host.machine.crash((await host.view("web")).domid or Domid(0))

    async def gone() -> bool:
        return "web" not in await host.names()

    await host.until(gone)
    await host.quiet()


async def _slow_crash(host: SimHost) -> None:
    """Long enough after the start for a restart to be allowed."""
    await host.clock.sleep(100)
    host.machine.crash((await host.view("web")).domid or Domid(0))

    async def two() -> bool:
        return len([view for view in await host.service.list() if view.domid]) == 3

    await host.until(two)
    await host.quiet()


async def _running_once(host: SimHost) -> bool:
    view = await host.view("web")
    return view.power_state is PowerState.RUNNING and view.origin is Origin.XEND


async def _running_or_gone(host: SimHost) -> bool:
    return "web" not in await host.names() or await _running_once(host)


async def _running_or_halted(host: SimHost) -> bool:
    state = (await host.view("web")).power_state
    return state in (PowerState.RUNNING, PowerState.HALTED)


async def _saved_or_running(host: SimHost) -> bool:
    there = (host.folder / "web.save").exists()
    return there != ("web" in await host.names()) and await _running_or_gone(host)


async def _restored_or_saved(host: SimHost) -> bool:
    return (host.folder / "web.save").exists() and await _running_or_gone(host)


async def _suspended_or_running(host: SimHost) -> bool:
    view = await host.view("web")
    there = host.repository.checkpoint_path(WEB.uuid).exists()
    wanted = PowerState.SUSPENDED if there else PowerState.RUNNING
    return view.power_state is wanted and view.managed


async def _named_everywhere_alike(host: SimHost) -> bool:
    [name] = [name for name in await host.names() if name != "bystander"]
    view = await host.view(name)
    [owned] = [each for each in await host.journal.owned() if each.domid == view.domid]
    managed, _ = await host.repository.load()
    names = {
        name,
        await host.store.read(f"/local/domain/{view.domid}/name"),
        owned.config.name,
        managed[0].config.name,
    }
    return len(names) == 1 and name in ("web", "www")


async def _devices_as_configured(host: SimHost) -> bool:
    view = await host.view("web")
    assert view.config is not None
    attached = {each.backend["dev"] for each in await host.service.devices("web", "vbd")}
    managed, _ = await host.repository.load()
    [kept] = [each.config for each in managed if each.config.uuid == WEB.uuid]
    return attached == {each.vdev for each in view.config.disks} == {d.vdev for d in kept.disks}


async def _known_or_not(host: SimHost) -> bool:
    on_disk = (host.folder / "domains" / str(WEB.uuid) / "config.sxp").exists()
    return on_disk == ("web" in await host.names())


async def _one_new_one_kept(host: SimHost) -> bool:
    views = [view for view in await host.service.list() if view.domid and view.name != "bystander"]
    names = sorted(view.name.split("-")[0] for view in views)
    dead = [view for view in views if view.name != "web"]
    return names == ["Domain", "web"] and dead[0].power_state is PowerState.CRASHED


def _with(**settings: Any) -> Step:
    async def create(host: SimHost) -> None:
        await host.service.create(DomainConfig.model_validate(dict(WEB) | settings))

    return create


async def _attach(host: SimHost) -> None:
    await host.service.attach_device("web", "vbd", disk("/srv/b.img", "xvdb"))


async def _attached(host: SimHost) -> None:
    await _started(host)
    await _attach(host)


SCENARIOS = {
    "create": Scenario(_nothing, _create, _running_or_gone),
    "destroy": Scenario(_create, lambda host: host.service.destroy("web"), _running_or_gone),
    "reboot": Scenario(_create, _reboot, _running_once),
    "reboot-managed": Scenario(_started, _reboot, _running_once),
    "reset": Scenario(_create, lambda host: host.service.reset("web"), _running_once),
    "start": Scenario(
        lambda host: host.service.new(WEB),
        lambda host: host.service.start_domain("web", paused=False),
        _running_or_halted,
    ),
    "save": Scenario(_create, _save, _saved_or_running),
    "restore": Scenario(
        _saved,
        lambda host: host.service.restore(host.folder / "web.save"),
        _restored_or_saved,
    ),
    "suspend": Scenario(_started, lambda host: host.service.suspend("web"), _suspended_or_running),
    "resume": Scenario(_suspended, lambda host: host.service.resume("web"), _suspended_or_running),
    "new": Scenario(_nothing, lambda host: host.service.new(WEB), _known_or_not),
    "delete": Scenario(
        lambda host: host.service.new(WEB), lambda host: host.service.delete("web"), _known_or_not
    ),
    "rename": Scenario(
        _started, lambda host: host.service.rename("web", "www"), _named_everywhere_alike
    ),
    "attach": Scenario(_started, _attach, _devices_as_configured),
    "detach": Scenario(
        _attached,
        lambda host: host.service.detach_device("web", "vbd", "xvdb"),
        _devices_as_configured,
    ),
    "dump-core": Scenario(_create, lambda host: host.service.dump_core("web"), _running_once),
    "crash-loop": Scenario(_create, _crash, _running_or_gone),
    "rename-restart": Scenario(
        _with(on_crash=ShutdownAction.RENAME_RESTART), _slow_crash, _one_new_one_kept
    ),
}


async def _run_killed(folder: Path, scenario: Scenario, at: int) -> tuple[str | None, list[str]]:
    """The name of the point at which it was killed; None when there are fewer points."""
    host = SimHost(folder)
    await host.start()
    switch = KillSwitch(at)
    try:
        bystander = await host.service.create(guest("bystander"))
        await scenario.before(host)
        await host.quiet()
        await host.clock.sleep(1)
        _arm(host, switch)
        act = asyncio.ensure_future(scenario.act(host))
        hit = asyncio.ensure_future(switch.hit.wait())
        await asyncio.wait([act, hit], return_when=asyncio.FIRST_COMPLETED)
        hit.cancel()
        killed = switch.hit.is_set()
        if not killed:
            await act
        await host.stop()
        act.cancel()
        await asyncio.wait([act, hit])
        await host.start()
        await host.quiet()
        await _check(host, scenario, bystander.domid, switch.passed[-1])
        return (switch.passed[-1] if killed else None), switch.passed
    finally:
        await host.close()


def _arm(host: SimHost, switch: KillSwitch) -> None:
    context = host.service._context
    host.hypervisor.faults = switch.fault
    object.__setattr__(context, "journal", Killing(host.journal, switch, "journal"))
    object.__setattr__(context, "repository", Killing(host.repository, switch, "repository"))
    object.__setattr__(context, "files", Killing(host.files, switch, "files"))


async def _check(host: SimHost, scenario: Scenario, bystander: Domid | None, point: str) -> None:
    views = await host.service.list()
    where = f"killed at {point}: {[(view.name, view.domid, view.flags) for view in views]}"
    assert await scenario.after(host), where
    assert not await host.journal.open_intents(), where
    other = await host.view("bystander")
    assert (other.domid, other.power_state) == (bystander, PowerState.RUNNING), where
    assert other.cpu_time > 0, where
    assert not [*host.folder.rglob("*.partial")], where
    running = [domain for domain in host.machine.domains.values() if domain.domid != 0]
    assert all(domain.name for domain in running), where
    assert len({domain.name for domain in running}) == len(running), where
    owned = {(each.uuid, each.domid) for each in await host.journal.owned()}
    assert owned == {(domain.vm, domain.domid) for domain in running}, where
    memory = sum(domain.taken for domain in host.machine.domains.values())
    assert host.free == host.machine.total - memory, where
    assert {view.origin for view in views} <= {Origin.HOST, Origin.XEND}, where


@pytest.mark.parametrize("name", SCENARIOS)
async def test_killed_at_every_point(name: str, tmp_path: Path) -> None:
    points: list[str] = []
    passed: list[str] = []
    for at in range(1, 100):
        folder = tmp_path / str(at)
        folder.mkdir()
        point, passed = await _run_killed(folder, SCENARIOS[name], at)
        if point is None:
            break
        points.append(point)
    else:
        pytest.fail(f"it never ended: {passed}")
    tried("the service, on the simulator", len(points))
    print(f"{name}: killed at {len(points)} points")
    assert len(points) >= 2


@pytest.fixture
def slow_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What threads do (the journal, the files) is answered up to 30 ms late, one time in four."""
    prompt = asyncio.BaseEventLoop.run_in_executor
    chance = random.Random(7)

    def late(loop: asyncio.BaseEventLoop, executor: Any, work: Any, *args: Any) -> Any:
        answer = prompt(loop, executor, work, *args)
        if chance.random() > 0.25 or not loop.is_running():
            return answer

        async def wait() -> Any:
            done = await answer
            await asyncio.sleep(chance.random() * 0.03)
            return done

        return asyncio.ensure_future(wait(), loop=loop)

    monkeypatch.setattr(asyncio.BaseEventLoop, "run_in_executor", late)


@pytest.mark.parametrize("name", ["reboot-managed", "rename-restart"])
@pytest.mark.usefixtures("slow_disk")
async def test_killed_at_every_point_on_a_slow_disk(name: str, tmp_path: Path) -> None:
    """A look at what is gone once took the domain of a restart that went on for gone."""
    await test_killed_at_every_point(name, tmp_path)


_IN_WORKERS = frozenset({"create", "destroy", "save", "restore", "attach", "detach", "dump"})


class WorkerKiller:
    """Kills the worker of a long operation at the stage with number `at`; the daemon lives on."""

    def __init__(self, at: int) -> None:
        self._at = at
        self.passed: list[str] = []
        self.killed = ""

    async def __call__(self, operation: str, stage: str, domid: Domid | None) -> None:
        if operation not in _IN_WORKERS or self.killed:
            return
        self.passed.append(f"{operation}.{stage}")
        if len(self.passed) == self._at:
            self.killed = self.passed[-1]
            raise WorkerCrashed(operation=operation, status="killed by signal 9")


WORKERS = (
    *("create", "destroy", "start", "save", "restore", "suspend", "resume"),
    *("reset", "reboot", "reboot-managed", "attach", "detach", "dump-core"),
)


@pytest.mark.parametrize("name", WORKERS)
async def test_the_worker_is_killed_at_every_stage(name: str, tmp_path: Path) -> None:
    scenario = SCENARIOS[name]
    for at in range(1, 20):
        folder = tmp_path / str(at)
        folder.mkdir()
        host = SimHost(folder)
        await host.start()
        try:
            bystander = await host.service.create(guest("bystander"))
            await scenario.before(host)
            await host.quiet()
            await host.clock.sleep(1)
            host.hypervisor.faults = killer = WorkerKiller(at)
            free = host.free
            try:
                await scenario.act(host)
            except WorkerCrashed:
                if name in ("create", "start", "restore", "resume"):
                    assert host.free == free, killer.killed
            if not killer.killed:
                tried("the worker, on the simulator", at - 1)
                print(f"{name}: the worker was killed at {at - 1} points")
                assert at > (1 if name == "dump-core" else 2)
                return
            await _check(host, scenario, bystander.domid, killer.killed)
        finally:
            await host.close()
    pytest.fail("it never ended")
