"""Verbs that write a domain's memory to disk: save, suspend, dump-core.

A save goes to a file beside its place and gets its name when it is complete, so what has the name
is whole; and the domain ends only after that.  A save that is cut off leaves the domain suspended
in the hypervisor: it is resumed, at once or at the next start.
"""

from __future__ import annotations

import asyncio
import time
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
        files, hypervisor = self._context.files, self._context.hypervisor
        reason = await files.reason_unwritable(path)
        if reason:
            raise OperationFailed(f"can't write guest state file {path}: {reason}", stage="open")
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
        async with self._context.intent(job, "save", view.uuid, data) as intent:
            try:
                runs_on = checkpoint and not paused
                await hypervisor.save(domid, partial, checkpoint=runs_on, progress=job.report)
                if paused:  # Before it is woken, so that it does not run for a moment.
                    await hypervisor.pause(domid)
                    await hypervisor.resume(domid)
                    self._context.snapshot.invalidate()
            except (Exception, asyncio.CancelledError) as error:
                if not job.abandoned:
                    # Otherwise libxl has seen to it: it does not leave the guest with the request.
                    cut_off = isinstance(error, (WorkerCrashed, asyncio.CancelledError))
                    await self._take_back(domid, partial if plain else None, cut_off=cut_off)
                raise
            await self._context.journal.note(intent.id, data={**data, "written": True})
            if plain:
                await files.rename(partial, path)
            if not checkpoint:
                await self._applier.end_domain(domid, self._context.settings.destroy_timeout)
                intent.drop.append((view.uuid, domid))
        if not checkpoint:
            self._context.snapshot.forget(domid)

    async def _take_back(self, domid: Domid, partial: Path | None, *, cut_off: bool) -> None:
        """The domain runs on as if nobody had asked."""
        if cut_off:
            await undo_suspend(self._context, domid)
        else:
            await wake_if_suspended(self._context, domid)
        if partial is not None:
            for leftover in leftovers(partial):
                await self._context.files.remove(leftover)
        self._context.snapshot.invalidate()

    async def dump_core(
        self, job: Job, ref: str | int, *, path: Path | None = None, live: bool = False
    ) -> Path:
        """Returns where it went; the domain is paused meanwhile unless `live`."""
        view, domid = await self._context.running(job, ref, "dump core for")
        require_started(
            ref, view, "dump-core", PowerState.PAUSED, PowerState.RUNNING, PowerState.CRASHED
        )
        pausing = not live and view.power_state is PowerState.RUNNING
        data = {"domid": domid, "paused": pausing}
        async with self._context.intent(job, "dump", view.uuid, data):
            if pausing:
                await self._context.hypervisor.pause(domid)
            try:
                return await self.write_core(view, domid, path)
            finally:
                if pausing and not job.abandoned:
                    await self._context.unpause(domid)

    async def write_core(self, view: DomainView, domid: Domid, path: Path | None = None) -> Path:
        """The original's default place: DUMPDIR/<name>/<date>-<name>.<domid>.core."""
        if path is None:
            directory = Path(self._context.settings.dump_dir) / view.name
            await self._context.files.make_directory(directory)
            stamp = time.strftime("%Y-%m%d-%H%M.%S", time.localtime(self._context.clock.time()))
            path = directory / f"{stamp}-{view.name}.{domid}.core"
        reason = await self._context.files.reason_unwritable(path)
        if reason:
            raise OperationFailed(f"Cannot dump core to {path}: {reason}", stage="open")
        await self._context.hypervisor.dump_core(domid, path)
        return path


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
