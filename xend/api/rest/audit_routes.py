"""`/v1/audit`: who changed what, for admins."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from xend.api.rest.access import Admin
from xend.api.rest.documents import moment
from xend.api.rest.lists import whole
from xend.api.rest.parts import RestParts
from xend.core.access import AuditLine

router = APIRouter(prefix="/v1/audit", tags=["access"])

_FIELDS: Final = tuple(field.name for field in fields(AuditLine))
Text = Annotated[str, Query(max_length=255)]


class AuditDocument(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "seq": 17,
                    "time": "2026-01-01T00:00:00.000+00:00",
                    "who": "token deploy",
                    "role": "admin",
                    "origin": "192.0.2.7:40112",
                    "face": "rest",
                    "action": "POST /v1/domains/prospero/actions/shutdown",
                    "target": "prospero",
                    "result": "202",
                    "operation": "5f2c9a10-4",
                }
            ]
        },
        json_schema_serialization_defaults_required=True,
    )

    seq: int
    time: str = Field(description="RFC 3339, in UTC")
    who: str
    role: str = Field(description="empty: nobody, or an operation")
    origin: str = Field(description="`unix:pid N`, or an address and port")
    face: str
    action: str = Field(description="method and path, or an operation's verb")
    target: str = Field(description="a domain, as the request named it; its uuid for an operation")
    result: str = Field(description="a request's status; how an operation ended")
    operation: str = Field(description="its id, if there is one")


class AuditList(BaseModel):
    items: list[AuditDocument]
    next: str | None = Field(description="`cursor` of the page that follows; null: the last")


@router.get(
    "", summary="Changes, refusals and ended operations, newest first", response_model=AuditList
)
async def list_audit(
    _: Admin,
    request: Request,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[int | None, Query(ge=1, le=2**62, description="`next` of a page")] = None,
    who: Text = "",
    target: Text = "",
    operation: Text = "",
) -> Response:
    parts: RestParts = request.app.state.parts
    lines = await parts.audit.read(
        before=cursor, limit=limit, who=who, target=target, operation=operation
    )
    more = str(lines[-1].seq) if len(lines) == limit else None
    return await whole(request, lines, _document, following=more)


def _document(line: AuditLine) -> dict[str, Any]:
    return {name: getattr(line, name) for name in _FIELDS} | {"time": moment(line.time)}
