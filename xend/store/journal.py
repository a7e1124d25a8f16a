"""`ports.Journal` in SQLite: intents and ownership.

WAL with synchronous=FULL: a commit has been fsynced when it returns, and a kill or a power cut at
any moment leaves the last commit.  All statements run in one thread of this object's own, so their
order is that of the calls and the event loop never waits for the disk.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import ValidationError

from xend.core.ports import Intent, OwnedDomain
from xend.errors import JournalError
from xend.model.domain import DomainConfig
from xend.model.units import Domid
from xend.store.sqlite import Database

log = logging.getLogger("xend.journal")

T = TypeVar("T")

SOON_SECONDS = 0.2

_TABLES = """
CREATE TABLE intents (
    id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, uuid TEXT NOT NULL,
    domid INTEGER, data TEXT NOT NULL, created REAL NOT NULL);
CREATE TABLE owned (
    uuid TEXT NOT NULL, domid INTEGER NOT NULL, config TEXT NOT NULL, started REAL NOT NULL,
    restarts INTEGER NOT NULL, paused_by_admin INTEGER NOT NULL, managed INTEGER NOT NULL,
    preserved INTEGER NOT NULL, handle TEXT NOT NULL, quick INTEGER NOT NULL,
    PRIMARY KEY (uuid, domid));
