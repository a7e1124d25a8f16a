"""What could be neither finished nor taken back is tried again while xend runs, in the turn of its
domain, and never against what somebody has done since."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.simhost import SimHost, disk, guest, running
from xend.core import unsettled
from xend.core.jobs import Job
from xend.core.views import XEND_ITSELF
from xend.errors import HypervisorError, JournalError, WorkerCrashed, XendError
from xend.model.domain import DomainConfig, ShutdownAction
from xend.model.status import PowerState
from xend.model.units import Domid
from xend.sim.hypervisor import SimHypervisor
from xend.store.repository import RepositoryError


@pytest.fixture
async def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SimHost]:
    monkeypatch.setattr(unsettled, "LOOK_SECONDS", 3600.0)  # The tests look by themselves.
    monkeypatch.setattr(unsettled, "PAUSES", (0.0, 0.0, 0.0))
    async with running(tmp_path) as host:
        yield host


async def _nothing(operation: str, stage: str, domid: Domid | None) -> None:
    pass


async def _kinds(host: SimHost) -> list[str]:
    return [intent.kind for intent in await host.journal.open_intents()]


async def _try_again(host: SimHost) -> list[Job]:
    before = {job.id for job in host.service.jobs.list()}
    await host.service._unsettled.try_again()
    await host.quiet()
    return [job for job in host.service.jobs.list() if job.id not in before]


async def _half_made(host: SimHost) -> None:
    """A build fails, and what there is of it does not go."""

    async def fail(operation: str, stage: str, domid: Domid | None) -> None:
        if (operation, stage) == ("create", "devices"):
            raise WorkerCrashed(operation=operation, status="killed by signal 9")
        if operation == "destroy":
            raise HypervisorError("it does not go", operation="destroy")

    host.hypervisor.faults = fail
    with pytest.raises(WorkerCrashed):
        await host.service.create(guest())
    assert await _kinds(host) == ["create"]
    assert len(host.machine.domains) == 2


async def test_a_build_that_could_not_be_removed(host: SimHost) -> None:
    free = host.free
    await _half_made(host)
    [job] = await _try_again(host)
    assert (job.kind, job.error is not None) == ("settle-create", True)
    assert await _kinds(host) == ["create"]
    host.hypervisor.faults = _nothing
    [job] = await _try_again(host)
    assert job.error is None
    assert await _kinds(host) == []
    assert host.free == free
    assert await _try_again(host) == []


async def test_it_is_not_tried_for_ever(host: SimHost) -> None:
    await _half_made(host)
    tries = [len(await _try_again(host)) for _ in range(5)]
    assert tries == [1, 1, 1, 0, 0]
    assert await _kinds(host) == ["create"]
    host.hypervisor.faults = _nothing
    await host.restart()
    assert await _kinds(host) == []
    assert len(host.machine.domains) == 1


async def _whole(host: SimHost, monkeypatch: pytest.MonkeyPatch) -> Domid:
    """A create that has failed at its last step, and whose domain is still there."""

    async def fail(operation: str, stage: str, domid: Domid | None) -> None:
        if operation in ("unpause", "destroy"):
            raise HypervisorError("it does not", operation=operation)

    host.hypervisor.faults = fail
    with pytest.raises(HypervisorError):
        await host.service.create(guest())
    [domid] = [domid for domid in host.machine.domains if domid]
    host.hypervisor.faults = _nothing
    return domid


async def test_what_failed_is_not_finished_later(
    host: SimHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asked has been told so, and may have started it on another host."""
    await _whole(host, monkeypatch)
    await _try_again(host)
    assert await host.names() == []
    assert not await host.journal.owned()
    assert await _kinds(host) == []


async def test_nor_by_the_next_start(host: SimHost, monkeypatch: pytest.MonkeyPatch) -> None:
    await _whole(host, monkeypatch)
    await host.restart()
    await host.quiet()
    assert await host.names() == []
    assert not await host.journal.owned()


