"""What REST shows.  Memory is in KiB, times are RFC 3339 in UTC, CPU time is in nanoseconds."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from xend.api.rest.problems import problem
from xend.core.jobs import Job, JobStatus
from xend.core.views import DomainView
from xend.model.domain import DomainConfig
from xend.model.status import HostInfo

HIDDEN: Final = "********"
"""In place of a password."""


def moment(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def domain_document(view: DomainView) -> dict[str, Any]:
    info = view.info
    return {
        "name": view.name,
        "uuid": view.uuid,
        "domid": view.domid,
        "power_state": view.power_state.name.lower(),
        "flags": view.flags,
        "shutdown_reason": info.shutdown_reason.name.lower() if info and info.shutdown else None,
        "origin": view.origin.value,
        "managed": view.managed,
        "paused_by_admin": view.paused_by_admin,
        "type": info.type if info else (view.config.kind if view.config else None),
        "memory": {"current": view.memory, "maximum": view.max_memory},
        "vcpus": {"online": view.vcpus_online, "maximum": view.vcpus},
        "cpu_time": view.cpu_time,
        "pool": view.pool,
        "started_at": moment(view.started),
        "restarts": view.restarts,
        "links": {
            "self": f"/v1/domains/{view.uuid}",
            "actions": f"/v1/domains/{view.uuid}/actions/",
        },
    }


def config_document(config: DomainConfig | None) -> dict[str, Any] | None:
    """As it can be posted again, but for passwords."""
    if config is None:
        return None
    document = config.model_dump(mode="json")
    for vfb in document["vfbs"]:
        if vfb.get("vncpasswd"):
            vfb["vncpasswd"] = HIDDEN
    if document["platform"].get("vncpasswd"):
        document["platform"]["vncpasswd"] = HIDDEN
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
        "error": problem(job.error) if job.error else None,
        "cancellable": active,
        "links": {
            "self": f"/v1/operations/{job.id}",
            "domain": f"/v1/domains/{job.uuid}" if job.uuid else None,
        },
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
