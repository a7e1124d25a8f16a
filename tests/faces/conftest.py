"""Every test of a face also proves that the event loop was never held up."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from tests.faces.loopprobe import LoopProbe
from xend.api.faces import Faces, FaceSpec
from xend.api.facts import LinuxFacts
from xend.api.rest.parts import RestParts
from xend.api.rest.security_rules import RestRules
from xend.api.sockets import Listeners, UnixAddress, make_directory
from xend.config.domainsxp import decode_managed, encode_managed
from xend.console.hub import Consoles
from xend.core.clock import SystemClock
from xend.core.domains import DomainService
from xend.core.operationcounts import OperationCounts
from xend.core.views import ServiceSettings
from xend.daemon.audit import OperationAudit
from xend.daemon.heartbeat import Heartbeat
from xend.relocation.connector import TcpConnector
from xend.sim.counters import SimCounters
from xend.sim.files import SimFiles
from xend.sim.hypervisor import SimHypervisor
from xend.sim.machine import SimMachine
from xend.sim.xenstore import SimXenStore
from xend.sim.xenstored import SimXenstored
from xend.store.audit import SqliteAudit
from xend.store.history import SqliteHistory
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


class Host:
    """A whole daemon but its process: the service over a simulated host, and its faces."""

    service: DomainService
    hypervisor: SimHypervisor
    records: SqliteRecords
    faces: Faces

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run = folder / "run"
        self.log = folder / "xend.log"
        self._stage = Stage()
        self._stack = AsyncExitStack()

    @property
    def xmlrpc(self) -> Path:
        return self.run / "xmlrpc.sock"

    @property
    def rest(self) -> Path:
        return self.run / "rest.sock"

    @property
    def cli(self) -> Path:
        return self.run / "cli.sock"

    @property
    def xenstored(self) -> SimXenstored:
        return self._stage.xenstored

    async def start(self) -> None:
        make_directory(self.run)
        self.service, self.hypervisor = await simulated(self.folder, self._stack, self._stage)
        self.records = SqliteRecords(self.folder / "xend.db", synchronous="OFF")
        self._stack.push_async_callback(self.records.close)
        parts = await rest_parts(
            self.service, self.hypervisor, self.records, self.folder, self._stack
        )
        self.faces = Faces(Listeners(), self.service, LinuxFacts(self.log), parts)
        self._stack.push_async_callback(self.faces.close)
        specs = [
            FaceSpec("xmlrpc", UnixAddress(self.xmlrpc)),
            FaceSpec("rest", UnixAddress(self.rest)),
            FaceSpec("cli", UnixAddress(self.cli)),
        ]
        assert await self.faces.apply(specs) == []

    async def close(self) -> None:
        await self._stack.aclose()

    async def restart(self) -> None:
        """The machine goes on; what was under way is cut off, as by a kill."""
        await self.close()
        self._stack = AsyncExitStack()
        await self.start()


@pytest_asyncio.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    host = Host(tmp_path)
    await host.start()
    yield host
    await host.close()


async def rest_parts(
    service: DomainService,
    hypervisor: SimHypervisor,
    records: SqliteRecords,
    folder: Path,
    stack: AsyncExitStack,
) -> RestParts:
    """As the daemon makes them, in `folder`."""
    audit = SqliteAudit(folder / "audit.db")
    stack.push_async_callback(audit.close)
    operations = OperationCounts()
    follower = OperationAudit(service, audit, operations)
    follower.start()
    stack.push_async_callback(follower.close)
    consoles = Consoles(service, limit=64 * 1024, lock_folder=folder)
    stack.push_async_callback(consoles.close)
    counters = SimCounters(hypervisor.machine)
    loop = Heartbeat(lambda: None, None)
    rules = RestRules(images=(folder, Path("/boot"), Path("/srv")))
    return RestParts(records, audit, consoles, counters, operations, loop, (folder,), rules)


class Stage:
    """What outlives the daemon: the machine and its XenStore."""

    def __init__(self) -> None:
        self.clock = SystemClock()
        self.xenstored = SimXenstored()
        self.machine = SimMachine(self.clock, self.xenstored, consoles=True)


async def simulated(
    folder: Path, stack: AsyncExitStack, stage: Stage | None = None
) -> tuple[DomainService, SimHypervisor]:
    """A started service over a simulated host of 8 GiB and 4 CPUs."""
    stage = stage or Stage()
    store = SimXenStore(stage.xenstored)
    files = LocalFiles()
    stack.push_async_callback(files.close)
    hypervisor = SimHypervisor(stage.machine)
    await store.start()
    stack.push_async_callback(store.close)
    await hypervisor.start()
    stack.push_async_callback(hypervisor.close)
    repository = FileRepository(folder / "domains", encode_managed, decode_managed)
    stack.push_async_callback(repository.close)
    journal = SqliteJournal(folder / "xend.db", synchronous="OFF")
    await journal.start()
    stack.push_async_callback(journal.close)
    history = SqliteHistory(folder / "history.db", boot="this one")
    await history.start()
    stack.push_async_callback(history.close)
    service = DomainService(
        hypervisor,
        store,
        repository,
        journal,
        stage.clock,
        ServiceSettings(close_grace=0.0),
        files=SimFiles(files),
        history=history,
        connector=TcpConnector(),
    )
    stack.push_async_callback(service.close)
    await service.start()
    return service, hypervisor
