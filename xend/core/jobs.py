"""Every change is a job: who asked, how far it is, how it ended.

Jobs of one domain run one after the other in the order in which they were submitted; jobs of
different domains do not wait for each other.  What a job has done so far is in the journal's
intents; the record of the job itself is for people.  Nobody is told that a job has ended before
that is in its record (`xend.core.jobrecords`).
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, is_dataclass
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any

from xend.core.events import EventBus
from xend.core.jobrecords import JobRecords
from xend.core.ports import Clock, JobLog, Progress
from xend.core.views import Caller, DomainView
from xend.errors import InvalidArgument, OperationCancelled, OperationFailed, XendError
from xend.model.units import Domid
from xend.trace import mark

log = logging.getLogger("xend.jobs")


class JobStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    """xend ended while it ran; what became of it was settled at the next start."""


FINISHED = frozenset({JobStatus.DONE, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.INTERRUPTED})


@dataclass(frozen=True, slots=True)
class _Outcome:
    status: JobStatus
    finished: float | None
    error: XendError | None


class Job:
    """One change under way or past.  Read it freely; only the runner and the body write it."""

    def __init__(self, id: str, kind: str, uuid: str, name: str, caller: Caller, now: float):
        self.id = id
        self.kind = kind
        self.uuid = uuid
        """Of the domain; empty when it has none yet."""
        self.domid: Domid | None = None
        """Of the domain, when the job was submitted."""
        self.name = name
        self.caller = caller
        self.stage = ""
        self.percent: float | None = None
        self.bytes_done: int | None = None
        self.status = JobStatus.QUEUED
        self.result: Any = None
        self.error: XendError | None = None
        self.created = now
        self.started: float | None = None
        self.finished: float | None = None
        self.abandoned = False
        """xend is going down: leave everything as it is, the journal knows."""
        self.final = False
        """It can only go forward; a cancel comes too late."""
        self._cancel_asked = False
        self._open_to_cancel = 1
        """Until its turn has come it waits, and nothing has been done."""
        self.on_progress: Callable[[Job], None] | None = None
        self._outcome: _Outcome | None = None
        self._ended = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    @property
    def done(self) -> bool:
        return self.status in FINISHED

    @property
    def decided(self) -> bool:
        """Its body has come to its end, which may still have to be written and told."""
        return self._outcome is not None

    def report(self, progress: Progress) -> None:
        """A `ProgressSink`.  A stage that tells no bytes leaves those of the one before."""
        self.stage = progress.stage
        self.percent = progress.percent
        if progress.bytes_done is not None:
            self.bytes_done = progress.bytes_done
        if self.on_progress is not None:
            self.on_progress(self)

    async def wait(self, timeout: float | None = None) -> Any:
        """Its result, or raises its error; TimeoutError after `timeout` s (the job goes on)."""
        await asyncio.wait_for(self._ended.wait(), timeout)
        if self.error is not None:
            raise self.error
        return self.result

    def decide(self, status: JobStatus, now: float, error: XendError | None = None) -> None:
        """How it has ended: for its record, and for nobody else before `tell`."""
        self._outcome = _Outcome(status, now, error)

    def tell(self) -> None:
        assert self._outcome is not None, "what has not been decided cannot be told"
        self.status = self._outcome.status
        self.error = self._outcome.error
        self.finished = self._outcome.finished
        self._ended.set()

    def cancel(self) -> None:
        """Asks it to stop; what it did is undone.

        It does so where it `may_be_cancelled`: now, or when it comes to such a place.  Everywhere
        else it would stop between a change and its record.
        """
        if self._cancel_asked or self.decided or self.final or self.task is None:
            return
        self._cancel_asked = True
        if self._open_to_cancel:
            self.task.cancel()

    @contextmanager
    def may_be_cancelled(self) -> Iterator[None]:
        """Around what may take long.  Whoever is cancelled in here finds out what became of it, and
        takes it back."""
        if self._cancel_asked:
            raise asyncio.CancelledError
        self._open_to_cancel += 1
        try:
            yield
        finally:
            self._open_to_cancel -= 1

    def start_turn(self) -> None:
        """From here on there is something to take back."""
        self._open_to_cancel = 0

    def abandon(self) -> None:
        """Stops it wherever it is, and leaves everything so."""
        self.abandoned = True
        if self.task is not None:
            self.task.cancel()

    def record(self) -> dict[str, Any]:
        """What is kept of it on disk: JSON values."""
        end = self._outcome or _Outcome(self.status, self.finished, self.error)
        error = end.error
        return {
            "id": self.id,
            "kind": self.kind,
            "uuid": self.uuid,
            "name": self.name,
            "caller": {
                "face": self.caller.face,
                "uid": self.caller.uid,
                "label": self.caller.label,
            },
            "stage": self.stage,
            "percent": self.percent,
            "bytes": self.bytes_done,
            "status": end.status.value,
            "domid": self.domid,
            "result": _plain(self.result),
            "error": {"key": error.key, "message": str(error)} if error else None,
            "created": self.created,
            "started": self.started,
            "finished": end.finished,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Job:
        """A past job; one that had not ended is interrupted."""
        who = record.get("caller") or {}
        caller = Caller(who.get("face", ""), who.get("uid"), who.get("label", ""))
        job = cls(
            str(record["id"]),
            str(record["kind"]),
            str(record.get("uuid", "")),
            str(record.get("name", "")),
            caller,
            float(record["created"]),
        )
        job.stage = str(record.get("stage", ""))
        job.percent = record.get("percent")
        job.bytes_done = record.get("bytes")
        job.started = record.get("started")
        job.domid = record.get("domid")
        job.result = record.get("result")
        status = JobStatus(record.get("status", JobStatus.INTERRUPTED))
        kept = record.get("error")
        error = PastError(kept["message"], kept_key=kept["key"]) if kept else None
        if status not in FINISHED:
            status = JobStatus.INTERRUPTED
        finished = record.get("finished")
        job.decide(status, float(finished or record["created"]), error)
        job.tell()
        return job


class PastError(OperationFailed):
    """How a job of a former run of xend failed.  Field: `kept_key`, the key it had then."""

    key = "operation.failed-before"


def _plain(result: Any) -> Any:
    """What is kept of a result: of a domain, who it is."""
    if isinstance(result, DomainView):
        return {"uuid": result.uuid, "name": result.name, "domid": result.domid}
    if isinstance(result, Path):
        return str(result)
    if isinstance(result, Mapping):
        return {str(key): _plain(value) for key, value in result.items()}
    if is_dataclass(result) and not isinstance(result, type):
        return _plain(asdict(result))
    if isinstance(result, Sequence) and not isinstance(result, str):
        return [_plain(each) for each in result]
    if isinstance(result, Enum):
        return result.name.lower()
    return result if isinstance(result, str | int | float | bool | None) else str(result)


PROGRESS_SECONDS = 0.5
"""A job that is under way is told of at most so often."""

Body = Callable[[Job], Awaitable[Any]]


class _DomainLocks:
    """A lock per domain, made when wanted and dropped when idle."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    def take(self, key: str) -> asyncio.Lock:
        lock, users = self._locks.get(key, (asyncio.Lock(), 0))
        self._locks[key] = (lock, users + 1)
        return lock

    def give_back(self, key: str) -> None:
        lock, users = self._locks[key]
        if users == 1:
            del self._locks[key]
        else:
            self._locks[key] = (lock, users - 1)


