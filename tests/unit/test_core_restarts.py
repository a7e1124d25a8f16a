"""A guest that was to come back and could not be built: it is tried again while what failed may
pass, and when it has failed for good its configuration is kept.  Nothing is lost, whoever kills or
cancels what meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.simhost import SimHost, disk, guest, running
from xend.core.jobs import Job, JobStatus
from xend.core.steps import INSIST_SECONDS
from xend.core.views import ServiceSettings
from xend.errors import (
    ConfigError,
    DeviceFailed,
    HypervisorError,
    OperationTimeout,
    RestartFailed,
    WorkerCrashed,
    XendError,
)
from xend.model.domain import DomainConfig, ShutdownAction
from xend.model.status import PowerState
from xend.model.units import Domid, kib
from xend.store.repository import RepositoryError


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[SimHost]:
    async with running(tmp_path) as host:
        yield host


class Failing:
    """Of the builds the first so many fail, at a stage."""

    def __init__(self, times: int, error: Callable[[], XendError], stage: str = "devices") -> None:
        self.left = times
        self.began = 0
        self._error = error
        self._stage = stage

    async def __call__(self, operation: str, stage: str, domid: Domid | None) -> None:
        if operation == "create" and stage == "load":
            self.began += 1
        if (operation, stage) == ("create", self._stage) and self.left > 0:
            self.left -= 1
            raise self._error()


FOR_EVER = 10**6
PASSING: dict[str, Callable[[], XendError]] = {
    "hotplug script": lambda: HypervisorError(
        "device model did not start", operation="create", rc=-3, log=("hotplug script timed out",)
    ),
    "device": lambda: DeviceFailed("vif-bridge failed", device="vif/0", stderr="no bridge"),
    "time-out": lambda: OperationTimeout(operation="building web", seconds=600),
    "worker": lambda: WorkerCrashed(operation="create", status="killed by signal 9"),
}


async def _reboot(host: SimHost) -> Job:
    """The policy's job, which has ended."""
    await host.service.shutdown("web", "reboot")

    async def ended() -> bool:
        return any(job.kind == "on-reboot" and job.done for job in host.service.jobs.list())

    await host.until(ended, "the policy", seconds=30)
    [job] = [job for job in host.service.jobs.list() if job.kind == "on-reboot"]
    return job


async def _started(host: SimHost, *, managed: bool = False, **settings: Any) -> DomainConfig:
    config = guest(disks=(disk(),), **settings)
    if managed:
        await host.service.new(config)
        await host.service.start_domain("web", paused=False)
    else:
        await host.service.create(config)
    await host.clock.sleep(1)
    return config


@pytest.mark.parametrize("stage", ["load", "domain", "memory", "devices"])
@pytest.mark.parametrize("why", PASSING)
async def test_what_may_pass_is_waited_for(why: str, stage: str, host: SimHost) -> None:
    config = await _started(host)
    free = host.free
    before = host.clock.monotonic()
    host.hypervisor.faults = failing = Failing(3, PASSING[why], stage)
    job = await _reboot(host)
    assert (job.status, failing.left) == (JobStatus.DONE, 0)
    pauses = host.settings.restart_pauses[:3]
    assert sum(pauses) <= host.clock.monotonic() - before < sum(pauses) + 5
    view = await host.view("web")
    assert (view.uuid, view.restarts, view.power_state) == (
        str(config.uuid),
        1,
        PowerState.RUNNING,
    )
    assert host.free == free
    assert len(host.machine.domains) == 2
    [owned] = await host.journal.owned()
    assert owned.domid == view.domid
    await host.restart()
    assert not await host.journal.open_intents()
    assert (await host.view("web")).domid == view.domid


async def test_an_unpause_that_fails_is_part_of_it(host: SimHost) -> None:
    await _started(host)
    left = [2]

    async def fail(operation: str, stage: str, domid: Domid | None) -> None:
        if operation == "unpause" and left[0]:
            left[0] -= 1
            raise HypervisorError("busy", operation="unpause")

    host.hypervisor.faults = fail
    job = await _reboot(host)
    assert job.status is JobStatus.DONE
    assert (await host.view("web")).power_state is PowerState.RUNNING
    assert len(host.machine.domains) == 2