async def test_what_somebody_has_taken_up_stays(
    host: SimHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    domid = await _whole(host, monkeypatch)
    xl = SimHypervisor(host.machine)
    await xl.unpause(domid)
    await host.clock.sleep(10)
    await _try_again(host)
    assert (await host.view("web")).domid == domid
    assert await _kinds(host) == []


async def test_a_detached_disk_leaves_the_configuration_when_the_disk_has_room(
    host: SimHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = guest(disks=(disk(), disk("/srv/data.img", "xvdb")))
    await host.service.new(config)
    await host.service.start_domain("web", paused=False)
    save = host.repository.save

    async def full(config: DomainConfig) -> None:
        raise RepositoryError(path="domains", reason="No space left on device")

    monkeypatch.setattr(host.repository, "save", full)
    with pytest.raises(RepositoryError):
        await host.service.detach_device("web", "vbd", "xvdb")
    assert await _kinds(host) == ["detach"]
    monkeypatch.setattr(host.repository, "save", save)
    await _try_again(host)
    assert await _kinds(host) == []
    [managed], _ = await host.repository.load()
    assert [each.vdev for each in managed.config.disks] == ["xvda"]


async def test_a_saved_domain_that_did_not_go(host: SimHost) -> None:
    await host.service.create(guest())

    async def fail(operation: str, stage: str, domid: Domid | None) -> None:
        if operation == "destroy":
            raise HypervisorError("it does not go", operation="destroy")

    host.hypervisor.faults = fail
    image = host.folder / "web.save"
    with pytest.raises(XendError):
        await host.service.save("web", image)
    assert await _kinds(host) == ["save"]
    host.hypervisor.faults = _nothing
    await _try_again(host)
    assert await _kinds(host) == []
    assert await host.names() == []
    assert (await host.service.restore(image)).power_state is PowerState.RUNNING


async def test_a_restart_whose_configuration_could_not_be_kept(
    host: SimHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = guest()
    await host.service.create(config)
    await host.clock.sleep(1)

    async def full(config: DomainConfig) -> Path:
        raise RepositoryError(path="rescued", reason="No space left on device")

    async def fail(operation: str, stage: str, domid: Domid | None) -> None:
        if operation == "create":
            raise HypervisorError("no", operation="create")

    monkeypatch.setattr(host.repository, "rescue", full)
    host.hypervisor.faults = fail
    with pytest.raises(XendError):
        await host.service.reset("web")
    assert await _kinds(host) == ["restart"]
    host.hypervisor.faults = _nothing
    jobs = await _try_again(host)
    assert [job.kind for job in jobs] == ["settle-restart", "restart"]
    view = await host.view("web")
    assert (view.uuid, view.power_state) == (str(config.uuid), PowerState.RUNNING)
    await host.until(lambda: _none_open(host))


async def _none_open(host: SimHost) -> bool:
    return not await host.journal.open_intents()


async def test_the_dead_one_is_renamed_and_its_successor_follows(host: SimHost) -> None:
    """The rule of a rename-restart looks for a restart that is under way; its own job is none."""
    await host.service.create(guest(on_reboot=ShutdownAction.RENAME_RESTART))
    await host.clock.sleep(1)
    begin = host.journal.begin
    refused: list[str] = []

    async def full(kind: str, uuid: str, data: object) -> object:
        if kind == "restart" and not refused:
            refused.append(kind)
            raise JournalError(path="xend.db", reason="database or disk is full")
        return await begin(kind, uuid, data)  # type: ignore[arg-type]

    host.journal.begin = full  # type: ignore[method-assign, assignment]
    await host.service.shutdown("web", "reboot")
    await host.until(lambda: _is(bool(refused)))
    await host.quiet()
    assert await _kinds(host) == ["rename-restart"]
    jobs = await _try_again(host)
    assert [job.kind for job in jobs] == ["settle-rename-restart", "restart"]
    assert "web" in await host.names()
    assert len(await host.names()) == 2
    await host.until(lambda: _none_open(host))


async def _is(value: bool) -> bool:
    return value


async def test_it_waits_for_its_turn(host: SimHost) -> None:
    """A verb of the same domain is at work: nothing is settled under it."""
    await _half_made(host)
    [intent] = await host.journal.open_intents()
    gate = asyncio.Event()

    async def verb(job: Job) -> None:
        await gate.wait()

    host.hypervisor.faults = _nothing
    at_work = host.service._policies._jobs.submit(
        "verb", verb, uuid=intent.uuid, name="web", caller=XEND_ITSELF
    )
    trying = asyncio.create_task(host.service._unsettled.try_again())

    async def queued() -> bool:
        return any(job.kind == "settle-create" for job in host.service.jobs.list())

    await host.until(queued)
    assert await _kinds(host) == ["create"]
    gate.set()
    await at_work.wait()
    await trying
    assert await _kinds(host) == []
