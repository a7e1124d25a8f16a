"""From a request to an operation: submitting, waiting as the client prefers, answering."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

from fastapi import Depends, Header, Query, Request
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response

from xend.api.rest.access import Caller
from xend.api.rest.documents import domain_document, operation_document
from xend.api.rest.idempotency import Claim
from xend.api.rest.problems import Of
from xend.core.domains import DomainService
from xend.core.jobs import Job
from xend.core.views import DomainView
from xend.errors import XendError
from xend.model.domain import DomainConfig

MAX_WAIT: Final = 3600
"""Seconds that a client may ask to wait."""

_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,9})\"?", re.IGNORECASE)
_ASYNC = re.compile(r"(?:^|[,;\s])respond-async(?:$|[,;\s])", re.IGNORECASE)

Check = Callable[[], Awaitable[None]]


async def service_of(connection: HTTPConnection) -> DomainService:
    service: DomainService = connection.app.state.service
    return service


async def preferred_wait(
    prefer: Annotated[
        list[str] | None,
        Header(
            description="`wait=N`: seconds to wait for the result; `respond-async`: 202 at once"
        ),
    ] = None,
    wait: Annotated[
        int | None, Query(ge=0, le=MAX_WAIT, description="the same as `Prefer: wait=N`")
    ] = None,
) -> int | None:
    """Seconds to wait for the result (RFC 7240); None: answer at once."""
    for value in prefer or ():
        found = _WAIT.search(value)
        if found:
            return min(int(found.group(1)), MAX_WAIT)
        if _ASYNC.search(value):
            return None
    return wait


Service = Annotated[DomainService, Depends(service_of)]
Wait = Annotated[int | None, Depends(preferred_wait)]


class Submission:
    """One change that a request asks for."""

    def __init__(
        self, request: Request, service: DomainService, caller: Caller, wait: int | None
    ) -> None:
        self._request = request
        self._service = service
        self._caller = caller
        self._wait = wait

    @property
    def claim(self) -> Claim | None:
        """Of the request's Idempotency-Key."""
        found: Claim | None = self._request.scope["state"].get("claim")
        return found

    async def answer(
        self,
        verb: str,
        target: str | DomainConfig | None,
        /,
        *,
        status: int = 200,
        check: Check | None = None,
        show: Callable[[Any], Any] | None = None,
        **arguments: Any,
    ) -> Response:
        """Submits it; 202 and the operation's address, or, if it ends within the wait, what `show`
        makes of its result.  Its error goes out as it is.

        `check` is awaited when its turn has come, before anything is changed.
        """
        claim = self.claim
        writing: asyncio.Future[None]

        async def begin() -> None:
            # Before anything that it does: after a kill its address must tell the truth.
            await asyncio.shield(writing)
            if check is not None:
                await check()

        job = self._service.submit(
            verb,
            target,
            caller=self._caller.core,
            job_id=claim.job_id if claim else None,
            check=begin,
            **arguments,
        )
        writing = asyncio.ensure_future(self._service.jobs.recorded(job))
        await asyncio.shield(writing)
        return await self.outcome(job, status=status, show=show or shown)

    async def outcome(self, job: Job, *, status: int = 200, show: Callable[[Any], Any]) -> Response:
        headers = {"Location": f"/v1/operations/{job.id}"}
        if self._wait is not None:
            headers["Preference-Applied"] = f"wait={self._wait}"
            try:
                result = await job.wait(self._wait)
            except TimeoutError:
                pass
            except XendError:
                self._request.scope["state"]["failed"] = Of(job.id, job.kind)
                raise
            else:
                document = show(result)
                headers["Operation-Location"] = headers.pop("Location")
                if status == 201 and isinstance(document, dict) and "links" in document:
                    headers["Location"] = document["links"]["self"]
                if status == 204:
                    return Response(status_code=204, headers=headers)
                return JSONResponse(document, status, headers)
        elif _ASYNC.search(",".join(self._request.headers.getlist("prefer"))):
            headers["Preference-Applied"] = "respond-async"
        return JSONResponse(operation_document(job), 202, headers)


async def submission_of(
    request: Request, service: Service, wait: Wait
) -> Callable[[Caller], Submission]:
    return lambda caller: Submission(request, service, caller, wait)


Submit = Annotated[Callable[[Caller], Submission], Depends(submission_of)]
"""Called with the caller, whose role the route has asked for."""


def shown(result: Any) -> Any:
    return domain_document(result) if isinstance(result, DomainView) else {"result": None}
