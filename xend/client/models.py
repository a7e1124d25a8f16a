"""The documents of the interface, as far as programs use them; `GET /v1/openapi.json` has all.

Memory is in KiB, times are RFC 3339 in UTC.  A document may have more keys than these: they are
only ever added to.
"""

from __future__ import annotations

from typing import Any, Generic, Literal, TypedDict, TypeVar

Item = TypeVar("Item")

PowerState = Literal["halted", "paused", "running", "suspended", "shutdown", "crashed", "unknown"]
OperationStatus = Literal["queued", "running", "done", "failed", "cancelled", "interrupted"]
RoleWord = Literal["viewer", "operator", "admin"]
DeviceKind = Literal["disks", "nics", "vfbs", "pci"]
Dialect = Literal["json", "sxp"]
MediaType = Literal[
    "application/json", "text/x-python", "application/x-xl-config", "application/sxp"
]


class Page(TypedDict, Generic[Item]):
    items: list[Item]
    next: str | None


class Domain(TypedDict, total=False):
    name: str
    uuid: str
    domid: int | None
    power_state: PowerState
    flags: str
    origin: Literal["xend", "foreign", "host"]
    managed: bool
    type: str | None
    memory: dict[str, int]
    vcpus: dict[str, int]
    config: dict[str, Any]
    links: dict[str, str]


class Operation(TypedDict, total=False):
    id: str
    kind: str
    status: OperationStatus
    progress: dict[str, Any]
    target: dict[str, Any]
    requested_by: dict[str, Any]
    created_at: str | None
    started_at: str | None
    finished_at: str | None
    error: dict[str, Any] | None
    cancellable: bool
    links: dict[str, str]


class Device(TypedDict, total=False):
    id: str
    configured: dict[str, Any] | None
    attached: dict[str, Any] | None


class Host(TypedDict, total=False):
    name: str
    kernel: dict[str, str]


class Versions(TypedDict):
    versions: list[str]
    server: str
    features: list[str]


class Ticket(TypedDict):
    ticket: str
    url: str
    protocol: str
    expires_in: float


class Token(TypedDict):
    id: str
    name: str
    role: RoleWord
    created_at: str
    created_by: str
    expires_at: str | None
    revoked_at: str | None
    last_used_at: str | None


class NewToken(Token):
    token: str


class AuditLine(TypedDict):
    seq: int
    time: str
    who: str
    role: str
    origin: str
    face: str
    action: str
    target: str
    result: str
    operation: str


class Event(TypedDict, total=False):
    id: int
    time: str
    topic: str
    kind: str
    ids: dict[str, str]
