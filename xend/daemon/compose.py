"""Building the adapters and the service: the one place that chooses."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, TypeAlias

from xend.config.domainsxp import decode_managed, encode_managed
from xend.config.importing import changes
from xend.core.clock import SystemClock
from xend.core.domains import DomainService
from xend.daemon.options import Options
from xend.daemon.settings import Settings
from xend.errors import JournalError
from xend.relocation.connector import TcpConnector
from xend.store.history import SqliteHistory
from xend.store.hostfiles import LocalFiles, boot_id
from xend.store.journal import SqliteJournal
from xend.store.poolfile import PoolFile
from xend.store.repository import FileRepository

if TYPE_CHECKING:
    from xend.core.counters import DeviceCounters
    from xend.core.ports import Clock, HostFiles, Hypervisor, XenStore

log = logging.getLogger("xend.daemon")


_Adapters: TypeAlias = "tuple[Hypervisor, XenStore, HostFiles, DeviceCounters]"


async def compose(
    options: Options, settings: Settings, stack: AsyncExitStack
) -> tuple[DomainService, DeviceCounters]:
    """A started service, and what counts its guests' devices.

    Whatever was opened is closed by `stack`, last first.

    HypervisorUnavailable says what is missing; nothing of any guest has been touched then.
    """
    clock = SystemClock()
    real = LocalFiles()
    stack.push_async_callback(real.close)
    if options.hypervisor == "sim":
        hypervisor, store, files, counters = _simulated(real, clock)
    else:
        hypervisor, store, files, counters = _real(real)
    stack.push_async_callback(counters.close)
    await store.start()
    stack.push_async_callback(store.close)
    await hypervisor.start()
    stack.push_async_callback(hypervisor.close)
    repository = FileRepository(settings.domains_dir, encode_managed, decode_managed, changes)
    stack.push_async_callback(repository.close)
    journal = SqliteJournal(settings.database, boot=boot_id())
    stack.push_async_callback(journal.close)
    await journal.start()
    history = await _history(settings, stack)
    pools = PoolFile(settings.state_dir)
    stack.push_async_callback(pools.close)
    service = DomainService(
        hypervisor,
        store,
        repository,
        journal,
        clock,
        settings.service,
        files=files,
        history=history,
        pools=pools,
        connector=TcpConnector(),
    )
    stack.push_async_callback(service.close)
    await service.start()
    return service, counters


async def _history(settings: Settings, stack: AsyncExitStack) -> SqliteHistory | None:
    """Without it xend still does its work."""
    history = SqliteHistory(settings.history, boot=boot_id())
    stack.push_async_callback(history.close)
    try:
        await history.start()
    except JournalError as error:
        log.error("events and jobs are only in memory: %s", error)
        return None
    return history


def _real(files: HostFiles) -> _Adapters:
    """libxl is loaded only here: a host without it can run the simulator."""
    from xend.libxl.probe import check_host

    check_host()
    from xend.libxl.hypervisor import XenHypervisor
    from xend.store.client import XenStoreClient
    from xend.store.hostcounters import LinuxCounters

    hypervisor: Hypervisor = XenHypervisor()
    store: XenStore = XenStoreClient()
    return hypervisor, store, files, LinuxCounters()


def _simulated(
    files: HostFiles, clock: Clock
) -> tuple[Hypervisor, XenStore, HostFiles, DeviceCounters]:
    from xend.sim.counters import SimCounters
    from xend.sim.files import SimFiles
    from xend.sim.hypervisor import SimHypervisor
    from xend.sim.machine import SimMachine
    from xend.sim.xenstore import SimXenStore

    store = SimXenStore()
    machine = SimMachine(clock, store.daemon, consoles=True)
    return SimHypervisor(machine), store, SimFiles(files), SimCounters(machine)
