"""Operations: every change is one, and has an address of its own."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Query
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse

from xend.api.rest.access import Operator, Viewer
from xend.api.rest.documents import operation_document
from xend.api.rest.problems import NotFound
from xend.core.domains import DomainService
from xend.core.jobs import Job
from xend.errors import InvalidArgument

MAX_WAIT: Final = 3600
"""Seconds that a client may ask to wait."""

_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,9})\"?", re.IGNORECASE)


async def service_of(connection: HTTPConnection) -> DomainService:
    service: DomainService = connection.app.state.service
    return service


async def preferred_wait(prefer: Annotated[list[str] | None, Header()] = None) -> int | None:
    """Seconds to wait for the result, of `Prefer: wait=N` (RFC 7240); None: answer at once."""
    for value in prefer or ():
        found = _WAIT.search(value)
        if found:
            return min(int(found.group(1)), MAX_WAIT)
    return None


Service = Annotated[DomainService, Depends(service_of)]
Wait = Annotated[int | None, Depends(preferred_wait)]

router = APIRouter(prefix="/v1/operations", tags=["operations"])


async def outcome(
    job: Job, wait: int | None, show: Callable[[Any], Any], *, status: int = 200
) -> JSONResponse:
    """202 and the operation's address; or, if it ends within `wait`, what `show` makes of its
    result.  Its error goes out as it is."""
    headers = {"Location": f"/v1/operations/{job.id}"}
    if wait is not None:
        headers["Preference-Applied"] = f"wait={wait}"
        try:
            result = await job.wait(wait)
        except TimeoutError:
            pass
        else:
            document = show(result)
            if status == 201 and isinstance(document, dict) and "links" in document:
                headers["Location"] = document["links"]["self"]
            return JSONResponse(document, status, headers)
    return JSONResponse(operation_document(job), 202, headers)


def find(service: DomainService, id: str) -> Job:
    try:
        return service.jobs.get(id)
    except InvalidArgument as error:
        raise NotFound(what="operation", value=id) from error


@router.get("", summary="Recent operations, newest first")
async def list_operations(
    service: Service, _: Viewer, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> JSONResponse:
    jobs = service.jobs.list()[::-1][:limit]
    return JSONResponse({"items": [operation_document(job) for job in jobs], "next": None})


@router.get("/{id}", summary="One operation; with wait, when it has ended or after so many seconds")
async def get_operation(
    service: Service, _: Viewer, id: str, wait: Annotated[int, Query(ge=0, le=MAX_WAIT)] = 0
) -> JSONResponse:
    job = find(service, id)
    if wait and not job.done:
        await _ended(job, wait)
    return JSONResponse(operation_document(job))


async def _ended(job: Job, seconds: int) -> None:
    """How it ended is in the document, also when it failed."""
    waiting = asyncio.ensure_future(job.wait(seconds))
    await asyncio.wait([waiting])
    waiting.exception()


@router.delete("/{id}", status_code=202, summary="Cancel: what it did is undone")
async def cancel_operation(service: Service, _: Operator, id: str) -> JSONResponse:
    job = find(service, id)
    service.jobs.cancel(id)
    return JSONResponse(operation_document(job), 202)