CREATE TABLE jobs (id TEXT PRIMARY KEY, created REAL NOT NULL, record TEXT NOT NULL);
CREATE INDEX jobs_by_age ON jobs (created);
"""
_BOOTS = """
DROP TABLE jobs;
ALTER TABLE owned ADD COLUMN since REAL NOT NULL DEFAULT 0;
ALTER TABLE intents ADD COLUMN former_boot INTEGER NOT NULL DEFAULT 0;
CREATE TABLE host (boot TEXT NOT NULL);
"""
_MIGRATIONS = (_TABLES, _BOOTS)


class SqliteJournal:
    def __init__(
        self,
        path: Path,
        *,
        boot: str = "",
        synchronous: Literal["FULL", "OFF"] = "FULL",
        now: Callable[[], float] = time.time,
    ) -> None:
        """Opens nothing yet.  `boot` names this run of the host: what ran in a former one is gone.
        `synchronous` OFF is for tests that kill no machine."""
        self._database = Database(
            path, _MIGRATIONS, "xend-journal", synchronous=synchronous, now=now
        )
        self._boot = boot
        self._now = now
        self._owed: list[Callable[[sqlite3.Connection], None]] = []
        """How intents ended that could not be written: whatever is written next comes after that,
        so that no later start finishes what is long over.  Only for the thread."""
        self._soon: list[Callable[[sqlite3.Connection], None]] = []
        """The same of intents that nobody waits for.  Only for the loop."""
        self._timer: asyncio.TimerHandle | None = None
        self._flushing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Opens or makes the file, mode 0600.  A damaged one is put aside, loudly: then running
        domains are strangers until they are adopted, but xend runs.  Raises JournalError."""
        if await self._database.start():
            log.error("running domains are strangers now, until `xend adopt`")
        if await self._run(self._enter_boot):
            log.info("the host has been booted: what ran before is gone")

    def _enter_boot(self, db: sqlite3.Connection) -> bool:
        """Domids begin again after a boot, and managed domains keep their uuids: a row of a former
        boot could be taken for a domain that somebody else has started now."""
        row = db.execute("SELECT boot FROM host").fetchone()
        if row == (self._boot,):
            return False
        db.execute("DELETE FROM host")
        db.execute("INSERT INTO host VALUES (?)", (self._boot,))
        if row is not None:
            db.execute("DELETE FROM owned")
            db.execute("UPDATE intents SET former_boot = 1, domid = NULL")
        return row is not None

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._flushing is not None:
            await asyncio.wait([self._flushing])
        await self._flush()
        await self._database.close()

    def _pay(self) -> None:
        if self._owed:
            try:
                self._write(lambda db: None)
            except JournalError as error:
                log.error(
                    "%d operations have ended, which is written later: %s", len(self._owed), error
                )

    def _write(self, call: Callable[[sqlite3.Connection], T]) -> T:
        """In the thread."""

        def after_what_is_owed(db: sqlite3.Connection) -> T:
            for write in self._owed:
                write(db)
            return call(db)

        result = self._database.transact(after_what_is_owed)
        self._owed.clear()
        return result

    def _write_or_owe(self, call: Callable[[sqlite3.Connection], None]) -> None:
        try:
            self._write(call)
        except JournalError as error:
            log.error("the end of an operation is written later: %s", error)
            self._owed.append(call)

    # -- Intents ---------------------------------------------------------------------------------

    async def begin(self, kind: str, uuid: str, data: Mapping[str, Any]) -> Intent:
        return await self._run(self._begin, kind, uuid, dict(data))

    def _begin(self, db: sqlite3.Connection, kind: str, uuid: str, data: dict[str, Any]) -> Intent:
        created = self._now()
        cursor = db.execute(
            "INSERT INTO intents (kind, uuid, data, created) VALUES (?, ?, ?, ?)",
            (kind, uuid, json.dumps(data), created),
        )
        assert cursor.lastrowid is not None
        return Intent(cursor.lastrowid, kind, uuid, None, data, created)

    async def note(
        self,
        intent: int,
        *,
        domid: Domid | None = None,
        data: Mapping[str, Any] | None = None,
        put: Sequence[OwnedDomain] = (),
    ) -> None:
        def write(db: sqlite3.Connection) -> None:
            if domid is not None:
                db.execute("UPDATE intents SET domid = ? WHERE id = ?", (domid, intent))
            if data is not None:
                text = json.dumps(dict(data))
                db.execute("UPDATE intents SET data = ? WHERE id = ?", (text, intent))
            for owned in put:
                _put_owned(db, owned)

        await self._run(write)

    async def end(self, intent: int) -> None:
        await self.settle(intent)

    async def settle(
        self,
        intent: int,
        *,
        put: Sequence[OwnedDomain] = (),
        drop: Sequence[tuple[str, Domid]] = (),
    ) -> None:
        await self._in_thread(lambda: self._write_or_owe(lambda db: _settle(db, intent, put, drop)))

    def settle_soon(self, intent: int, *, drop: Sequence[tuple[str, Domid]] = ()) -> None:
        self._soon.append(lambda db: _settle(db, intent, (), drop))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SOON_SECONDS, self._begin_flush)

    def _begin_flush(self) -> None:
        self._timer = None
        if self._soon:
            self._flushing = asyncio.create_task(self._flush(), name="xend-journal-flush")

    async def _flush(self) -> None:
        await self._in_thread(self._pay)

    async def _in_thread(self, call: Callable[[], T]) -> T:
        """After it has been told what was to be settled soon."""
        soon, self._soon = self._soon, []

        def run() -> T:
            self._owed += soon
            return call()

        return await self._database.threads.run(run)

    async def open_intents(self) -> Sequence[Intent]:
        def read(db: sqlite3.Connection) -> list[Intent]:
            rows = db.execute(
                "SELECT id, kind, uuid, domid, data, created, former_boot FROM intents ORDER BY id"
            )
            return [
                Intent(id, kind, uuid, _domid(domid), json.loads(data), created, bool(former))
                for id, kind, uuid, domid, data, created, former in rows
            ]

        return await self._read(read)

    # -- Ownership -------------------------------------------------------------------------------

    async def put_owned(self, owned: OwnedDomain) -> None:
        await self._run(_put_owned, owned)

    async def drop_owned(self, uuid: str, domid: Domid) -> None:
        def write(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM owned WHERE uuid = ? AND domid = ?", (uuid, domid))

        await self._run(write)

    async def owned(self) -> Sequence[OwnedDomain]:
        return await self._read(_read_owned)

    async def _read(self, call: Callable[[sqlite3.Connection], T]) -> T:
        """Also while nothing can be written."""
        if self._soon:
            await self._flush()
        return await self._database.run(call)

    async def _run(self, call: Callable[..., T], *args: Any) -> T:
        """In one transaction, in the thread."""
        return await self._in_thread(lambda: self._write(lambda db: call(db, *args)))


def _settle(
    db: sqlite3.Connection,
    intent: int,
    put: Sequence[OwnedDomain],
    drop: Sequence[tuple[str, Domid]],
) -> None:
    db.execute("DELETE FROM intents WHERE id = ?", (intent,))
    for uuid, domid in drop:
        db.execute("DELETE FROM owned WHERE uuid = ? AND domid = ?", (uuid, domid))
    for owned in put:
        _put_owned(db, owned)


def _domid(value: int | None) -> Domid | None:
    return None if value is None else Domid(value)


def _put_owned(db: sqlite3.Connection, owned: OwnedDomain) -> None:
    db.execute(
        "INSERT OR REPLACE INTO owned VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            owned.uuid,
            owned.domid,
            owned.config.model_dump_json(),
            owned.started,
            owned.restarts,
            owned.paused_by_admin,
            owned.managed,
            owned.preserved,
            owned.handle,
            owned.quick,
            owned.since,
        ),
    )


def _read_owned(db: sqlite3.Connection) -> list[OwnedDomain]:
    found: list[OwnedDomain] = []
    for row in db.execute("SELECT * FROM owned ORDER BY domid"):
        uuid, domid, config, started, restarts, paused, managed, preserved, handle, quick, since = (
            row
        )
        try:
            decoded = DomainConfig.model_validate_json(config)
        except ValidationError as error:
            # E.g. written by a xend whose model had other fields: it becomes a stranger.
            log.error("the configuration of domain %s in the journal: %s", uuid, error)
            continue
        found.append(
            OwnedDomain(
                uuid,
                Domid(domid),
                decoded,
                started,
                restarts,
                bool(paused),
                bool(managed),
                bool(preserved),
                handle,
                quick,
                since,
            )
        )
    return found
