"""Domains from files on the host: what `save` wrote, and a former xend's directory."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from xend.api.rest.access import Admin
from xend.api.rest.hostpaths import Paths
from xend.api.rest.jobs import Submit
from xend.api.rest.media import JsonBody
from xend.api.rest.schemas import DomainShown, OperationShown

router = APIRouter(tags=["domains"])


class Restore(BaseModel):
    path: Path = Field(
        strict=False,
        description="on the host, absolute",
        examples=["/var/lib/xen/save/prospero.save"],
    )
    paused: bool = Field(default=False, description="leave it paused")
    model_config = ConfigDict(extra="forbid", strict=True)


@router.post(
    "/v1/restore",
    status_code=202,
    summary="Bring a domain back from a file that `save` (or xl save) wrote",
    dependencies=[JsonBody],
    responses={
        201: {"model": DomainShown, "description": "It runs again within the wait"},
        202: {"model": OperationShown},
    },
)
async def restore(submit: Submit, caller: Admin, paths: Paths, body: Restore) -> Response:
    path = await paths.to_read(body.path)
    return await submit(caller).answer("restore", None, path=path, paused=body.paused, status=201)
