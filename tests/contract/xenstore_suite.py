"""What every XenStore must do: the simulator, the real xenstored, the lab's.

A test class inherits `XenStoreContract` and has the fixture `stores`.  All nodes are made under
`stores.root`, so that the suite can run beside living domains.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager

import pytest

from xend.core.ports import XenStore, XenStoreWatch, XenStoreWriter
from xend.errors import (
    InvalidArgument,
    XenStoreConflict,
    XenStoreError,
    XenStoreMissing,
    XenStoreQuota,
)

SOON = 30.0
"""Seconds within which an event must come."""


class Stores:
    """Opens clients of one and the same store, and closes them."""

    def __init__(self, make: Callable[[], Awaitable[XenStore]], root: str) -> None:
        self.root = root
        self._make = make
        self._open: list[XenStore] = []

    async def client(self) -> XenStore:
        store = await self._make()
        self._open.append(store)
        return store

    async def close(self) -> None:
        for store in self._open:
            await store.close()


@asynccontextmanager
async def opened(
    make: Callable[[], Awaitable[XenStore]], root: str = "/test"
) -> AsyncIterator[Stores]:
    stores = Stores(make, root)
    try:
        await (await stores.client()).mkdir(root)
        yield stores
    finally:
        await (await stores.client()).remove(root)
        await stores.close()


class Events:
    """What a watch reports, with a time limit."""

    def __init__(self, watch: XenStoreWatch) -> None:
        self._iterator = aiter(watch)

    async def next(self) -> str:
        async with asyncio.timeout(SOON):
            return await anext(self._iterator)

    async def until(self, last: str) -> list[str]:
        """All up to `last`, which is left out."""
        seen: list[str] = []
        while (path := await self.next()) != last:
            seen.append(path)
        return seen


async def errno_of(awaitable: Awaitable[object]) -> str:
    with pytest.raises(XenStoreError) as caught:
        await awaitable
    return str(caught.value.fields["errno_name"])


async def write_all(store: XenStoreWriter, nodes: Iterable[tuple[str, str]]) -> None:
    for path, value in nodes:
        await store.write(path, value)


class XenStoreContract:
    # -- nodes ---------------------------------------------------------------------------------

    async def test_a_value_comes_back(self, stores: Stores) -> None:
        store = await stores.client()
        path = f"{stores.root}/a/b"
        for value in ("hello", "", "two\nlines", "nul\0inside", "grüße", "\udcff\udc80 raw"):
            await store.write(path, value)
            assert await store.read(path) == value
        assert await store.read(f"{stores.root}/a") == ""

    async def test_a_missing_node(self, stores: Stores) -> None:
        store = await stores.client()
        path = f"{stores.root}/none"
        with pytest.raises(XenStoreMissing, match=path) as caught:
            await store.read(path)
        assert caught.value.fields["errno_name"] == "ENOENT"
        assert caught.value.fields["operation"] == "read"
        assert await store.read_or(path) is None
        assert await store.read_or(path, "default") == "default"
        assert not await store.exists(path)
        for verb in (store.directory, store.get_permissions):
            with pytest.raises(XenStoreMissing):
                await verb(path)
        with pytest.raises(XenStoreMissing):
            await store.set_permissions(path, ["n0"])

    async def test_children_are_listed_in_the_order_of_their_creation(self, stores: Stores) -> None:
        store = await stores.client()
        for name in ("b", "a", "c/d", "a/x"):
            await store.mkdir(f"{stores.root}/{name}")
        assert await store.directory(stores.root) == ["b", "a", "c"]
        assert await store.directory(f"{stores.root}/c") == ["d"]
        assert await store.directory(f"{stores.root}/b") == []

    async def test_mkdir_leaves_a_value_alone(self, stores: Stores) -> None:
        store = await stores.client()
        await store.write(f"{stores.root}/a", "kept")
        await store.mkdir(f"{stores.root}/a")
        assert await store.read(f"{stores.root}/a") == "kept"

    async def test_remove_takes_the_subtree(self, stores: Stores) -> None:
        store = await stores.client()
        await write_all(store, [(f"{stores.root}/{name}", "x") for name in ("a/b/c", "a/d", "e")])
        await store.remove(f"{stores.root}/a")
        assert await store.directory(stores.root) == ["e"]
        assert not await store.exists(f"{stores.root}/a/b/c")

    async def test_remove_of_what_is_not_there(self, stores: Stores) -> None:
        store = await stores.client()
        await store.remove(f"{stores.root}/none")
        with pytest.raises(XenStoreMissing):
            await store.remove(f"{stores.root}/none/below")
        assert await errno_of(store.remove("/")) == "EINVAL"

    @pytest.mark.parametrize(
        "path", ["", "/", "//", "/a//b", "/a/", "/a b", "/ä", "/a.b", "@introduceDomain", "/a\n"]
    )
    async def test_paths_that_xenstored_refuses(self, stores: Stores, path: str) -> None:
        store = await stores.client()
        if path == "/":
            assert await store.exists(path)
            return
        assert await errno_of(store.read(path)) == "EINVAL"
        assert await errno_of(store.mkdir(path)) == "EINVAL"

    async def test_the_longest_path(self, stores: Stores) -> None:
        store = await stores.client()
        room = 2048 - len(stores.root) - 1
        await store.write(f"{stores.root}/{'a' * room}", "x")
        assert await errno_of(store.write(f"{stores.root}/{'a' * (room + 1)}", "x")) == "EINVAL"
        # The domain's part does not count.
        assert not await store.exists("/local/domain/65000/" + "a" * 2048)
        assert await errno_of(store.exists("/local/domain/65000/" + "a" * 2049)) == "EINVAL"

    async def test_a_nul_never_reaches_xenstored(self, stores: Stores) -> None:
        store = await stores.client()
        with pytest.raises(InvalidArgument, match="NUL"):
            await store.write(f"{stores.root}/a\0b", "x")
        with pytest.raises(InvalidArgument):
            await store.watch("/a\0b")
        assert await store.directory(stores.root) == []

    async def test_the_longest_value(self, stores: Stores) -> None:
        store = await stores.client()
        path = f"{stores.root}/a"
        room = 4096 - len(path) - 1
        await store.write(path, "v" * room)
        assert await store.read(path) == "v" * room
        with pytest.raises(XenStoreQuota, match="at most 4096") as caught:
            await store.write(path, "v" * (room + 1))
        assert caught.value.fields["limit"] == "payload"
        assert caught.value.fields["errno_name"] == "E2BIG"
        assert caught.value.fields["size"] == 4097
        assert len(await store.read(path)) == room

    async def test_a_directory_that_does_not_fit_one_answer(self, stores: Stores) -> None:
        store = await stores.client()
        names = [f"child-{number}-{'x' * (number % 40)}" for number in range(700)]
        await asyncio.gather(*(store.mkdir(f"{stores.root}/{name}") for name in names))
        assert await store.directory(stores.root) == names

    # -- permissions ---------------------------------------------------------------------------

    async def test_permissions(self, stores: Stores) -> None:
        store = await stores.client()
        path = f"{stores.root}/a"
        await store.mkdir(path)
        assert await store.get_permissions(path) == ["n0"]
        await store.set_permissions(path, ["r0", "b0", "w0"])
        assert await store.get_permissions(path) == ["r0", "b0", "w0"]
        # What is made below inherits them.
        await store.write(f"{path}/b/c", "x")
        assert await store.get_permissions(f"{path}/b/c") == ["r0", "b0", "w0"]

    @pytest.mark.parametrize("permissions", [[], ["x0"], ["n"], ["n0", "rfive"], [""], ["n0", ""]])
    async def test_bad_permissions(self, stores: Stores, permissions: list[str]) -> None:
        store = await stores.client()
        await store.mkdir(f"{stores.root}/a")
        changing = store.set_permissions(f"{stores.root}/a", permissions)
        assert await errno_of(changing) == "EINVAL"
        assert await store.get_permissions(f"{stores.root}/a") == ["n0"]

    # -- transactions --------------------------------------------------------------------------

    async def test_a_transaction_is_seen_when_it_is_committed(self, stores: Stores) -> None:
        store, other = await stores.client(), await stores.client()
        path = f"{stores.root}/a"

        async def body(inside: XenStoreWriter) -> str:
            await inside.write(path, "new")
            assert await inside.read(path) == "new"
            assert await inside.directory(stores.root) == ["a"]
            assert not await other.exists(path)
            return "result"

        assert await store.transact(body) == "result"
        assert await other.read(path) == "new"

    async def test_an_exception_discards_the_transaction(self, stores: Stores) -> None:
        store = await stores.client()

        async def body(inside: XenStoreWriter) -> None:
            await inside.write(f"{stores.root}/a", "x")
            raise LookupError("out")

        with pytest.raises(LookupError, match="out"):
            await store.transact(body)
        assert not await store.exists(f"{stores.root}/a")

    async def test_a_transaction_that_loses_is_tried_again(self, stores: Stores) -> None:
        store, other = await stores.client(), await stores.client()
        path = f"{stores.root}/counter"
        await store.write(path, "0")
        tries = 0

        async def body(inside: XenStoreWriter) -> None:
            nonlocal tries
            tries += 1
            value = int(await inside.read(path))
            if tries <= 2:
                await other.write(path, str(value + 10))
            await inside.write(path, str(value + 1))

        await store.transact(body)
        assert tries == 3
        assert await store.read(path) == "21"

    async def test_a_transaction_that_loses_too_often(self, stores: Stores) -> None:
        store, other = await stores.client(), await stores.client()
        path = f"{stores.root}/a"
        tries = 0

        async def body(inside: XenStoreWriter) -> None:
            nonlocal tries
            tries += 1
            await inside.write(path, "mine")
            await other.write(path, f"theirs {tries}")

        with pytest.raises(XenStoreConflict) as caught:
            await store.transact(body, tries=3)
        assert caught.value.fields["errno_name"] == "EAGAIN"
        assert tries == 3
        assert await store.read(path) == "theirs 3"

    async def test_a_conflict_inside_a_body_is_not_its_own(self, stores: Stores) -> None:
        store = await stores.client()
        tries = 0

        async def body(inside: XenStoreWriter) -> None:
            nonlocal tries
            tries += 1
            raise XenStoreConflict("of another transaction", errno_name="EAGAIN")

        with pytest.raises(XenStoreConflict, match="of another"):
            await store.transact(body)
        assert tries == 1

    async def test_transactions_over_different_nodes_do_not_conflict(self, stores: Stores) -> None:
        store, other = await stores.client(), await stores.client()
        await write_all(store, [(f"{stores.root}/a", "0"), (f"{stores.root}/b", "0")])
        tries = 0

        async def body(inside: XenStoreWriter) -> None:
            nonlocal tries
            tries += 1
            await inside.write(f"{stores.root}/a", "1")
            await other.write(f"{stores.root}/b", "1")

        await store.transact(body)
        assert tries == 1

    async def test_many_clients_count_together(self, stores: Stores) -> None:
        clients = [await stores.client() for _ in range(4)]
        path = f"{stores.root}/counter"
        await clients[0].write(path, "0")

        async def increment(inside: XenStoreWriter) -> None:
            await inside.write(path, str(int(await inside.read(path)) + 1))

        async def work(store: XenStore) -> None:
            for _ in range(5):
                await store.transact(increment, tries=500)

        await asyncio.gather(*(work(store) for store in clients))
        assert await clients[0].read(path) == "20"

    async def test_the_handle_is_of_no_use_afterwards(self, stores: Stores) -> None:
        store = await stores.client()
        kept: list[XenStoreWriter] = []

        async def body(inside: XenStoreWriter) -> None:
            kept.append(inside)

        await store.transact(body)
        with pytest.raises(XenStoreError, match="is over"):
            await kept[0].read("/")

    async def test_a_handle_can_be_passed_on(self, stores: Stores) -> None:
        """Code that itself uses `transact` works inside a transaction, as a part of it."""
        store = await stores.client()

        async def inner(inside: XenStoreWriter) -> None:
            await inside.write(f"{stores.root}/a", "inner")

        async def outer(inside: XenStoreWriter) -> None:
            await inside.transact(inner)  # type: ignore[attr-defined]
            assert not await store.exists(f"{stores.root}/a")
            raise LookupError

        with pytest.raises(LookupError):
            await store.transact(outer)
        assert not await store.exists(f"{stores.root}/a")

    async def test_a_cancelled_transaction_leaves_nothing(self, stores: Stores) -> None:
        store = await stores.client()
        waiting = asyncio.Event()

        async def body(inside: XenStoreWriter) -> None:
            await inside.write(f"{stores.root}/a", "x")
            waiting.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(store.transact(body))
        await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not await store.exists(f"{stores.root}/a")

    # -- watches -------------------------------------------------------------------------------

    async def test_a_watch_reports_at_once_and_then_every_change(self, stores: Stores) -> None:
        store, other = await stores.client(), await stores.client()
        path = f"{stores.root}/a"
        async with store.watching(path) as watch:
            events = Events(watch)
            assert await events.next() == path
            await other.write(f"{path}/b", "x")
            assert await events.next() == f"{path}/b"
            await other.set_permissions(f"{path}/b", ["r0"])
            assert await events.next() == f"{path}/b"
            await other.remove(f"{path}/b")
            assert await events.next() == f"{path}/b"
            await other.mkdir(path)  # is there
            await other.write(path, "x")
            assert await events.next() == path

    async def test_the_end_of_a_subtree(self, stores: Stores) -> None:
        """Above it only its top is reported; whoever watched a node in it hears of that node."""
        store = await stores.client()
        await write_all(store, [(f"{stores.root}/{name}", "x") for name in ("a/b/c", "a/b/d")])
        above = Events(await store.watch(stores.root))
        exact = Events(await store.watch(f"{stores.root}/a/b/c"))
        assert await above.next() == stores.root
        assert await exact.next() == f"{stores.root}/a/b/c"
        await store.remove(f"{stores.root}/a")
        assert await exact.next() == f"{stores.root}/a/b/c"
        await store.write(f"{stores.root}/end", "x")
        assert await above.until(f"{stores.root}/end") == [f"{stores.root}/a"]

    async def test_a_transaction_reports_when_it_is_committed(self, stores: Stores) -> None:
        store = await stores.client()
        path = f"{stores.root}/a"
        events = Events(await store.watch(stores.root))
        assert await events.next() == stores.root

        async def lost(inside: XenStoreWriter) -> None:
            await inside.write(path, "x")
            raise LookupError

        async def kept(inside: XenStoreWriter) -> None:
            await inside.write(f"{path}/gone", "x")
            await inside.write(f"{path}/b", "x")
            await inside.remove(f"{path}/gone")

        with pytest.raises(LookupError):
            await store.transact(lost)
        await store.transact(kept)
        await store.write(f"{stores.root}/end", "x")
        assert await events.until(f"{stores.root}/end") == [f"{path}/b"]

    async def test_two_watches_of_one_path(self, stores: Stores) -> None:
        store = await stores.client()
        path = f"{stores.root}/a"
        first, second = await store.watch(path), await store.watch(path)
        assert [await Events(one).next() for one in (first, second)] == [path, path]
        await first.close()
        await first.close()
        await store.write(path, "x")
        assert await Events(second).next() == path
        assert [seen async for seen in first] == []

    async def test_closing_ends_the_waiting_consumer(self, stores: Stores) -> None:
        store = await stores.client()
        watch = await store.watch(stores.root)

        async def consume() -> list[str]:
            return [path async for path in watch]

        task = asyncio.create_task(consume())
        await asyncio.sleep(0.05)
        await watch.close()
        async with asyncio.timeout(SOON):
            assert await task == [stores.root]

    async def test_closing_the_client_ends_its_watches(self, stores: Stores) -> None:
        store = await stores.client()
        watch = await store.watch(stores.root)
        await store.close()
        assert [path async for path in watch] == []

    async def test_a_slow_consumer_gets_each_path_once(self, stores: Stores) -> None:
        store = await stores.client()
        events = Events(await store.watch(stores.root))
        for number in range(300):
            await store.write(f"{stores.root}/{number % 3}", str(number))
        await store.write(f"{stores.root}/end", "x")
        names = await events.until(f"{stores.root}/end")
        assert names == [stores.root, *(f"{stores.root}/{number}" for number in range(3))]

    async def test_a_watch_that_xenstored_refuses(self, stores: Stores) -> None:
        store = await stores.client()
        assert await errno_of(store.watch("/a//b")) == "EINVAL"
        assert await errno_of(store.watch("@" + "a" * 2048)) == "EINVAL"

    async def test_a_relative_path_is_of_dom0(self, stores: Stores) -> None:
        store = await stores.client()
        name = stores.root.replace("/", "")
        events = Events(await store.watch(name))
        try:
            await store.write(f"{name}/a", "x")
            assert await events.until(f"{name}/a") == [name]
            assert await store.read(f"/local/domain/0/{name}/a") == "x"
        finally:
            await store.remove(f"/local/domain/0/{name}")

    # -- several at once -----------------------------------------------------------------------

    async def test_requests_at_once_get_their_own_answers(self, stores: Stores) -> None:
        store = await stores.client()
        paths = [f"{stores.root}/{number}" for number in range(200)]
        await asyncio.gather(*(store.write(path, path) for path in paths))
        wanted = [*paths, f"{stores.root}/none"]
        answers = await asyncio.gather(*(store.read_or(path) for path in wanted))
        assert answers == [*paths, None]

    async def test_a_cancelled_request_disturbs_no_other(self, stores: Stores) -> None:
        store = await stores.client()
        await write_all(store, [(f"{stores.root}/{n}", str(n)) for n in range(20)])
        tasks = [asyncio.create_task(store.read(f"{stores.root}/{n}")) for n in range(20)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert answers[1::2] == [str(n) for n in range(1, 20, 2)]
        assert await store.read(f"{stores.root}/4") == "4"
