"""Every endpoint, as a function that says what to ask.

`wait` is in seconds: the answer of a change is then its result if it ends in time, and otherwise,
as without `wait`, its operation.  Where it matters which, ask for the operation and `finish` it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import quote

from xend.client.models import (
    AuditLine,
    Device,
    DeviceKind,
    Dialect,
    Domain,
    Event,
    Host,
    MediaType,
    NewToken,
    Operation,
    Page,
    RoleWord,
    Ticket,
    Token,
    Versions,
)

T = TypeVar("T")
Json = dict[str, Any]
Changed = Json
"""A result, or the operation."""


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """What to ask; T is what the answer's body is."""

    method: str
    template: str
    """As in the OpenAPI document."""
    parts: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    json: Any = None
    text: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    answer: Literal["json", "text"] = "json"

    @property
    def path(self) -> str:
        quoted = {name: quote(part, safe="") for name, part in self.parts.items()}
        return self.template.format_map(quoted)

    @property
    def params(self) -> dict[str, str]:
        """Without those that were not given; booleans as the interface spells them."""
        return {
            name: str(value).lower() if isinstance(value, bool) else str(value)
            for name, value in self.query.items()
            if value is not None
        }


def _get(template: str, parts: Mapping[str, str] | None = None, **query: Any) -> Call[Any]:
    return Call("GET", template, parts or {}, query)


def _waiting(wait: float | None) -> dict[str, str]:
    return {} if wait is None else {"Prefer": f"wait={int(wait)}"}


# -- The interface and the host ------------------------------------------------------------------


def versions() -> Call[Versions]:
    return _get("/v1")


def healthz() -> Call[Json]:
    return _get("/v1/healthz")


def readyz() -> Call[Json]:
    return _get("/v1/readyz")


def openapi() -> Call[Json]:
    return _get("/v1/openapi.json")


def metrics() -> Call[str]:
    return Call("GET", "/metrics", answer="text")


def host() -> Call[Host]:
    return _get("/v1/host")


HostPart = Literal["cpus", "numa", "memory", "pci", "usb", "features"]


def host_part(part: HostPart) -> Call[Json]:
    return _get(f"/v1/host/{part}")


def dmesg(tail: int | None = None) -> Call[Json]:
    return _get("/v1/host/dmesg", tail=tail)


def clear_dmesg() -> Call[None]:
    return Call("DELETE", "/v1/host/dmesg")


def debug_keys(keys: str) -> Call[None]:
    return Call("POST", "/v1/host/actions/debug-keys", json={"keys": keys})


# -- Domains -------------------------------------------------------------------------------------


def domains(
    *,
    state: str | None = None,
    limit: int | None = None,
    cursor: str | None = None,
    fields: str | None = None,
    filter: str | None = None,
    sort: str | None = None,
) -> Call[Page[Domain]]:
    return _get(
        "/v1/domains",
        state=state,
        limit=limit,
        cursor=cursor,
        fields=fields,
        filter=filter,
        sort=sort,
    )


def domain(ref: str) -> Call[Domain]:
    return _get("/v1/domains/{ref}", {"ref": ref})


def create(
    config: Mapping[str, Any] | str,
    *,
    media_type: MediaType = "application/json",
    define: bool | None = None,
    start: bool | None = None,
    paused: bool | None = None,
    wait: float | None = None,
) -> Call[Changed]:
    """`config` is a mapping, or text of `media_type`."""
    is_text = isinstance(config, str)
    return Call(
        "POST",
        "/v1/domains",
        query={"define": define, "start": start, "paused": paused},
        json=None if is_text else config,
        text=config if isinstance(config, str) else None,
        headers={**_waiting(wait), "Content-Type": media_type},
    )


def delete(
    ref: str, *, etag: str = "*", force: bool | None = None, wait: float | None = None
) -> Call[Changed | None]:
    """Forgets a managed domain; `force` also ends it if it runs."""
    headers = {**_waiting(wait), "If-Match": etag}
    return Call("DELETE", "/v1/domains/{ref}", {"ref": ref}, {"force": force}, headers=headers)


def actions(ref: str) -> Call[Json]:
    return _get("/v1/domains/{ref}/actions/", {"ref": ref})


