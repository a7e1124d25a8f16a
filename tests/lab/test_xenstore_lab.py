"""The XenStore client with the lab's xenstored, and with domains that come and go."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from tests.contract.xenstore_suite import Events, Stores, XenStoreContract, opened
from tests.lab import guests
from xend.core.ports import XenStore
from xend.errors import XenStoreMissing
from xend.store import paths
from xend.store.client import XenStoreClient

pytestmark = pytest.mark.lab

NAME = f"xs-{os.getpid()}"


@pytest.fixture
async def stores() -> AsyncIterator[Stores]:
    async def make() -> XenStore:
        store = XenStoreClient()
        await store.start()
        return store

    async with opened(make, f"/xend-test-{os.getpid()}") as opened_stores:
        yield opened_stores


class TestXenStore(XenStoreContract):
    """The whole contract, beside living domains."""


async def xl(*argv: str) -> str:
    """By another toolstack, so that nothing but XenStore tells the client."""
    done = await asyncio.to_thread(
        subprocess.run, ["xl", *argv], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Writes the config of a small guest, which is destroyed in the end."""
    yield lambda **settings: guests.config(tmp_path, NAME, **settings)
    for name in (NAME, f"{NAME}-renamed"):
        subprocess.run(["xl", "destroy", name], capture_output=True, timeout=120, check=False)


async def create(config: Path, *options: str) -> int:
    # Without -e a process of xl would stay with each domain.
    await xl("create", "-e", "-q", *options, str(config))
    return int(await xl("domid", NAME))


async def test_a_domain_comes_and_goes(stores: Stores, tiny: Callable[..., Path]) -> None:
    store = await stores.client()
    introduced = Events(await store.watch(paths.INTRODUCE_DOMAIN))
    released = Events(await store.watch(paths.RELEASE_DOMAIN))
    assert await introduced.next() == paths.INTRODUCE_DOMAIN
    assert await released.next() == paths.RELEASE_DOMAIN

    domid = await create(tiny(), "-p")
    assert await introduced.next() == paths.INTRODUCE_DOMAIN
    assert await store.is_domain_introduced(domid)
    assert await store.get_domain_path(domid) == paths.domain(domid)

    await xl("destroy", NAME)
    assert await released.next() == paths.RELEASE_DOMAIN
    assert not await store.is_domain_introduced(domid)
    assert not await store.exists(paths.domain(domid))
    assert not await store.exists(paths.libxl(domid))


async def test_a_guest_that_ends_by_itself(stores: Stores, tiny: Callable[..., Path]) -> None:
    """xenstored says so while the domain is still there."""
    store = await stores.client()
    released = Events(await store.watch(paths.RELEASE_DOMAIN))
    assert await released.next() == paths.RELEASE_DOMAIN
    domid = await create(tiny(extra="poweroff", on_poweroff="preserve"))
    assert await released.next() == paths.RELEASE_DOMAIN
    assert await store.is_domain_introduced(domid)


async def test_what_libxl_writes_is_where_we_look(
    stores: Stores, tiny: Callable[..., Path]
) -> None:
    store = await stores.client()
    domid = await create(tiny(), "-p")
    vm = await store.read(paths.vm_link(domid))
    uuid = paths.uuid_of(vm)
    assert uuid is not None
    assert vm == paths.vm(uuid)
    assert await store.read(paths.name(domid)) == NAME
    assert await store.read(paths.vm_name(uuid)) == NAME
    assert float(await store.read(paths.vm_start_time(uuid))) > 0
    assert int(await store.read(paths.memory_target(domid))) > 0
    assert int(await store.read(paths.memory_static_max(domid))) == 4096
    assert int(await store.read(paths.console_limit(domid))) == 1048576
    assert (await store.read(paths.console_tty(domid))).startswith("/dev/pts/")
    assert await store.read(paths.cpu_availability(domid, 0)) == "online"
    assert await store.exists(paths.control_shutdown(domid))
    assert await store.directory(paths.libxl_devices(domid, "console")) == ["0"]
    backend = await store.read(f"{paths.libxl_device(domid, 'console', 0)}/backend")
    assert backend == paths.backend(domid, "console", 0)
    assert paths.parse_backend(backend) == (0, "console", domid, 0)
    assert await store.read(paths.state(backend)) == "1"


async def test_a_name_changes_under_a_watch(stores: Stores, tiny: Callable[..., Path]) -> None:
    store = await stores.client()
    domid = await create(tiny(), "-p")
    events = Events(await store.watch(paths.name(domid)))
    assert await events.next() == paths.name(domid)
    await xl("rename", NAME, f"{NAME}-renamed")
    assert await events.next() == paths.name(domid)
    assert await store.read(paths.name(domid)) == f"{NAME}-renamed"
    await xl("destroy", f"{NAME}-renamed")
    assert await events.next() == paths.name(domid)
    with pytest.raises(XenStoreMissing):
        await store.read(paths.name(domid))


async def test_a_guest_takes_the_nodes_it_owns_with_it(
    stores: Stores, tiny: Callable[..., Path]
) -> None:
    store = await stores.client()
    domid = await create(tiny(), "-p")
    path = f"{stores.root}/owned"
    await store.write(path, "x")
    await store.set_permissions(path, [f"n{domid}", "r0"])
    assert await store.get_permissions(path) == [f"n{domid}", "r0"]
    events = Events(await store.watch(path))
    assert await events.next() == path
    await xl("destroy", NAME)
    assert await events.next() == path
    assert not await store.exists(path)


async def test_permissions_for_a_domain_that_is_not_there(stores: Stores) -> None:
    store = await stores.client()
    path = f"{stores.root}/a"
    await store.mkdir(path)
    with pytest.raises(XenStoreMissing):
        await store.set_permissions(path, ["n32000"])