async def test_memory_that_somebody_took_meanwhile(tmp_path: Path) -> None:
    """xl starts another one between the end of the old and the build of the new; it goes soon."""
    settings = ServiceSettings(
        close_grace=0.0, memory_wait=1.0, list_max_age=-1.0, restart_pauses=(7.25, 8.25)
    )
    async with running(tmp_path, memory=kib(1024 + 300), settings=settings) as host:
        await _started(host, mib=200)
        thief = guest("thief", mib=200)
        stolen: list[Domid] = []
        waited: list[float] = []
        real_sleep = host.clock.sleep

        async def steal(operation: str, stage: str, domid: Domid | None) -> None:
            if (operation, stage) == ("destroy", "domain") and not stolen:
                host.machine.remove(host.machine.get(Domid(1)))
                taken = host.machine.add(thief)
                host.machine.populate(taken)
                stolen.append(taken.domid)

        async def sleep(seconds: float) -> None:
            if seconds in settings.restart_pauses:
                waited.append(seconds)
                host.machine.remove(host.machine.get(stolen[0]))
            await real_sleep(seconds)

        host.clock.sleep = sleep  # type: ignore[method-assign]
        host.hypervisor.faults = steal
        job = await _reboot(host)
        assert (job.status, waited) == (JobStatus.DONE, [7.25])
        view = await host.view("web")
        assert (view.restarts, view.power_state) == (1, PowerState.RUNNING)


async def _is(value: bool) -> bool:
    return value


async def test_it_stays_in_the_list_and_its_name_stays_its_own(host: SimHost) -> None:
    await _started(host)
    asked: list[XendError | None] = []

    async def look(operation: str, stage: str, domid: Domid | None) -> None:
        if (operation, stage) != ("create", "load"):
            return
        assert await host.names() == ["web"]
        if len(asked) < 3:
            asked.append(None)
            raise HypervisorError("not yet", operation="create")

    host.hypervisor.faults = look
    job = await _reboot(host)
    assert (job.status, len(asked)) == (JobStatus.DONE, 3)


@pytest.mark.parametrize(
    ("times", "why"), [(FOR_EVER, "hotplug script"), (FOR_EVER, "worker"), (1, "configuration")]
)
async def test_what_does_not_pass_leaves_its_configuration(
    times: int, why: str, host: SimHost, caplog: pytest.LogCaptureFixture
) -> None:
    """What has no passing cause is not tried again."""
    free = host.free
    config = await _started(host)
    attached = disk("/srv/data.img", "xvdb")
    await host.service.attach_device("web", "vbd", attached)
    errors = PASSING | {"configuration": lambda: ConfigError("kernel", field="kernel")}
    host.hypervisor.faults = failing = Failing(times, errors[why])
    job = await _reboot(host)
    tries = 1 if times == 1 else len(host.settings.restart_pauses) + 1
    assert failing.began == tries
    assert isinstance(job.error, RestartFailed)
    folder = host.folder / "rescued"
    assert (job.error.fields["path"], job.error.fields["tries"]) == (str(folder), tries)
    assert f"`xend import {folder}`" in str(job.error)
    assert "Failed to restart domain 1" in caplog.text
    assert host.free == free
    assert await host.names() == []
    assert not await host.journal.owned()
    assert not await host.journal.open_intents()
    # And back again, with what was changed while it ran.
    host.hypervisor.faults = Failing(0, errors[why])
    [report] = await host.service.import_domains(folder)
    assert report.verdict == "imported"
    view = await host.service.start_domain("web", paused=False)
    assert (view.uuid, view.power_state) == (str(config.uuid), PowerState.RUNNING)
    assert view.config is not None
    assert [each.vdev for each in view.config.disks] == ["xvda", "xvdb"]


async def test_a_managed_one_is_halted(host: SimHost) -> None:
    await _started(host, managed=True)
    host.hypervisor.faults = Failing(FOR_EVER, PASSING["device"])
    job = await _reboot(host)
    assert isinstance(job.error, RestartFailed)
    assert "`xm start web`" in str(job.error)
    assert not (host.folder / "rescued").exists()
    view = await host.view("web")
    assert (view.power_state, view.managed) == (PowerState.HALTED, True)
    host.hypervisor.faults = Failing(0, PASSING["device"])
    await host.service.start_domain("web", paused=False)


async def test_what_takes_long_to_fail_is_not_tried_for_ever(host: SimHost) -> None:
    await _started(host)
    tries: list[float] = []

    async def slow(operation: str, stage: str, domid: Domid | None) -> None:
        if (operation, stage) == ("create", "devices"):
            tries.append(host.clock.monotonic())
            await host.clock.sleep(INSIST_SECONDS * 0.6)
            raise PASSING["time-out"]()

    host.hypervisor.faults = slow
    job = await _reboot(host)
    assert isinstance(job.error, RestartFailed)
    assert len(tries) == 2


