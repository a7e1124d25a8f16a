"""What the REST face has beside the service; light, because every daemon imports it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from xend.api.rest.security_rules import RestRules
from xend.console.hub import Consoles
from xend.core.access import AuditLog
from xend.core.counters import DeviceCounters, LoopLag
from xend.core.operationcounts import OperationCounts
from xend.core.ports import Records


@dataclass(slots=True)
class RestParts:
    records: Records
    audit: AuditLog
    consoles: Consoles
    counters: DeviceCounters
    operations: OperationCounts
    loop: LoopLag
    paths: tuple[Path, ...] = ()
    """Below which clients may name files of Domain-0; replaced at a reload."""
    rules: RestRules = field(default_factory=RestRules)
    """Replaced at a reload."""
