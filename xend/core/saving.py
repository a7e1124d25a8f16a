"""Verbs that write a domain's memory to disk: save, suspend, dump-core.

A save goes to a file beside its place and gets its name when it is complete, so what has the name
is whole; and the domain ends only after that.  A save that is cut off leaves the domain suspended
in the hypervisor: it is resumed, at once or at the next start.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from xend.core.context import Body, Context, require_started
from xend.core.jobs import Job
from xend.core.ports import ManagedDomain
from xend.core.steps import Applier
from xend.core.suspension import undo_suspend, wake_if_suspended
from xend.core.views import DomainView
from xend.errors import DomainStateError, OperationFailed, WorkerCrashed
from xend.model.status import PowerState
from xend.model.units import Domid


@dataclass(slots=True)
class _Image:
    """A domain's memory on its way to a file."""

    domid: Domid
    path: Path
    partial: Path
    """Where it grows; its place itself where that is no plain file."""
    placing: bool = False
    """It may have got its name."""
    paused: bool = False
    """The domain is, by us."""


class Saving:
    def __init__(self, context: Context, applier: Applier) -> None:
        self._context = context
        self._applier = applier

    @property
    def bodies(self) -> dict[str, Body]:
        return {"save": self.save, "suspend": self.suspend, "dump-core": self.dump_core}

    async def save(
        self,
        job: Job,
        ref: str | int,
        *,
        path: Path,
        checkpoint: bool = False,
        paused: bool = False,
    ) -> None:
        view, domid = await self._context.running(job, ref, "save")
        _require_running(ref, view, "save")
        await self._write(job, view, domid, path, checkpoint or paused, paused=paused)

    async def suspend(self, job: Job, ref: str | int) -> None:
        view, domid = await self._context.running(job, ref, "suspend")
        _require_running(ref, view, "suspend")
        managed = self._context.snapshot.managed.get(view.uuid)
        if managed is None:
            raise DomainStateError(
                "Domain is not managed by Xend lifecycle support.", domain=str(ref), verb="suspend"
            )
        path = self._context.repository.checkpoint_path(UUID(view.uuid))
        await self._write(job, view, domid, path, checkpoint=False)
        self._context.snapshot.managed[view.uuid] = ManagedDomain(managed.config, path)

    async def _write(
        self,
        job: Job,
        view: DomainView,
        domid: Domid,
        path: Path,
        checkpoint: bool,
        *,
        paused: bool = False,
    ) -> None:
        files = self._context.files
        with job.may_be_cancelled():
            reason = await files.reason_unwritable(path)
            if reason:
                text = f"can't write guest state file {path}: {reason}"
                raise OperationFailed(text, stage="open")
            # Not for a pipe or a device, which cannot be renamed into place.
            plain = await files.is_plain(path)
        partial = path.with_name(f"{path.name}.partial") if plain else path
        data = {
            "domid": domid,
            "path": str(path),
            "partial": str(partial),
            "checkpoint": checkpoint,
            "written": False,
        }
        image = _Image(domid, path, partial)
        async with self._context.intent(job, "save", view.uuid, data) as intent:
            try:
                await self._fill(job, image, runs_on=checkpoint and not paused, paused=paused)
                # A save that fills the disk leaves no room to say so: then it is taken back.
                await self._context.journal.note(intent.id, data={**data, "written": True})
                if plain:
                    image.placing = True
                    await files.rename(partial, path)
            except (Exception, asyncio.CancelledError) as error:
                if not job.abandoned:
                    # Otherwise libxl has seen to it: it does not leave the guest with the request.
                    cut_off = isinstance(error, (WorkerCrashed, asyncio.CancelledError))
                    await self._take_back(image, cut_off=cut_off)
                raise
            job.final = True
            if not checkpoint:
                with intent.kept_if_it_fails():
                    await self._applier.end_domain(domid, self._context.settings.destroy_timeout)
                intent.drop.append((view.uuid, domid))
        if not checkpoint:
            self._context.snapshot.forget(domid)

    async def _fill(self, job: Job, image: _Image, *, runs_on: bool, paused: bool) -> None:
        hypervisor = self._context.hypervisor
        with job.may_be_cancelled():
            await hypervisor.save(
                image.domid, image.partial, checkpoint=runs_on, progress=job.report
            )
        if paused:  # Before it is woken, so that it does not run for a moment.
            await hypervisor.pause(image.domid)
            image.paused = True
            await hypervisor.resume(image.domid)
            self._context.snapshot.invalidate()

    async def _take_back(self, image: _Image, *, cut_off: bool) -> None:
        """The domain runs on as if nobody had asked, and nothing is left that could be taken for
        its memory."""
        files = self._context.files
        if cut_off:
            await undo_suspend(self._context, image.domid)
        else:
            await wake_if_suspended(self._context, image.domid)
        if image.paused:
            await self._context.unpause(image.domid)
        self._context.snapshot.invalidate()
        if image.partial == image.path:
            return
        if image.placing and not await files.exists(image.partial):
            await files.remove(image.path)
        for leftover in leftovers(image.partial):
            await files.remove(leftover)

    async def dump_core(
        self, job: Job, ref: str | int, *, path: Path | None = None, live: bool = False
    ) -> Path:
        """Returns where it went; the domain is paused meanwhile unless `live`."""
        view, domid = await self._context.running(job, ref, "dump core for")
        require_started(
            ref, view, "dump-core", PowerState.PAUSED, PowerState.RUNNING, PowerState.CRASHED
        )
        pausing = not live and view.power_state is PowerState.RUNNING
        return await self.write_core(job, view, domid, path, pausing=pausing)

    async def write_core(
        self,
        job: Job,
        view: DomainView,
        domid: Domid,
        path: Path | None = None,
        *,
        pausing: bool = False,
    ) -> Path:
        """The original's default place: DUMPDIR/<name>/<date>-<name>.<domid>.core.  It has its
        name when it is whole."""
        with job.may_be_cancelled():
            core = await self._core_of(view, domid, path)
        data = {"domid": domid, "paused": pausing, "partial": str(core.partial)}
        if core.partial == core.path:
            del data["partial"]
        async with self._context.intent(job, "dump", view.uuid, data):
            if pausing:
                await self._context.hypervisor.pause(domid)
                self._context.snapshot.invalidate()
            try:
                with job.may_be_cancelled():
                    await self._context.hypervisor.dump_core(domid, core.partial)
                if core.partial != core.path:
                    await self._context.files.rename(core.partial, core.path)
            except (Exception, asyncio.CancelledError):
                if not job.abandoned and core.partial != core.path:
                    await self._context.files.remove(core.partial)
                raise
            finally:
                if pausing and not job.abandoned:
                    await self._context.unpause(domid)
        return core.path

    async def _core_of(self, view: DomainView, domid: Domid, path: Path | None) -> _Image:
        files = self._context.files
        if path is None:
            directory = Path(self._context.settings.dump_dir) / view.name
            await files.make_directory(directory)
            stamp = time.strftime("%Y-%m%d-%H%M.%S", time.localtime(self._context.clock.time()))
            path = directory / f"{stamp}-{view.name}.{domid}.core"
        reason = await files.reason_unwritable(path)
        if reason:
            raise OperationFailed(f"Cannot dump core to {path}: {reason}", stage="open")
        plain = await files.is_plain(path)
        return _Image(domid, path, path.with_name(f"{path.name}.partial") if plain else path)


def leftovers(partial: Path) -> tuple[Path, Path]:
    """What a save that was cut off may have left: our file, and the one beside it in which the
    hypervisor's adapter lets it grow."""
    return partial, partial.with_name(f".{partial.name}.partial")


def _require_running(ref: str | int, view: DomainView, verb: str) -> None:
    if view.power_state is not PowerState.RUNNING:
        raise DomainStateError(
            "Domain is not running",
            domain=str(ref),
            state=view.power_state.name.lower(),
            verb=verb,
        )
