"""Operations: every change is one, and has an address of its own."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import JSONResponse, Response

from xend.api.rest.access import Operator, Viewer
from xend.api.rest.documents import operation_document
from xend.api.rest.jobs import MAX_WAIT, Service
from xend.api.rest.lists import Paged, answer, document_answer
from xend.api.rest.refusals import NotFound
from xend.api.rest.schemas import OperationList, OperationShown
from xend.core.domains import DomainService
from xend.core.jobs import Job
from xend.core.portions import portions
from xend.errors import DomainStateError, InvalidArgument

router = APIRouter(prefix="/v1/operations", tags=["operations"])

OPERATION_FIELDS: Final = (
    *("id", "kind", "status", "progress", "progress.stage", "progress.percent", "progress.bytes"),
    *("target", "target.uuid", "target.name", "requested_by", "requested_by.face"),
    *("requested_by.uid", "requested_by.label", "created_at", "started_at", "finished_at"),
    *("error", "cancellable", "links", "links.self", "links.domain"),
)


def find(service: DomainService, id: str) -> Job:
    try:
        return service.jobs.get(id)
    except InvalidArgument as error:
        raise NotFound(what="operation", value=id) from error


@router.get(
    "", summary="Recent operations, newest first", responses={200: {"model": OperationList}}
)
async def list_operations(request: Request, service: Service, _: Viewer, page: Paged) -> Response:
    documents: list[dict[str, Any]] = []
    async for part in portions([*reversed(service.jobs.list())]):
        documents += map(operation_document, part)
    return await answer(request, documents, page, known=OPERATION_FIELDS, id_of=_id)


def _id(document: Any) -> str:
    return str(document["id"])


@router.get(
    "/{id}",
    summary="One operation; with wait, when it has ended or after so many seconds",
    responses={200: {"model": OperationShown}},
)
async def get_operation(
    request: Request,
    service: Service,
    _: Viewer,
    id: str,
    wait: Annotated[int, Query(ge=0, le=MAX_WAIT, description="seconds")] = 0,
) -> Response:
    job = find(service, id)
    if wait and not job.done:
        await _ended(job, wait)
    return document_answer(request, operation_document(job))


@router.get(
    "/{id}/wait",
    summary="One operation, when it has ended or after `timeout` seconds",
    responses={200: {"model": OperationShown}},
)
async def wait_for_operation(
    request: Request,
    service: Service,
    _: Viewer,
    id: str,
    timeout: Annotated[int, Query(ge=0, le=MAX_WAIT, description="seconds")] = 60,
) -> Response:
    job = find(service, id)
    if not job.done:
        await _ended(job, timeout)
    return document_answer(request, operation_document(job))


async def _ended(job: Job, seconds: int) -> None:
    """How it ended is in the document, also when it failed."""
    waiting = asyncio.ensure_future(job.wait(seconds))
    try:
        await asyncio.wait([waiting])
    finally:
        waiting.cancel()
    if not waiting.cancelled():
        waiting.exception()


@router.delete(
    "/{id}",
    status_code=202,
    summary="Cancel: what it did is undone",
    responses={202: {"model": OperationShown}},
)
async def cancel_operation(service: Service, _: Operator, id: str) -> JSONResponse:
    job = find(service, id)
    if job.done:
        raise DomainStateError(
            f"The operation has ended already: it is {job.status.value}",
            domain=job.name,
            state=job.status.value,
            verb="cancel",
        )
    if job.final:
        raise DomainStateError(
            "The operation can only go forward now",
            domain=job.name,
            state=job.status.value,
            verb="cancel",
        )
    service.jobs.cancel(id)
    return JSONResponse(operation_document(job), 202)
