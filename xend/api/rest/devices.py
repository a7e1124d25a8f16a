"""Devices of a domain: as they are configured and as they are attached; plugged while it runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Path, Query, Request
from starlette.responses import Response

from xend.api.rest.access import Admin, Viewer
from xend.api.rest.bodies import JSON, MERGE_PATCH, checked, parse_json
from xend.api.rest.documents import HIDDEN, config_document
from xend.api.rest.hostpaths import Paths
from xend.api.rest.jobs import Service, Submit
from xend.api.rest.lists import document_answer
from xend.api.rest.media import JsonBody
from xend.api.rest.merging import merged
from xend.api.rest.parameters import Ref
from xend.api.rest.refusals import MalformedBody, NotFound
from xend.api.rest.schemas import DeviceList, DeviceShown, Done, OperationShown
from xend.core.domains import DomainService
from xend.core.ports import DeviceClass
from xend.model.devices import Device, Disk, Pci, Vfb, Vif
from xend.model.status import DeviceView


def _dev(example: str) -> Any:
    """The parameter of the address."""
    return Annotated[
        str, Path(description="its id in the list", min_length=1, max_length=64, examples=[example])
    ]


@dataclass(frozen=True, slots=True)
class Kind:
    device_class: DeviceClass
    model: type[Device]
    attribute: str
    """Of DomainConfig."""
    word: str
    id_of: Callable[[Mapping[str, Any], int], str]
    """Of a configured one, by what it is or by its place."""
    is_same: Callable[[Mapping[str, Any], DeviceView], bool]
    example: Mapping[str, Any] = field(default_factory=dict)
    change: Mapping[str, Any] | None = None
    """An example of a merge patch; None: there is nothing to change of it."""
    effect: str = ""
    """What becomes of a change while the domain runs."""
    an_id: str = "0"
    """An example."""


def _address(device: Mapping[str, Any]) -> str:
    return "{domain:04x}:{bus:02x}:{slot:02x}.{func:x}".format_map(device)


KINDS: Final[Mapping[str, Kind]] = {
    "disks": Kind(
        "vbd",
        Disk,
        "disks",
        "disk",
        lambda device, place: str(device["vdev"]),
        lambda device, view: view.backend.get("dev") == device["vdev"],
        {"scheme": "file", "path": "/srv/data.img", "vdev": "xvdb", "access": "w"},
        {"access": "r"},
        "of a running domain only with replug, but for the medium of a CD drive",
        "xvdb",
    ),
    "nics": Kind(
        "vif",
        Vif,
        "vifs",
        "network interface",
        lambda device, place: str(place),
        lambda device, view: device["mac"] != "" and view.backend.get("mac") == device["mac"],
        {"bridge": "xenbr0", "mac": "00:16:3e:00:00:07"},
        {"rate": "10Mb/s"},
        "the rate at once, and anything else of a running domain only with replug",
    ),
    "vfbs": Kind(
        "vfb",
        Vfb,
        "vfbs",
        "frame buffer",
        lambda device, place: str(place),
        lambda device, view: True,
        {"type": "vnc", "vnclisten": "127.0.0.1"},
        {"keymap": "de"},
        "only while the domain is halted",
    ),
    "pci": Kind(
        "pci",
        Pci,
        "pcis",
        "PCI device",
        lambda device, place: _address(device),
        lambda device, view: True,
        {"bus": 3, "slot": 0, "func": 0},
        an_id="0000:03:00.0",
    ),
}


async def listed(service: DomainService, ref: str, kind: Kind) -> list[dict[str, Any]]:
    """Those of the configuration in its order, then those that only XenStore shows."""
    view = await service.with_config(await service.lookup(ref))
    config = config_document(view.config) or {}
    configured: Sequence[Mapping[str, Any]] = config.get(kind.attribute, ())
    views = list(await service.devices(view.uuid, kind.device_class))
    items = []
    for place, device in enumerate(configured):
        match = next((each for each in views if kind.is_same(device, each)), None)
        if match is not None and kind.device_class != "pci":
            views.remove(match)  # All PCI devices of a domain are one in XenStore.
        # A nic has no name of its own: its number is that which XenStore gave it.
        by_number = match is not None and kind.device_class in ("vif", "vfb")
        id = str(match.devid) if match and by_number else kind.id_of(device, place)
        items.append({"id": id, "configured": device, "attached": _attached(match)})
    if kind.device_class == "pci" and configured:
        views = []
    items += [
        {
            "id": each.backend.get("dev", str(each.devid)),
            "configured": None,
            "attached": _attached(each),
        }
        for each in views
    ]
    return items


def _attached(view: DeviceView | None) -> dict[str, Any] | None:
    if view is None:
        return None
    return {
        "devid": view.devid,
        "frontend": dict(view.frontend),
        "backend": {key: value for key, value in view.backend.items() if key != "vncpasswd"},
    }


async def found(service: DomainService, ref: str, kind: Kind, dev: str) -> dict[str, Any]:
    """By its id, its number, or (a nic) its MAC."""
    return _picked(await listed(service, ref, kind), ref, kind, dev)


def _picked(items: Sequence[dict[str, Any]], ref: str, kind: Kind, dev: str) -> dict[str, Any]:
    wanted = dev.lower()
    for item in items:
        names = [item["id"], str((item["attached"] or {}).get("devid", ""))]
        names += [str((item["configured"] or {}).get("mac", ""))]
        if wanted in names:
            return item
    raise NotFound(
        f"Domain '{ref}' has no {kind.word} '{dev}'",
        what=kind.word,
        value=dev,
        possible=[item["id"] for item in items],
    )


Endpoint = Callable[..., Awaitable[Response]]


def _lists(kind: Kind) -> Endpoint:
    async def list_devices(request: Request, service: Service, _: Viewer, ref: Ref) -> Response:
        items = await listed(service, ref, kind)
        return document_answer(request, {"items": items, "next": None})

    return list_devices


def _gets(kind: Kind) -> Endpoint:
    async def get_device(
        request: Request, service: Service, _: Viewer, ref: Ref, dev: str
    ) -> Response:
        return document_answer(request, await found(service, ref, kind, dev))

    get_device.__annotations__["dev"] = _dev(kind.an_id)
    return get_device


def _attaches(kind: Kind) -> Endpoint:
    async def attach_device(
        request: Request,
        service: Service,
        submit: Submit,
        caller: Admin,
        paths: Paths,
        ref: Ref,
        body: Any,
    ) -> Response:
        body = checked(kind.model, parse_json(await request.body()))
        view = await service.lookup(ref)
        await paths.check_images(caller, body.model_dump(mode="json"))
        return await submit(caller).answer(
            "attach",
            view.uuid,
            device_class=kind.device_class,
            device=body,
            status=201,
            show=lambda result: {"result": None},
        )

    example = Body(examples=[dict(kind.example)])
    attach_device.__annotations__["body"] = Annotated[kind.model, example]
    return attach_device


async def _configured(service: DomainService, ref: str, kind: Kind, dev: str) -> Device:
    items = await listed(service, ref, kind)
    place = items.index(_picked(items, ref, kind, dev))
    config = (await service.with_config(await service.lookup(ref))).config
    devices: Sequence[Device] = getattr(config, kind.attribute, ())
    if place >= len(devices):
        raise NotFound(
            f"The {kind.word} '{dev}' of domain '{ref}' is in no configuration",
            what=kind.word,
            value=dev,
        )
    return devices[place]


def _changes(kind: Kind) -> Endpoint:
    async def change_device(
        request: Request,
        service: Service,
        submit: Submit,
        caller: Admin,
        paths: Paths,
        ref: Ref,
        dev: str,
        replug: Annotated[
            bool,
            Query(
                description="take it out of the running guest and put it back, where it cannot be "
                "changed otherwise"
            ),
        ] = False,
    ) -> Response:
        patch = parse_json(await request.body())
        if not isinstance(patch, dict):
            raise MalformedBody(reason="a merge patch is an object")
        view = await service.lookup(ref)
        before = await _configured(service, ref, kind, dev)
        known = before.model_dump(mode="json")
        document = merged(known, patch)
        if document.get("vncpasswd") == HIDDEN:
            document["vncpasswd"] = getattr(before, "vncpasswd", "")
        after = checked(kind.model, document)
        await paths.check_images(caller, after.model_dump(mode="json"), known)
        return await submit(caller).answer(
            "change-device",
            view.uuid,
            device_class=kind.device_class,
            before=before,
            after=after,
            replug=replug,
            show=lambda result: {"result": None},
        )

    change_device.__annotations__["dev"] = _dev(kind.an_id)
    return change_device


def _detaches(kind: Kind) -> Endpoint:
    async def detach_device(
        service: Service,
        submit: Submit,
        caller: Admin,
        ref: Ref,
        dev: str,
        force: Annotated[bool, Query(description="although the guest does not let go")] = False,
    ) -> Response:
        view = await service.lookup(ref)
        item = await found(service, ref, kind, dev)
        if kind.device_class == "pci":
            device = Pci.model_validate(item["configured"])
            return await submit(caller).answer("detach-pci", view.uuid, device=device, status=204)
        return await submit(caller).answer(
            "detach",
            view.uuid,
            device_class=kind.device_class,
            device=item["id"],
            force=force,
            status=204,
        )

    detach_device.__annotations__["dev"] = _dev(kind.an_id)
    return detach_device


router = APIRouter(prefix="/v1/domains", tags=["devices"])

_DONE: Final[dict[int | str, dict[str, Any]]] = {202: {"model": OperationShown}}

for _path, _kind in KINDS.items():
    _many, _one = f"/{{ref}}/{_path}", f"/{{ref}}/{_path}/{{dev}}"
    _name = _path.rstrip("s")
    router.add_api_route(
        _many,
        _lists(_kind),
        methods=["GET"],
        name=f"list_{_path}",
        summary=f"Each {_kind.word}, as configured and as attached",
        responses={200: {"model": DeviceList}},
    )
    router.add_api_route(
        _many,
        _attaches(_kind),
        methods=["POST"],
        name=f"attach_{_name}",
        status_code=202,
        summary=f"Attach a {_kind.word}; of a halted domain only the configuration changes",
        dependencies=[JsonBody],
        responses={201: {"model": Done, "description": "Attached within the wait"}, **_DONE},
    )
    router.add_api_route(
        _one,
        _gets(_kind),
        methods=["GET"],
        name=f"get_{_name}",
        summary=f"One {_kind.word}",
        responses={200: {"model": DeviceShown}},
    )
    if _kind.change is not None:
        router.add_api_route(
            _one,
            _changes(_kind),
            methods=["PATCH"],
            name=f"change_{_name}",
            status_code=202,
            summary=f"Change a {_kind.word} (JSON Merge Patch): {_kind.effect}",
            dependencies=[JsonBody],
            openapi_extra={
                "requestBody": {
                    "required": True,
                    "content": {
                        media: {"schema": {"type": "object"}, "example": dict(_kind.change)}
                        for media in (MERGE_PATCH, JSON)
                    },
                }
            },
            responses={200: {"model": Done, "description": "Changed within the wait"}, **_DONE},
        )
    router.add_api_route(
        _one,
        _detaches(_kind),
        methods=["DELETE"],
        name=f"detach_{_name}",
        status_code=202,
        summary=f"Detach a {_kind.word}",
        responses={204: {"description": "Detached within the wait"}, **_DONE},
    )
