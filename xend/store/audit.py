"""`core.access.AuditLog` in SQLite, in a file of its own.

It is not the journal's file on purpose: nothing that a client on the network can make grow (refused
logins are audited) may get in the way of what running domains need, and a damaged audit must not
make anybody's domain a stranger.  WAL with synchronous=NORMAL: a line that was written survives any
end of the daemon; a power cut may take the last ones.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from xend.core.access import AuditError, AuditLine
from xend.store.disk import DiskThreads

log = logging.getLogger("xend.audit")

T = TypeVar("T")

LINES_KEPT = 100_000
_PRUNE_EVERY = 1_000
_PATIENCE = 10.0
"""Seconds that another process may hold the file."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS audit (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, who TEXT NOT NULL,
    origin TEXT NOT NULL, face TEXT NOT NULL, action TEXT NOT NULL, target TEXT NOT NULL,
    result TEXT NOT NULL, role TEXT NOT NULL, operation TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS audit_by_target ON audit (target);
CREATE INDEX IF NOT EXISTS audit_by_operation ON audit (operation);
"""
_LINE = "time, who, origin, face, action, target, result, role, operation"


class SqliteAudit:
    def __init__(
        self, path: Path, *, kept: int = LINES_KEPT, now: Callable[[], float] = time.time
    ) -> None:
        """Opens nothing yet: the file is made, mode 0600, when it is first needed."""
        self._path = path
        self._kept = kept
        self._now = now
        self._threads = DiskThreads("xend-audit")
        self._connection: sqlite3.Connection | None = None
        self._appended = 0

    async def append(self, lines: Sequence[AuditLine]) -> None:
        values = [
            (
                line.time,
                line.who,
                line.origin,
                line.face,
                line.action,
                line.target,
                line.result,
                line.role,
                line.operation,
            )
            for line in lines
        ]

        def write(db: sqlite3.Connection) -> None:
            db.executemany(f"INSERT INTO audit ({_LINE}) VALUES (?,?,?,?,?,?,?,?,?)", values)
            self._prune(db, len(values))

        await self._threads.run(self._transact, write)

    def _prune(self, db: sqlite3.Connection, added: int) -> None:
        """At the first append, and then now and then."""
        before = self._appended
        self._appended += added
        if before and before // _PRUNE_EVERY == self._appended // _PRUNE_EVERY:
            return
        db.execute("DELETE FROM audit WHERE seq <= (SELECT max(seq) FROM audit) - ?", (self._kept,))

    async def read(
        self,
        *,
        before: int | None = None,
        limit: int = 100,
        who: str = "",
        target: str = "",
        operation: str = "",
    ) -> Sequence[AuditLine]:
        conditions: list[str] = ["seq < ?"]
        values: list[str | int] = [before if before is not None else 2**62]
        for column, value in (("who", who), ("target", target), ("operation", operation)):
            if value:
                conditions.append(f"{column} = ?")
                values.append(value)

        def query(db: sqlite3.Connection) -> list[AuditLine]:
            rows = db.execute(
                f"SELECT {_LINE}, seq FROM audit WHERE {' AND '.join(conditions)} "
                "ORDER BY seq DESC LIMIT ?",
                (*values, limit),
            )
            return [AuditLine(*row) for row in rows]

        return await self._threads.run(self._transact, query)

    async def close(self) -> None:
        await self._threads.run(self._close)
        await self._threads.close()

    # -- In the thread ---------------------------------------------------------------------------

    def _transact(self, call: Callable[[sqlite3.Connection], T]) -> T:
        try:
            with self._opened() as db:
                return call(db)
        except (sqlite3.Error, OSError) as error:
            raise AuditError(path=str(self._path), reason=str(error)) from error

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            try:
                self._connection = self._open()
            except sqlite3.DatabaseError as error:
                if getattr(error, "sqlite_errorname", "") != "SQLITE_NOTADB":
                    raise
                self._put_aside(error)
                self._connection = self._open()
        return self._connection

    def _open(self) -> sqlite3.Connection:
        self._path.touch(mode=0o600)
        db = sqlite3.connect(self._path, timeout=_PATIENCE)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            db.executescript(_SCHEMA)
        except sqlite3.Error:
            db.close()
            raise
        return db

    def _put_aside(self, error: sqlite3.DatabaseError) -> None:
        aside = self._path.with_name(f"{self._path.name}.damaged-{int(self._now())}")
        log.error("the audit %s is damaged (%s) and was moved to %s", self._path, error, aside)
        self._path.rename(aside)
        for ending in ("-wal", "-shm"):
            self._path.with_name(self._path.name + ending).unlink(missing_ok=True)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