def act(
    ref: str,
    verb: str,
    arguments: Mapping[str, Any] | None = None,
    *,
    wait: float | None = None,
) -> Call[Changed]:
    """`verb`: start, shutdown, reboot, destroy, pause, unpause, save … (see `actions`)."""
    template = f"/v1/domains/{{ref}}/actions/{quote(verb, safe='')}"
    headers = _waiting(wait)
    return Call("POST", template, {"ref": ref}, json=dict(arguments or {}), headers=headers)


def config(ref: str) -> Call[Json]:
    return _get("/v1/domains/{ref}/config", {"ref": ref}, format="json")


def config_text(ref: str, format: Dialect) -> Call[str]:
    parts = {"ref": ref}
    return Call("GET", "/v1/domains/{ref}/config", parts, {"format": format}, answer="text")


def put_config(
    ref: str, config: Mapping[str, Any], etag: str, *, wait: float | None = None
) -> Call[Changed]:
    """`etag`: of the `domain` or `config` that was read."""
    headers = {**_waiting(wait), "If-Match": etag}
    return Call("PUT", "/v1/domains/{ref}/config", {"ref": ref}, json=config, headers=headers)


def patch_config(
    ref: str, changes: Mapping[str, Any], etag: str, *, wait: float | None = None
) -> Call[Changed]:
    """`changes` is a merge patch (RFC 7396)."""
    headers = {
        **_waiting(wait),
        "If-Match": etag,
        "Content-Type": "application/merge-patch+json",
    }
    return Call("PATCH", "/v1/domains/{ref}/config", {"ref": ref}, json=changes, headers=headers)


def restore(arguments: Mapping[str, Any], *, wait: float | None = None) -> Call[Changed]:
    return Call("POST", "/v1/restore", json=arguments, headers=_waiting(wait))


def convert(text: str, media_type: MediaType, to: Dialect = "json") -> Call[Json]:
    headers = {"Content-Type": media_type}
    return Call("POST", "/v1/convert", query={"to": to}, text=text, headers=headers)


def validate(text: str, media_type: MediaType) -> Call[Json]:
    return Call("POST", "/v1/validate", text=text, headers={"Content-Type": media_type})


# -- Devices and resources -----------------------------------------------------------------------


def devices(ref: str, kind: DeviceKind) -> Call[Page[Device]]:
    return _get(f"/v1/domains/{{ref}}/{kind}", {"ref": ref})


def device(ref: str, kind: DeviceKind, dev: str) -> Call[Device]:
    return _get(f"/v1/domains/{{ref}}/{kind}/{{dev}}", {"ref": ref, "dev": dev})


def attach(
    ref: str, kind: DeviceKind, device: Mapping[str, Any], *, wait: float | None = None
) -> Call[Changed]:
    template = f"/v1/domains/{{ref}}/{kind}"
    return Call("POST", template, {"ref": ref}, json=device, headers=_waiting(wait))


def detach(
    ref: str,
    kind: DeviceKind,
    dev: str,
    *,
    force: bool | None = None,
    wait: float | None = None,
) -> Call[Changed | None]:
    template = f"/v1/domains/{{ref}}/{kind}/{{dev}}"
    parts = {"ref": ref, "dev": dev}
    return Call("DELETE", template, parts, {"force": force}, headers=_waiting(wait))


Changeable = Literal["disks", "nics", "vfbs"]


def change_device(
    ref: str,
    kind: Changeable,
    dev: str,
    changes: Mapping[str, Any],
    *,
    replug: bool | None = None,
    wait: float | None = None,
) -> Call[Changed]:
    """`changes` is a merge patch (RFC 7396)."""
    template = f"/v1/domains/{{ref}}/{kind}/{{dev}}"
    parts, headers = {"ref": ref, "dev": dev}, _waiting(wait)
    return Call("PATCH", template, parts, {"replug": replug}, changes, headers=headers)


Resource = Literal["memory", "vcpus", "scheduler", "affinity"]


def resource(ref: str, name: Resource) -> Call[Json]:
    return _get(f"/v1/domains/{{ref}}/{name}", {"ref": ref})


