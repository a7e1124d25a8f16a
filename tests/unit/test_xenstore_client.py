"""The client against a xenstored that misbehaves, or answers at the worst moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.xenstored.scripted import ScriptedXenstored, scripted
from xend.core.ports import XenStoreWriter
from xend.errors import XenStoreConflict, XenStoreError, XenStoreQuota, XenStoreUnavailable
from xend.store.client import XenStoreClient, socket_paths
from xend.store.wire import HEADER, Op, strings


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ScriptedXenstored]:
    async with scripted(tmp_path) as running:
        yield running


@pytest.fixture
async def client(server: ScriptedXenstored) -> AsyncIterator[XenStoreClient]:
    client = XenStoreClient(server.socket, timeout=0.4, outage=1.0, watch_limit=4)
    await client.start()
    yield client
    await client.close()


async def soon(task: asyncio.Task[object]) -> object:
    async with asyncio.timeout(5):
        return await task


# -- where it looks, and nobody is there ---------------------------------------------------------


def test_where_libxenstore_would_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XENSTORED_PATH", raising=False)
    monkeypatch.delenv("XENSTORED_RUNDIR", raising=False)
    assert socket_paths() == ("/var/run/xenstored/socket", "/run/xenstored/socket")
    monkeypatch.setenv("XENSTORED_RUNDIR", "/x")
    assert socket_paths() == ("/x/socket",)
    monkeypatch.setenv("XENSTORED_PATH", "/y/s")
    assert socket_paths() == ("/y/s",)


async def test_the_environment_is_honoured(
    server: ScriptedXenstored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XENSTORED_PATH", str(server.socket))
    client = XenStoreClient()
    await client.start()
    await client.close()
    assert server.connections == 1


async def test_nobody_listens(tmp_path: Path) -> None:
    client = XenStoreClient(tmp_path / "none")
    with pytest.raises(XenStoreUnavailable, match=r"No such file.*is xenstored started") as caught:
        await client.start()
    assert caught.value.fields["path"] == str(tmp_path / "none")
    await client.close()


async def test_a_socket_that_nobody_serves(tmp_path: Path) -> None:
    (tmp_path / "socket").touch()
    client = XenStoreClient(tmp_path / "socket")
    with pytest.raises(XenStoreUnavailable, match="Connection refused"):
        await client.start()
    await client.close()


async def test_before_start_and_after_close(server: ScriptedXenstored) -> None:
    client = XenStoreClient(server.socket)
    with pytest.raises(XenStoreUnavailable, match="not started"):
        await client.read("/a")
    await client.start()
    await client.close()
    with pytest.raises(XenStoreUnavailable, match="closed"):
        await client.read("/a")
    with pytest.raises(XenStoreUnavailable, match="closed"):
        await client.watch("/a")
    await client.close()


async def test_close_ends_the_requests_under_way(
    server: ScriptedXenstored, client: XenStoreClient
) -> None:
    reading = asyncio.create_task(client.read("/a"))
    await server.next(Op.READ)
    await client.close()
    with pytest.raises(XenStoreUnavailable, match="closed"):
        await soon(reading)


# -- answers ---------------------------------------------------------------------


async def test_answers_in_any_order(server: ScriptedXenstored, client: XenStoreClient) -> None:
    tasks = [asyncio.create_task(client.read(f"/{number}")) for number in range(5)]
    requests = [await server.next(Op.READ) for _ in range(5)]
    for request in reversed(requests):
        request.answer(request.payload.rstrip(b"\0"))
    assert await asyncio.gather(*tasks) == [f"/{number}" for number in range(5)]


async def test_a_quota_of_the_domain(server: ScriptedXenstored, client: XenStoreClient) -> None:
    writing = asyncio.create_task(client.write("/a", "x"))
    (await server.next(Op.WRITE)).fail("ENOSPC")
    with pytest.raises(XenStoreQuota) as caught:
        await soon(writing)
    assert caught.value.fields["limit"] == "domain"


async def test_too_long_is_not_even_sent(server: ScriptedXenstored, client: XenStoreClient) -> None:
    with pytest.raises(XenStoreQuota):
        await client.write("/a", "x" * 5000)
    assert server.idle


@pytest.mark.parametrize(
    "nonsense",
    [
        HEADER.pack(Op.READ, 999999, 0, 0),
        HEADER.pack(Op.READ, 1, 0, 2**31),
        HEADER.pack(77, 1, 0, 0),
        HEADER.pack(Op.WATCH_EVENT, 0, 0, 1) + b"x",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ],
)
async def test_nonsense_costs_the_connection_and_no_more(
    server: ScriptedXenstored, client: XenStoreClient, nonsense: bytes
) -> None:
    reading = asyncio.create_task(client.read("/a"))
    (await server.next(Op.READ)).send_bytes(nonsense)
    (await server.next(Op.READ)).answer(b"value")
    assert await soon(reading) == "value"
    assert server.connections == 2


async def test_the_answer_to_another_verb(
    server: ScriptedXenstored, client: XenStoreClient
) -> None:
    writing = asyncio.create_task(client.write("/a", "x"))
    (await server.next(Op.WRITE)).answer(op=Op.MKDIR)
    with pytest.raises(XenStoreUnavailable, match="MKDIR as the answer to WRITE"):
        await soon(writing)


# -- cancellation ---------------------------------------------------------------------


async def test_a_transaction_that_starts_too_late_is_ended(
    server: ScriptedXenstored, client: XenStoreClient
) -> None:
    async def body(inside: XenStoreWriter) -> None:
        raise AssertionError("must not run")

    task = asyncio.create_task(client.transact(body))
    start = await server.next(Op.TRANSACTION_START)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    start.answer(b"17\0")
    end = await server.next(Op.TRANSACTION_END)
    assert (end.transaction, end.payload) == (17, b"F\0")


async def test_a_transaction_whose_start_arrives_with_the_cancellation(
    server: ScriptedXenstored, client: XenStoreClient
) -> None:
    """The answer is there, and its task is cancelled before it wakes up."""

    async def body(inside: XenStoreWriter) -> None:
        raise AssertionError("must not run")

    task = asyncio.create_task(client.transact(body))
    start = await server.next(Op.TRANSACTION_START)
    connection = client._connection
    assert connection is not None
    payload = b"18\0"
    connection.data_received(
        HEADER.pack(Op.TRANSACTION_START, start.number, 0, len(payload)) + payload
    )
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    end = await server.next(Op.TRANSACTION_END)
    assert (end.transaction, end.payload) == (18, b"F\0")


async def test_a_body_that_is_cancelled_discards(
    server: ScriptedXenstored, client: XenStoreClient
) -> None:
    task = asyncio.create_task(client.transact(lambda inside: inside.write("/a", "x")))
    (await server.next(Op.TRANSACTION_START)).answer(b"5\0")
    await server.next(Op.WRITE)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    end = await server.next(Op.TRANSACTION_END)
    assert (end.transaction, end.payload) == (5, b"F\0")


async def test_a_watch_that_is_cancelled_is_taken_back(
    server: ScriptedXenstored, client: XenStoreClient
) -> None:
    task = asyncio.create_task(client.watch("/a"))
    request = await server.next(Op.WATCH)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    request.answer()
    assert (await server.next(Op.UNWATCH)).payload == request.payload


async def test_the_id_of_a_cancelled_request_is_not_given_to_another(
    server: ScriptedXenstored, client: XenStoreClient
) -> None:
    task = asyncio.create_task(client.read("/a"))
    first = await server.next(Op.READ)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    other = asyncio.create_task(client.read("/b"))
    second = await server.next(Op.READ)
    assert second.number != first.number
    first.answer(b"a")
    second.answer(b"b")
    assert await soon(other) == "b"


# -- transactions ---------------------------------------------------------------------


async def test_conflicts_are_tried_again_and_then_reported(
    server: ScriptedXenstored, client: XenStoreClient
) -> None:
    task = asyncio.create_task(client.transact(lambda inside: inside.read("/a"), tries=3))
    for number in (1, 2, 3):
        (await server.next(Op.TRANSACTION_START)).answer(b"%d\0" % number)
        (await server.next(Op.READ)).answer(b"v")
        end = await server.next(Op.TRANSACTION_END)
        assert (end.transaction, end.payload) == (number, b"T\0")
        end.fail("EAGAIN")
    with pytest.raises(XenStoreConflict, match="3 times"):
        await soon(task)


async def test_a_commit_that_fails_otherwise_is_not_tried_again(
    server: ScriptedXenstored, client: XenStoreClient
) -> None:
    task = asyncio.create_task(client.transact(lambda inside: inside.read("/a")))
    (await server.next(Op.TRANSACTION_START)).answer(b"1\0")
    (await server.next(Op.READ)).answer(b"v")
    (await server.next(Op.TRANSACTION_END)).fail("ENOMEM")
    with pytest.raises(XenStoreError) as caught:
        await soon(task)
    assert caught.value.fields["errno_name"] == "ENOMEM"
    assert server.idle


async def test_a_transaction_starts_again_on_a_new_connection(
    server: ScriptedXenstored, client: XenStoreClient
) -> None:
    task = asyncio.create_task(client.transact(lambda inside: inside.write("/a", "x")))
    (await server.next(Op.TRANSACTION_START)).answer(b"1\0")
    (await server.next(Op.WRITE)).hang_up()
    (await server.next(Op.TRANSACTION_START)).answer(b"1\0")
    (await server.next(Op.WRITE)).answer()
    (await server.next(Op.TRANSACTION_END)).answer()
    await soon(task)


async def test_a_body_that_swallows_the_loss_does_not_commit_half(
    server: ScriptedXenstored, client: XenStoreClient
) -> None:
    runs = 0

    async def body(inside: XenStoreWriter) -> int:
        nonlocal runs
        runs += 1
        try:
            await inside.write("/a", "x")
        except XenStoreError:
            return -1
        return runs

    task = asyncio.create_task(client.transact(body))
    (await server.next(Op.TRANSACTION_START)).answer(b"1\0")
    (await server.next(Op.WRITE)).hang_up()
    (await server.next(Op.TRANSACTION_START)).answer(b"1\0")
    (await server.next(Op.WRITE)).answer()
    (await server.next(Op.TRANSACTION_END)).answer()
    assert await soon(task) == 2


async def test_a_commit_without_an_answer_is_not_repeated(
    server: ScriptedXenstored, client: XenStoreClient
) -> None:
    """Nobody can tell whether it was made."""
    task = asyncio.create_task(client.transact(lambda inside: inside.write("/a", "x")))
    (await server.next(Op.TRANSACTION_START)).answer(b"1\0")
    (await server.next(Op.WRITE)).answer()
    (await server.next(Op.TRANSACTION_END)).hang_up()
    with pytest.raises(XenStoreUnavailable, match="may have been carried out"):
        await soon(task)


# -- a long directory ---------------------------------------------------------------------


async def test_a_directory_that_changes_between_its_pages_is_read_again(
    server: ScriptedXenstored, client: XenStoreClient
) -> None:
    task = asyncio.create_task(client.directory("/a"))
    (await server.next(Op.DIRECTORY)).fail("E2BIG")
    (await server.next(Op.DIRECTORY_PART)).answer(b"1\0a\0b\0")
    second = await server.next(Op.DIRECTORY_PART)
    assert second.payload == strings("/a", "4")
    second.answer(b"2\0x\0\0")
    first = await server.next(Op.DIRECTORY_PART)
    assert first.payload == strings("/a", "0")
    first.answer(b"3\0b\0c\0")
    (await server.next(Op.DIRECTORY_PART)).answer(b"3\0d\0\0")
    assert await soon(task) == ["b", "c", "d"]


async def test_a_directory_that_never_stands_still_is_read_in_a_transaction(
    server: ScriptedXenstored, client: XenStoreClient
) -> None:
    task = asyncio.create_task(client.directory("/a"))
    (await server.next(Op.DIRECTORY)).fail("E2BIG")
    for number in range(3):
        (await server.next(Op.DIRECTORY_PART)).answer(b"%d\0a\0" % number)
        (await server.next(Op.DIRECTORY_PART)).answer(b"%d\0b\0\0" % (number + 100))
    (await server.next(Op.TRANSACTION_START)).answer(b"9\0")
    (await server.next(Op.DIRECTORY)).fail("E2BIG")
    part = await server.next(Op.DIRECTORY_PART)
    assert part.transaction == 9
    part.answer(b"7\0a\0b\0\0")
    assert await soon(task) == ["a", "b"]
    assert (await server.next(Op.TRANSACTION_END)).payload == b"F\0"


# -- watches ---------------------------------------------------------------------


async def test_events_wait_in_bounded_space_and_hold_up_no_answer(
    server: ScriptedXenstored, client: XenStoreClient
) -> None:
    task = asyncio.create_task(client.watch("/a"))
    request = await server.next(Op.WATCH)
    request.answer()
    watch = await task
    token = request.payload.split(b"\0")[1]
    for number in range(1000):
        request.raw(Op.WATCH_EVENT, 0, b"/a/%d\0%s\0" % (number, token))
    reading = asyncio.create_task(client.read("/b"))
    (await server.next(Op.READ)).answer(b"value")
    assert await soon(reading) == "value"
    assert len(watch.inbox) == 1
    assert await anext(aiter(watch)) == "/a"


async def test_an_event_of_an_unknown_watch_is_ignored(
    server: ScriptedXenstored, client: XenStoreClient
) -> None:
    reading = asyncio.create_task(client.read("/b"))
    request = await server.next(Op.READ)
    request.raw(Op.WATCH_EVENT, 0, b"/a\0nobody\0")
    request.answer(b"value")
    assert await soon(reading) == "value"


async def test_a_watch_that_a_new_xenstored_refuses_tells_its_consumer(
    server: ScriptedXenstored, client: XenStoreClient
) -> None:
    task = asyncio.create_task(client.watch("/a"))
    request = await server.next(Op.WATCH)
    request.answer()
    watch = await task
    request.hang_up()
    (await server.next(Op.WATCH)).fail("E2BIG")
    with pytest.raises(XenStoreQuota):
        async with asyncio.timeout(5):
            await anext(aiter(watch))


async def test_a_watch_closed_while_the_connection_is_made_anew(
    server: ScriptedXenstored, client: XenStoreClient
) -> None:
    task = asyncio.create_task(client.watch("/a"))
    request = await server.next(Op.WATCH)
    request.answer()
    watch = await task
    request.hang_up()
    again = await server.next(Op.WATCH)
    await watch.close()
    again.answer()
    assert (await server.next(Op.UNWATCH)).payload == again.payload


async def test_a_watch_being_set_when_the_connection_breaks(
    server: ScriptedXenstored, client: XenStoreClient
) -> None:
    task = asyncio.create_task(client.watch("/a"))
    (await server.next(Op.WATCH)).hang_up()
    (await server.next(Op.WATCH)).answer()
    await soon(task)
    await asyncio.sleep(0.05)
    assert server.idle


# -- outages ---------------------------------------------------------------------


async def test_a_read_survives_and_a_sent_change_says_that_it_does_not_know(
    server: ScriptedXenstored, client: XenStoreClient
) -> None:
    reading = asyncio.create_task(client.read("/a"))
    writing = asyncio.create_task(client.write("/a", "x"))
    await server.next(Op.READ)
    (await server.next(Op.WRITE)).hang_up()
    with pytest.raises(XenStoreUnavailable, match="may have been carried out"):
        await soon(writing)
    (await server.next(Op.READ)).answer(b"value")
    assert await soon(reading) == "value"


async def test_a_connection_that_breaks_again_and_again(
    server: ScriptedXenstored, client: XenStoreClient
) -> None:
    reading = asyncio.create_task(client.read("/a"))
    for _ in range(3):
        (await server.next(Op.READ)).hang_up()
    with pytest.raises(XenStoreUnavailable):
        await soon(reading)


async def test_waiting_for_a_lost_xenstored_is_bounded(tmp_path: Path) -> None:
    async with scripted(tmp_path) as server:
        client = XenStoreClient(server.socket, outage=0.3)
        await client.start()
        reading = asyncio.create_task(client.read("/a"))
        await server.next(Op.READ)
    server.socket.unlink(missing_ok=True)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    with pytest.raises(XenStoreUnavailable, match="No such file"):
        await soon(reading)
    assert 0.2 < loop.time() - begun < 2
    with pytest.raises(XenStoreUnavailable):
        await client.write("/a", "x")
    await client.close()


async def test_a_xenstored_that_hangs_counts_as_lost(
    server: ScriptedXenstored, client: XenStoreClient
) -> None:
    writing = asyncio.create_task(client.write("/a", "x"))
    await server.next(Op.WRITE)
    with pytest.raises(XenStoreUnavailable, match=r"no answer for 0\.4 s"):
        await soon(writing)


async def test_a_slow_xenstored_that_goes_on_answering_does_not(
    server: ScriptedXenstored, client: XenStoreClient
) -> None:
    for _ in range(4):
        reading = asyncio.create_task(client.read("/a"))
        request = await server.next(Op.READ)
        await asyncio.sleep(0.2)
        request.answer(b"value")
        assert await soon(reading) == "value"
    assert server.connections == 1


async def test_an_idle_connection_never_times_out(
    server: ScriptedXenstored, client: XenStoreClient
) -> None:
    await asyncio.sleep(0.9)
    reading = asyncio.create_task(client.read("/a"))
    (await server.next(Op.READ)).answer(b"value")
    assert await soon(reading) == "value"
    assert server.connections == 1


async def test_no_task_is_left_behind(server: ScriptedXenstored) -> None:
    before = asyncio.all_tasks()
    client = XenStoreClient(server.socket)
    await client.start()
    await client.close()
    left = {task for task in asyncio.all_tasks() - before if "_serve" not in repr(task)}
    assert not left
