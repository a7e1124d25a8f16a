"""Guests and events for the binding's tests."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.lab.conftest import run
from tests.lab.guests import LINUX_INITRD, LINUX_KERNEL
from xend.core.ports import HypervisorEvent, HypervisorEventKind
from xend.libxl.hypervisor import XenHypervisor
from xend.model.domain import DomainConfig
from xend.model.units import Domid


def config(name: str, kernel: Path | str, **more: Any) -> DomainConfig:
    fields: dict[str, Any] = {"name": f"bx-{name}", "uuid": uuid4(), "memory": 4096}
    return DomainConfig(**(fields | {"kernel": str(kernel)} | more))


def linux(name: str, **more: Any) -> DomainConfig:
    return config(
        name,
        LINUX_KERNEL,
        ramdisk=str(LINUX_INITRD),
        cmdline="console=hvc0",
        memory=128 * 1024,
        **more,
    )


class Events:
    """Collects events in the background; `until` waits for one."""

    def __init__(self, xen: XenHypervisor) -> None:
        self.seen: list[HypervisorEvent] = []
        self._changed = asyncio.Condition()
        self._task = asyncio.create_task(self._collect(xen))

    async def _collect(self, xen: XenHypervisor) -> None:
        async for event in xen.events():
            async with self._changed:
                self.seen.append(event)
                self._changed.notify_all()

    async def until(self, kind: HypervisorEventKind, domid: int) -> HypervisorEvent:
        def found() -> list[HypervisorEvent]:
            return [e for e in self.seen if e.kind is kind and e.domid == domid]

        async with asyncio.timeout(60), self._changed:
            await self._changed.wait_for(found)
        return found()[0]

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def until_it_listens(domid: Domid) -> None:
    """Linux says so when its handler of control/shutdown is there."""
    path = f"/local/domain/{domid}/control/feature-poweroff"
    for _ in range(240):
        if run("xenstore-read", path).stdout.strip() == "1":
            await asyncio.sleep(2)  # its user space needs a moment more
            return
        await asyncio.sleep(0.5)
    raise AssertionError(f"the Linux guest {domid} did not start")