def tune(
    ref: str, name: Resource, changes: Mapping[str, Any], *, wait: float | None = None
) -> Call[Changed]:
    template = f"/v1/domains/{{ref}}/{name}"
    return Call("PATCH", template, {"ref": ref}, json=changes, headers=_waiting(wait))


def insert_cdrom(
    ref: str, medium: Mapping[str, Any], *, drive: str | None = None, wait: float | None = None
) -> Call[Changed]:
    parts, headers = {"ref": ref}, _waiting(wait)
    return Call("PUT", "/v1/domains/{ref}/cdrom", parts, {"drive": drive}, medium, headers=headers)


def eject_cdrom(ref: str, *, drive: str | None = None, wait: float | None = None) -> Call[Changed]:
    parts, headers = {"ref": ref}, _waiting(wait)
    return Call("DELETE", "/v1/domains/{ref}/cdrom", parts, {"drive": drive}, headers=headers)


def move_to_pool(
    ref: str, change: Mapping[str, Any], *, wait: float | None = None
) -> Call[Changed]:
    template = "/v1/domains/{ref}/cpupool"
    return Call("PATCH", template, {"ref": ref}, json=change, headers=_waiting(wait))


# -- USB -----------------------------------------------------------------------------------------


def usb_controllers(ref: str) -> Call[Json]:
    return _get("/v1/domains/{ref}/usb-controllers", {"ref": ref})


def add_usb_controller(
    ref: str, controller: Mapping[str, Any], *, wait: float | None = None
) -> Call[Changed]:
    template = "/v1/domains/{ref}/usb-controllers"
    return Call("POST", template, {"ref": ref}, json=controller, headers=_waiting(wait))


def remove_usb_controller(
    ref: str, number: int, *, force: bool | None = None, wait: float | None = None
) -> Call[Changed | None]:
    template = "/v1/domains/{ref}/usb-controllers/{number}"
    parts = {"ref": ref, "number": str(number)}
    return Call("DELETE", template, parts, {"force": force}, headers=_waiting(wait))


_PORT = "/v1/domains/{ref}/usb-controllers/{number}/ports/{port}"


def plug_usb(
    ref: str, number: int, port: int, device: Mapping[str, Any], *, wait: float | None = None
) -> Call[Changed]:
    parts = {"ref": ref, "number": str(number), "port": str(port)}
    return Call("PUT", _PORT, parts, json=device, headers=_waiting(wait))


def unplug_usb(
    ref: str, number: int, port: int, *, wait: float | None = None
) -> Call[Changed | None]:
    parts = {"ref": ref, "number": str(number), "port": str(port)}
    return Call("DELETE", _PORT, parts, headers=_waiting(wait))


def usb(ref: str) -> Call[Json]:
    return _get("/v1/domains/{ref}/usb", {"ref": ref})


def attach_usb(ref: str, device: Mapping[str, Any], *, wait: float | None = None) -> Call[Changed]:
    headers = _waiting(wait)
    return Call("POST", "/v1/domains/{ref}/usb", {"ref": ref}, json=device, headers=headers)


def detach_usb(ref: str, device: str, *, wait: float | None = None) -> Call[Changed | None]:
    parts = {"ref": ref, "device": device}
    return Call("DELETE", "/v1/domains/{ref}/usb/{device}", parts, headers=_waiting(wait))


# -- Pools of processors -------------------------------------------------------------------------


def cpupools() -> Call[Json]:
    return _get("/v1/cpupools")


def cpupool(pool: str) -> Call[Json]:
    return _get("/v1/cpupools/{pool}", {"pool": pool})


def make_cpupool(
    config: Mapping[str, Any], *, define: bool | None = None, wait: float | None = None
) -> Call[Changed]:
    query = {"define": define}
    return Call("POST", "/v1/cpupools", query=query, json=config, headers=_waiting(wait))


def delete_cpupool(pool: str, *, wait: float | None = None) -> Call[Changed | None]:
    return Call("DELETE", "/v1/cpupools/{pool}", {"pool": pool}, headers=_waiting(wait))


PoolVerb = Literal["start", "stop"]


def act_on_cpupool(pool: str, verb: PoolVerb, *, wait: float | None = None) -> Call[Changed]:
    template = f"/v1/cpupools/{{pool}}/actions/{quote(verb, safe='')}"
    return Call("POST", template, {"pool": pool}, headers=_waiting(wait))


