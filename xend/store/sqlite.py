"""A SQLite file with a thread of its own, so that statements keep the order of their calls and the
event loop never waits for the disk."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeVar

from xend.errors import JournalError
from xend.store.disk import DiskThreads
from xend.trace import mark

log = logging.getLogger("xend.journal")

T = TypeVar("T")

Synchronous = Literal["FULL", "NORMAL", "OFF"]

_CHECKPOINT_ROWS = 1000
"""So many changed rows are taken over from the write-ahead log into the file together."""


class Database:
    def __init__(
        self,
        path: Path,
        migrations: Sequence[str],
        thread: str,
        *,
        synchronous: Synchronous,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Opens nothing yet.  `migrations`: the statements that lead from version N to N+1, the
        first of them those that make the tables of a new file."""
        self._path = path
        self._migrations = migrations
        self._synchronous = synchronous
        self._now = now
        self.threads = DiskThreads(thread)
        self._checkpoints = DiskThreads(f"{thread}-wal") if synchronous == "NORMAL" else None
        """What SQLite would do within a commit: of all that it does then only this waits for the
        disk."""
        self._checkpointed = 0
        self._checkpointer: sqlite3.Connection | None = None
        """Only for the thread of its own."""
        self.connection: sqlite3.Connection | None = None
        """Only for that thread."""

    async def start(self) -> Path | None:
        """Opens or makes the file, mode 0600, and brings its tables up to date.  A damaged one is
        put aside: then its new path is returned.  Raises JournalError."""
        return await self.threads.run(self._open_or_replace)

    async def close(self) -> None:
        if self._checkpoints is not None:
            await self._checkpoints.run(self._close_checkpointer)
            await self._checkpoints.close()
        await self.threads.run(self._close)
        await self.threads.close()

    async def run(self, call: Callable[[sqlite3.Connection], T], *, durable: bool = False) -> T:
        """In one transaction, in the thread.  `durable`: fsynced, whatever the mode."""
        result, changes = await self.threads.run(self._counted, call, durable)
        if self._checkpoints is not None and changes - self._checkpointed >= _CHECKPOINT_ROWS:
            self._checkpointed = changes
            self._checkpoints.begin(self._checkpoint)
        return result

    def _counted(self, call: Callable[[sqlite3.Connection], T], durable: bool) -> tuple[T, int]:
        result = self.transact(call, durable)
        return result, self.connection.total_changes if self.connection is not None else 0

    def _checkpoint(self) -> None:
        """As much as can be had without waiting for anybody; the next time has the rest."""
        try:
            if self._checkpointer is None:
                self._checkpointer = sqlite3.connect(self._path, timeout=0.0)
            self._checkpointer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except sqlite3.Error as error:
            log.warning("%s: its write-ahead log stays as it is: %s", self._path, error)

    def _close_checkpointer(self) -> None:
        if self._checkpointer is not None:
            self._checkpointer.close()
            self._checkpointer = None

    def transact(self, call: Callable[[sqlite3.Connection], T], durable: bool = False) -> T:
        """As `run`, for who is in that thread already."""
        connection = self.connection
        if connection is None:
            raise JournalError(path=str(self._path), reason="it is not open")
        mark("commit begins", self._path.name)
        with self._explained():
            if durable:
                connection.execute("PRAGMA synchronous = FULL")
            try:
                with connection as db:
                    return call(db)
            finally:
                mark("commit ends", self._path.name)
                if durable:
                    connection.execute(f"PRAGMA synchronous = {self._synchronous}")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise JournalError(path=str(self._path), reason=str(error)) from error

    def _open_or_replace(self) -> Path | None:
        try:
            self._open()
        except sqlite3.DatabaseError as error:
            self._close()
            if not _is_damage(error):
                raise JournalError(path=str(self._path), reason=str(error)) from error
            aside = self._path.with_name(f"{self._path.name}.damaged-{int(self._now())}")
            log.error("%s is damaged (%s) and was moved to %s", self._path, error, aside)
            self._path.rename(aside)
            for ending in ("-wal", "-shm"):
                self._path.with_name(self._path.name + ending).unlink(missing_ok=True)
            with self._explained():
                self._open()
            return aside
        return None

    def _open(self) -> None:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path.touch(mode=0o600)
        except OSError as error:
            raise JournalError(path=str(self._path), reason=str(error.strerror)) from error
        db = self.connection = sqlite3.connect(self._path, timeout=10.0)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA synchronous = {self._synchronous}")
        if self._checkpoints is not None:
            db.execute("PRAGMA wal_autocheckpoint = 0")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        newest = len(self._migrations)
        if version > newest:
            raise JournalError(
                path=str(self._path), reason=f"a later xend wrote it (version {version})"
            )
        for number in range(version, newest):
            db.executescript(
                f"BEGIN; {self._migrations[number]} PRAGMA user_version = {number + 1}; COMMIT;"
            )
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()

    def _close(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    return getattr(error, "sqlite_errorname", "") in ("SQLITE_CORRUPT", "SQLITE_NOTADB")
