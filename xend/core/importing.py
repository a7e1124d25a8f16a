"""`xend import`: the managed domains of another host, from a copy of its directory."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from xend.core.context import Body, Context
from xend.core.jobs import Job
from xend.core.ports import FoundEntry, ManagedDomain, Progress
from xend.core.validate import check_host
from xend.errors import ConfigError, ConflictError, XendError
from xend.model.domain import DomainConfig


@dataclass(slots=True)
class ImportReport:
    """What became of one directory."""

    path: Path
    verdict: Literal["imported", "importable", "known", "skipped"] = "skipped"
    """`importable` of a dry run; `known`: it is here already, exactly so."""
    name: str = ""
    uuid: str = ""
    reason: str = ""
    """Why it was skipped."""
    changes: list[str] = field(default_factory=list)
    """What reads otherwise than it was written there."""
    notes: list[str] = field(default_factory=list)
    """What keeps it from starting here, and what of its memory is lost."""


class Importing:
    def __init__(self, context: Context) -> None:
        self._context = context

    @property
    def bodies(self) -> dict[str, Body]:
        return {"import": self.import_}

    async def import_(self, job: Job, *, folder: Path, dry_run: bool = False) -> list[ImportReport]:
        """Each entry by itself, so that one that is cut off is simply asked for again.  The folder
        is never changed.  OperationFailed when it cannot be read."""
        found = await self._context.repository.examine(folder)
        reports: list[ImportReport] = []
        for number, entry in enumerate(found):
            job.report(Progress(f"import {entry.path.name}", percent=100.0 * number / len(found)))
            reports.append(await self._one(entry, dry_run))
        return reports

    async def _one(self, entry: FoundEntry, dry_run: bool) -> ImportReport:
        report = ImportReport(entry.path, reason=entry.reason, changes=[*entry.changes])
        config = entry.config
        if config is None:
            return report
        report.name, report.uuid = config.name, str(config.uuid)
        present = self._context.snapshot.managed.get(report.uuid)
        if present is not None:
            if _essence(present.config) == _essence(config):
                report.verdict = "known"
            else:
                report.reason = f"'{present.config.name}' is here with that uuid, but differs"
            return report
        try:
            await self._check_free(config)
        except ConflictError as error:
            report.reason = str(error)
            return report
        report.notes += await self._obstacles(config)
        report.verdict = "importable"
        checkpoint = await self._usable(entry, report)
        if not dry_run:
            try:
                await self._take(config, checkpoint)
            except XendError as error:
                report.verdict, report.reason = "skipped", str(error)
            else:
                report.verdict = "imported"
        return report

    async def _check_free(self, config: DomainConfig) -> None:
        snapshot = self._context.snapshot
        await snapshot.refresh()
        self._context.reserved.check_name(config.name, str(config.uuid), snapshot.views())

    async def _obstacles(self, config: DomainConfig) -> list[str]:
        try:
            await check_host(config, self._context.files)
        except ConfigError as error:
            return [f"it cannot start here yet: {error}"]
        return []

    async def _usable(self, entry: FoundEntry, report: ImportReport) -> Path | None:
        """Its memory, if this Xen can restore it: xend of Xen 4.4 wrote another format."""
        if entry.checkpoint is None:
            return None
        try:
            await self._context.hypervisor.saved_config(entry.checkpoint)
        except XendError as error:
            report.notes.append(f"its memory is left behind, so it will boot afresh: {error}")
            return None
        return entry.checkpoint

    async def _take(self, config: DomainConfig, checkpoint: Path | None) -> None:
        """The memory first: with its configuration the entry is there."""
        repository, snapshot = self._context.repository, self._context.snapshot
        if checkpoint is not None:
            await repository.copy_checkpoint(config.uuid, checkpoint)
        await repository.save(config)
        path = repository.checkpoint_path(config.uuid) if checkpoint is not None else None
        snapshot.managed[str(config.uuid)] = ManagedDomain(config, path)


def _essence(config: DomainConfig) -> Any:
    """Without the uuids of devices, which are made up for a file that has none."""
    return _without_uuids(config.model_dump(exclude={"uuid"}))


def _without_uuids(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_uuids(item) for key, item in value.items() if key != "uuid"}
    if isinstance(value, list | tuple):
        return [_without_uuids(item) for item in value]
    return value
