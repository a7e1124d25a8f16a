"""Plans: what is to be done, as values.  Pure, so that they are tested without Xen.

`xend.core.steps` applies them, pushing an undo for each step, and unwinds in reverse when one
fails.  The journal's intent comes before the first side effect and ends after the last one, so a
plan that is cut off by a crash is finished or undone at the next start (`xend.core.reconcile`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from xend.core.relocation import Incoming
from xend.model.domain import DomainConfig
from xend.model.units import Domid

IntentKind = Literal[
    "create",
    "restore",
    "restart",
    "rename-restart",
    "soft-reset",
    "save",
    "destroy",
    "adopt",
    "rename",
    "attach",
    "detach",
    "dump",
    "migrate",
    "receive",
]


@dataclass(frozen=True, slots=True)
class ReserveIdentity:
    """Its name, uuid and MACs are nobody else's until the plan has ended."""

    config: DomainConfig
    beside: Domid | None = None
    """A domain of this host that may have the same uuid meanwhile: it migrates to itself."""


@dataclass(frozen=True, slots=True)
class ReserveMemory:
    """Of free memory, what building it takes."""

    config: DomainConfig
    key: str = ""
    """Who it is for, where the uuid would not tell two domains apart."""


@dataclass(frozen=True, slots=True)
class Begin:
    """The intent is on disk before anything else happens."""

    kind: IntentKind
    uuid: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class EndOld:
    """The old incarnation goes; from here on the plan can only go forward."""

    domid: Domid
    timeout: float


@dataclass(frozen=True, slots=True)
class Own:
    """On disk: its policies are ours."""

    config: DomainConfig
    managed: bool
    restarts: int = 0
    quick: int = 0
    replaces: Domid | None = None


@dataclass(frozen=True, slots=True)
class Build:
    """From its kernel, a saved image or another host.  Undone by destroying what became of it."""

    config: DomainConfig
    source: Path | Incoming | None = None
    timeout: float | None = None
    own: Own | None = None
    """Goes to disk while it is built, since a later step waits for that."""


@dataclass(frozen=True, slots=True)
class Unpause:
    pass


@dataclass(frozen=True, slots=True)
class RemoveFile:
    """A saved image that has become a domain, that of the managed domain with this uuid."""

    path: Path
    uuid: str


@dataclass(frozen=True, slots=True)
class TakeOver:
    """What was received is complete: the sender lets go of its own."""

    incoming: Incoming


@dataclass(frozen=True, slots=True)
class Insist:
    """Steps to something that was promised to a guest: when one fails for what may pass, they are
    undone and tried again; when they have failed for good the configuration is kept."""

    config: DomainConfig
    managed: bool
    steps: tuple[Step, ...]
    pauses: tuple[float, ...]
    """Seconds before each further try."""


@dataclass(frozen=True, slots=True)
class Settle:
    """The intent ends."""


Step = (
    ReserveIdentity
    | ReserveMemory
    | Begin
    | EndOld
    | Build
    | Own
    | Unpause
    | RemoveFile
    | TakeOver
    | Insist
    | Settle
)
Plan = tuple[Step, ...]


def plan_create(
    config: DomainConfig,
    *,
    paused: bool,
    managed: bool,
    timeout: float,
) -> Plan:
    """A boot loader has no time limit: its menu may wait for a person at the console."""
    begin = Begin("create", str(config.uuid), {"paused": paused, "name": config.name})
    own = Own(config, managed)
    build = Build(config, timeout=None if config.bootloader else timeout, own=own)
    plan: tuple[Step, ...] = (
        ReserveIdentity(config),
        begin,
        ReserveMemory(config),
        build,
        own,
    )
    return plan + (() if paused else (Unpause(),)) + (Settle(),)


def plan_restart(
    config: DomainConfig,
    old: Domid | None,
    *,
    managed: bool,
    restarts: int,
    quick: int,
    paused: bool,
    timeout: float,
    destroy_timeout: float,
    pauses: tuple[float, ...],
) -> Plan:
    """The same name and uuid under a new domid; its boot loader runs again.

    The memory of the old one is free before the new one's is reserved.  `old` None: it is gone
    already, or has been renamed to be kept.
    """
    data = {
        "name": config.name,
        "config": config.model_dump(mode="json"),
        "old": old,
        "managed": managed,
        "restarts": restarts,
        "quick": quick,
        "paused": paused,
    }
    plan: tuple[Step, ...] = (Begin("restart", str(config.uuid), data),)
    if old is not None:
        plan += (EndOld(old, destroy_timeout),)
    steps: tuple[Step, ...] = (
        ReserveIdentity(config),
        ReserveMemory(config),
        Build(config, timeout=None if config.bootloader else timeout),
        Own(config, managed, restarts=restarts, quick=quick, replaces=old),
    )
    steps += () if paused else (Unpause(),)
    return (*plan, Insist(config, managed, steps, pauses), Settle())


def plan_restore(
    config: DomainConfig,
    source: Path,
    *,
    paused: bool,
    managed: bool,
    remove_source: bool,
    timeout: float,
) -> Plan:
    """`remove_source`: a managed domain's checkpoint, which must not be restored twice.  It goes
    before the guest runs: from then on its disks are no longer those of the image."""
    data = {
        "paused": paused,
        "name": config.name,
        "source": str(source),
        "remove": remove_source,
    }
    plan: tuple[Step, ...] = (
        ReserveIdentity(config),
        Begin("restore", str(config.uuid), data),
        ReserveMemory(config),
        Build(config, source, timeout),
        Own(config, managed),
    )
    if remove_source:
        plan += (RemoveFile(source, str(config.uuid)),)
    return plan + (() if paused else (Unpause(),)) + (Settle(),)


def plan_receive(incoming: Incoming) -> Plan:
    """Up to the moment from which only this host may run it; its intent stays open then
    (`xend.core.receiving`).  No time limit: the network decides how long it takes."""
    config = incoming.offer.config
    key = f"{config.uuid} arriving" if incoming.beside is not None else ""
    return (
        ReserveIdentity(config, incoming.beside),
        Begin("receive", str(config.uuid), incoming.data),
        ReserveMemory(config, key=key),
        Build(config, incoming),
        TakeOver(incoming),
    )
