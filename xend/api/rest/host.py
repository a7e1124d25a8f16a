"""The host, the daemon itself, and what versions of this interface there are."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response

from xend import __version__
from xend.api.facts import HostFacts
from xend.api.rest.access import Admin, Viewer
from xend.api.rest.documents import host_document
from xend.api.rest.jobs import Service
from xend.api.rest.lists import document_answer, tagged
from xend.api.rest.media import JsonBody
from xend.api.rest.schemas import (
    CpuList,
    DmesgShown,
    FeaturesShown,
    Health,
    HostMemory,
    HostShown,
    HostUsbList,
    NodeList,
    PciList,
    Ready,
    Versions,
)
from xend.core.domains import DomainService
from xend.errors import HypervisorUnavailable

router = APIRouter(tags=["host"])

FEATURES: Final = (
    "operations",
    "prefer-wait",
    "problem-json",
    "idempotency-key",
    "etag",
    "cursor",
    "fields",
    "filter",
    "sort",
    "ndjson",
    "events-sse",
    "events-websocket",
    "events-replay",
    "dialects",
    "roles",
    "console",
    "vnc",
    "openmetrics",
    "tokens",
    "audit",
    "events-ndjson",
    "link-next",
    "head",
    "strict-input",
)
"""Only ever added to: what a client may rely on beyond the first version."""


class DebugKeys(BaseModel):
    keys: str = Field(
        min_length=1,
        max_length=16,
        pattern="^[!-~]+$",
        description="letters; `h` tells what there is.  The answer is in the hypervisor's messages",
        examples=["h"],
    )
    model_config = ConfigDict(extra="forbid", strict=True)


@router.get(
    "/",
    summary="Versions of this interface",
    name="root",
    responses={200: {"model": Versions}},
)
@router.get("/v1", summary="This version", responses={200: {"model": Versions}})
async def versions() -> JSONResponse:
    return JSONResponse(
        {"versions": ["/v1"], "server": f"xend {__version__}", "features": FEATURES}
    )


@router.get("/v1/healthz", summary="Whether the daemon answers", responses={200: {"model": Health}})
async def health() -> JSONResponse:
    return JSONResponse({"status": "ok"})


@router.get(
    "/v1/readyz",
    summary="Whether the hypervisor answers, too",
    responses={200: {"model": Ready}},
)
async def ready(service: Service) -> JSONResponse:
    host = await service.host()
    if not host.total_memory:
        raise HypervisorUnavailable(reason="it says that there is no memory", remedy="")
    return JSONResponse({"status": "ready", "backend": host.backend})


@router.get(
    "/v1/openapi.json",
    summary="This interface, described (OpenAPI 3.1)",
    responses={200: {"model": dict[str, Any]}},
)
async def openapi(request: Request) -> Response:
    """Making it takes long, once."""
    return tagged(request, await asyncio.to_thread(request.app.openapi.text))


@router.get(
    "/v1/host",
    summary="Processors, memory and the hypervisor; memory in KiB",
    responses={200: {"model": HostShown}},
)
async def get_host(request: Request, service: Service, _: Viewer) -> Response:
    found = await service.host()
    return document_answer(request, host_document(found, request.app.state.facts.uname()))


@router.get(
    "/v1/host/cpus",
    summary="Physical CPUs: core, socket and NUMA node of each",
    responses={200: {"model": CpuList}},
)
async def get_cpus(request: Request, service: Service, _: Viewer) -> Response:
    host = await service.host()
    items = [
        {"cpu": number, "core": core, "socket": socket, "node": node}
        for number, (core, socket, node) in enumerate(host.cpu_topology)
    ]
    return document_answer(request, {"items": items, "next": None, "khz": host.cpu_khz})


@router.get(
    "/v1/host/numa",
    summary="NUMA nodes: memory in KiB, distances, CPUs",
    responses={200: {"model": NodeList}},
)
async def get_numa(request: Request, service: Service, _: Viewer) -> Response:
    host = await service.host()
    items = [
        {
            "node": node,
            "total": total,
            "free": free,
            "distances": list(host.node_distances[node]) if node < len(host.node_distances) else [],
            "cpus": [cpu for cpu, place in enumerate(host.cpu_topology) if place[2] == node],
        }
        for node, (total, free) in enumerate(host.node_memory)
    ]
    return document_answer(request, {"items": items, "next": None})


@router.get(
    "/v1/host/memory",
    summary="The host's memory, in KiB",
    responses={200: {"model": HostMemory}},
)
async def get_host_memory(request: Request, service: Service, _: Viewer) -> Response:
    host = await service.host()
    dom0 = await service.lookup("0")
    document = {
        "total": host.total_memory,
        "free": host.free_memory,
        "scrubbing": host.scrub_memory,
        "claimed": host.outstanding,
        "dom0": dom0.memory,
    }
    return document_answer(request, document)


@router.get(
    "/v1/host/pci",
    summary="PCI devices that may be given to guests",
    responses={200: {"model": PciList}},
)
async def get_host_pci(request: Request, service: Service, _: Viewer) -> Response:
    facts: HostFacts = request.app.state.facts
    devices = await facts.assignable_pci()
    owners = await _owners(service)
    names = ["{:04x}:{:02x}:{:02x}.{:x}".format(*device) for device in devices or ()]
    items = [{"address": name, "assigned_to": owners.get(name)} for name in names]
    document = {"items": items, "next": None, "driver": devices is not None}
    return document_answer(request, document)


async def _owners(service: DomainService) -> dict[str, str]:
    return {
        pci.bdf: view.uuid
        for view in await service.list()
        if view.running and view.config is not None
        for pci in view.config.pcis
    }


@router.get(
    "/v1/host/usb",
    summary="USB devices of the host, and who has them; hubs are left out",
    responses={200: {"model": HostUsbList}},
)
async def get_host_usb(request: Request, service: Service, _: Viewer) -> Response:
    facts: HostFacts = request.app.state.facts
    devices = await facts.usb_devices()
    owners = await _usb_owners(service) if devices else {}
    items = [
        {
            "device": device.bus_id,
            "bus": device.bus,
            "address": device.address,
            "vendor": device.vendor,
            "model": device.model,
            "name": device.name,
            "assigned_to": owners.get(device.bus_id),
        }
        for device in devices
    ]
    return document_answer(request, {"items": items, "next": None})


async def _usb_owners(service: DomainService) -> dict[str, str]:
    return {
        bus_id: view.uuid
        for view in await service.list()
        if view.domid
        for controller in await service.devices(view.domid, "vusb")
        for key, bus_id in controller.backend.items()
        if key.startswith("port/") and bus_id
    }


@router.get(
    "/v1/host/dmesg",
    summary="The hypervisor's messages",
    responses={200: {"model": DmesgShown}},
)
async def get_dmesg(
    request: Request,
    service: Service,
    _: Admin,
    tail: Annotated[
        int | None, Query(ge=1, le=100000, description="the last so many lines")
    ] = None,
) -> Response:
    text = (await service.dmesg()).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if tail is not None:
        text = "".join(text.splitlines(keepends=True)[-tail:])
    return document_answer(request, {"text": text})


@router.delete(
    "/v1/host/dmesg",
    summary="Empty the ring of the hypervisor's messages",
    status_code=204,
)
async def clear_dmesg(service: Service, _: Admin) -> Response:
    await service.dmesg(clear=True)
    return Response(status_code=204)


@router.post(
    "/v1/host/actions/debug-keys",
    summary="Have the hypervisor write about itself: what its serial console's keys do",
    status_code=204,
    dependencies=[JsonBody],
)
async def send_debug_keys(service: Service, _: Admin, body: DebugKeys) -> Response:
    await service.send_debug_keys(body.keys)
    return Response(status_code=204)


@router.get(
    "/v1/host/features",
    summary="What this host and this interface can do",
    responses={200: {"model": FeaturesShown}},
)
async def get_features(request: Request, service: Service, _: Viewer) -> Response:
    host = await service.host()
    document = {
        "features": list(FEATURES),
        "xen": f"{host.xen_major}.{host.xen_minor}{host.xen_extra}",
        "capabilities": host.xen_caps.split(),
        "virtualisation": re.findall(r"\S+", host.virt_caps),
        "scheduler": host.xen_scheduler,
    }
    return document_answer(request, document)
