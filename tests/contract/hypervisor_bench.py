"""A hypervisor to hold the contract against, with guests that both kinds know."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from xend.core.clock import SystemClock
from xend.core.ports import Hypervisor, HypervisorEvent, HypervisorEventKind, XenStore
from xend.errors import DomainNotFound, XendError
from xend.model.domain import DomainConfig
from xend.model.status import DomainInfo, ShutdownReason
from xend.model.units import Domid, KiB, kib
from xend.sim.guests import GuestBehaviour
from xend.sim.hypervisor import SimHypervisor
from xend.sim.machine import SimMachine
from xend.sim.xenstore import SimXenStore
from xend.sim.xenstored import SimXenstored

PREFIX = "contract-"
"""Of every domain made here, so that nobody else's is touched."""
IMAGES = Path("/var/lib/xen/images")
TINY, LINUX, INITRD = IMAGES / "tiny", IMAGES / "vmlinux", IMAGES / "initrd.img"
MISSING = "/no/such/kernel"


@dataclass
class Bench:
    hypervisor: Hypervisor
    store: XenStore
    folder: Path
    patience: float
    """Seconds that a guest may take to do what it is asked; Xen under emulation is slow."""
    seen: list[HypervisorEvent] = field(default_factory=list)

    def tiny(self, name: str = "tiny", **settings: Any) -> DomainConfig:
        """A kernel of 5 kB that sleeps and answers nothing."""
        values: dict[str, Any] = {
            "name": PREFIX + name,
            "uuid": uuid4(),
            "memory": kib(4),
            "kernel": str(TINY),
            **settings,
        }
        return DomainConfig.model_validate(values)

    def linux(self, name: str = "linux", **settings: Any) -> DomainConfig:
        """Linux and busybox: answers shutdown, reboot and suspend."""
        values: dict[str, Any] = {
            "memory": kib(128),
            "kernel": str(LINUX),
            "ramdisk": str(INITRD),
            "cmdline": "console=hvc0",
            **settings,
        }
        return self.tiny(name, **values)

    async def info(self, domid: Domid) -> DomainInfo:
        return await self.hypervisor.domain(domid)

    async def present(self, domid: Domid) -> bool:
        return any(
            info.domid == domid and not info.dying for info in await self.hypervisor.list_domains()
        )

    async def free(self) -> KiB:
        return (await self.hypervisor.host()).free_memory

    async def start(self, config: DomainConfig) -> Domid:
        """Running, and if it is Linux so far that it answers."""
        domid = await self.hypervisor.create(config)
        await self.hypervisor.unpause(domid)
        if config.ramdisk:
            await self.booted(domid)
        return domid

    async def booted(self, domid: Domid) -> None:
        """A Linux guest has announced that it listens to control/shutdown (drivers/xen/manage.c
        writes the features), or is simulated."""
        if self.hypervisor.backend == "xen":
            path = f"/local/domain/{domid}/control/feature-poweroff"
            await self.until(lambda: self._says(path))
            await self.until(lambda: self._idles(domid))  # Its init must be there as well.

    async def _idles(self, domid: Domid) -> bool:
        before = (await self.info(domid)).cpu_time
        await asyncio.sleep(0.5)
        return (await self.info(domid)).cpu_time - before < 25_000_000

    async def _says(self, path: str) -> bool:
        return await self.store.read_or(path) == "1"

    async def until(self, true: Callable[[], Any], what: str = "") -> None:
        try:
            async with asyncio.timeout(self.patience):
                while not await true():  # noqa: ASYNC110  (the guest sets no event)
                    await asyncio.sleep(0.05)
        except TimeoutError:
            pytest.fail(f"it did not happen within {self.patience} s: {what}")

    async def event(
        self, kind: HypervisorEventKind, domid: Domid, reason: ShutdownReason | None = None
    ) -> HypervisorEvent:
        """Waits for it, or finds it among those that came."""
        found: list[HypervisorEvent] = []

        async def came() -> bool:
            found[:] = [
                event
                for event in self.seen
                if (event.kind, event.domid) == (kind, domid) and reason in (None, event.reason)
            ]
            return bool(found)

        await self.until(came, f"{kind} of {domid}")
        return found[0]

    async def clean(self) -> None:
        for info in await self.hypervisor.list_domains():
            name = await self.store.read_or(f"/local/domain/{info.domid}/name")
            if (name or "").startswith(PREFIX):
                with suppress(DomainNotFound):
                    await self.hypervisor.destroy(info.domid)


def _behaviour(config: DomainConfig) -> GuestBehaviour:
    return GuestBehaviour(obeys=bool(config.ramdisk))


@asynccontextmanager
async def _simulated() -> AsyncIterator[tuple[Hypervisor, XenStore]]:
    daemon = SimXenstored()
    machine = SimMachine(
        SystemClock(), daemon, memory=kib(2048), behaviour=_behaviour, consoles=True
    )
    store = SimXenStore(daemon)
    await store.start()
    yield SimHypervisor(machine, kernel_exists=lambda path: path != MISSING), store
    await machine.settle()
    await store.close()


@asynccontextmanager
async def _real() -> AsyncIterator[tuple[Hypervisor, XenStore]]:
    from xend.libxl.hypervisor import XenHypervisor
    from xend.store.client import XenStoreClient

    if not TINY.exists():
        pytest.fail(f"{TINY} is missing: this test runs in the lab's dom0, with its guests")
    store = XenStoreClient()
    await store.start()
    yield XenHypervisor(), store
    await store.close()


@asynccontextmanager
async def bench(kind: str, folder: Path) -> AsyncIterator[Bench]:
    real = kind == "xen"
    patience = float(os.environ.get("XEND_TEST_PATIENCE", "60")) if real else 5.0
    async with _real() if real else _simulated() as (hypervisor, store):
        await hypervisor.start()
        made = Bench(hypervisor, store, folder, patience)

        async def listen() -> None:
            async for event in hypervisor.events():
                made.seen.append(event)

        listening = asyncio.create_task(listen())
        try:
            yield made
        finally:
            with suppress(XendError):
                await made.clean()
            listening.cancel()
            await asyncio.wait([listening])
            await hypervisor.close()
