"""The CD drive: another medium, or none."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from xend.api.rest.access import Operator
from xend.api.rest.hostpaths import Paths
from xend.api.rest.jobs import Service, Submit
from xend.api.rest.media import JsonBody
from xend.api.rest.parameters import Ref
from xend.api.rest.refusals import NotFound
from xend.api.rest.schemas import Done, OperationShown
from xend.core.domains import DomainService
from xend.model.devices import Disk

router = APIRouter(prefix="/v1/domains", tags=["devices"])

Drive = Annotated[
    str | None, Query(max_length=16, description="which drive, e.g. `hdc`; otherwise the first")
]
CHANGED: dict[int | str, dict[str, Any]] = {
    200: {"model": Done, "description": "It was changed within the wait"},
    202: {"model": OperationShown},
}


class Medium(BaseModel):
    path: FilePath = Field(
        strict=False,
        description="an image or block device of the host",
        examples=["/srv/install.iso"],
    )
    scheme: str = Field(default="file", max_length=16, description="file, phy, tap:aio …")
    model_config = ConfigDict(extra="forbid", strict=True)


async def _drive(service: DomainService, ref: str, vdev: str | None) -> tuple[str, Disk]:
    """The domain's uuid and the drive's configuration."""
    view = await service.with_config(await service.lookup(ref))
    drives = (
        [disk for disk in view.config.disks if disk.device_type == "cdrom"] if view.config else []
    )
    for drive in drives:
        if vdev in (None, drive.vdev):
            return view.uuid, drive
    raise NotFound(
        f"Domain '{ref}' has no CD drive{f' {vdev}' if vdev else ''}",
        what="CD drive",
        value=vdev or "",
        possible=[drive.vdev for drive in drives],
    )


@router.put(
    "/{ref}/cdrom",
    status_code=202,
    summary="Insert a medium",
    dependencies=[JsonBody],
    responses=CHANGED,
)
async def insert_cdrom(
    service: Service,
    submit: Submit,
    caller: Operator,
    paths: Paths,
    ref: Ref,
    body: Medium,
    drive: Drive = None,
) -> Response:
    await paths.check_images(caller, body.model_dump(mode="json"))
    uuid, disk = await _drive(service, ref, drive)
    medium = disk.model_copy(update={"path": str(body.path), "scheme": body.scheme})
    return await submit(caller).answer("change-medium", uuid, disk=medium, show=_nothing)


@router.delete("/{ref}/cdrom", status_code=202, summary="Eject the medium", responses=CHANGED)
async def eject_cdrom(
    service: Service, submit: Submit, caller: Operator, ref: Ref, drive: Drive = None
) -> Response:
    uuid, disk = await _drive(service, ref, drive)
    empty = disk.model_copy(update={"path": ""})
    return await submit(caller).answer("change-medium", uuid, disk=empty, show=_nothing)


def _nothing(result: Any) -> dict[str, None]:
    return {"result": None}
