"""Applies a plan: each step's effect and its undo, side by side.

A failure or a cancel unwinds in reverse and then goes out.  An undo that itself fails leaves the
intent open, so that it is tried again later.  When xend goes down in the middle (a job is
`abandoned`) nothing is undone either: the journal knows what was begun.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from xend.core.context import Context
from xend.core.jobs import Job
from xend.core.memory import Look
from xend.core.plan import (
    Begin,
    Build,
    EndOld,
    Insist,
    Own,
    Plan,
    RemoveFile,
    ReserveIdentity,
    ReserveMemory,
    Settle,
    Step,
    TakeOver,
    Unpause,
)
from xend.core.ports import NOTHING, Intent, ManagedDomain, OwnedDomain, Progress, ProgressSink
from xend.core.relocation import Incoming
from xend.errors import (
    DomainNotFound,
    HypervisorUnavailable,
    OperationFailed,
    OperationTimeout,
    ResourceError,
    RestartFailed,
    WorkerCrashed,
    XendError,
    XenStoreError,
)
from xend.model.status import DomainInfo
from xend.model.units import DOM0, Domid
from xend.trace import mark

log = logging.getLogger("xend.steps")

Undo = Callable[[], Awaitable[None]]

MAY_PASS = (OperationFailed, ResourceError, XenStoreError, HypervisorUnavailable)
"""Failures that need not be there the next time: libxl's (a hotplug script that took too long, a
worker that died), no memory for a moment, a slow XenStore.  What is wrong with the configuration,
or is taken by somebody else, stays so."""
INSIST_SECONDS = 900.0
"""After so long nothing is begun again: a build that takes ten minutes to fail is not tried for an
hour."""
IDENTITY_MAX_AGE = 0.2
"""Seconds: names and uuids that are taken.  Ours are always known; a stranger's that comes up in
the same moment is found out by libxl."""


@dataclass(slots=True)
class Run:
    """One application of one plan."""

    job: Job
    look: Awaitable[Look] | None = None
    begin: asyncio.Task[Intent] | None = None
    intent: Intent | None = None
    """Once it is on disk."""
    restarts: bool = False
    domid: Domid | None = None
    info: DomainInfo | None = None
    """As it was when it had been built."""
    undo: list[tuple[str, Undo]] = field(default_factory=list)
    notes: set[asyncio.Task[None]] = field(default_factory=set)
    """The journal learns the domid while the build goes on."""
    owned: OwnedDomain | None = None
    """Once that is on its way to the disk."""
    release: list[Callable[[], None]] = field(default_factory=list)
    """What is only in memory: given back however the plan ends."""
    open: bool = False
    """It could be neither finished nor taken back: the intent stays open."""


class Applier:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._builds = asyncio.Semaphore(context.settings.parallel_builds)

    async def apply(
        self, plan: Plan, job: Job, look: Awaitable[Look] | None = None
    ) -> Domid | None:
        """The domid of what was built.  On failure all is as before, and the error goes out.

        `look`: at the memory, when somebody is looking already."""
        run = Run(job, look)
        try:
            for step in plan:
                await self._apply(step, run)
                mark("step done", type(step).__name__)
        except (Exception, asyncio.CancelledError) as error:
            if not job.abandoned:
                await self._unwind(run, error)
            if run.open and run.intent is not None:
                await self._leave_open(run.intent)
            raise
        finally:
            written = [*run.notes, *([run.begin] if run.begin else [])]
            if job.abandoned:
                for note in written:
                    note.cancel()
            await asyncio.gather(*written, return_exceptions=True)
            _release(run)
        return run.domid

    async def _apply(self, step: Step, run: Run) -> None:
        match step:
            case ReserveIdentity():
                with run.job.may_be_cancelled():
                    await self._reserve_identity(step, run)
            case ReserveMemory():
                with run.job.may_be_cancelled():
                    await self._reserve_memory(step, run)
            case Begin():
                self._begin(step, run)
            case EndOld():
                await self._begun(run)
                with run.job.may_be_cancelled():
                    pass  # For the last time: what has ended does not come back.
                await self.end_domain(step.domid, step.timeout)
            case Build():
                await self._build(step, run)
            case Own():
                await self._own(step, run)
            case Unpause():
                run.job.report(Progress("unpause", run.domid))
                await self._context.unpause(_built(run))
                self._context.snapshot.unpaused(_built(run))
            case RemoveFile():
                await self._remove_file(step, run)
            case TakeOver():
                await asyncio.gather(*run.notes)
                begun = await self._begun(run)
                with run.job.may_be_cancelled():
                    await step.incoming.take_over(begun, _built(run))
            case Insist():
                await self._insist(step, run)
            case Settle():
                # Nothing can go wrong any more, and the next start finishes what it finds open.
                if run.intent is not None:
                    self._context.journal.settle_soon(run.intent.id)

    async def _unwind(self, run: Run, error: BaseException, *, down_to: int = 0) -> None:
        """`down_to`: so many of the first stay."""
        log.debug("undoing %s of %s after %r", run.job.kind, run.job.name, error)
        while len(run.undo) > down_to and not run.open:
            name, undo = run.undo.pop()
            try:
                await undo()
            except XendError as failure:
                log.error("undoing %s of %s failed: %s", name, run.job.name, failure)
                run.open = True

    async def _leave_open(self, intent: Intent) -> None:
        """Who asked has been told that it failed: it is not to be finished later."""
        self._context.leave_open(intent, told=True)
        if intent.kind not in ("create", "restore"):
            return
        try:
            await self._context.journal.note(intent.id, data={**intent.data, "undo": True})
        except XendError as error:
            log.error("the %s that is left open may be finished later: %s", intent.kind, error)

    async def _insist(self, step: Insist, run: Run) -> None:
        """The intent stays on disk from the first try to the last: whoever kills xend meanwhile
        finds the next start trying."""
        await self._begun(run)
        done = len(run.undo)
        began = self._context.clock.monotonic()
        for tries, pause in enumerate((*step.pauses, None), 1):
            try:
                for each in step.steps:
                    await self._apply(each, run)
                    mark("step done", type(each).__name__)
                return
            except XendError as error:
                if run.job.abandoned:
                    raise
                await self._unwind(run, error, down_to=done)
                if run.open:
                    raise
                took = self._context.clock.monotonic() - began
                if pause is None or took > INSIST_SECONDS or not isinstance(error, MAY_PASS):
                    raise await self._given_up(step, run, tries, error) from error
                log.warning(
                    "%s could not be restarted, which is tried again in %g s: %s",
                    step.config.name,
                    pause,
                    error,
                )
            await self._start_afresh(run)
            run.job.report(Progress("waiting to try again"))
            with run.job.may_be_cancelled():
                await self._context.clock.sleep(pause)

    async def _start_afresh(self, run: Run) -> None:
        """As before the first try."""
        await asyncio.gather(*run.notes, return_exceptions=True)
        run.notes.clear()
        _release(run)
        run.domid = run.info = run.owned = None

    async def _given_up(
        self, step: Insist, run: Run, tries: int, error: XendError
    ) -> RestartFailed:
        """Nothing of it is lost: what it was built from can be started again."""
        name, path = step.config.name, ""
        if step.managed:
            where = f"It is halted: `xm start {name}` starts it"
        else:
            try:
                path = str(await self._context.repository.rescue(step.config))
            except XendError as failure:
                log.error("the configuration of %s could not be kept: %s", name, failure)
                run.open = True
                where = "The next start of xend tries again"
            else:
                where = f"Its configuration is kept: `xend import {path}` makes it a managed domain"
        return RestartFailed(
            f"{name} could not be restarted (tries: {tries}): {error}. {where}",
            domain=name,
            tries=tries,
            reason=str(error),
            path=path,
        )

    async def _reserve_identity(self, step: ReserveIdentity, run: Run) -> None:
        snapshot, reserved = self._context.snapshot, self._context.reserved
        config = step.config
        await snapshot.refresh(max_age=IDENTITY_MAX_AGE)
        uuid = str(config.uuid)
        views = snapshot.views()
        if run.restarts:
            # Its own name is kept visible while it is being replaced.
            views = [view for view in views if view.uuid != uuid]
        if step.beside is not None:
            views = [view for view in views if view.domid != step.beside]
        reserved.hold(config, views)
        snapshot.building(config)

        def release() -> None:
            reserved.release(uuid)
            snapshot.built(uuid)

        run.release.append(release)

    async def _reserve_memory(self, step: ReserveMemory, run: Run) -> None:
        run.job.report(Progress("memory"))
        key = step.key or str(step.config.uuid)
        look = await (run.look or self._context.memory.look(step.config))
        await self._context.memory.reserve(key, look)
        run.release.append(lambda: self._context.memory.release(key))

    def _begin(self, step: Begin, run: Run) -> None:
        """The disk writes while what follows is looked up; see `_begun`."""
        run.begin = begin = asyncio.create_task(
            self._context.journal.begin(step.kind, step.uuid, step.data), name="xend-intent"
        )

        run.restarts = step.kind == "restart"
        run.undo.append(("the intent", lambda: self._end_begun(begin)))

    async def _end_begun(self, begin: asyncio.Task[Intent]) -> None:
        """One that could not be written needs no end."""
        await asyncio.wait([begin])
        if begin.exception() is None:
            await self._context.journal.end(begin.result().id)

    async def _begun(self, run: Run) -> Intent:
        """The intent is on disk: before this nothing may be changed."""
        assert run.begin is not None, "a plan begins before it changes anything"
        run.intent = await asyncio.shield(run.begin)
        mark("intent on disk")
        return run.intent

    async def _build(self, step: Build, run: Run) -> None:
        snapshot = self._context.snapshot
        config = step.config
        uuid = str(config.uuid)

        def sink(progress: Progress) -> None:
            run.job.report(progress)
            if progress.domid is not None and progress.domid != run.domid:
                run.domid = progress.domid
                snapshot.bind(progress.domid, config)
                self._note_domid(run, progress.domid, step.own)
            run.info = progress.info or run.info

        if step.own is not None:
            run.undo.append(("ownership", lambda: self._disown(run)))
        # Pushed before the call: a build whose process was killed leaves a half-made domain.
        keep = step.source.beside if isinstance(step.source, Incoming) else None
        run.undo.append(("the build", lambda: self.remove_remains(uuid, run.domid, keep)))
        run.job.report(Progress("build"))
        try:
            async with asyncio.timeout(step.timeout):
                run.domid = await self._made(step, run, sink)
        except TimeoutError as error:
            what = f"building {config.name}"
            raise OperationTimeout(operation=what, seconds=step.timeout) from error
        snapshot.invalidate()
        snapshot.bind(run.domid, config)
        if run.info is not None:
            snapshot.place(run.info)

    async def _made(self, step: Build, run: Run, sink: ProgressSink) -> Domid:
        hypervisor = self._context.hypervisor

        async def ready() -> None:
            await self._begun(run)

        with run.job.may_be_cancelled():
            if step.source is None:
                if step.config.bootloader:  # It may wait for a person: that takes nobody's place.
                    return await hypervisor.create(step.config, sink, ready)
                async with self._builds:
                    return await hypervisor.create(step.config, sink, ready)
            await self._begun(run)
            if isinstance(step.source, Incoming):
                return await step.source.take(hypervisor, sink)
            return await hypervisor.restore(step.source, step.config, sink)

    def _note_domid(self, run: Run, domid: Domid, own: Own | None) -> None:
        if run.intent is None:
            return
        if own is not None:
            run.owned = self._owned(own, domid)
        put = () if run.owned is None else (run.owned,)
        note = self._context.journal.note(run.intent.id, domid=domid, put=put)
        run.notes.add(asyncio.create_task(note, name=f"xend-note-{domid}"))

    async def _remove_file(self, step: RemoveFile, run: Run) -> None:
        """What was in it is now in the domain alone, so that must not go any more, even if it
        cannot be unpaused."""
        await self._context.files.remove(step.path)
        managed = self._context.snapshot.managed.get(step.uuid)
        if managed is not None:
            self._context.snapshot.managed[step.uuid] = ManagedDomain(managed.config)
        del run.undo[1:]
        run.job.final = True

    async def _own(self, step: Own, run: Run) -> None:
        domid = _built(run)
        owned = run.owned
        if run.restarts:
            # The guest was promised to come back: a full disk must not be its end.
            owned = self._owned(step, domid)
            gone = [(owned.uuid, step.replaces)] if step.replaces not in (None, domid) else []
            await asyncio.gather(*run.notes, return_exceptions=True)
            await self._context.journal.settle(NOTHING, put=[owned], drop=gone)
        else:
            await asyncio.gather(*run.notes)
            if owned is None or owned.domid != domid:
                owned = self._owned(step, domid)
                await self._context.journal.put_owned(owned)
        if owned is not run.owned:
            uuid = owned.uuid
            run.undo.append(("ownership", lambda: self._context.journal.drop_owned(uuid, domid)))
        self._context.snapshot.own(owned)

    def _owned(self, own: Own, domid: Domid) -> OwnedDomain:
        return OwnedDomain(
            str(own.config.uuid),
            domid,
            own.config,
            started=self._context.clock.time(),
            restarts=own.restarts,
            managed=own.managed,
            quick=own.quick,
            since=self._context.clock.monotonic(),
        )

    async def _disown(self, run: Run) -> None:
        """Nothing, when it had not got as far, or could not be written."""
        written = await asyncio.gather(*run.notes, return_exceptions=True)
        if run.owned is not None and not any(written):
            await self._context.journal.drop_owned(run.owned.uuid, run.owned.domid)

    async def end_domain(self, domid: Domid, seconds: float) -> None:
        """Destroys it; quiet when it is gone already.  OperationTimeout when it will not go.

        A destroy can only go forward: one whose process died is tried once more."""
        try:
            async with asyncio.timeout(seconds):
                try:
                    await self._context.hypervisor.destroy(domid)
                except WorkerCrashed:
                    await self._context.hypervisor.destroy(domid)
        except DomainNotFound:
            pass
        except TimeoutError as error:
            what = f"destroying domain {domid}"
            raise OperationTimeout(operation=what, seconds=seconds) from error
        self._context.snapshot.invalidate()

    async def remove_remains(
        self, uuid: str, domid: Domid | None, keep: Domid | None = None
    ) -> None:
        """Of a build of ours that did not end well; never `keep`."""
        self._context.snapshot.invalidate()
        for info in await self._context.hypervisor.list_domains():
            if info.domid != keep and is_half_made(info, uuid, domid):
                await self.end_domain(info.domid, self._context.settings.destroy_timeout)


def is_half_made(info: DomainInfo, uuid: str, domid: Domid | None) -> bool:
    """Whether that is what a build of ours left behind.

    Where the build did not get as far as to tell its domid, a domain that has run already is
    somebody else's: perhaps the administrator used `xl create` while xend was down.
    """
    if info.uuid != uuid or info.dying or info.domid == DOM0:
        return False
    if domid is not None:
        return info.domid == domid
    return info.paused and info.cpu_time == 0


def _release(run: Run) -> None:
    while run.release:
        run.release.pop()()


def _built(run: Run) -> Domid:
    assert run.domid is not None, "a plan must build before it owns or unpauses"
    return run.domid
