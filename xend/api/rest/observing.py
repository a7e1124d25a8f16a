"""What a domain does: counters, its lines of the log, its events."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from xend.api.facts import HostFacts
from xend.api.rest.access import Viewer
from xend.api.rest.documents import event_document
from xend.api.rest.events import happened
from xend.api.rest.jobs import Service
from xend.api.rest.lists import document_answer, whole
from xend.api.rest.parameters import Ref
from xend.api.rest.schemas import EventList, LogsShown, StatsShown
from xend.core.domains import DomainService
from xend.core.views import DomainView

router = APIRouter(prefix="/v1/domains", tags=["observation"])

NET_COUNTERS = ("rx_bytes", "rx_packets", "rx_errors", "rx_dropped", "tx_bytes", "tx_packets")
DISK_COUNTERS = ("rd_req", "rd_sect", "wr_req", "wr_sect", "f_req", "oo_req")


@router.get(
    "/{ref}/stats",
    summary="Counters of its CPUs, memory, disks and network interfaces",
    responses={200: {"model": StatsShown}},
)
async def get_stats(request: Request, service: Service, _: Viewer, ref: Ref) -> Response:
    """Those of devices are counted in dom0: what its guest received is what dom0 sent."""
    view = await service.lookup(ref)
    document = {
        "cpu_time": view.cpu_time,
        "memory": {"current": view.memory, "maximum": view.max_memory},
        "vcpus": [
            {"number": vcpu.number, "cpu_time": vcpu.cpu_time}
            for vcpu in await service.vcpus(view.uuid)
        ],
        "disks": await _counters(service, view, "vbd"),
        "nics": await _counters(service, view, "vif"),
    }
    return document_answer(request, document)


async def _counters(
    service: DomainService, view: DomainView, device_class: str
) -> list[dict[str, Any]]:
    devices = await service.devices(view.uuid, device_class)
    names = [(each.backend.get("dev", str(each.devid)), each.devid) for each in devices]

    def read() -> list[dict[str, Any]]:
        return [
            {"id": name, "counters": _read_counters(device_class, int(view.domid or 0), devid)}
            for name, devid in names
        ]

    return await asyncio.to_thread(read)


def _read_counters(device_class: str, domid: int, devid: int) -> Mapping[str, int]:
    """Of blkback and netback (drivers/block/xen-blkback/xenbus.c, net/core/net-sysfs.c)."""
    if device_class == "vif":
        folder, names = Path(f"/sys/class/net/vif{domid}.{devid}/statistics"), NET_COUNTERS
    else:
        folder = Path(f"/sys/bus/xen-backend/devices/vbd-{domid}-{devid}/statistics")
        names = DISK_COUNTERS
    found: dict[str, int] = {}
    for name in names:
        try:
            found[name] = int((folder / name).read_text())
        except (OSError, ValueError):
            continue  # QEMU's backend, or a backend in another domain, has none.
    return found


@router.get(
    "/{ref}/logs",
    summary="The lines of the daemon's log that are about it",
    responses={200: {"model": LogsShown}},
)
async def get_logs(
    request: Request,
    service: Service,
    _: Viewer,
    ref: Ref,
    limit: Annotated[int, Query(ge=1, le=10000, description="the last so many")] = 200,
) -> Response:
    view = await service.lookup(ref)
    facts: HostFacts = request.app.state.facts
    about = re.compile(rf"(?<![\w.:+-]){re.escape(view.name)}(?![\w:+-]|\.\w)|{view.uuid}")
    lines = await asyncio.to_thread(_matching, await facts.log_text(), about)
    return document_answer(request, {"items": [_shown(x) for x in lines[-limit:]], "next": None})


def _matching(text: str, about: re.Pattern[str]) -> list[str]:
    return [line for line in text.splitlines() if about.search(line)]


def _shown(line: str) -> str:
    return line.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


@router.get(
    "/{ref}/events",
    summary="What happened to it lately, oldest first",
    responses={200: {"model": EventList}},
)
async def get_domain_events(
    request: Request,
    service: Service,
    _: Viewer,
    ref: Ref,
    since: Annotated[int | None, Query(ge=0, description="only events after this number")] = None,
    limit: Annotated[int, Query(ge=1, le=10000, description="the last so many")] = 1000,
) -> Response:
    view = await service.lookup(ref)
    found = [e for e in await happened(service.events, since) if e.ids.get("uuid") == view.uuid]
    return await whole(request, found[-limit:], event_document)
