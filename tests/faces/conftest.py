"""Every test of a face also proves that the event loop was never held up."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.faces.loopprobe import LoopProbe
from xend.api.faces import Faces, FaceSpec
from xend.api.facts import LinuxFacts
from xend.api.sockets import Listeners, UnixAddress, make_directory
from xend.config.domainsxp import decode_managed, encode_managed
from xend.core.clock import SystemClock
from xend.core.domains import DomainService
from xend.core.views import ServiceSettings
from xend.sim.files import SimFiles
from xend.sim.hypervisor import SimHypervisor
from xend.sim.machine import SimMachine
from xend.sim.xenstore import SimXenStore
from xend.store.hostfiles import LocalFiles
from xend.store.journal import SqliteJournal
from xend.store.records import SqliteRecords
from xend.store.repository import FileRepository


@pytest.fixture(autouse=True)
def _loop_never_blocked(request: pytest.FixtureRequest) -> Iterator[None]:
    gc.collect()  # what earlier tests left must not be collected on this test's time
    with LoopProbe() as probe:
        yield
    if probe.culprit:
        pytest.fail(f"the event loop was blocked by {probe.culprit}")


@dataclass
class Host:
    """A whole daemon but its process: the service over a simulated host, and its faces."""

    service: DomainService
    hypervisor: SimHypervisor
    run: Path
    log: Path
    records: SqliteRecords

    @property
    def xmlrpc(self) -> Path:
        return self.run / "xmlrpc.sock"

    @property
    def rest(self) -> Path:
        return self.run / "rest.sock"

    @property
    def cli(self) -> Path:
        return self.run / "cli.sock"


@pytest_asyncio.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    run = tmp_path / "run"
    log = tmp_path / "xend.log"
    make_directory(run)
    async with AsyncExitStack() as stack:
        service, hypervisor = await simulated(tmp_path, stack)
        records = SqliteRecords(tmp_path / "xend.db", synchronous="OFF")
        stack.push_async_callback(records.close)
        faces = Faces(Listeners(), service, LinuxFacts(log), records, paths=(tmp_path,))
        stack.push_async_callback(faces.close)
        specs = [
            FaceSpec("xmlrpc", UnixAddress(run / "xmlrpc.sock")),
            FaceSpec("rest", UnixAddress(run / "rest.sock")),
            FaceSpec("cli", UnixAddress(run / "cli.sock")),
        ]
        assert await faces.apply(specs) == []
        yield Host(service, hypervisor, run, log, records)


async def simulated(folder: Path, stack: AsyncExitStack) -> tuple[DomainService, SimHypervisor]:
    """A started service over a simulated host of 8 GiB and 4 CPUs."""
    clock = SystemClock()
    store = SimXenStore()
    files = LocalFiles()
    stack.push_async_callback(files.close)
    hypervisor = SimHypervisor(SimMachine(clock, store.daemon))
    await store.start()
    stack.push_async_callback(store.close)
    await hypervisor.start()
    stack.push_async_callback(hypervisor.close)
    repository = FileRepository(folder / "domains", encode_managed, decode_managed)
    stack.push_async_callback(repository.close)
    journal = SqliteJournal(folder / "xend.db", synchronous="OFF")
    await journal.start()
    stack.push_async_callback(journal.close)
    settings = ServiceSettings(close_grace=0.0)
    service = DomainService(
        hypervisor, store, repository, journal, clock, settings, files=SimFiles(files)
    )
    stack.push_async_callback(service.close)
    await service.start()
    return service, hypervisor
