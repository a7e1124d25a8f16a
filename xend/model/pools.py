"""CPU pools: as they are wanted, and as the hypervisor has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

DEFAULT_POOL: Final = "Pool-0"
"""What the configuration of a domain says that is in pool 0, whatever that is called now."""


@dataclass(frozen=True, slots=True)
class PoolInfo:
    """A pool of the hypervisor (libxl_cpupoolinfo)."""

    id: int
    name: str
    """Empty when its maker has given it none."""
    scheduler: str
    """credit, credit2, rtds, null …"""
    cpus: tuple[int, ...]
    domains: int
    """How many are in it."""


@dataclass(frozen=True, slots=True)
class PoolConfig:
    """A pool as somebody asked for it."""

    uuid: UUID
    name: str
    description: str = ""
    scheduler: str = ""
    """Empty: the host's."""
    ncpu: int = 1
    cpus: tuple[int, ...] = ()
    """Those it would like to have; others are taken when these are not free."""
    auto_power_on: bool = False
    """Started with the daemon."""
    other: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PoolView:
    """A pool as readers see it."""

    config: PoolConfig
    id: int | None
    """None while it is not active."""
    scheduler: str
    cpus: tuple[int, ...]
    """That it has now; none while it is not active."""
    domains: tuple[tuple[str, str], ...]
    """(uuid, name) of those that run in it."""
    managed: bool
    """Registered: it is still known when it has been stopped."""

    @property
    def active(self) -> bool:
        return self.id is not None