class JobRunner:
    """Runs bodies, keeps the last `kept` jobs, and their records (without a `log`: not)."""

    def __init__(self, log: JobLog | None, clock: Clock, bus: EventBus, *, kept: int = 200) -> None:
        self._log = log
        self._records = JobRecords(log, kept=kept)
        self._clock = clock
        self._bus = bus
        self._kept = kept
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._locks = _DomainLocks()
        self._running: set[asyncio.Task[None]] = set()
        self._told_at: dict[str, float] = {}
        self._numbers = itertools.count(1)
        self._prefix = secrets.token_hex(4)

    async def start(self) -> None:
        """Reads the past jobs; those that had not ended are interrupted, and that is written."""
        for record in reversed(await self._log.jobs(self._kept) if self._log else ()):
            job = Job.from_record(record)
            self._jobs[job.id] = job
            if record.get("status") != job.status.value:
                self._written(job)
        self._records.start()

    def submit(
        self,
        kind: str,
        body: Body,
        *,
        uuid: str,
        name: str,
        caller: Caller,
        domid: Domid | None = None,
        id: str | None = None,
    ) -> Job:
        """Queues it behind the other jobs of that uuid and returns at once.  `id`: its number, if
        somebody has promised it already."""
        number = id or f"{self._prefix}-{next(self._numbers)}"
        job = Job(number, kind, uuid, name, caller, self._clock.time())
        job.domid = domid
        job.on_progress = self._progressed
        self._jobs[job.id] = job
        self._forget_old()
        key = uuid or job.id  # A restore learns the uuid only later.
        lock = self._locks.take(key)
        task = asyncio.create_task(self._run(job, body, lock), name=f"xend-job-{kind}-{name}")
        job.task = task
        self._running.add(task)
        task.add_done_callback(lambda ended: self._reap(ended, job, key))
        self._written(job)
        return job

    def _reap(self, task: asyncio.Task[None], job: Job, key: str) -> None:
        self._running.discard(task)
        if not job.decided:  # Cancelled before its first step: the coroutine never ran.
            self._cancelled(job)
        self._locks.give_back(key)
        self._told_at.pop(job.id, None)
        self._records.keep_end(job, self._tell)

    def _tell(self, job: Job) -> None:
        job.tell()
        self._publish(job, job.status.value)

    async def recorded(self, job: Job) -> None:
        """Returns when it is written that there is this job."""
        await self._records.put(job)

    def get(self, id: str) -> Job:
        try:
            return self._jobs[id]
        except KeyError:
            raise InvalidArgument(f"No job '{id}'", argument="job", value=id) from None

    def list(self) -> list[Job]:
        """Oldest first."""
        return [*self._jobs.values()]

    def cancel(self, id: str) -> None:
        self.get(id).cancel()

    def active(self, uuid: str) -> Job | None:
        """The job that runs on that domain now."""
        for job in reversed(self._jobs.values()):
            if job.uuid == uuid and job.status is JobStatus.RUNNING and not job.decided:
                return job
        return None

    async def _run(self, job: Job, body: Body, lock: asyncio.Lock) -> None:
        try:
            async with lock:
                job.start_turn()
                job.status = JobStatus.RUNNING
                job.started = self._clock.time()
                self._told_at[job.id] = self._clock.monotonic()
                self._written(job)
                mark("job begins", job.kind)
                job.result = await body(job)
                mark("job ends", job.kind)
            job.decide(JobStatus.DONE, self._clock.time())
        except XendError as error:
            log.info("%s of %s failed: %s", job.kind, job.name or job.uuid, error)
            job.decide(JobStatus.FAILED, self._clock.time(), error)
        except asyncio.CancelledError:
            self._cancelled(job)
        except Exception as error:
            # One of the three places where that is allowed: a job must always end.
            log.exception("%s of %s failed unexpectedly", job.kind, job.name or job.uuid)
            wrapped = OperationFailed(f"{job.kind}: {type(error).__name__}: {error}", stage="")
            wrapped.__cause__ = error
            job.decide(JobStatus.FAILED, self._clock.time(), wrapped)

    def _cancelled(self, job: Job) -> None:
        what = f"{job.kind} of {job.name or job.uuid}"
        status = JobStatus.INTERRUPTED if job.abandoned else JobStatus.CANCELLED
        job.decide(status, self._clock.time(), OperationCancelled(operation=what))

    def _written(self, job: Job, kind: str = "") -> None:
        self._records.keep(job)
        self._publish(job, kind or job.status.value)

    def _publish(self, job: Job, kind: str) -> None:
        ids = {"job": job.id, "uuid": job.uuid, "name": job.name, "operation": job.kind}
        self._bus.publish(kind, "job", ids)

    def _progressed(self, job: Job) -> None:
        now = self._clock.monotonic()
        if now - self._told_at.get(job.id, now) >= PROGRESS_SECONDS:
            self._told_at[job.id] = now
            self._written(job, "progress")

    def _forget_old(self) -> None:
        surplus = len(self._jobs) - self._kept
        for id in [id for id, job in self._jobs.items() if job.done][: max(surplus, 0)]:
            del self._jobs[id]

    async def close(self, grace: float = 0.0) -> None:
        """Waits `grace` seconds for what runs, then abandons it; nothing is undone."""
        if self._running and grace > 0:
            await asyncio.wait(self._running, timeout=grace)
        for job in self._jobs.values():
            if not job.decided:
                job.abandon()
        if self._running:
            await asyncio.wait(self._running)
        await self._records.close()
