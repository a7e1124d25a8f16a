"""What a call may use, besides its arguments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from xend.core.domains import DomainService
from xend.core.views import Caller


class HostFacts(Protocol):
    """What the host's operating system knows; the composition root provides it."""

    def uname(self) -> tuple[str, str, str, str, str]:
        """system, host, release, version, machine."""

    async def log_text(self) -> str:
        """The daemon's log file."""

    async def assignable_pci(self) -> list[tuple[int, int, int, int]] | None:
        """(domain, bus, slot, function) of the devices that may be given to guests; None when the
        driver for that (pciback) is not loaded."""


@dataclass(frozen=True, slots=True)
class CallContext:
    service: DomainService
    host: HostFacts
    caller: Caller
