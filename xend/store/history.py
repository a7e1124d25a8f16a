"""What happened, in SQLite: the log of events, and the records of jobs.

In a file of its own, apart from the journal, because its commits do not wait for the disk: WAL
with synchronous=NORMAL.  A kill of xend loses nothing that was committed; a crash of the host may
lose the last commits.  Numbers are never given twice all the same: they are reserved in blocks,
each with one fsync, and after a crash of the host (another boot id, and no orderly end) they go on
behind the block that was in use.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from xend.core.events import Event, Kept
from xend.store.sqlite import Database

log = logging.getLogger("xend.history")

T = TypeVar("T")

_TABLES: Final = """
CREATE TABLE events (
    seq INTEGER PRIMARY KEY, time REAL NOT NULL, kind TEXT NOT NULL, topic TEXT NOT NULL,
    ids TEXT NOT NULL);
CREATE TABLE numbers (boot TEXT NOT NULL, reserved INTEGER NOT NULL);
"""
_JOBS: Final = """
CREATE TABLE jobs (id TEXT PRIMARY KEY, created REAL NOT NULL, record TEXT NOT NULL);
"""
_JOBS_KEPT: Final = 1000
_BLOCK: Final = 1000
_PRUNE_EVERY: Final = 500
DAYS: Final = 86400.0


class SqliteHistory:
    """`core.events.EventLog` and `ports.JobLog`."""

    def __init__(
        self,
        path: Path,
        *,
        boot: str,
        now: Callable[[], float] = time.time,
        most: int = 100_000,
        age: float = 14 * DAYS,
        least: int = 4096,
    ) -> None:
        """Opens nothing yet.  `boot` names this run of the host.  Kept are at most the last
        `most` events, and of those older than `age` seconds the last `least`: a clock that is
        set forward must not drop everything."""
        self._database = Database(
            path, (_TABLES, _JOBS), "xend-history", synchronous="NORMAL", now=now
        )
        self._boot = boot
        self._now = now
        self._most = most
        self._age = age
        self._least = least
        self._kept = Kept(1, 0, 1)
        self._reserved = 0
        self._unpruned = 0

    async def start(self) -> None:
        """Opens or makes the file, mode 0600; a damaged one is put aside.  JournalError."""
        if await self._database.start():
            log.error("the events before this start cannot be replayed any more")
        await self._database.run(self._look)

    async def close(self) -> None:
        """Orderly: the next start goes on with the next number, whatever happens to the host."""
        if self._database.connection is not None:
            await self._durably(lambda db: self._reserve(db, self._kept.next - 1))
        await self._database.close()

    def _look(self, db: sqlite3.Connection) -> None:
        oldest, newest = db.execute("SELECT min(seq), max(seq) FROM events").fetchone()
        row = db.execute("SELECT boot, reserved FROM numbers").fetchone()
        boot, self._reserved = row or (self._boot, 0)
        newest = newest or 0
        # In the same run of the host the operating system has kept every commit.
        following = newest + 1 if boot == self._boot else max(newest, self._reserved) + 1
        self._kept = Kept(oldest or following, newest, following)
        self._unpruned = _PRUNE_EVERY

    def _reserve(self, db: sqlite3.Connection, up_to: int) -> None:
        db.execute("DELETE FROM numbers")
        db.execute("INSERT INTO numbers VALUES (?, ?)", (self._boot, up_to))

    async def _durably(self, call: Callable[[sqlite3.Connection], T]) -> T:
        """With an fsync: it reaches all commits before this one, too."""
        return await self._database.run(call, durable=True)

    # -- Events ------------------------------------------------------------------------------------

    async def kept(self) -> Kept:
        return self._kept

    async def append(self, events: Sequence[Event]) -> int:
        last = events[-1].seq
        if last > self._reserved or self._kept.newest < self._kept.next - 1:
            reserve = last + _BLOCK
            kept = await self._durably(lambda db: self._append(db, events, reserve))
            self._reserved = reserve
        else:
            kept = await self._database.run(lambda db: self._append(db, events, None))
        self._kept = kept  # Only now: the commit itself may have failed.
        return kept.oldest

    def _append(self, db: sqlite3.Connection, events: Sequence[Event], reserve: int | None) -> Kept:
        oldest, first = self._kept.oldest, events[0]
        if self._kept.newest and not first.follows(self._kept.newest):
            db.execute("DELETE FROM events")
            oldest = first.seq
        elif not self._kept.newest:
            oldest = first.seq
        db.executemany(
            "INSERT OR REPLACE INTO events VALUES (?, ?, ?, ?, ?)",
            [
                (event.seq, event.time, event.kind, event.topic, json.dumps(dict(event.ids)))
                for event in events
            ],
        )
        newest = events[-1].seq
        self._unpruned += len(events)
        if self._unpruned >= _PRUNE_EVERY:
            oldest = self._prune(db, oldest, newest)
        if reserve is not None:
            self._reserve(db, reserve)
        return Kept(oldest, newest, newest + 1)

    def _prune(self, db: sqlite3.Connection, oldest: int, newest: int) -> int:
        self._unpruned = 0
        db.execute(
            "DELETE FROM events WHERE seq <= ? OR (seq <= ? AND time < ?)",
            (newest - self._most, newest - self._least, self._now() - self._age),
        )
        (found,) = db.execute("SELECT min(seq) FROM events").fetchone()
        return int(found or oldest)

    async def read(self, after: int, limit: int) -> Sequence[Event]:
        def read(db: sqlite3.Connection) -> list[Any]:
            return db.execute(
                "SELECT seq, time, kind, topic, ids FROM events WHERE seq > ? ORDER BY seq LIMIT ?",
                (after, limit),
            ).fetchall()

        return [
            Event(seq, moment, kind, topic, json.loads(ids))
            for seq, moment, kind, topic, ids in await self._database.run(read)
        ]

    # -- Jobs --------------------------------------------------------------------------------------

    async def put_jobs(self, jobs: Sequence[Mapping[str, Any]]) -> None:
        def write(db: sqlite3.Connection) -> None:
            # Not REPLACE, which would make it the newest row of its moment.
            db.executemany(
                "INSERT INTO jobs (id, created, record) VALUES (?, ?, ?) "
                "ON CONFLICT (id) DO UPDATE SET record = excluded.record",
                [(job["id"], job["created"], json.dumps(dict(job))) for job in jobs],
            )
            db.execute(
                "DELETE FROM jobs WHERE rowid <= (SELECT rowid FROM jobs "
                "ORDER BY rowid DESC LIMIT 1 OFFSET ?)",
                (_JOBS_KEPT,),
            )

        await self._database.run(write)

    async def jobs(self, limit: int = 200) -> Sequence[Mapping[str, Any]]:
        def read(db: sqlite3.Connection) -> list[Mapping[str, Any]]:
            rows = db.execute("SELECT record FROM jobs ORDER BY rowid DESC LIMIT ?", (limit,))
            return [json.loads(record) for (record,) in rows]

        return await self._database.run(read)
