"""Managed domains of another host, from a copy of its xend's directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from xend.api.rest.access import Admin
from xend.api.rest.hostpaths import Paths
from xend.api.rest.jobs import Submit
from xend.api.rest.media import JsonBody
from xend.api.rest.schemas import ImportShown, OperationShown

router = APIRouter(tags=["configuration"])


class Import(BaseModel):
    path: Path = Field(
        strict=False,
        description="a copy of /var/lib/xend/domains, on this host; it is not changed",
        examples=["/var/lib/xend/save/old-host/domains"],
    )
    dry_run: bool = Field(default=False, description="only say what would become of each")
    model_config = ConfigDict(extra="forbid", strict=True)


@router.post(
    "/v1/import/xend",
    status_code=202,
    summary="Register the managed domains of another host",
    dependencies=[JsonBody],
    responses={
        200: {"model": ImportShown, "description": "It has ended within the wait"},
        202: {"model": OperationShown},
    },
)
async def import_xend(submit: Submit, caller: Admin, paths: Paths, body: Import) -> Response:
    folder = await paths.folder(body.path)
    return await submit(caller).answer(
        "import", None, folder=folder, dry_run=body.dry_run, show=_shown
    )


def _shown(reports: Any) -> dict[str, Any]:
    items = [
        {
            "path": str(report.path),
            "verdict": report.verdict,
            "name": report.name or None,
            "uuid": report.uuid or None,
            "reason": report.reason or None,
            "changes": report.changes,
            "notes": report.notes,
        }
        for report in reports
    ]
    return {"items": items, "next": None}
