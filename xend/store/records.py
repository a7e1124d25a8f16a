"""`ports.Records` in the same SQLite file as the journal: opened when first used.

WAL with synchronous=FULL, as the journal: what has been answered outlives a power cut.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from xend.errors import OperationFailed
from xend.store.disk import DiskThreads

T = TypeVar("T")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    kind TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, expires REAL,
    PRIMARY KEY (kind, key))
"""
_PATIENCE = 10.0
"""Seconds that another connection may hold the file."""


class RecordsError(OperationFailed):
    """The file could not be read or written.  Fields: `path`, `reason`."""

    key = "records.error"
    template = "The records in {path} cannot be used: {reason}"


class SqliteRecords:
    def __init__(
        self,
        path: Path,
        *,
        synchronous: Literal["FULL", "OFF"] = "FULL",
        now: Callable[[], float] = time.time,
    ) -> None:
        """Opens nothing yet.  `synchronous` OFF is for tests that kill no machine."""
        self._path = path
        self._synchronous = synchronous
        self._now = now
        self._threads = DiskThreads("xend-records")
        self._connection: sqlite3.Connection | None = None

    async def get(self, kind: str, key: str) -> Mapping[str, Any] | None:
        def read(db: sqlite3.Connection) -> Mapping[str, Any] | None:
            row = db.execute(
                "SELECT value FROM records WHERE kind = ? AND key = ? "
                "AND (expires IS NULL OR expires > ?)",
                (kind, key, self._now()),
            ).fetchone()
            return json.loads(row[0]) if row else None

        return await self._run(read)

    async def add(
        self, kind: str, key: str, value: Mapping[str, Any], expires: float | None = None
    ) -> bool:
        def write(db: sqlite3.Connection) -> bool:
            db.execute("DELETE FROM records WHERE expires <= ?", (self._now(),))
            cursor = db.execute(
                "INSERT OR IGNORE INTO records VALUES (?, ?, ?, ?)",
                (kind, key, json.dumps(dict(value)), expires),
            )
            return cursor.rowcount == 1

        return await self._run(write)

    async def put(
        self, kind: str, key: str, value: Mapping[str, Any], expires: float | None = None
    ) -> None:
        def write(db: sqlite3.Connection) -> None:
            db.execute(
                "INSERT INTO records VALUES (?, ?, ?, ?) ON CONFLICT (kind, key) "
                "DO UPDATE SET value = excluded.value, expires = excluded.expires",
                (kind, key, json.dumps(dict(value)), expires),
            )

        await self._run(write)

    async def drop(self, kind: str, key: str) -> bool:
        def write(db: sqlite3.Connection) -> bool:
            cursor = db.execute("DELETE FROM records WHERE kind = ? AND key = ?", (kind, key))
            return cursor.rowcount == 1

        return await self._run(write)

    async def all(self, kind: str) -> Sequence[tuple[str, Mapping[str, Any]]]:
        def read(db: sqlite3.Connection) -> list[tuple[str, Mapping[str, Any]]]:
            rows = db.execute(
                "SELECT key, value FROM records WHERE kind = ? "
                "AND (expires IS NULL OR expires > ?) ORDER BY rowid",
                (kind, self._now()),
            )
            return [(key, json.loads(value)) for key, value in rows]

        return await self._run(read)

    async def close(self) -> None:
        await self._threads.run(self._close)
        await self._threads.close()

    # -- In the thread ---------------------------------------------------------------------------

    async def _run(self, call: Callable[[sqlite3.Connection], T]) -> T:
        """In one transaction."""
        return await self._threads.run(self._transact, call)

    def _transact(self, call: Callable[[sqlite3.Connection], T]) -> T:
        try:
            with self._opened() as db:
                return call(db)
        except sqlite3.Error as error:
            raise RecordsError(path=str(self._path), reason=str(error)) from error

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._path.touch(mode=0o600)
            db = sqlite3.connect(self._path, timeout=_PATIENCE)
            db.execute("PRAGMA journal_mode = WAL")
            db.execute(f"PRAGMA synchronous = {self._synchronous}")
            db.execute(_SCHEMA)
            self._connection = db
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
