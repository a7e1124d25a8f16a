"""What the devices of guests have done: counters that only grow while the device is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from xend.model.units import Domid


@dataclass(frozen=True, slots=True)
class BlockCounters:
    """One disk whose backend is in the kernel of dom0 (blkback); a sector has 512 bytes."""

    domid: Domid
    devid: int
    reads: int
    writes: int
    flushes: int
    discards: int
    read_sectors: int
    written_sectors: int
    out_of_requests: int
    """Times that the backend had to wait for memory of its own."""


@dataclass(frozen=True, slots=True)
class NetworkCounters:
    """One interface, as the guest sees it: what it received, and what it sent."""

    domid: Domid
    devid: int
    received_bytes: int
    received_packets: int
    received_errors: int
    received_dropped: int
    sent_bytes: int
    sent_packets: int
    sent_errors: int
    sent_dropped: int


class DeviceCounters(Protocol):
    async def block(self) -> Sequence[BlockCounters]: ...

    async def network(self) -> Sequence[NetworkCounters]: ...

    async def close(self) -> None: ...


class LoopLag(Protocol):
    """How late the event loop is."""

    lag: float
    """Seconds, at the last look."""
    longest: float
    """Seconds, ever."""
