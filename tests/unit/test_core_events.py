"""The stream of events: numbers, replay from memory and from disk, readers that are too slow."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from xend.core.events import Event, EventBus, EventsGone, ReaderTooSlow, Subscription
from xend.errors import JournalError
from xend.store.history import DAYS, SqliteHistory


async def take(reader: Subscription, count: int) -> list[int]:
    async with asyncio.timeout(5):
        return [(await anext(reader)).seq for _ in range(count)]


# -- In memory -------------------------------------------------------------------------------------


async def test_events_are_numbered_without_gaps_and_replayed() -> None:
    bus = EventBus(lambda: 7.0)
    for number in range(5):
        bus.publish("created", "domain", {"domid": str(number)})
    reader = bus.subscribe(after=2)
    bus.publish("destroyed", "domain", {})
    found = [await anext(reader) for _ in range(4)]
    assert [event.seq for event in found] == [3, 4, 5, 6]
    assert found[0].time == 7.0
    assert reader.last == 6
    reader.close()
    with pytest.raises(StopAsyncIteration):
        await anext(reader)


async def test_a_reader_from_now_on_gets_only_what_comes() -> None:
    bus = EventBus(lambda: 0.0)
    bus.publish("created", "domain", {})
    reader = bus.subscribe()
    waiting = asyncio.ensure_future(anext(reader))
    await asyncio.sleep(0)
    bus.publish("changed", "domain", {})
    assert (await waiting).seq == 2


async def test_a_slow_reader_is_cut_off_and_told_where() -> None:
    bus = EventBus(lambda: 0.0, kept=100)
    reader = bus.subscribe(backlog=3)
    bus.publish("a", "job", {})
    assert (await anext(reader)).seq == 1
    for _ in range(5):
        bus.publish("b", "job", {})
    with pytest.raises(ReaderTooSlow, match="more than 3 waited") as caught:
        await anext(reader)
    assert caught.value.fields["after"] == 1
    again = bus.subscribe(after=1)
    assert (await anext(again)).seq == 2


async def test_what_was_replayed_does_not_count_as_backlog() -> None:
    bus = EventBus(lambda: 0.0, kept=100)
    for _ in range(50):
        bus.publish("a", "job", {})
    reader = bus.subscribe(after=0, backlog=2)
    bus.publish("b", "job", {})
    bus.publish("b", "job", {})
    assert await take(reader, 52) == list(range(1, 53))
    for _ in range(3):
        bus.publish("c", "job", {})
    with pytest.raises(ReaderTooSlow):
        await anext(reader)


async def test_a_reader_of_some_topics_is_not_slowed_down_by_the_others() -> None:
    bus = EventBus(lambda: 0.0)
    reader = bus.subscribe(topics=("domain", "device"), backlog=2)
    for _ in range(10):
        bus.publish("done", "job", {})
    bus.publish("created", "domain", {})
    bus.publish("attached", "device", {})
    assert await take(reader, 2) == [11, 12]


def test_what_is_no_longer_kept_cannot_be_replayed() -> None:
    bus = EventBus(lambda: 0.0, kept=3)
    for _ in range(10):
        bus.publish("a", "job", {})
    with pytest.raises(EventsGone) as caught:
        bus.subscribe(after=5)
    assert caught.value.fields == {"after": 5, "oldest": 8, "newest": 10}
    assert (bus.oldest, bus.newest) == (8, 10)
    bus.subscribe(after=7).close()


def test_a_number_that_was_never_given_is_of_another_stream() -> None:
    bus = EventBus(lambda: 0.0)
    bus.publish("a", "job", {})
    bus.subscribe(after=1).close()
    with pytest.raises(EventsGone):
        bus.subscribe(after=2)


# -- On disk ---------------------------------------------------------------------------------------


@asynccontextmanager
async def stream(
    path: Path, *, boot: str = "boot-1", kept: int = 4, most: int = 100_000, orderly: bool = True
) -> AsyncIterator[EventBus]:
    """A run of xend; a disorderly end leaves what a kill leaves."""
    history = SqliteHistory(path, boot=boot, now=lambda: 0.0, most=most, least=2)
    await history.start()
    bus = EventBus(lambda: 0.0, history, kept=kept)
    await bus.start()
    yield bus
    await bus.close()
    if orderly:
        await history.close()
    else:
        await history._database.close()


def publish(bus: EventBus, count: int) -> None:
    for number in range(count):
        bus.publish("created", "domain", {"name": f"g{number}"})


@pytest.mark.parametrize("orderly", [True, False])
async def test_numbers_go_on_over_a_restart(tmp_path: Path, orderly: bool) -> None:
    path = tmp_path / "history.db"
    for run in range(3):
        async with stream(path, orderly=orderly) as bus:
            assert bus.newest == 10 * run
            publish(bus, 10)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    async with stream(path) as bus:
        assert (bus.oldest, bus.newest) == (1, 30)
        for after in (0, 7, 29, 30):
            reader = bus.subscribe(after=after)
            bus.publish("destroyed", "domain", {})
            assert await take(reader, bus.newest - after) == list(range(after + 1, bus.newest + 1))
            reader.close()


async def test_a_replay_from_disk_joins_what_is_in_memory_and_what_comes(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    async with stream(path) as bus:
        publish(bus, 1500)
        live = bus.subscribe()
        reader = bus.subscribe(after=0)
        publish(bus, 100)
        assert await take(live, 100) == list(range(1501, 1601))
        publish(bus, 10)
        assert await take(reader, 1610) == list(range(1, 1611))


async def test_a_replay_of_topics_passes_over_the_others(tmp_path: Path) -> None:
    async with stream(tmp_path / "history.db") as bus:
        publish(bus, 600)
        bus.publish("done", "job", {"job": "1"})
        publish(bus, 600)
        reader = bus.subscribe(after=0, topics={"job"})
        assert await take(reader, 1) == [601]
        bus.publish("done", "job", {"job": "2"})
        assert await take(reader, 1) == [1202]


async def test_only_so_many_are_kept_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    async with stream(path, most=1000) as bus:
        for _ in range(4):
            publish(bus, 1000)
            await take(bus.subscribe(after=bus.newest - 1), 1)
        assert 3001 >= bus.oldest > 2000
        with pytest.raises(EventsGone):
            bus.subscribe(after=bus.oldest - 2)
        oldest = bus.oldest
        assert await take(bus.subscribe(after=oldest - 1), 1) == [oldest]
    async with stream(path) as bus:
        assert bus.oldest >= oldest


async def test_a_replay_that_is_overtaken_is_told_so(tmp_path: Path) -> None:
    async with stream(tmp_path / "history.db", most=600) as bus:
        publish(bus, 600)
        await take(bus.subscribe(after=599), 1)
        reader = bus.subscribe(after=0)
        assert await take(reader, 1) == [1]  # The first page has been read.
        for _ in range(3):
            publish(bus, 600)
            await take(bus.subscribe(after=bus.newest - 1), 1)
        with pytest.raises(EventsGone):
            await take(reader, 2400)


async def test_a_clock_set_forward_does_not_drop_everything(tmp_path: Path) -> None:
    history = SqliteHistory(tmp_path / "h.db", boot="b", now=lambda: 400 * DAYS, least=100)
    await history.start()
    events = [Event(number, 0.0, "a", "job") for number in range(1, 601)]
    assert await history.append(events) == 501
    assert [event.seq for event in await history.read(0, 1000)] == list(range(501, 601))
    await history.close()


async def test_after_a_crash_of_the_host_no_number_is_given_again(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    async with stream(path, orderly=False) as bus:
        publish(bus, 10)
    db = sqlite3.connect(path)  # What had not reached the disk when the power went.
    with db:
        db.execute("DELETE FROM events WHERE seq > 6")
    db.close()
    async with stream(path, boot="boot-2") as bus:
        publish(bus, 1)
        for after in (9, 6, 8):  # The reader has seen more than the disk.
            reader = bus.subscribe(after=after)
            event = await anext(reader)
            assert (event.kind, event.topic, event.ids["from"]) == ("lost", "host", "7")
            assert event.seq > 10
            assert (await anext(reader)).seq == event.seq + 1 == bus.newest
        newest = bus.newest
    async with stream(path, boot="boot-3") as bus:  # That end was orderly.
        assert bus.newest == newest
        assert (await take(bus.subscribe(after=0), 7))[:6] == [1, 2, 3, 4, 5, 6]


async def test_a_full_disk_stops_no_reader_and_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xend.core.events._RETRY_SECONDS", 0.01)
    history = SqliteHistory(tmp_path / "history.db", boot="b")
    await history.start()
    bus = EventBus(lambda: 0.0, history, kept=1000)
    await bus.start()
    reader = bus.subscribe()
    publish(bus, 1)
    assert await take(reader, 1) == [1]
    await history._database.run(lambda db: db.execute("PRAGMA max_page_count = 4").fetchall())
    for number in range(300):
        bus.publish("created", "domain", {"name": f"{number}" * 100})
    assert await take(reader, 300) == list(range(2, 302))
    assert caplog.text.count("events cannot be written") == 1
    await history._database.run(lambda db: db.execute("PRAGMA max_page_count = 10000").fetchall())
    async with asyncio.timeout(5):
        while "written again" not in caplog.text:
            caplog.set_level("INFO")
            await asyncio.sleep(0.01)
    await bus.close()
    assert [event.seq for event in await history.read(0, 1000)] == list(range(1, 302))
    await history.close()


async def test_a_commit_that_fails_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full may say so only then."""
    history = SqliteHistory(tmp_path / "history.db", boot="b")
    await history.start()
    events = [Event(number, 0.0, "a", "job") for number in range(1, 31)]
    await history.append(events[:10])
    run = history._database.run

    async def fail(call: Callable[[sqlite3.Connection], Any], *, durable: bool = False) -> Any:
        def failing(db: sqlite3.Connection) -> None:
            call(db)
            raise sqlite3.OperationalError("database or disk is full")

        return await run(failing, durable=durable)

    for reserved in (history._reserved, 0):
        history._reserved = reserved
        with monkeypatch.context() as patch:
            patch.setattr(history._database, "run", fail)
            with pytest.raises(JournalError):
                await history.append(events[10:20])
    assert await history.append(events[10:30]) == 1
    assert [event.seq for event in await history.read(0, 100)] == list(range(1, 31))
    await history.close()


