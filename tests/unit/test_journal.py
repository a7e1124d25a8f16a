"""The journal: what it says is on disk, and what it does with a damaged file."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.simhost import disk, guest, vif
from xend.core.ports import OwnedDomain
from xend.errors import JournalError
from xend.model.units import Domid
from xend.store.journal import _TABLES, SOON_SECONDS, SqliteJournal


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[SqliteJournal]:
    journal = SqliteJournal(tmp_path / "state" / "xend.db")
    await journal.start()
    yield journal
    await journal.close()


def owned(domid: int = 3) -> OwnedDomain:
    config = guest(disks=(disk(),), vifs=(vif("00:16:3e:00:00:01"),))
    return OwnedDomain(
        str(config.uuid),
        Domid(domid),
        config,
        123.5,
        2,
        True,
        True,
        preserved=False,
        handle="h",
        quick=1,
    )


async def test_what_is_settled_soon_is_settled_with_the_next_or_a_moment_later(
    tmp_path: Path,
) -> None:
    journal = SqliteJournal(tmp_path / "state" / "xend.db")
    await journal.start()

    def on_disk() -> tuple[int, int]:
        with sqlite3.connect(tmp_path / "state" / "xend.db") as other:
            [row] = other.execute("SELECT (SELECT count(*) FROM intents), count(*) FROM owned")
        return int(row[0]), int(row[1])

    mine = owned()
    first, second = await journal.begin("create", "u", {}), await journal.begin("destroy", "v", {})
    await journal.note(first.id, put=[mine])
    journal.settle_soon(first.id)
    assert on_disk() == (2, 1)
    third = await journal.begin("create", "w", {})
    assert [each.id for each in await journal.open_intents()] == [second.id, third.id]
    journal.settle_soon(second.id, drop=[(mine.uuid, mine.domid)])
    journal.settle_soon(third.id)
    assert on_disk() == (2, 1)
    await asyncio.sleep(3 * SOON_SECONDS)
    assert on_disk() == (0, 0)
    last = await journal.begin("create", "x", {})
    journal.settle_soon(last.id)
    await journal.close()
    assert on_disk() == (0, 0)


async def test_an_intent_from_begin_to_end(journal: SqliteJournal) -> None:
    intent = await journal.begin("create", "u", {"name": "web", "paths": ["/a"]})
    assert (intent.kind, intent.uuid, intent.domid) == ("create", "u", None)
    await journal.note(intent.id, domid=Domid(7))
    await journal.note(intent.id, data={"stage": 2})
    other = await journal.begin("save", "v", {})
    [first, second] = await journal.open_intents()
    assert (first.id, first.domid, first.data) == (intent.id, 7, {"stage": 2})
    assert second.id == other.id > intent.id
    await journal.end(intent.id)
    await journal.end(intent.id)
    assert [each.id for each in await journal.open_intents()] == [other.id]


async def test_ownership_is_kept_as_it_was(journal: SqliteJournal) -> None:
    row = owned()
    await journal.put_owned(row)
    assert list(await journal.owned()) == [row]
    changed = replace(row, restarts=9, preserved=True)
    await journal.put_owned(changed)
    assert list(await journal.owned()) == [changed]
    await journal.drop_owned(row.uuid, Domid(4))
    assert len(await journal.owned()) == 1
    await journal.drop_owned(row.uuid, row.domid)
    assert not await journal.owned()


async def test_an_intent_is_settled_in_one_go(journal: SqliteJournal) -> None:
    old, new = owned(1), owned(2)
    await journal.put_owned(old)
    intent = await journal.begin("restart", old.uuid, {})
    await journal.settle(intent.id, put=[new], drop=[(old.uuid, old.domid)])
    assert not await journal.open_intents()
    assert list(await journal.owned()) == [new]


async def test_what_ran_before_the_host_was_booted_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "xend.db"
    journal = SqliteJournal(path, boot="one")
    await journal.start()
    await journal.put_owned(owned())
    intent = await journal.begin("create", "u", {})
    await journal.note(intent.id, domid=Domid(3))
    await journal.close()
    for boot, rows, former in (("one", 1, False), ("two", 0, True), ("two", 0, True)):
        journal = SqliteJournal(path, boot=boot)
        await journal.start()
        assert len(await journal.owned()) == rows
        [found] = await journal.open_intents()
        assert (found.former_boot, found.domid) == (former, None if former else 3)
        await journal.close()


async def test_a_journal_of_the_first_version_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "xend.db"
    db = sqlite3.connect(path)
    db.executescript(_TABLES)
    row = owned()
    db.execute(
        "INSERT INTO owned VALUES (?, 3, ?, 1.0, 0, 0, 0, 0, '', 0)",
        (row.uuid, row.config.model_dump_json()),
    )
    db.execute("INSERT INTO intents (kind, uuid, data, created) VALUES ('create', 'u', '{}', 1.0)")
    db.execute("PRAGMA user_version = 1")
    db.commit()
    db.close()
    journal = SqliteJournal(path, boot="one")
    await journal.start()
    [found] = await journal.owned()
    assert (found.config, found.since) == (row.config, 0.0)
    assert not (await journal.open_intents())[0].former_boot
    await journal.close()


async def test_it_is_all_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "xend.db"
    for _ in range(2):
        journal = SqliteJournal(path)
        await journal.start()
        await journal.begin("create", "u", {})
        await journal.close()
    journal = SqliteJournal(path)
    await journal.start()
    assert len(await journal.open_intents()) == 2
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    await journal.close()


async def test_a_damaged_file_is_put_aside_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "xend.db"
    path.write_bytes(b"this is no database, and it is long enough to be looked at" * 100)
    journal = SqliteJournal(path, now=lambda: 42.0)
    await journal.start()
    assert not await journal.open_intents()
    await journal.close()
    assert (tmp_path / "xend.db.damaged-42").exists()
    assert "is damaged" in caplog.text


async def test_a_file_of_a_later_xend_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "xend.db"
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    journal = SqliteJournal(path)
    with pytest.raises(JournalError, match="a later xend wrote it"):
        await journal.start()
    await journal.close()


async def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    journal = SqliteJournal(tmp_path / "file" / "xend.db")
    with pytest.raises(JournalError) as caught:
        await journal.start()
    assert str(tmp_path / "file" / "xend.db") in str(caught.value)
    await journal.close()


async def test_before_its_start_and_after_its_end_it_says_so(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "xend.db")
    with pytest.raises(JournalError, match="it is not open"):
        await journal.open_intents()
    await journal.close()


async def test_a_full_disk_is_a_typed_error(journal: SqliteJournal) -> None:
    assert journal._database.connection is not None
    await journal._database.threads.run(lambda: _limit_pages(journal))
    with pytest.raises(JournalError, match="full"):
        for _ in range(100):
            await journal.begin("create", "u", {"padding": "x" * 10_000})
    assert isinstance(await journal.open_intents(), list)


def _limit_pages(journal: SqliteJournal) -> None:
    assert journal._database.connection is not None
    journal._database.connection.execute("PRAGMA max_page_count = 20")


async def test_a_configuration_that_cannot_be_read_is_skipped_and_said(
    journal: SqliteJournal, caplog: pytest.LogCaptureFixture
) -> None:
    row = owned()
    await journal.put_owned(row)

    def spoil() -> None:
        assert journal._database.connection is not None
        with journal._database.connection as db:
            db.execute("UPDATE owned SET config = '{\"name\": 5}'")

    await journal._database.threads.run(spoil)
    assert not await journal.owned()
    assert row.uuid in caplog.text


def test_what_begin_returned_for_survives_kill_9(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import asyncio, os, sys
        from pathlib import Path
        from xend.store.journal import SqliteJournal

        async def main():
            journal = SqliteJournal(Path(sys.argv[1]))
            await journal.start()
            for number in range(20):
                await journal.begin("create", str(number), {})
            os.kill(os.getpid(), 9)

        asyncio.run(main())
        """
    )
    path = tmp_path / "xend.db"
    done = subprocess.run([sys.executable, "-c", script, str(path)], check=False, timeout=60)
    assert done.returncode == -9
    db = sqlite3.connect(path)
    assert db.execute("SELECT count(*) FROM intents").fetchone() == (20,)
    db.close()


async def test_what_the_disk_did_not_take_is_written_at_the_end_at_the_latest(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = SqliteJournal(tmp_path / "xend.db", synchronous="OFF")
    await journal.start()
    intent = await journal.begin("rename", "u", {"new": "www"})
    await journal._database.run(lambda db: db.execute("PRAGMA query_only = 1").fetchall())
    await journal.end(intent.id)  # Does not fail: it has ended.
    assert "is written later" in caplog.text
    with pytest.raises(JournalError):
        await journal.begin("rename", "u", {"new": "web"})
    assert [each.id for each in await journal.open_intents()] == [intent.id]
    await journal._database.run(lambda db: db.execute("PRAGMA query_only = 0").fetchall())
    await journal.close()
    after = SqliteJournal(tmp_path / "xend.db", synchronous="OFF")
    await after.start()
    assert not await after.open_intents()
    await after.close()
