"""Domains: list, look at, make, act on."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

from fastapi import APIRouter, Body, Depends, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import Field, ValidationError
from starlette.responses import JSONResponse

from xend.api.rest.access import Admin, Operator, Viewer
from xend.api.rest.actions import ACTIONS
from xend.api.rest.documents import config_document, domain_document
from xend.api.rest.operations import Service, Wait, outcome
from xend.api.rest.problems import NotFound, UnsupportedMediaType
from xend.core.views import DomainView
from xend.model.domain import DomainConfig

router = APIRouter(prefix="/v1/domains", tags=["domains"])

Ref = Annotated[str, Path(description="name, uuid or domid", min_length=1, max_length=255)]
State = Literal["all", "halted", "paused", "running", "suspended", "crashed", "unknown"]


class NewDomain(DomainConfig):
    """A configuration whose uuid may be left to us."""

    uuid: UUID = Field(default_factory=uuid4)

    def config(self) -> DomainConfig:
        return DomainConfig.model_validate(self.model_dump())


async def json_body(request: Request) -> None:
    """Other dialects have other types; guessing would turn a typo into another machine."""
    given = request.headers.get("content-type", "")
    name = given.partition(";")[0].strip().lower()
    if name and name != "application/json":
        raise UnsupportedMediaType(given=given, expected="application/json")


@router.get("", summary="All domains, the running by domid and then the halted by name")
async def list_domains(service: Service, _: Viewer, state: State = "all") -> JSONResponse:
    views = await service.list(state)
    return JSONResponse({"items": [domain_document(view) for view in views], "next": None})


@router.get("/{ref}", summary="One domain and its configuration")
async def get_domain(service: Service, _: Viewer, ref: Ref) -> JSONResponse:
    view = await service.with_config(await service.lookup(ref))
    return JSONResponse({**domain_document(view), "config": config_document(view.config)})


@router.post(
    "",
    status_code=202,
    summary="Create a domain (or, with define, register a managed one)",
    dependencies=[Depends(json_body)],
)
async def create_domain(
    service: Service,
    caller: Admin,
    wait: Wait,
    body: NewDomain,
    define: Annotated[bool, Query(description="only register it as a managed domain")] = False,
    paused: Annotated[bool, Query(description="leave it paused")] = False,
) -> JSONResponse:
    config = body.config()
    if define:
        job = service.submit("new", config, caller=caller.core)
    else:
        job = service.submit("create", config, paused=paused, caller=caller.core)
    return await outcome(job, wait, _shown, status=201)


@router.get("/{ref}/actions/", summary="What can be asked of a domain")
async def list_actions(service: Service, _: Viewer, ref: Ref) -> JSONResponse:
    view = await service.lookup(ref)
    return JSONResponse(
        {
            "items": [
                {
                    "action": name,
                    "summary": action.summary,
                    "arguments": action.arguments.model_json_schema(),
                    "href": f"/v1/domains/{view.uuid}/actions/{name}",
                }
                for name, action in ACTIONS.items()
            ],
            "next": None,
        }
    )


@router.post(
    "/{ref}/actions/{verb}",
    status_code=202,
    summary="Do something with a domain",
    dependencies=[Depends(json_body)],
)
async def act(
    service: Service,
    caller: Operator,
    wait: Wait,
    ref: Ref,
    verb: str,
    body: Annotated[dict[str, Any] | None, Body()] = None,
) -> JSONResponse:
    action = ACTIONS.get(verb)
    if action is None:
        raise NotFound(
            f"There is no action '{verb}': possible are {', '.join(ACTIONS)}",
            what="action",
            value=verb,
            possible=list(ACTIONS),
        )
    try:
        arguments = action.arguments.model_validate(body or {})
    except ValidationError as error:
        raise RequestValidationError(
            [{**each, "loc": ("body", *each["loc"])} for each in error.errors()]
        ) from error
    view = await service.lookup(ref)  # 404 before an operation is begun
    job = service.submit(
        action.verb, view.uuid, caller=caller.core, **action.fixed, **arguments.model_dump()
    )
    return await outcome(job, wait, _shown)


def _shown(result: Any) -> Any:
    return domain_document(result) if isinstance(result, DomainView) else {"result": None}