async def test_a_hole_on_disk_is_never_replayed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xend.core.events._RETRY_SECONDS", 0.01)
    history = SqliteHistory(tmp_path / "history.db", boot="b")
    await history.start()
    bus = EventBus(lambda: 0.0, history, kept=10)
    await bus.start()
    publish(bus, 5)
    await take(bus.subscribe(after=4), 1)
    await history._database.run(lambda db: db.execute("PRAGMA query_only = 1").fetchall())
    reader = bus.subscribe()
    publish(bus, 50)
    assert await take(reader, 50) == list(range(6, 56))
    assert bus.oldest == 46
    await history._database.run(lambda db: db.execute("PRAGMA query_only = 0").fetchall())
    publish(bus, 1)
    await bus.close()
    kept = await history.kept()
    assert (kept.oldest, kept.newest) == (46, 56)
    await history.close()


async def test_jobs_are_kept_newest_first(tmp_path: Path) -> None:
    history = SqliteHistory(tmp_path / "history.db", boot="b")
    await history.start()
    for number in range(5):
        job = {"id": f"j{number}", "created": 4.0 - number, "status": "running"}
        await history.put_jobs([job])
    await history.put_jobs([{"id": "j3", "created": 1.0, "status": "done"}])
    found = await history.jobs(3)
    assert [(job["id"], job["status"]) for job in found] == [
        ("j4", "running"),
        ("j3", "done"),
        ("j2", "running"),
    ]
    await history.close()


