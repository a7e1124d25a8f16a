"""Domains: list, look at, make, change, delete."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from xend.api.rest.access import Admin, Viewer
from xend.api.rest.bodies import CONFIG_BODY, read_config
from xend.api.rest.configs import config_etag
from xend.api.rest.documents import (
    DOMAIN_FIELDS,
    DomainRenderer,
    DomainRow,
    config_document,
    domain_document,
)
from xend.api.rest.hostpaths import Paths
from xend.api.rest.jobs import Service, Submit
from xend.api.rest.lists import Paged, answer, document_answer
from xend.api.rest.parameters import IfMatch, Ref, required_match
from xend.api.rest.schemas import DomainList, DomainShown, DomainWithConfig, OperationShown
from xend.core.domains import DomainService
from xend.errors import ConflictError, DomainNotFound
from xend.model.domain import DomainConfig

router = APIRouter(prefix="/v1/domains", tags=["domains"])

State = Literal["all", "halted", "paused", "running", "suspended", "crashed", "unknown"]


@router.get(
    "",
    summary="All domains, the running by domid and then the halted by name",
    responses={200: {"model": DomainList}},
)
async def list_domains(
    request: Request, service: Service, _: Viewer, page: Paged, state: State = "all"
) -> Response:
    views = await service.list(state)
    renderer: DomainRenderer = request.app.state.domain_renderer
    renderer.forget_others(len(views))
    return await answer(
        request,
        [DomainRow(view) for view in views],
        page,
        known=DOMAIN_FIELDS,
        id_of=_id,
        render=lambda rows: renderer.render(row.view for row in rows),
    )


def _id(row: DomainRow) -> str:
    return f"{row.view.uuid}/{row.view.domid}"


@router.get(
    "/{ref}",
    summary="One domain and its configuration",
    responses={200: {"model": DomainWithConfig}},
)
async def get_domain(request: Request, service: Service, _: Viewer, ref: Ref) -> Response:
    view = await service.with_config(await service.lookup(ref))
    document = {**domain_document(view), "config": config_document(view.config)}
    return document_answer(request, document)


@router.post(
    "",
    status_code=202,
    summary="Make a domain: start it, or with define only register it",
    openapi_extra={"requestBody": CONFIG_BODY},
    responses={
        201: {"model": DomainShown, "description": "It was made within the wait"},
        202: {"model": OperationShown},
    },
)
async def create_domain(
    request: Request,
    service: Service,
    submit: Submit,
    paths: Paths,
    caller: Admin,
    define: Annotated[bool, Query(description="register it as a managed domain")] = False,
    start: Annotated[
        bool | None, Query(description="with define: start it, too; without, it always starts")
    ] = None,
    paused: Annotated[bool, Query(description="leave it paused")] = False,
) -> Response:
    read = await read_config(request)
    submission = submit(caller)
    claim = submission.claim
    config = read.with_uuid(claim.uuid) if claim else read.config
    await paths.check_images(caller, config.model_dump(mode="json"))
    await _must_be_free(service, config)
    if define and not start:
        return await submission.answer("new", config, status=201)
    if define:
        await service.new(config, caller=caller.core)
        return await submission.answer("start", str(config.uuid), paused=paused, status=201)
    return await submission.answer("create", config, paused=paused, status=201)


async def _must_be_free(service: DomainService, config: DomainConfig) -> None:
    """The operation would find it, too; but a client need not wait for that."""
    for view in await service.list():
        if view.name == config.name and view.uuid != str(config.uuid):
            raise ConflictError(what="name", value=config.name, domain=view.name)


@router.delete(
    "/{ref}",
    status_code=202,
    summary="Delete a managed domain that is halted; with force, end it first",
    responses={
        204: {"description": "It was deleted within the wait"},
        202: {"model": OperationShown},
    },
)
async def delete_domain(
    request: Request,
    service: Service,
    submit: Submit,
    caller: Admin,
    ref: Ref,
    if_match: IfMatch = None,
    force: Annotated[bool, Query(description="destroy it first, if it runs")] = False,
) -> Response:
    view = await service.with_config(await service.lookup(ref))
    if if_match is not None:
        required_match(request, lambda: config_etag(view.config))
    submission = submit(caller)
    if force and view.domid is not None:
        if not view.managed:
            return await submission.answer("destroy", view.uuid, status=204)
        service.submit("destroy", view.uuid, caller=caller.core)  # The delete waits for it.
    if not view.managed and view.domid is None:
        raise DomainNotFound(ref)
    return await submission.answer("delete", view.uuid, status=204)
