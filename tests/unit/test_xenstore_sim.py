"""What only the simulated XenStore can do: quotas, faults, losses on demand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from xend.core.ports import XenStoreWriter
from xend.errors import (
    XenStoreConflict,
    XenStoreError,
    XenStoreMissing,
    XenStoreQuota,
    XenStoreUnavailable,
)
from xend.sim.xenstore import SimXenStore
from xend.sim.xenstored import Quota, SimXenstored, failure


@pytest.fixture
async def store() -> AsyncIterator[SimXenStore]:
    store = SimXenStore()
    await store.start()
    yield store
    await store.close()


async def limited(quota: Quota) -> SimXenStore:
    store = SimXenStore(SimXenstored(quota))
    await store.start()
    return store


async def quota_error(store: SimXenStore, path: str, value: str = "") -> XenStoreQuota:
    with pytest.raises(XenStoreQuota) as caught:
        await store.write(path, value)
    return caught.value


async def test_a_quota_of_nodes() -> None:
    store = await limited(Quota(nodes=5))  # three are there from the beginning
    await store.write("/a/b", "x")
    error = await quota_error(store, "/a/c")
    assert (error.fields["errno_name"], error.fields["limit"]) == ("ENOSPC", "domain")
    await store.write("/a/b", "y")
    await store.remove("/a")
    await store.write("/a/c", "x")


async def test_a_quota_of_the_size_of_a_node() -> None:
    store = await limited(Quota(node_size=10))
    await store.write("/a", "x" * 10)
    assert (await quota_error(store, "/a", "x" * 11)).fields["errno_name"] == "ENOSPC"
    assert await store.read("/a") == "x" * 10


async def test_a_quota_of_watches() -> None:
    store = await limited(Quota(watches=2))
    first = await store.watch("/a")
    await store.watch("/a")
    with pytest.raises(XenStoreQuota) as caught:
        await store.watch("/b")
    assert (caught.value.fields["errno_name"], caught.value.fields["limit"]) == ("E2BIG", "size")
    await first.close()
    await store.watch("/b")


async def test_a_quota_of_transactions() -> None:
    store = await limited(Quota(transactions=1))

    async def inner(inside: XenStoreWriter) -> None:
        await inside.write("/a", "x")

    async def outer(inside: XenStoreWriter) -> None:
        await store.transact(inner)

    with pytest.raises(XenStoreQuota, match="ENOSPC"):
        await store.transact(outer)
    await store.transact(inner)


async def test_a_fault_is_injected(store: SimXenStore) -> None:
    async def faults(operation: str, path: str) -> None:
        if (operation, path) == ("write", "/a"):
            raise failure(operation, path, "EACCES")

    store.faults = faults
    await store.write("/b", "x")
    with pytest.raises(XenStoreError, match="EACCES"):
        await store.write("/a", "x")
    store.faults = None
    await store.write("/a", "x")


async def test_a_fault_may_be_slowness_and_be_cancelled(store: SimXenStore) -> None:
    async def faults(operation: str, path: str) -> None:
        await asyncio.sleep(60)

    store.faults = faults
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await store.write("/a", "x")
    store.faults = None
    with pytest.raises(XenStoreMissing):
        await store.read("/a")


async def test_a_fault_at_the_commit(store: SimXenStore) -> None:
    async def faults(operation: str, path: str) -> None:
        if operation == "transaction_end":
            raise failure(operation, path, "ENOMEM")

    store.faults = faults
    with pytest.raises(XenStoreError, match="ENOMEM"):
        await store.transact(lambda inside: inside.write("/a", "x"))
    store.faults = None
    assert not await store.exists("/a")


async def test_the_connection_is_lost_and_regained(store: SimXenStore) -> None:
    await store.write("/a", "x")
    watch = await store.watch("/a")
    iterator = aiter(watch)
    assert await anext(iterator) == "/a"
    store.lose_connection("xenstored is being restarted")
    with pytest.raises(XenStoreUnavailable, match="being restarted"):
        await store.read("/a")
    store.regain_connection()
    assert await anext(iterator) == "/a"
    assert await store.read("/a") == "x"


async def test_a_transaction_is_lost_with_its_connection_and_starts_again(
    store: SimXenStore,
) -> None:
    runs = 0

    async def body(inside: XenStoreWriter) -> None:
        nonlocal runs
        runs += 1
        await inside.write("/a", str(runs))
        if runs == 1:
            store.lose_connection()
            store.regain_connection()
        await inside.write("/b", str(runs))

    await store.transact(body)
    assert (runs, await store.read("/a")) == (2, "2")


async def test_before_start_and_after_close() -> None:
    store = SimXenStore()
    with pytest.raises(XenStoreUnavailable, match="not started"):
        await store.read("/")
    await store.start()
    await store.read("/")
    await store.close()
    with pytest.raises(XenStoreUnavailable, match="closed"):
        await store.watch("/")


async def test_the_hypervisor_s_side_sees_the_same_store(store: SimXenStore) -> None:
    store.daemon.write("/local/domain/1/name", "prospero")
    assert await store.read("/local/domain/1/name") == "prospero"
    store.daemon.introduce(1)
    store.daemon.introduce(1)
    assert await store.is_domain_introduced(1)
    store.daemon.release(2)
    store.daemon.shutdown(2)
    assert not await store.is_domain_introduced(2)


async def test_other_tasks_run_between_two_operations(store: SimXenStore) -> None:
    """Otherwise the simulator would hide races that the real one has."""
    await store.write("/counter", "0")

    async def body(inside: XenStoreWriter) -> None:
        await inside.write("/counter", str(int(await inside.read("/counter")) + 1))

    outcomes = await asyncio.gather(
        *(store.transact(body, tries=1) for _ in range(5)), return_exceptions=True
    )
    assert sum(isinstance(one, XenStoreConflict) for one in outcomes) == 4
    assert await store.read("/counter") == "1"
