"""The real xenstored dies, comes back, and hangs, under a client that is at work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.contract.xenstore_suite import SOON, Events
from tests.contract.xenstored.daemon import RealXenstored, build_shim
from xend.core.ports import XenStoreWriter
from xend.errors import XenStoreUnavailable
from xend.store.client import XenStoreClient


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_shim(tmp_path_factory.mktemp("shim"))


@pytest.fixture
def xenstored(tmp_path: Path, shim: Path) -> Iterator[RealXenstored]:
    daemon = RealXenstored(tmp_path / "run", shim)
    daemon.start()
    yield daemon
    daemon.kill()


@pytest.fixture
async def client(xenstored: RealXenstored) -> AsyncIterator[XenStoreClient]:
    client = XenStoreClient(xenstored.socket, timeout=1.0, outage=SOON)
    await client.start()
    yield client
    await client.close()


async def restart(xenstored: RealXenstored) -> None:
    xenstored.kill()
    await asyncio.to_thread(xenstored.start)


async def test_requests_go_on_after_a_restart(
    xenstored: RealXenstored, client: XenStoreClient
) -> None:
    await client.write("/a", "lost with xenstored")
    await restart(xenstored)
    assert await client.read_or("/a") is None
    await client.write("/a", "new")
    assert await client.read("/a") == "new"


async def test_watches_survive_and_report_their_path_once(
    xenstored: RealXenstored, client: XenStoreClient
) -> None:
    events = [Events(await client.watch(path)) for path in ("/a", "/b", "@introduceDomain")]
    for one in events:
        await one.next()
    await restart(xenstored)
    assert [await one.next() for one in events] == ["/a", "/b", "@introduceDomain"]
    await client.write("/a/end", "x")
    xenstored.introduce(3)
    assert await events[0].next() == "/a/end"
    assert await events[2].next() == "@introduceDomain"


async def test_a_closed_watch_does_not_come_back(
    xenstored: RealXenstored, client: XenStoreClient
) -> None:
    gone, kept = await client.watch("/a"), await client.watch("/a")
    await gone.close()
    await restart(xenstored)
    assert await Events(kept).next() == "/a"
    assert [path async for path in gone] == []


async def test_a_transaction_that_was_open_starts_again(
    xenstored: RealXenstored, client: XenStoreClient
) -> None:
    runs = 0

    async def body(inside: XenStoreWriter) -> None:
        nonlocal runs
        runs += 1
        await inside.write("/a", str(runs))
        if runs == 1:
            await restart(xenstored)
        await inside.write("/b", str(runs))

    await client.transact(body)
    assert runs == 2
    assert (await client.read("/a"), await client.read("/b")) == ("2", "2")


async def test_while_it_is_away(xenstored: RealXenstored) -> None:
    client = XenStoreClient(xenstored.socket, outage=0.2)
    await client.start()
    xenstored.kill()
    for attempt in (client.read("/a"), client.write("/a", "x"), client.watch("/a")):
        with pytest.raises(XenStoreUnavailable):
            await attempt
    await asyncio.to_thread(xenstored.start)
    patient = XenStoreClient(xenstored.socket)
    await patient.start()
    await patient.write("/a", "x")
    assert await _patiently(client, "/a") == "x"
    await client.close()
    await patient.close()


async def _patiently(client: XenStoreClient, path: str) -> str:
    for _ in range(50):
        try:
            return await client.read(path)
        except XenStoreUnavailable:
            await asyncio.sleep(0.1)
    raise AssertionError("xenstored is back, and the client does not see it")


async def test_it_hangs_and_goes_on(xenstored: RealXenstored, client: XenStoreClient) -> None:
    await client.write("/a", "1")
    events = Events(await client.watch("/a"))
    await events.next()
    xenstored.freeze()
    with pytest.raises(XenStoreUnavailable, match="no answer for 1 s"):
        await client.write("/a", "2")
    xenstored.thaw()
    # It took the request from the broken connection, or it did not: the error said so.
    assert await client.read("/a") in ("1", "2")
    assert await events.next() == "/a"


async def test_close_while_it_is_away(xenstored: RealXenstored, client: XenStoreClient) -> None:
    waiting = asyncio.create_task(client.read("/a"))
    xenstored.kill()
    await asyncio.sleep(0.05)
    async with asyncio.timeout(SOON):
        await client.close()
        with pytest.raises(XenStoreUnavailable):
            await waiting


async def test_a_store_in_use_is_killed_again_and_again(
    xenstored: RealXenstored, client: XenStoreClient
) -> None:
    """Readers, writers and transactions either succeed or say XenStoreUnavailable."""
    stop = asyncio.Event()
    done = {"read": 0, "write": 0, "transact": 0, "failed": 0}

    async def body(inside: XenStoreWriter) -> None:
        await inside.write("/counter", str(int(await inside.read_or("/counter", "0") or "0") + 1))

    async def work(verb: str) -> None:
        while not stop.is_set():
            try:
                if verb == "read":
                    await client.read_or("/counter")
                elif verb == "write":
                    await client.write("/other", "x")
                else:
                    await client.transact(body, tries=100)
                done[verb] += 1
            except XenStoreUnavailable:
                done["failed"] += 1
                await asyncio.sleep(0.01)

    events = Events(await client.watch("/mark"))
    await events.next()
    workers = [asyncio.create_task(work(verb)) for verb in ("read", "write", "transact") * 2]
    for _ in range(5):
        await asyncio.sleep(0.05)
        await restart(xenstored)
        assert await events.next() == "/mark"
    before = dict(done)
    await asyncio.sleep(0.1)
    stop.set()
    await asyncio.gather(*workers)
    assert all(done[verb] > before[verb] for verb in ("read", "write", "transact")), done
    await client.write("/mark", "x")
    assert await events.next() == "/mark"


async def test_a_consumer_that_never_reads_holds_up_nobody(
    xenstored: RealXenstored, client: XenStoreClient
) -> None:
    """xenstored blocks in write() when a client does not read: ours always does."""
    await client.watch("/a")
    other = XenStoreClient(xenstored.socket)
    await other.start()
    for start in range(0, 6000, 500):
        await asyncio.gather(*(other.write(f"/a/{n}", "x") for n in range(start, start + 500)))
    assert await client.read("/a/5999") == "x"
    await other.close()
