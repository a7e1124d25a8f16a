"""How a job has ended is in its record before anybody is told, whatever the disk does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from xend.core.clock import SystemClock
from xend.core.events import EventBus
from xend.core.jobrecords import GATHER_SECONDS
from xend.core.jobs import Job, JobRunner, JobStatus
from xend.core.views import XEND_ITSELF
from xend.errors import JournalError, OperationFailed


class Disk:
    """A `JobLog` whose writes wait until they may go on."""

    def __init__(self) -> None:
        self.records: dict[str, Mapping[str, Any]] = {}
        self.writes = 0
        self.free = asyncio.Event()
        self.free.set()
        self.full = False

    async def put_jobs(self, jobs: Sequence[Mapping[str, Any]]) -> None:
        self.writes += 1
        await self.free.wait()
        if self.full:
            raise JournalError(path="history.db", reason="database or disk is full")
        self.records |= {str(job["id"]): job for job in jobs}

    async def jobs(self, limit: int = 200) -> Sequence[Mapping[str, Any]]:
        return [*self.records.values()][::-1][:limit]


class Jobs:
    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.bus = EventBus(time.time)
        self.runner = JobRunner(disk, SystemClock(), self.bus)

    def submit(self, error: Exception | None = None, uuid: str = "u") -> Job:
        async def body(job: Job) -> str:
            if error is not None:
                raise error
            return "fine"

        return self.runner.submit("pause", body, uuid=uuid, name="web", caller=XEND_ITSELF)

    def status_on_disk(self, job: Job) -> str | None:
        record = self.disk.records.get(job.id)
        return str(record["status"]) if record else None


@pytest.fixture
async def jobs() -> Jobs:
    jobs = Jobs(Disk())
    await jobs.runner.start()
    return jobs


async def _turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.parametrize("error", [None, OperationFailed("no", stage="")], ids=["well", "badly"])
async def test_nobody_is_told_before_it_is_written(jobs: Jobs, error: Exception | None) -> None:
    jobs.disk.free.clear()
    job = jobs.submit(error)
    told = asyncio.gather(job.wait(), return_exceptions=True)
    await _turns()
    assert job.decided and not job.done and not told.done()
    assert job.status is JobStatus.RUNNING
    assert jobs.runner.active("u") is None
    jobs.disk.free.set()
    [result] = await told
    assert result == (error or "fine")
    assert jobs.status_on_disk(job) == job.status.value == ("failed" if error else "done")
    await jobs.runner.close()


async def test_what_was_told_is_on_disk_in_the_same_moment(jobs: Jobs) -> None:
    """Nothing is awaited in between, so no kill can come there."""
    for number in range(50):
        job = jobs.submit(uuid=str(number % 3))
        await job.wait()
        assert jobs.status_on_disk(job) == "done"
    await jobs.runner.close()


async def test_the_event_of_an_end_comes_after_its_record(jobs: Jobs) -> None:
    jobs.disk.free.clear()
    reader = jobs.bus.subscribe(topics={"job"})
    job = jobs.submit()
    await _turns()
    assert [event.kind for event in reader.waiting(9)] == ["queued", "running"]
    jobs.disk.free.set()
    await job.wait()
    assert [event.kind for event in reader.waiting(9)] == ["done"]
    await jobs.runner.close()


async def test_many_ends_share_a_write(jobs: Jobs) -> None:
    jobs.disk.free.clear()
    submitted = [jobs.submit(uuid=str(number)) for number in range(100)]
    await _turns()
    jobs.disk.free.set()
    await asyncio.gather(*(job.wait() for job in submitted))
    assert jobs.disk.writes <= 3
    await jobs.runner.close()


async def test_a_cancel_that_comes_after_the_end_changes_nothing(jobs: Jobs) -> None:
    jobs.disk.free.clear()
    job = jobs.submit()
    await _turns()
    job.cancel()
    await _turns()
    jobs.disk.free.set()
    assert await job.wait() == "fine"
    assert jobs.status_on_disk(job) == "done"
    await jobs.runner.close()


async def test_a_record_that_somebody_waits_for_does_not_hide_the_end(jobs: Jobs) -> None:
    jobs.disk.free.clear()
    job = jobs.submit()
    await _turns()
    recorded = asyncio.create_task(jobs.runner.recorded(job))
    await _turns()
    jobs.disk.free.set()
    await recorded
    await job.wait()
    await _turns()
    assert jobs.status_on_disk(job) == "done"
    await jobs.runner.close()


async def test_a_full_disk_holds_up_nobody(jobs: Jobs, caplog: pytest.LogCaptureFixture) -> None:
    jobs.disk.full = True
    for _ in range(3):
        assert await jobs.submit().wait(timeout=1) == "fine"
    assert caplog.text.count("the records of jobs cannot be written") == 1
    jobs.disk.full = False
    last = jobs.submit()
    await last.wait()
    assert sorted(jobs.disk.records) == sorted(job.id for job in jobs.runner.list())
    await jobs.runner.close()


async def test_a_disk_that_hangs_holds_up_nobody_for_long(
    jobs: Jobs, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs.runner._records, "_patience", 0.05)
    jobs.disk.free.clear()
    first = jobs.submit()
    assert await first.wait(timeout=2) == "fine"
    assert "are not written within" in caplog.text
    writes = jobs.disk.writes
    for _ in range(5):  # It is known to hang: they do not even wait.
        job = jobs.submit()
        await _turns()
        assert job.done
    assert jobs.disk.writes == writes
    jobs.disk.free.set()
    await _turns()
    assert {jobs.status_on_disk(job) for job in jobs.runner.list()} == {"done"}
    job = jobs.submit()
    await job.wait()
    assert jobs.status_on_disk(job) == "done"
    await jobs.runner.close()


async def test_of_a_quick_job_only_its_end_is_written(jobs: Jobs) -> None:
    job = jobs.submit()
    assert await job.wait() == "fine"
    assert jobs.disk.writes == 1
    assert jobs.status_on_disk(job) == "done"


async def test_what_was_under_way_when_xend_went_is_interrupted_and_that_is_an_event() -> None:
    disk = Disk()
    before, never = Jobs(disk), asyncio.Event()
    await before.runner.start()

    async def body(job: Job) -> None:
        await never.wait()

    job = before.runner.submit("save", body, uuid="u", name="web", caller=XEND_ITSELF)
    await asyncio.sleep(2 * GATHER_SECONDS)
    assert before.status_on_disk(job) == "running"
    after = Jobs(disk)
    reader = after.bus.subscribe(topics={"job"})
    await after.runner.start()
    await _turns()
    assert after.runner.get(job.id).status is JobStatus.INTERRUPTED
    assert after.status_on_disk(job) == "interrupted"
    assert [(event.kind, event.ids["job"]) for event in reader.waiting(9)] == [
        ("interrupted", job.id)
    ]
    await after.runner.close()
    await before.runner.close()


async def test_what_is_abandoned_at_the_end_is_told_and_written(jobs: Jobs) -> None:
    async def body(job: Job) -> None:
        await asyncio.Event().wait()

    job = jobs.runner.submit("save", body, uuid="u", name="web", caller=XEND_ITSELF)
    queued = jobs.submit()
    await _turns()
    await jobs.runner.close()
    assert job.status is queued.status is JobStatus.INTERRUPTED
    assert {jobs.status_on_disk(job), jobs.status_on_disk(queued)} == {"interrupted"}
