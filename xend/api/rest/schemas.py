"""The documents that are answered, as the interface describes them (never built at run time: what
is answered is rendered by `documents`, and tests hold the two together)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

PowerWord = Literal["halted", "paused", "running", "suspended", "shutdown", "crashed", "unknown"]


def _nothing_required(schema: dict[str, Any]) -> None:
    schema.pop("required", None)


class Shown(BaseModel):
    model_config = ConfigDict(json_schema_serialization_defaults_required=True)


class Part(BaseModel):
    """Within lists, where `fields=` may leave anything out."""

    model_config = ConfigDict(json_schema_extra=_nothing_required)


class Problem(Shown):
    """RFC 9457."""

    type: str = Field(examples=["urn:xend:error:domain.not-found"])
    title: str
    status: int
    detail: str
    code: str = Field(description="the stable part of `type`", examples=["domain.not-found"])
    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:xend:error:domain.bad-state",
                    "title": "Conflict",
                    "status": 409,
                    "detail": "Domain 'web' is halted: cannot pause",
                    "code": "domain.bad-state",
                    "fields": {"domain": "web", "state": "halted", "verb": "pause"},
                    "possible": ["start", "rename", "delete"],
                }
            ]
        },
    )


class Amounts(Part):
    current: int = Field(description="KiB", examples=[262144])
    maximum: int = Field(description="KiB", examples=[262144])


class Counts(Part):
    online: int = Field(examples=[1])
    maximum: int = Field(examples=[2])


class Links(Part):
    self: str = Field(examples=["/v1/domains/5b1ca0e2-9d3f-4d57-8a3c-6d5c3c9f7a11"])
    actions: str = Field(examples=["/v1/domains/5b1ca0e2-9d3f-4d57-8a3c-6d5c3c9f7a11/actions/"])


class DomainShown(Part):
    name: str = Field(examples=["prospero"])
    uuid: str = Field(examples=["5b1ca0e2-9d3f-4d57-8a3c-6d5c3c9f7a11"])
    domid: int | None = Field(description="null: it does not run", examples=[3])
    power_state: PowerWord = Field(examples=["running"])
    flags: str = Field(description="`rbpscd`, as in `xm list`", examples=["-b----"])
    shutdown_reason: str | None = Field(examples=[None])
    origin: Literal["xend", "foreign", "host"] = Field(
        description="whose policies apply; host: Domain-0", examples=["xend"]
    )
    managed: bool = Field(examples=[True])
    paused_by_admin: bool = Field(examples=[False])
    type: str | None = Field(examples=["pv"])
    memory: Amounts
    vcpus: Counts
    cpu_time: int = Field(description="nanoseconds", examples=[4250000000])
    pool: str = Field(examples=["Pool-0"])
    started_at: str | None = Field(examples=["2026-11-23T10:00:00.000+00:00"])
    restarts: int = Field(examples=[0])
    links: Links


class DomainWithConfig(DomainShown):
    config: dict[str, JsonValue] | None = Field(
        description="as it can be posted, but for passwords"
    )


class DomainList(Shown):
    items: list[DomainShown]
    next: str | None = Field(description="cursor of the next page", examples=[None])


class Progress(Part):
    stage: str = Field(examples=["devices"])
    percent: float | None = Field(examples=[None])
    bytes: int | None = Field(examples=[None])


class Target(Part):
    uuid: str | None = Field(examples=["5b1ca0e2-9d3f-4d57-8a3c-6d5c3c9f7a11"])
    name: str | None = Field(examples=["prospero"])


class Requester(Part):
    face: str = Field(examples=["rest"])
    uid: int | None = Field(examples=[0])
    label: str = Field(examples=["uid 0"])


class OperationLinks(Part):
    self: str = Field(examples=["/v1/operations/8c3f2a1e-7"])
    domain: str | None = Field(examples=["/v1/domains/5b1ca0e2-9d3f-4d57-8a3c-6d5c3c9f7a11"])


class OperationShown(Part):
    id: str = Field(examples=["8c3f2a1e-7"])
    kind: str = Field(examples=["create"])
    status: Literal["queued", "running", "done", "failed", "cancelled", "interrupted"] = Field(
        description="interrupted: xend ended while it ran; what became of it was settled when it "
        "started again, and `links.domain` tells",
        examples=["running"],
    )
    progress: Progress
    target: Target
    requested_by: Requester
    created_at: str | None = Field(examples=["2026-11-23T10:00:00.000+00:00"])
    started_at: str | None = Field(examples=["2026-11-23T10:00:00.010+00:00"])
    finished_at: str | None = Field(examples=[None])
    error: Problem | None = Field(examples=[None])
    cancellable: bool = Field(examples=[True])
    links: OperationLinks


class OperationList(Shown):
    items: list[OperationShown]
    next: str | None = Field(examples=[None])


class ActionShown(Shown):
    action: str
    summary: str
    arguments: dict[str, JsonValue]
    href: str
    possible: bool = Field(description="in the state that the domain is in now")


class ActionList(Shown):
    items: list[ActionShown]
    next: str | None


class DeviceShown(Part):
    id: str = Field(description="its address below the list", examples=["51712"])
    configured: dict[str, JsonValue] | None = Field(
        description="as the configuration has it; null: attached by somebody else",
        examples=[{"vdev": "xvda", "path": "/srv/web.img", "scheme": "file", "access": "w"}],
    )
    attached: dict[str, JsonValue] | None = Field(
        description="as XenStore shows it: `devid`, `frontend`, `backend`; null: it does not run",
        examples=[{"devid": 51712, "frontend": {"state": "4"}, "backend": {"state": "4"}}],
    )


class DeviceList(Shown):
    items: list[DeviceShown]
    next: str | None = Field(examples=[None])


class Done(Shown):
    result: None = Field(description="the change has been made")


class MemoryShown(Shown):
    current: int = Field(description="KiB that it has", examples=[262144])
    target: int | None = Field(description="KiB that it should have", examples=[262144])
    maximum: int = Field(description="KiB that it can have", examples=[262144])


class VcpuShown(Shown):
    number: int
    online: bool
    blocked: bool
    running: bool
    cpu: int = Field(description="the physical CPU that it is on, -1 for none")
    cpu_time: int = Field(description="nanoseconds")
    affinity: list[int]


class VcpusShown(Shown):
    online: int
    maximum: int
    items: list[VcpuShown] = Field(description="empty when it does not run")


class SchedulerShown(Shown):
    weight: int = Field(examples=[256])
    cap: int = Field(description="percent of one CPU; 0: no cap", examples=[0])


class AffinityShown(Shown):
    items: list[list[int]] = Field(
        description="CPUs of each vcpu; an empty list: any", examples=[[[0, 1], []]]
    )


class DeviceCounters(Shown):
    id: str
    counters: dict[str, int]


class StatsShown(Shown):
    cpu_time: int = Field(description="nanoseconds", examples=[4250000000])
    memory: Amounts
    vcpus: list[dict[str, int]]
    disks: list[DeviceCounters]
    nics: list[DeviceCounters]


class LogsShown(Shown):
    items: list[str] = Field(description="the lines of xend.log that are about it, oldest first")
    next: str | None


class EventShown(Shown):
    id: int = Field(examples=[1042])
    time: str = Field(examples=["2026-11-23T10:00:00.000+00:00"])
    topic: str = Field(examples=["domain"])
    kind: str = Field(examples=["created"])
    ids: dict[str, str] = Field(examples=[{"uuid": "5b1c…", "name": "prospero", "domid": "3"}])


class EventList(Shown):
    items: list[EventShown]
    next: str | None


class PoolMember(Shown):
    uuid: str
    name: str


class PoolShown(Part):
    id: int | None = Field(description="null: it is not active", examples=[1])
    name: str = Field(examples=["quiet"])
    uuid: str = Field(examples=["1f4c…"])
    description: str = Field(examples=[""])
    active: bool = Field(examples=[True])
    managed: bool = Field(description="still known when it has been stopped", examples=[False])
    scheduler: str = Field(examples=["credit2"])
    cpus: list[int] = Field(examples=[[3]])
    domains: list[PoolMember]


class UsbControllerShown(Shown):
    id: str = Field(examples=["0"])
    version: int = Field(examples=[2])
    ports: dict[str, str | None] = Field(
        description="the host's device in each", examples=[{"1": "1-1.4", "2": None}]
    )


class UsbControllerList(Shown):
    items: list[UsbControllerShown]
    next: None


class UsbShown(Shown):
    device: str = Field(examples=["1-1.4"])
    controller: int
    port: int


class UsbList(Shown):
    items: list[UsbShown]
    next: None


class PoolList(Shown):
    items: list[PoolShown]
    next: str | None = Field(examples=[None])


class Versions(Shown):
    versions: list[str] = Field(examples=[["/v1"]])
    server: str = Field(examples=["xend 0.1.0"])
    features: list[str] = Field(
        description="only ever added to: what a client may rely on beyond the first version"
    )


class Health(Shown):
    status: Literal["ok"]


class Ready(Shown):
    status: Literal["ready"]
    backend: Literal["xen", "sim"]


class HostShown(Shown):
    name: str
    kernel: dict[str, str]
    model_config = ConfigDict(extra="allow")


class CpuShown(Shown):
    cpu: int
    core: int
    socket: int
    node: int


class CpuList(Shown):
    items: list[CpuShown]
    next: None
    khz: int


class NodeShown(Shown):
    node: int
    total: int = Field(description="KiB")
    free: int = Field(description="KiB")
    distances: list[int]
    cpus: list[int]


class NodeList(Shown):
    items: list[NodeShown]
    next: None


class HostMemory(Shown):
    """KiB."""

    total: int
    free: int
    scrubbing: int
    claimed: int
    dom0: int


class PciShown(Shown):
    address: str = Field(examples=["0000:03:00.0"])
    assigned_to: str | None = Field(description="uuid of the domain that has it")


class PciList(Shown):
    items: list[PciShown]
    next: None
    driver: bool = Field(description="whether a driver for passing devices on is loaded in dom0")


class HostUsbShown(Shown):
    device: str = Field(
        description="its bus id, by which it is given to a guest", examples=["1-1.4"]
    )
    bus: int = Field(examples=[1])
    address: int = Field(examples=[4])
    vendor: str = Field(examples=["0781"])
    model: str = Field(examples=["5567"])
    name: str = Field(
        description="maker and product, in its own words", examples=["SanDisk Cruzer"]
    )
    assigned_to: str | None = Field(description="uuid of the domain that has it", examples=[None])


class HostUsbList(Shown):
    items: list[HostUsbShown]
    next: None


class DmesgShown(Shown):
    text: str


class FeaturesShown(Shown):
    features: list[str]
    xen: str
    capabilities: list[str]
    virtualisation: list[str]
    scheduler: str


class Converted(Shown):
    warnings: list[str]
    config: dict[str, JsonValue]


class Validated(Shown):
    valid: bool
    name: str | None
    warnings: list[str]
    problems: list[Problem]


class ImportedEntry(Shown):
    path: str = Field(examples=["/srv/old-host/domains/5b1ca0e2-…"])
    verdict: Literal["imported", "importable", "known", "skipped"]
    name: str | None = Field(examples=["prospero"])
    uuid: str | None = Field(examples=["5b1ca0e2-…"])
    reason: str | None = Field(description="why it was skipped", examples=[None])
    changes: list[str] = Field(description="what reads otherwise than it was written")
    notes: list[str] = Field(description="what keeps it from starting here")


class ImportShown(Shown):
    items: list[ImportedEntry]
    next: None
