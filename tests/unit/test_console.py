"""Consoles read by the daemon: rings, readers, the writer, and who else has the terminal."""

from __future__ import annotations

import asyncio
import fcntl
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from tests.simhost import SimHost, guest
from xend.console.console import CHUNK, Notice, Reader
from xend.console.hub import Consoles
from xend.console.lock import ConsoleLock
from xend.console.ring import ConsoleRing
from xend.core.clock import SystemClock
from xend.errors import ConflictError, DomainNotFound, DomainStateError

LIMIT = 256 * 1024


@given(st.lists(st.binary(max_size=40)), st.integers(1, 64))
def test_a_ring_keeps_the_last_bytes(parts: list[bytes], limit: int) -> None:
    ring = ConsoleRing(limit)
    for part in parts:
        ring.append(part)
    whole = b"".join(parts)
    assert ring.end == len(whole)
    assert ring.end - ring.start == min(limit, len(whole))
    assert ring.read(ring.start, limit) == whole[-limit:][: len(whole)]


@pytest_asyncio.fixture
async def host(tmp_path: Path) -> AsyncIterator[SimHost]:
    sim = SimHost(tmp_path, clock=SystemClock(), consoles=True)
    await sim.start()
    yield sim
    await sim.close()


@pytest_asyncio.fixture
async def consoles(host: SimHost, tmp_path: Path) -> AsyncIterator[Consoles]:
    found = Consoles(host.service, limit=LIMIT, lock_folder=tmp_path)
    await found.start()
    yield found
    await found.close()


async def until(reader: Reader, text: bytes) -> bytes:
    """All that it reads up to and with `text`."""
    seen = b""
    async with asyncio.timeout(5):
        while text not in seen:
            news = await reader.next()
            if isinstance(news, bytes):
                seen += news
            else:
                assert news.kind != "ended", seen
    return seen


async def notice(reader: Reader, kind: str) -> Notice:
    async with asyncio.timeout(5):
        while True:
            news = await reader.next()
            if isinstance(news, Notice):
                if news.kind == kind:
                    return news
                assert news.kind != "ended"


async def test_a_login(host: SimHost, consoles: Consoles) -> None:
    await host.service.create(guest("web"))
    reader = await consoles.attach("web")
    assert reader.claim()
    await until(reader, b"web login: ")
    await reader.write(b"root\r")
    assert b"root: there is nobody here" in await until(reader, b"simulator.")
    reader.close()


async def test_several_readers_and_one_writer(host: SimHost, consoles: Consoles) -> None:
    await host.service.create(guest("web"))
    first = await consoles.attach("web")
    second = await consoles.attach("web")
    assert first.claim() and not second.claim()
    with pytest.raises(ConflictError):
        await second.write(b"no")
    await first.write(b"both\r")
    for reader in (first, second):
        await until(reader, b"both: there")
    assert second.claim(force=True)
    assert (await notice(first, "writer")).value == 0
    assert (await notice(second, "writer")).value == 1
    with pytest.raises(ConflictError):
        await first.write(b"no")
    second.close()
    assert first.claim()
    first.close()


async def test_scrollback_outlives_its_readers(host: SimHost, consoles: Consoles) -> None:
    await host.service.create(guest("web"))
    reader = await consoles.attach("web")
    await until(reader, b"login: ")
    reader.close()
    again = await consoles.attach("web")
    await until(again, b"login: ")
    without = await consoles.attach("web", scrollback=False)
    await again.write(b"new\r") if again.claim() else None
    assert not (await until(without, b"new: there")).startswith(b"\r\nThis guest")
    again.close()
    without.close()


async def test_a_slow_reader_is_told_what_it_missed(host: SimHost, consoles: Consoles) -> None:
    await host.service.create(guest("web"))
    slow = await consoles.attach("web")
    fast = await consoles.attach("web")
    assert fast.claim()
    line = b"x" * 200 + b"\r"
    seen = 0
    while seen <= LIMIT + CHUNK:
        await fast.write(line)
        seen += len(await until(fast, b"login: "))
    lost = (await notice(slow, "lost")).value
    assert 0 < lost <= seen
    slow.close()
    fast.close()


async def test_a_reader_stays_over_a_reboot(host: SimHost, consoles: Consoles) -> None:
    view = await host.service.create(guest("web"))
    reader = await consoles.attach("web")
    assert (await notice(reader, "opened")).value == view.domid
    await until(reader, b"login: ")
    again = await host.service.reset("web")
    await notice(reader, "closed")
    assert (await notice(reader, "opened")).value == again.domid
    await until(reader, b"login: ")
    reader.close()


async def test_the_end_of_the_domain_ends_it(host: SimHost, consoles: Consoles) -> None:
    await host.service.create(guest("web"))
    reader = await consoles.attach("web")
    await host.service.destroy("web")
    await notice(reader, "ended")
    reader.close()
    with pytest.raises(DomainNotFound):
        await consoles.attach("web")


async def test_who_has_no_console(host: SimHost, consoles: Consoles) -> None:
    await host.service.new(guest("halted"))
    for ref in ("halted", "0"):
        with pytest.raises(DomainStateError, match="no console"):
            await consoles.attach(ref)


async def test_xm_console_and_the_daemon_exclude_each_other(
    host: SimHost, consoles: Consoles, tmp_path: Path
) -> None:
    """The other program is played by its lock, as xenconsole takes it."""
    view = await host.service.create(guest("web"))
    path = tmp_path / f"xenconsole.{view.domid}"
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(ConflictError, match="xm console"):
            await consoles.attach("web")
        path.unlink()
    reader = await consoles.attach("web")
    with path.open("w") as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    reader.close()
    gone = asyncio.to_thread(_wait_until_gone, path)
    await asyncio.wait_for(gone, 5)


def _wait_until_gone(path: Path) -> None:
    while path.exists():
        time.sleep(0.01)


def test_a_lock_file_that_is_replaced_is_taken_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its holder removed it between our open and our lock."""
    path = tmp_path / "xenconsole.7"
    real = fcntl.flock
    calls: list[int] = []

    def flock(fd: int, operation: int) -> None:
        calls.append(fd)
        if len(calls) == 1:
            path.unlink()
        real(fd, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    lock = ConsoleLock(7, tmp_path)
    assert len(calls) == 2 and path.exists()
    lock.release()
    assert not path.exists()


async def test_all_consoles_are_kept_when_that_is_wanted(host: SimHost, tmp_path: Path) -> None:
    kept = Consoles(host.service, limit=LIMIT, keep_all=True, lock_folder=tmp_path)
    await kept.start()
    try:
        view = await host.service.create(guest("web"))
        lock = tmp_path / f"xenconsole.{view.domid}"

        async def locked() -> bool:
            return lock.exists()

        await host.until(locked, "the lock")
        await asyncio.sleep(0.1)
        late = await kept.attach("web")
        await until(late, b"login: ")
        late.close()
        await asyncio.sleep(0.05)
        assert lock.exists()
    finally:
        await kept.close()
    assert not lock.exists()


def open_files() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


async def test_nothing_stays_open(host: SimHost, consoles: Consoles) -> None:
    await host.service.create(guest("web"))
    before = open_files()
    for _ in range(20):
        reader = await consoles.attach("web")
        reader.close()
    await asyncio.sleep(0.05)
    assert open_files() <= before
