"""`ports.Repository`: managed domains on disk, in the original's layout.

<root>/<uuid>/config.sxp and, after a suspend, <root>/<uuid>/checkpoint.chk; directories have mode
0700 and files 0600, since passwords are in clear in them.  The text's codec is injected.  A write
goes to a temporary file in the same directory, which is fsynced and renamed, and then the
directory is fsynced: a kill leaves the old text or the new one.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

from xend.core.ports import BrokenEntry, ManagedDomain
from xend.errors import OperationFailed, XendError
from xend.model.domain import DomainConfig
from xend.store.disk import DiskThreads
from xend.store.hostfiles import sync

log = logging.getLogger("xend.repository")

CONFIG = "config.sxp"
CHECKPOINT = "checkpoint.chk"
_TEMPORARY = ".config.sxp.new"
_DELETED = ".deleted-"

Encode = Callable[[DomainConfig], str]
Decode = Callable[[str], DomainConfig]
"""Raises a XendError or ValueError that says what is wrong."""


class RepositoryError(OperationFailed):
    """A directory of a managed domain could not be written.  Fields: `path`, `reason`."""

    key = "repository.error"
    template = "Failed to save configuration file to {path}: {reason}"


class FileRepository:
    def __init__(self, root: Path, encode: Encode, decode: Decode) -> None:
        self._root = root
        self._encode = encode
        self._decode = decode
        self._threads = DiskThreads("xend-domains")

    async def close(self) -> None:
        await self._threads.close()

    async def load(self) -> tuple[list[ManagedDomain], list[BrokenEntry]]:
        return await self._threads.run(self._load)

    async def save(self, config: DomainConfig) -> None:
        """Raises RepositoryError (disk full, read-only …); then the old text is still there."""
        await self._threads.run(self._save, config)

    async def delete(self, uuid: UUID) -> None:
        await self._threads.run(self._delete, uuid)

    def checkpoint_path(self, uuid: UUID) -> Path:
        return self._root / str(uuid) / CHECKPOINT

    # -- In the thread ---------------------------------------------------------------------------

    def _load(self) -> tuple[list[ManagedDomain], list[BrokenEntry]]:
        managed: list[ManagedDomain] = []
        broken: list[BrokenEntry] = []
        if not self._root.exists():
            return managed, broken
        for entry in sorted(self._root.iterdir()):
            if entry.name.startswith(_DELETED):
                shutil.rmtree(entry, ignore_errors=True)  # A delete that was cut off.
                continue
            try:
                managed.append(self._read(entry))
            except (XendError, ValueError, OSError) as error:
                broken.append(BrokenEntry(entry, str(error)))
        return managed, broken

    def _read(self, entry: Path) -> ManagedDomain:
        if not entry.is_dir():
            raise ValueError("not a directory of a managed domain")
        try:
            wanted = UUID(entry.name)
        except ValueError:
            raise ValueError("its name is not a uuid") from None
        (entry / _TEMPORARY).unlink(missing_ok=True)
        try:
            text = (entry / CONFIG).read_text("utf-8", "surrogateescape")
        except FileNotFoundError:
            raise ValueError(f"there is no {CONFIG} in it") from None
        config = self._decode(text)
        if config.uuid != wanted:
            raise ValueError(f"{CONFIG} is of another domain, with the uuid {config.uuid}")
        checkpoint = entry / CHECKPOINT
        return ManagedDomain(config, checkpoint if checkpoint.exists() else None)

    def _save(self, config: DomainConfig) -> None:
        directory = self._root / str(config.uuid)
        text = self._encode(config)
        try:
            fresh = not directory.exists()
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary = directory / _TEMPORARY
            try:
                _write(temporary, text)
                temporary.replace(directory / CONFIG)
            except OSError:
                temporary.unlink(missing_ok=True)
                raise
            sync(directory)
            if fresh:
                sync(self._root)
        except OSError as error:
            raise RepositoryError(path=str(directory), reason=str(error.strerror)) from error

    def _delete(self, uuid: UUID) -> None:
        """Renamed first, so that a kill cannot leave half of it."""
        directory = self._root / str(uuid)
        aside = self._root / f"{_DELETED}{uuid}"
        try:
            shutil.rmtree(aside, ignore_errors=True)
            directory.rename(aside)
            sync(self._root)
        except FileNotFoundError:
            return
        except OSError as error:
            raise RepositoryError(
                f"Unable to remove managed configuration {directory}: {error.strerror}",
                path=str(directory),
                reason=str(error.strerror),
            ) from error
        shutil.rmtree(aside, ignore_errors=True)


def _write(path: Path, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
