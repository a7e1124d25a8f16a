"""`ports.Repository`: managed domains on disk, in the original's layout.

<root>/<uuid>/config.sxp and, after a suspend, <root>/<uuid>/checkpoint.chk; directories have mode
0700 and files 0600, since passwords are in clear in them.  The text's codec is injected.  A write
goes to a temporary file in the same directory, which is fsynced and renamed, and then the
directory is fsynced: a kill leaves the old text or the new one.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from xend.core.ports import BrokenEntry, FoundEntry, ManagedDomain
from xend.errors import OperationFailed, XendError
from xend.model.domain import DomainConfig
from xend.store.disk import DiskThreads
from xend.store.hostfiles import sync

log = logging.getLogger("xend.repository")

CONFIG = "config.sxp"
CHECKPOINT = "checkpoint.chk"
_TEMPORARY = ".config.sxp.new"
_PARTIAL = f"{CHECKPOINT}.partial"
_DELETED = ".deleted-"
_MOST_TEXT = 4 << 20

_RESCUED = "rescued"

Encode = Callable[[DomainConfig], str]
Decode = Callable[[str], DomainConfig]
"""Raises a XendError or ValueError that says what is wrong."""
Compare = Callable[[str, DomainConfig], tuple[str, ...]]
"""What of the text the configuration says otherwise: for people."""


class RepositoryError(OperationFailed):
    """A directory of a managed domain could not be written.  Fields: `path`, `reason`."""

    key = "repository.error"
    template = "Failed to save configuration file to {path}: {reason}"


class FileRepository:
    def __init__(
        self,
        root: Path,
        encode: Encode,
        decode: Decode,
        compare: Compare = lambda text, config: (),
    ) -> None:
        self._root = root
        self._compare = compare
        self._encode = encode
        self._decode = decode
        self._threads = DiskThreads("xend-domains")

    async def close(self) -> None:
        await self._threads.close()

    async def load(self) -> tuple[list[ManagedDomain], list[BrokenEntry]]:
        return await self._threads.run(self._load)

    async def save(self, config: DomainConfig) -> None:
        """Raises RepositoryError (disk full, read-only …); then the old text is still there."""
        await self._threads.run(self._save, self._root, config)

    async def rescue(self, config: DomainConfig) -> Path:
        """<root>/../rescued/<uuid>/config.sxp.  Raises RepositoryError."""
        root = self._root.with_name(_RESCUED)
        await self._threads.run(self._save, root, config)
        return root

    async def delete(self, uuid: UUID) -> None:
        await self._threads.run(self._delete, uuid)

    async def examine(self, folder: Path) -> list[FoundEntry]:
        return await self._threads.run(self._examine, folder)

    async def copy_checkpoint(self, uuid: UUID, source: Path) -> None:
        """Raises RepositoryError; then there is no checkpoint."""
        # A thread of its own: other domains are saved meanwhile, whatever its size.
        await asyncio.to_thread(self._copy_checkpoint, uuid, source)

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
            if _was_cut_off(entry):
                continue
            try:
                managed.append(self._read(entry))
            except (XendError, ValueError, OSError) as error:
                broken.append(BrokenEntry(entry, str(error)))
        return managed, broken

    def _read(self, entry: Path) -> ManagedDomain:
        wanted, text = _text_of(entry)
        (entry / _TEMPORARY).unlink(missing_ok=True)
        config = self._decoded(text, wanted)
        checkpoint = entry / CHECKPOINT
        return ManagedDomain(config, checkpoint if checkpoint.exists() else None)

    def _decoded(self, text: str, wanted: UUID) -> DomainConfig:
        config = self._decode(text)
        if config.uuid != wanted:
            raise ValueError(f"{CONFIG} is of another domain, with the uuid {config.uuid}")
        return config

    def _examine(self, folder: Path) -> list[FoundEntry]:
        try:
            if self._root.exists() and folder.samefile(self._root):
                raise OperationFailed(f"{folder} is this host's own directory", stage="read")
            entries = sorted(folder.iterdir())
        except OSError as error:
            raise OperationFailed(f"{folder}: {error.strerror}", stage="read") from error
        return [self._found(entry) for entry in entries]

    def _found(self, entry: Path) -> FoundEntry:
        try:
            wanted, text = _text_of(entry)
            config = self._decoded(text, wanted)
            checkpoint = entry / CHECKPOINT
            has_memory = checkpoint.is_file()
            changes = self._compare(text, config)
        except (XendError, ValueError, OSError) as error:
            return FoundEntry(entry, reason=str(error))
        return FoundEntry(entry, config, "", changes, checkpoint if has_memory else None)

    def _copy_checkpoint(self, uuid: UUID, source: Path) -> None:
        directory = self._root / str(uuid)
        temporary = directory / _PARTIAL
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with source.open("rb") as old, _created(temporary) as new:
                shutil.copyfileobj(old, new, 1 << 20)
                new.flush()
                os.fsync(new.fileno())
            temporary.replace(directory / CHECKPOINT)
            sync(directory)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise RepositoryError(
                f"{source} cannot be copied to {directory}: {error.strerror}",
                path=str(directory),
                reason=str(error.strerror),
            ) from error

    def _save(self, root: Path, config: DomainConfig) -> None:
        directory = root / str(config.uuid)
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
                sync(root)
        except OSError as error:
            with suppress(OSError):  # Not empty: it was there before, or holds a checkpoint.
                directory.rmdir()
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


def _was_cut_off(entry: Path) -> bool:
    """While it was new: there is nothing in it but what had not got its name yet."""
    try:
        left = [*entry.iterdir()]
        if not left or {each.name for each in left} - {_PARTIAL, _TEMPORARY}:
            return False
        for each in left:
            each.unlink()
        entry.rmdir()
    except OSError:
        return False
    return True


def _text_of(entry: Path) -> tuple[UUID, str]:
    """The uuid that its name says, and its config.sxp.  Whoever copied the directory may have
    left anything in it, also what would be waited for without end."""
    if not entry.is_dir():
        raise ValueError("not a directory of a managed domain")
    try:
        wanted = UUID(entry.name)
    except ValueError:
        raise ValueError("its name is not a uuid") from None
    path = entry / CONFIG
    if not path.exists():
        raise ValueError(f"there is no {CONFIG} in it")
    if not path.is_file() or path.stat().st_size > _MOST_TEXT:
        raise ValueError(f"{CONFIG} is no configuration")
    return wanted, path.read_text("utf-8", "surrogateescape")


def _created(path: Path) -> BinaryIO:
    return os.fdopen(
        os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb"
    )


def _write(path: Path, text: str) -> None:
    with _created(path) as file:
        file.write(text.encode("utf-8", "surrogateescape"))
        file.flush()
        os.fsync(file.fileno())