async def test_the_write_ahead_log_is_taken_over_behind_everybodys_back(tmp_path: Path) -> None:
    """A commit never does it, since that waits for the disk; and it does not grow for ever."""
    history = SqliteHistory(tmp_path / "history.db", boot="b")
    await history.start()
    [(automatic,)] = await history._database.run(
        lambda db: db.execute("PRAGMA wal_autocheckpoint").fetchall()
    )
    assert automatic == 0
    sizes = []
    for batch in range(30):
        for number in range(10):
            jobs = [
                {"id": f"{batch}-{number}-{place}", "created": 0.0, "note": "x" * 300}
                for place in range(50)
            ]
            await history.put_jobs(jobs)
        checkpoints = history._database._checkpoints
        assert checkpoints is not None
        await checkpoints.run(lambda: None)
        sizes.append((tmp_path / "history.db-wal").stat().st_size)
    assert sizes[-1] < 1.5 * max(sizes[:6])
    await history.close()
    assert not (tmp_path / "history.db-wal").exists()


def test_what_a_reader_got_survives_kill_9(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import asyncio, os, sys
        from pathlib import Path
        from xend.core.events import EventBus
        from xend.store.history import SqliteHistory

        async def main():
            history = SqliteHistory(Path(sys.argv[1]), boot="b")
            await history.start()
            bus = EventBus(lambda: 0.0, history)
            await bus.start()
            reader = bus.subscribe(after=0)
            for turn in range(10):
                for number in range(7):
                    bus.publish("created", "domain", {})
                while reader.last < bus.newest:
                    event = await anext(reader)
                    os.write(1, b"%d\\n" % event.seq)
            bus.publish("created", "domain", {})
            os.kill(os.getpid(), 9)

        asyncio.run(main())
        """
    )
    path = tmp_path / "history.db"
    seen: list[int] = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", script, str(path)],
            check=False,
            timeout=60,
            stdout=subprocess.PIPE,
            cwd=Path.cwd(),
        )
        assert done.returncode == -9
        seen = [int(line) for line in done.stdout.split()]
    assert seen == list(range(1, seen[-1] + 1))
    assert seen[-1] >= 140
