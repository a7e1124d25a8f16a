"""What REST shows.  Memory is in KiB, times are RFC 3339 in UTC, CPU time is in nanoseconds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from xend.api.rest.problems import Of, problem
from xend.core.events import Event
from xend.core.jobs import Job, JobStatus
from xend.core.views import DomainView
from xend.model.domain import DomainConfig
from xend.model.status import HostInfo

HIDDEN: Final = "********"
"""In place of a password; sent back it means: the one that there is."""


def moment(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _shutdown_reason(view: DomainView) -> str | None:
    info = view.info
    return info.shutdown_reason.name.lower() if info and info.shutdown else None


def _type(view: DomainView) -> str | None:
    if view.info is not None:
        return view.info.type
    return view.config.kind if view.config else None


_DOMAIN: Final[Mapping[str, Callable[[DomainView], Any]]] = {
    "name": lambda view: view.name,
    "uuid": lambda view: view.uuid,
    "domid": lambda view: view.domid,
    "power_state": lambda view: view.power_state.name.lower(),
    "flags": lambda view: view.flags,
    "shutdown_reason": _shutdown_reason,
    "origin": lambda view: view.origin.value,
    "managed": lambda view: view.managed,
    "paused_by_admin": lambda view: view.paused_by_admin,
    "type": _type,
    "memory": lambda view: {"current": view.memory, "maximum": view.max_memory},
    "vcpus": lambda view: {"online": view.vcpus_online, "maximum": view.vcpus},
    "cpu_time": lambda view: view.cpu_time,
    "pool": lambda view: view.pool,
    "started_at": lambda view: moment(view.started),
    "restarts": lambda view: view.restarts,
    "links": lambda view: {
        "self": f"/v1/domains/{view.uuid}",
        "actions": f"/v1/domains/{view.uuid}/actions/",
    },
}


def domain_document(view: DomainView) -> dict[str, Any]:
    return {name: of(view) for name, of in _DOMAIN.items()}


class DomainRow(Mapping[str, Any]):
    """`domain_document` of which only what is looked at is made: a list is filtered and sorted by
    one or two fields of a thousand domains, and fifty are shown."""

    __slots__ = ("view",)

    def __init__(self, view: DomainView) -> None:
        self.view = view

    def __getitem__(self, name: str) -> Any:
        return _DOMAIN[name](self.view)

    def __iter__(self) -> Iterator[str]:
        return iter(_DOMAIN)

    def __len__(self) -> int:
        return len(_DOMAIN)


def config_document(config: DomainConfig | None) -> dict[str, Any] | None:
    """As it can be sent again: passwords are hidden, and taken to be those that there are."""
    if config is None:
        return None
    document = config.model_dump(mode="json")
    for vfb in document["vfbs"]:
        if vfb.get("vncpasswd"):
            vfb["vncpasswd"] = HIDDEN
    if document["platform"].get("vncpasswd"):
        document["platform"]["vncpasswd"] = HIDDEN
    return document


def unhidden(document: dict[str, Any], before: DomainConfig | None) -> dict[str, Any]:
    """The passwords that were hidden, from what there was before."""
    known = before.model_dump(mode="json") if before is not None else {"vfbs": [], "platform": {}}
    for place, vfb in enumerate(document.get("vfbs") or ()):
        if isinstance(vfb, dict) and vfb.get("vncpasswd") == HIDDEN:
            old = known["vfbs"][place] if place < len(known["vfbs"]) else {}
            vfb["vncpasswd"] = old.get("vncpasswd", "")
    platform = document.get("platform")
    if isinstance(platform, dict) and platform.get("vncpasswd") == HIDDEN:
        platform["vncpasswd"] = known["platform"].get("vncpasswd", "")
    return document


def operation_document(job: Job) -> dict[str, Any]:
    active = job.status in (JobStatus.QUEUED, JobStatus.RUNNING)
    return {
        "id": job.id,
        "kind": job.kind,
        "status": job.status.value,
        "progress": {"stage": job.stage, "percent": job.percent, "bytes": job.bytes_done},
        "target": {"uuid": job.uuid or None, "name": job.name or None},
        "requested_by": {
            "face": job.caller.face,
            "uid": job.caller.uid,
            "label": job.caller.label,
        },
        "created_at": moment(job.created),
        "started_at": moment(job.started),
        "finished_at": moment(job.finished),
        "error": problem(job.error, Of(job.id, job.kind)) if job.error else None,
        "cancellable": active and not job.final,
        "links": {
            "self": f"/v1/operations/{job.id}",
            "domain": f"/v1/domains/{job.uuid}" if job.uuid else None,
        },
    }


TOPICS: Final[Mapping[str, str]] = {
    "domain": "domain",
    "device": "device",
    "operation": "job",
    "host": "host",
}
"""What REST calls them, and the core."""
_SHOWN_TOPICS: Final = {word: shown for shown, word in TOPICS.items()}
_SHOWN_IDS: Final = {"job": "operation", "operation": "verb"}


def event_document(event: Event) -> dict[str, Any]:
    ids = dict(event.ids)
    if event.topic == "job":
        ids = {_SHOWN_IDS.get(name, name): value for name, value in ids.items()}
    return {
        "id": event.seq,
        "time": moment(event.time),
        "topic": _SHOWN_TOPICS.get(event.topic, event.topic),
        "kind": event.kind,
        "ids": ids,
    }


def host_document(host: HostInfo, uname: tuple[str, str, str, str, str]) -> dict[str, Any]:
    system, name, release, version, machine = uname
    return {
        "name": name,
        "kernel": {
            "system": system,
            "release": release,
            "version": version,
            "machine": machine,
        },
        **asdict(host),
    }


class DomainRenderer:
    """`domain_document` as JSON, for lists of a thousand.  A domain of which nothing has changed is
    the same view still, and its text is kept; what seldom changes of the others is kept, too, and
    what their guests do all the time is put in between."""

    def __init__(self) -> None:
        self._kept: dict[str, _Rendered] = {}

    def forget_others(self, count: int) -> None:
        """There are only so many domains now."""
        if len(self._kept) > 2 * count + 100:
            self._kept.clear()

    def render(self, views: Iterable[DomainView]) -> list[str]:
        """The text of each."""
        parts = []
        for view in views:
            known = self._kept.get(view.uuid)
            if known is None:
                known = self._kept[view.uuid] = _Rendered()
            if known.view is not view:
                known.change(view)
            parts.append(known.text)
        return parts


class _Rendered:
    """One domain's text, and what it was made of."""

    __slots__ = ("_first", "_key", "_last", "text", "view")

    def __init__(self) -> None:
        self.view: DomainView | None = None
        self.text = ""
        self._key: tuple[Any, ...] = ()
        self._first = self._last = ""

    def change(self, view: DomainView) -> None:
        info = view.info
        key = (
            view.name,
            info.type if info else view.config,
            info.shutdown_reason if info else None,
            info.domid if info else None,
            view.managed,
            view.paused_by_admin,
            view.started,
            view.restarts,
            view.pool,
            view.origin,
            view.suspended,
        )
        if key != self._key:
            self._key = key
            self._first, self._last = self._halves(view)
        self.text = (
            f'{self._first}"power_state":"{view.power_state.name.lower()}","flags":"{view.flags}",'
            f'"memory":{{"current":{view.memory},"maximum":{view.max_memory}}},'
            f'"vcpus":{{"online":{view.vcpus_online},"maximum":{view.vcpus}}},'
            f'"cpu_time":{view.cpu_time},{self._last}'
        )
        self.view = view

    @staticmethod
    def _halves(view: DomainView) -> tuple[str, str]:
        document = domain_document(view)
        changing = ("power_state", "flags", "memory", "vcpus", "cpu_time")
        fixed = {name: value for name, value in document.items() if name not in changing}
        first = {name: fixed.pop(name) for name in ("name", "uuid", "domid")}
        return (
            json.dumps(first, separators=(",", ":"))[:-1] + ",",
            json.dumps(fixed, separators=(",", ":"))[1:],
        )


DOMAIN_FIELDS: Final = (
    *("name", "uuid", "domid", "power_state", "flags", "shutdown_reason", "origin", "managed"),
    *("paused_by_admin", "type", "memory", "memory.current", "memory.maximum"),
    *("vcpus", "vcpus.online", "vcpus.maximum", "cpu_time", "pool", "started_at", "restarts"),
    *("links", "links.self", "links.actions"),
)
"""What `fields`, `filter` and `sort` of a list of domains may name."""
