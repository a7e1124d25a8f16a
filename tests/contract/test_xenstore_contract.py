"""The contract on the simulator and on the real xenstored, each with a store of its own."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.contract.xenstore_suite import Events, Stores, XenStoreContract, opened
from tests.contract.xenstored.daemon import RealXenstored, build_shim
from xend.core.ports import XenStore
from xend.sim.xenstore import SimXenStore
from xend.sim.xenstored import SimXenstored
from xend.store.client import XenStoreClient


class Daemon(Protocol):
    """What the toolstack and the hypervisor do to xenstored."""

    def introduce(self, domid: int) -> None: ...

    def shutdown(self, domid: int) -> None: ...

    def release(self, domid: int) -> None: ...


@pytest.fixture(scope="module", params=["sim", "xenstored"])
def daemon(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SimXenstored | RealXenstored]:
    if request.param == "sim":
        yield SimXenstored()
        return
    folder: Path = tmp_path_factory.mktemp("xenstored")
    real = RealXenstored(folder / "run", build_shim(folder))
    real.start()
    yield real
    real.kill()


@pytest.fixture
async def stores(daemon: SimXenstored | RealXenstored) -> AsyncIterator[Stores]:
    async def make() -> XenStore:
        store: XenStore
        if isinstance(daemon, SimXenstored):
            store = SimXenStore(daemon)
        else:
            store = XenStoreClient(daemon.socket)
        await store.start()
        return store

    async with opened(make) as opened_stores:
        yield opened_stores


_domids = itertools.count(1)


@pytest.fixture
def domid() -> int:
    """A number that no other test uses."""
    return next(_domids)


class TestXenStore(XenStoreContract):
    pass


class TestDomains:
    async def test_introduce(self, stores: Stores, daemon: Daemon, domid: int) -> None:
        store = await stores.client()
        events = Events(await store.watch("@introduceDomain"))
        assert await events.next() == "@introduceDomain"
        assert not await store.is_domain_introduced(domid)
        daemon.introduce(domid)
        assert await events.next() == "@introduceDomain"
        assert await store.is_domain_introduced(domid)
        assert await store.get_domain_path(domid) == f"/local/domain/{domid}"
        daemon.release(domid)

    async def test_shutdown_and_release(self, stores: Stores, daemon: Daemon, domid: int) -> None:
        store = await stores.client()
        daemon.introduce(domid)
        events = Events(await store.watch("@releaseDomain"))
        assert await events.next() == "@releaseDomain"
        daemon.shutdown(domid)
        assert await events.next() == "@releaseDomain"
        assert await store.is_domain_introduced(domid)
        daemon.release(domid)
        assert await events.next() == "@releaseDomain"
        assert not await store.is_domain_introduced(domid)

    async def test_special_events_reach_only_their_watch(
        self, stores: Stores, daemon: Daemon, domid: int
    ) -> None:
        store = await stores.client()
        everything = Events(await store.watch("/"))
        introduced = Events(await store.watch("@introduceDomain"))
        assert await introduced.next() == "@introduceDomain"
        daemon.introduce(domid)
        assert await introduced.next() == "@introduceDomain"
        daemon.release(domid)
        await store.write(f"{stores.root}/end", "x")
        assert not [
            path for path in await everything.until(f"{stores.root}/end") if path.startswith("@")
        ]

    async def test_a_domain_takes_its_nodes_with_it(
        self, stores: Stores, daemon: Daemon, domid: int
    ) -> None:
        store = await stores.client()
        daemon.introduce(domid)
        for name in ("guest", "guest/below", "dom0"):
            await store.mkdir(f"{stores.root}/{name}")
        await store.set_permissions(f"{stores.root}/guest", [f"n{domid}", "r0"])
        events = Events(await store.watch(f"{stores.root}/guest"))
        assert await events.next() == f"{stores.root}/guest"
        daemon.release(domid)
        assert await events.next() == f"{stores.root}/guest"
        assert await store.directory(stores.root) == ["dom0"]
