"""USB: virtual controllers of running guests, and what of the host is plugged into them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from xend.api.rest.access import Admin, Viewer
from xend.api.rest.jobs import Service, Submit
from xend.api.rest.lists import document_answer
from xend.api.rest.media import JsonBody
from xend.api.rest.parameters import Ref
from xend.api.rest.refusals import NotFound
from xend.api.rest.schemas import (
    Done,
    OperationShown,
    UsbControllerList,
    UsbList,
)
from xend.core.domains import DomainService

router = APIRouter(prefix="/v1/domains", tags=["devices"])

Number = Annotated[int, Path(ge=0, le=4095, description="the controller", examples=[0])]
Port = Annotated[int, Path(ge=1, le=31, description="from 1 on", examples=[1])]
DEVICE = "on the host: `1-1.4`, `host:BUS.ADDRESS` or `host:VENDOR:PRODUCT`"
ADDED: dict[int | str, dict[str, Any]] = {
    201: {"model": Done, "description": "It was plugged in within the wait"},
    202: {"model": OperationShown},
}
GONE: dict[int | str, dict[str, Any]] = {
    204: {"description": "It was taken out within the wait"},
    202: {"model": OperationShown},
}


class NewController(BaseModel):
    version: int = Field(default=2, ge=1, le=2, description="of USB")
    ports: int = Field(default=8, ge=1, le=31)
    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [{"ports": 4}]}
    )


class Plug(BaseModel):
    device: str = Field(min_length=1, max_length=64, description=DEVICE, examples=["1-1.4"])
    model_config = ConfigDict(extra="forbid", strict=True)


def _nothing(result: Any) -> dict[str, None]:
    return {"result": None}


async def _controllers(service: DomainService, ref: str) -> list[dict[str, Any]]:
    found = []
    for view in await service.devices(ref, "vusb"):
        ports = {
            key.removeprefix("port/"): value or None
            for key, value in sorted(view.backend.items())
            if key.startswith("port/")
        }
        found.append(
            {
                "id": str(view.devid),
                "version": int(view.backend.get("usb-ver", "2") or "2"),
                "ports": ports,
            }
        )
    return found


@router.get(
    "/{ref}/usb-controllers",
    summary="Its USB controllers, and what is in their ports",
    responses={200: {"model": UsbControllerList}},
)
async def list_usb_controllers(request: Request, service: Service, _: Viewer, ref: Ref) -> Response:
    view = await service.lookup(ref)
    items = await _controllers(service, view.uuid)
    return document_answer(request, {"items": items, "next": None})


@router.post(
    "/{ref}/usb-controllers",
    status_code=202,
    summary="Attach a USB controller",
    dependencies=[JsonBody],
    responses=ADDED,
)
async def attach_usb_controller(
    service: Service, submit: Submit, caller: Admin, ref: Ref, body: NewController
) -> Response:
    view = await service.lookup(ref)
    return await submit(caller).answer(
        "usb-controller-attach",
        view.uuid,
        version=body.version,
        ports=body.ports,
        plugged={},
        status=201,
        show=_nothing,
    )


@router.delete(
    "/{ref}/usb-controllers/{number}",
    status_code=202,
    summary="Detach a USB controller",
    responses=GONE,
)
async def detach_usb_controller(
    service: Service,
    submit: Submit,
    caller: Admin,
    ref: Ref,
    number: Number,
    force: Annotated[bool, Query(description="although the guest does not let go")] = False,
) -> Response:
    view = await service.lookup(ref)
    return await submit(caller).answer(
        "usb-controller-detach", view.uuid, devid=number, force=force, status=204
    )


@router.put(
    "/{ref}/usb-controllers/{number}/ports/{port}",
    status_code=202,
    summary="Plug a device of the host into a port",
    dependencies=[JsonBody],
    responses={
        200: {"model": Done, "description": "It was done within the wait"},
        202: {"model": OperationShown},
    },
)
async def plug_usb(
    service: Service,
    submit: Submit,
    caller: Admin,
    ref: Ref,
    number: Number,
    port: Port,
    body: Plug,
) -> Response:
    view = await service.lookup(ref)
    return await submit(caller).answer(
        "usb-plug", view.uuid, devid=number, port=port, bus_id=body.device, show=_nothing
    )


@router.delete(
    "/{ref}/usb-controllers/{number}/ports/{port}",
    status_code=202,
    summary="Take out what is in a port",
    responses=GONE,
)
async def unplug_usb(
    service: Service, submit: Submit, caller: Admin, ref: Ref, number: Number, port: Port
) -> Response:
    view = await service.lookup(ref)
    return await submit(caller).answer("usb-unplug", view.uuid, devid=number, port=port, status=204)


@router.get(
    "/{ref}/usb",
    summary="The host's USB devices that it has",
    responses={200: {"model": UsbList}},
)
async def list_usb(request: Request, service: Service, _: Viewer, ref: Ref) -> Response:
    view = await service.lookup(ref)
    items = [
        {"device": device, "controller": int(controller["id"]), "port": int(port)}
        for controller in await _controllers(service, view.uuid)
        for port, device in controller["ports"].items()
        if device
    ]
    return document_answer(request, {"items": items, "next": None})


@router.post(
    "/{ref}/usb",
    status_code=202,
    summary="Give a USB device of the host to an HVM guest with emulated USB",
    dependencies=[JsonBody],
    responses=ADDED,
)
async def add_usb(
    service: Service, submit: Submit, caller: Admin, ref: Ref, body: Plug
) -> Response:
    view = await service.lookup(ref)
    return await submit(caller).answer(
        "usb-add", view.uuid, device=body.device, status=201, show=_nothing
    )


@router.delete(
    "/{ref}/usb/{device}",
    status_code=202,
    summary="Take it away again",
    responses=GONE,
)
async def remove_usb(
    service: Service,
    submit: Submit,
    caller: Admin,
    ref: Ref,
    device: Annotated[str, Path(max_length=64, description=DEVICE, examples=["1-1.4"])],
) -> Response:
    view = await service.lookup(ref)
    if not device:
        raise NotFound(what="USB device", value=device)
    return await submit(caller).answer("usb-del", view.uuid, device=device, status=204)
