"""The host, the daemon itself, and what versions of this interface there are."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse

from xend import __version__
from xend.api.rest.access import Viewer
from xend.api.rest.documents import host_document
from xend.api.rest.operations import Service

router = APIRouter(tags=["host"])

FEATURES = ("operations", "prefer-wait", "problem-json")
"""Only ever added to: what a client may rely on beyond the first version."""


@router.get("/", summary="Versions of this interface", name="root")
@router.get("/v1", summary="This version")
async def versions() -> JSONResponse:
    return JSONResponse(
        {"versions": ["/v1"], "server": f"xend {__version__}", "features": FEATURES}
    )


@router.get("/v1/healthz", summary="Whether the daemon answers")
async def health() -> JSONResponse:
    return JSONResponse({"status": "ok"})


@router.get("/v1/openapi.json", summary="This interface, described")
def openapi(request: Request) -> JSONResponse:
    """Not a coroutine: making the description takes long, so it is made in a thread."""
    return JSONResponse(request.app.openapi())


@router.get("/v1/host", summary="Processors, memory and the hypervisor; memory in KiB")
async def get_host(service: Service, _: Viewer, request: Request) -> JSONResponse:
    found = await service.host()
    return JSONResponse(host_document(found, request.app.state.facts.uname()))
