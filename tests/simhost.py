"""A simulated host with a service on it, which can be killed and started again.

The machine, its XenStore and the files on disk outlive the service, as they outlive xend.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from xend.core.domains import DomainService
from xend.core.pools import Unregistered
from xend.core.ports import Clock, PoolRepository
from xend.core.views import DomainView, ServiceSettings
from xend.model.devices import Disk, Vif
from xend.model.domain import DomainConfig
from xend.model.units import KiB, kib
from xend.relocation.connector import TcpConnector
from xend.sim.clock import VirtualClock
from xend.sim.files import SimFiles
from xend.sim.guests import Behaviour, well_behaved
from xend.sim.hypervisor import FaultHook, SimHypervisor, no_faults
from xend.sim.machine import SimMachine
from xend.sim.xenstore import SimXenStore
from xend.sim.xenstored import SimXenstored
from xend.store.history import SqliteHistory
from xend.store.hostfiles import LocalFiles
from xend.store.journal import SqliteJournal
from xend.store.repository import FileRepository


def guest(name: str = "web", **settings: Any) -> DomainConfig:
    """A small PV guest without devices; `mib` for its memory."""
    values: dict[str, Any] = {
        "name": name,
        "uuid": uuid4(),
        "memory": kib(settings.pop("mib", 64)),
        "kernel": "/boot/vmlinux",
        **settings,
    }
    return DomainConfig.model_validate(values)


def disk(path: str = "/srv/web.img", vdev: str = "xvda") -> Disk:
    return Disk(scheme="file", path=path, vdev=vdev)


def vif(mac: str = "", bridge: str = "xenbr0") -> Vif:
    return Vif(mac=mac, bridge=bridge)


class SimHost:
    def __init__(
        self,
        folder: Path,
        *,
        clock: Clock | None = None,
        memory: KiB | None = None,
        behaviour: Behaviour = well_behaved,
        settings: ServiceSettings | None = None,
        consoles: bool = False,
    ) -> None:
        self.folder = folder
        self.clock = clock or VirtualClock(auto=True)
        self.xenstored = SimXenstored()
        self.machine = SimMachine(
            self.clock,
            self.xenstored,
            memory=memory or kib(8192),
            behaviour=behaviour,
            consoles=consoles,
        )
        self.settings = settings or ServiceSettings(
            close_grace=0.0,
            dump_dir=str(folder / "dump"),
            memory_wait=1.0,
            list_max_age=-1.0,  # Virtual time stands still between two reads.
        )
        self.local = LocalFiles()
        self.files = SimFiles(self.local)
        self.hypervisor = SimHypervisor(self.machine)
        self.store = SimXenStore(self.xenstored)
        self.boot = "boot-1"
        self.pools: PoolRepository = Unregistered()
        self.journal: SqliteJournal
        self.history: SqliteHistory
        self.repository: FileRepository
        self.service: DomainService

    @property
    def free(self) -> int:
        return int(self.machine.free)

    async def start(
        self,
        *,
        journal: Callable[[SqliteJournal], Any] = lambda real: real,
        faults: FaultHook = no_faults,
    ) -> None:
        """`journal` may wrap it, to stop the service at one of its writes; `faults` may stop it
        at what it asks of the hypervisor."""
        self.hypervisor = SimHypervisor(self.machine, faults=faults)
        self.store = SimXenStore(self.xenstored)
        await self.store.start()
        await self.hypervisor.start()
        self.journal = SqliteJournal(self.folder / "xend.db", boot=self.boot, synchronous="OFF")
        await self.journal.start()
        self.history = SqliteHistory(self.folder / "history.db", boot=self.boot)
        await self.history.start()
        self.repository = FileRepository(
            self.folder / "domains",
            lambda config: config.model_dump_json(),
            DomainConfig.model_validate_json,
        )
        self.service = DomainService(
            self.hypervisor,
            self.store,
            self.repository,
            journal(self.journal),
            self.clock,
            self.settings,
            files=self.files,
            history=self.history,
            pools=self.pools,
            connector=TcpConnector(),
        )
        await self.service.start()

    async def stop(self) -> None:
        """What a kill leaves and what an orderly end leaves are the same: jobs are abandoned."""
        await self.service.close()
        await self.hypervisor.close()
        await self.store.close()
        await self.journal.close()
        await self.history.close()
        await self.repository.close()

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    async def close(self) -> None:
        await self.stop()
        await self.machine.settle()
        await self.local.close()

    async def names(self) -> list[str]:
        """Of the guests, by domid, and then the halted."""
        return [view.name for view in await self.service.list() if view.domid != 0]

    async def until(
        self, true: Callable[[], Awaitable[bool]], what: str = "it", seconds: float = 5.0
    ) -> None:
        """Waits in real time for what other tasks do."""
        async with asyncio.timeout(seconds):
            while not await true():  # noqa: ASYNC110  (what is waited for sets no event)
                await asyncio.sleep(0.005)

    async def view(self, ref: str | int | UUID) -> DomainView:
        return await self.service.lookup(str(ref) if isinstance(ref, UUID) else ref)

    async def quiet(self) -> None:
        """No job is under way any more."""

        async def done() -> bool:
            return all(job.done for job in self.service.jobs.list())

        await self.until(done)


@asynccontextmanager
async def running(folder: Path, **settings: Any) -> AsyncIterator[SimHost]:
    host = SimHost(folder, **settings)
    await host.start()
    try:
        yield host
    finally:
        await host.close()