async def test_a_reset_that_a_person_asked_for_says_so(host: SimHost) -> None:
    await _started(host)
    host.hypervisor.faults = Failing(FOR_EVER, PASSING["device"])
    with pytest.raises(RestartFailed, match="vif-bridge failed"):
        await host.service.reset("web")


async def test_a_destroy_does_not_wait_for_it(host: SimHost) -> None:
    """Who destroys it wants it gone, its configuration too."""
    free = host.free
    await _started(host)
    waiting = asyncio.Event()

    async def sleep(seconds: float) -> None:
        waiting.set()
        await asyncio.Event().wait()

    host.hypervisor.faults = Failing(FOR_EVER, PASSING["device"])
    await host.service.shutdown("web", "reboot")
    await host.until(lambda: _is(len(host.machine.domains) == 1))
    host.clock.sleep = sleep  # type: ignore[method-assign]
    await asyncio.wait_for(waiting.wait(), 30)
    await asyncio.wait_for(host.service.destroy("web"), 30)
    assert await host.names() == []
    assert host.free == free
    assert not (host.folder / "rescued").exists()
    assert not await host.journal.open_intents()


async def test_a_kill_while_it_waits(host: SimHost) -> None:
    """The next start goes on, and forgets none of the tries' remains."""
    free = host.free
    config = await _started(host)
    taken = free - host.free
    waiting = asyncio.Event()
    sleep = host.clock.sleep

    async def stopped(seconds: float) -> None:
        if seconds in host.settings.restart_pauses:
            waiting.set()
            await asyncio.Event().wait()
        await sleep(seconds)

    host.clock.sleep = stopped  # type: ignore[method-assign]
    host.hypervisor.faults = Failing(FOR_EVER, PASSING["device"])
    await host.service.shutdown("web", "reboot")
    await asyncio.wait_for(waiting.wait(), 30)
    assert [intent.kind for intent in await host.journal.open_intents()] == ["restart"]
    await host.stop()
    host.clock.sleep = sleep  # type: ignore[method-assign]
    await host.start()
    await host.quiet()
    view = await host.view("web")
    assert (view.uuid, view.power_state) == (str(config.uuid), PowerState.RUNNING)
    assert len(host.machine.domains) == 2
    assert free - host.free == taken


async def test_a_kill_in_a_later_try(host: SimHost) -> None:
    """The journal has the domid of the first one still."""
    config = await _started(host)
    reached, tries = asyncio.Event(), [0]

    async def hang(operation: str, stage: str, domid: Domid | None) -> None:
        if (operation, stage) != ("create", "domain"):
            return
        tries[0] += 1
        if tries[0] == 1:
            raise PASSING["worker"]()
        reached.set()
        await asyncio.Event().wait()

    host.hypervisor.faults = hang
    await host.service.shutdown("web", "reboot")
    await asyncio.wait_for(reached.wait(), 30)
    await host.stop()
    await host.start()
    await host.quiet()
    assert len(host.machine.domains) == 2
    assert (await host.view("web")).uuid == str(config.uuid)


async def test_a_configuration_that_cannot_be_kept_is_for_the_next_start(
    host: SimHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _started(host)

    async def full(config: DomainConfig) -> Path:
        raise RepositoryError(path="rescued", reason="No space left on device")

    monkeypatch.setattr(host.repository, "rescue", full)
    host.hypervisor.faults = Failing(FOR_EVER, PASSING["device"])
    job = await _reboot(host)
    assert isinstance(job.error, RestartFailed)
    assert "The next start of xend tries again" in str(job.error)
    assert [intent.kind for intent in await host.journal.open_intents()] == ["restart"]
    await host.restart()
    await host.quiet()
    assert (await host.view("web")).power_state is PowerState.RUNNING
    await host.restart()
    assert not await host.journal.open_intents()


async def test_rename_restart_insists_too(host: SimHost) -> None:
    await _started(host, on_reboot=ShutdownAction.RENAME_RESTART)
    host.hypervisor.faults = Failing(2, PASSING["hotplug script"])
    job = await _reboot(host)
    assert job.status is JobStatus.DONE
    names = await host.names()
    assert "web" in names
    assert len(names) == 2