def add_cpu(pool: str, cpu: int, *, wait: float | None = None) -> Call[Changed]:
    parts = {"pool": pool, "cpu": str(cpu)}
    return Call("PUT", "/v1/cpupools/{pool}/cpus/{cpu}", parts, headers=_waiting(wait))


def remove_cpu(pool: str, cpu: int, *, wait: float | None = None) -> Call[Changed | None]:
    parts = {"pool": pool, "cpu": str(cpu)}
    return Call("DELETE", "/v1/cpupools/{pool}/cpus/{cpu}", parts, headers=_waiting(wait))


def import_xend(
    arguments: Mapping[str, Any] | None = None, *, wait: float | None = None
) -> Call[Changed]:
    """Takes over the managed domains of an old xend's directory."""
    headers = _waiting(wait)
    return Call("POST", "/v1/import/xend", json=dict(arguments or {}), headers=headers)


# -- Looking on ----------------------------------------------------------------------------------


def stats(ref: str) -> Call[Json]:
    return _get("/v1/domains/{ref}/stats", {"ref": ref})


def logs(ref: str, limit: int | None = None) -> Call[Json]:
    return _get("/v1/domains/{ref}/logs", {"ref": ref}, limit=limit)


def domain_events(
    ref: str, since: int | None = None, limit: int | None = None
) -> Call[Page[Event]]:
    return _get("/v1/domains/{ref}/events", {"ref": ref}, since=since, limit=limit)


def events(since: int | None = None, topics: str | None = None) -> Call[str]:
    """A stream without end: use a client's `events`."""
    query = {"since": since, "topics": topics}
    return Call("GET", "/v1/events", query=query, answer="text")


def console_ticket(
    ref: str,
    *,
    access: Literal["read", "write"] = "write",
    force: bool = False,
    scrollback: bool = True,
) -> Call[Ticket]:
    wish = {"access": access, "force": force, "scrollback": scrollback}
    return Call("POST", "/v1/domains/{ref}/console", {"ref": ref}, json=wish)


def vnc_ticket(ref: str) -> Call[Ticket]:
    return Call("POST", "/v1/domains/{ref}/vnc", {"ref": ref})


# -- Operations ----------------------------------------------------------------------------------


def operations(
    *,
    limit: int | None = None,
    cursor: str | None = None,
    fields: str | None = None,
    filter: str | None = None,
    sort: str | None = None,
) -> Call[Page[Operation]]:
    return _get(
        "/v1/operations", limit=limit, cursor=cursor, fields=fields, filter=filter, sort=sort
    )


def operation(id: str, wait: float | None = None) -> Call[Operation]:
    seconds = None if wait is None else int(wait)
    return _get("/v1/operations/{id}", {"id": id}, wait=seconds)


def wait_for(id: str, timeout: float | None = None) -> Call[Operation]:
    seconds = None if timeout is None else int(timeout)
    return _get("/v1/operations/{id}/wait", {"id": id}, timeout=seconds)


def cancel(id: str) -> Call[Operation]:
    return Call("DELETE", "/v1/operations/{id}", {"id": id})


# -- Access --------------------------------------------------------------------------------------


def tokens() -> Call[Page[Token]]:
    return _get("/v1/tokens")


def token(id: str) -> Call[Token]:
    return _get("/v1/tokens/{id}", {"id": id})


def make_token(name: str, role: RoleWord, expires_in: float | None = None) -> Call[NewToken]:
    wish = {"name": name, "role": role, "expires_in": expires_in}
    return Call("POST", "/v1/tokens", json=wish)


def revoke_token(id: str) -> Call[Token]:
    return Call("POST", "/v1/tokens/{id}/revoke", {"id": id})


def delete_token(id: str) -> Call[None]:
    return Call("DELETE", "/v1/tokens/{id}", {"id": id})


def audit(
    *,
    limit: int | None = None,
    cursor: str | None = None,
    who: str | None = None,
    target: str | None = None,
    operation: str | None = None,
) -> Call[Page[AuditLine]]:
    return _get(
        "/v1/audit", limit=limit, cursor=cursor, who=who, target=target, operation=operation
    )
