"""What a domain is meant to be, in each dialect; changed only by who has seen what it is."""

from __future__ import annotations

import hashlib
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from xend.api.rest.access import Admin, Viewer
from xend.api.rest.bodies import CONFIG_BODY, MERGE_PATCH, from_json, parse_json, read_config
from xend.api.rest.documents import config_document, unhidden
from xend.api.rest.hostpaths import Paths
from xend.api.rest.jobs import Service, Submission, Submit
from xend.api.rest.lists import dumps, tagged
from xend.api.rest.media import JsonBody
from xend.api.rest.merging import merged
from xend.api.rest.parameters import IfMatch, Ref, required_match
from xend.api.rest.refusals import MalformedBody, PreconditionFailed
from xend.api.rest.schemas import DomainShown, OperationShown
from xend.api.rest.writing import MEDIA, Dialect, written
from xend.core.domains import DomainService
from xend.core.views import DomainView
from xend.errors import ConfigError, ConflictError, DomainNotFound, DomainStateError
from xend.model.domain import DomainConfig

router = APIRouter(prefix="/v1/domains", tags=["configuration"])


def config_etag(config: DomainConfig | None) -> str:
    """Strong: of the configuration itself, in whatever dialect it is shown."""
    text = dumps(config.model_dump(mode="json")) if config is not None else b""
    return f'"{hashlib.blake2b(text, digest_size=12).hexdigest()}"'


async def _with_config(service: DomainService, ref: str) -> tuple[DomainView, DomainConfig]:
    view = await service.with_config(await service.lookup(ref))
    if view.config is None:
        raise DomainStateError(
            f"The configuration of domain '{ref}' is not known",
            domain=ref,
            state=view.power_state.name.lower(),
            verb="config",
        )
    return view, view.config


@router.get(
    "/{ref}/config",
    summary="Its configuration, as it can be sent again",
    responses={
        200: {
            "content": {media: {"schema": {"type": "string"}} for media in MEDIA.values()}
            | {"application/json": {"schema": {"$ref": "#/components/schemas/DomainConfig"}}}
        }
    },
)
async def get_config(
    request: Request,
    service: Service,
    _: Viewer,
    ref: Ref,
    format: Annotated[Dialect, Query(description="the dialect")] = "json",
) -> Response:
    _view, config = await _with_config(service, ref)
    etag = config_etag(config)
    # A strong tag is of one representation (RFC 9110 §8.8.1): each dialect has its own address.
    if format == "json":
        return tagged(request, dumps(config_document(config)), etag=etag)
    text = written(config, format)
    return tagged(
        request,
        text.encode("utf-8", "surrogateescape"),
        etag=etag,
        media_type=f"{MEDIA[format]}; charset=utf-8",
    )


@router.put(
    "/{ref}/config",
    status_code=202,
    summary="Replace the configuration of a managed domain (or make one, with If-None-Match: *)",
    openapi_extra={"requestBody": CONFIG_BODY},
    responses={
        200: {"model": DomainShown, "description": "It was changed within the wait"},
        201: {"model": DomainShown, "description": "It was made within the wait"},
        202: {"model": OperationShown},
    },
)
async def put_config(
    request: Request,
    service: Service,
    submit: Submit,
    caller: Admin,
    paths: Paths,
    ref: Ref,
    if_match: IfMatch = None,
) -> Response:
    read = await read_config(request)
    submission = submit(caller)
    if request.headers.get("if-none-match", "").strip() == "*":
        await _must_be_new(service, ref)
        if ref not in (read.config.name, str(read.config.uuid)):
            raise _other_name(ref, read.config)
        await paths.check_images(caller, read.config.model_dump(mode="json"))
        return await submission.answer(
            "new", read.config, status=201, check=lambda: _must_be_new(service, ref)
        )
    view, before = await _with_config(service, ref)
    required_match(request, lambda: config_etag(before))
    document = unhidden(read.config.model_dump(mode="json"), before)
    await paths.check_images(caller, document, before.model_dump(mode="json"))
    config = DomainConfig.model_validate({**document, "uuid": view.uuid})
    if read.has_uuid and str(read.config.uuid) != view.uuid:
        raise ConfigError(
            f"uuid: a domain keeps its uuid, which is {view.uuid}",
            field="uuid",
            value=str(read.config.uuid),
            expected=view.uuid,
        )
    return await _change(service, submission, view, config, before)


@router.patch(
    "/{ref}/config",
    status_code=202,
    summary="Change some settings (JSON Merge Patch, RFC 7396)",
    dependencies=[JsonBody],
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                MERGE_PATCH: {
                    "schema": {"type": "object"},
                    "example": {"memory": 524288, "description": "web server"},
                }
            },
        }
    },
    responses={
        200: {"model": DomainShown, "description": "It was changed within the wait"},
        202: {"model": OperationShown},
    },
)
async def patch_config(
    request: Request,
    service: Service,
    submit: Submit,
    caller: Admin,
    paths: Paths,
    ref: Ref,
    if_match: IfMatch = None,
) -> Response:
    patch = parse_json(await request.body())
    if not isinstance(patch, dict):
        raise MalformedBody(reason="a merge patch is an object")
    view, before = await _with_config(service, ref)
    required_match(request, lambda: config_etag(before))
    document = merged(before.model_dump(mode="json"), patch)
    config = from_json(unhidden(document, before)).config
    await paths.check_images(caller, config.model_dump(mode="json"), before.model_dump(mode="json"))
    if str(config.uuid) != view.uuid:
        raise ConfigError("uuid: a domain keeps its uuid", field="uuid", value=str(config.uuid))
    return await _change(service, submit(caller), view, config, before)


async def _change(
    service: DomainService,
    submission: Submission,
    view: DomainView,
    config: DomainConfig,
    before: DomainConfig,
) -> Response:
    if not view.managed:
        raise DomainStateError(
            f"Domain '{view.name}' is not managed: nothing keeps its configuration beyond its life",
            domain=view.name,
            state=view.power_state.name.lower(),
            verb="change the configuration of",
            possible=("adopt",),
        )
    if config.name != view.name:
        raise ConfigError(
            "name: use the action rename", field="name", value=config.name, expected=view.name
        )

    async def unchanged() -> None:
        """Another change may have come in between."""
        now = (await service.with_config(await service.lookup(view.uuid))).config
        if config_etag(now) != config_etag(before):
            raise PreconditionFailed(expected=config_etag(before), etag=config_etag(now))

    return await submission.answer("new", config, check=unchanged)


async def _must_be_new(service: DomainService, ref: str) -> None:
    try:
        view = await service.lookup(ref)
    except DomainNotFound:
        return
    raise PreconditionFailed(
        f"There is a domain '{ref}' already", expected="*", etag=config_etag(view.config)
    )


def _other_name(ref: str, config: DomainConfig) -> ConflictError:
    return ConflictError(
        f"The address says '{ref}', but the configuration is of '{config.name}'",
        what="name",
        value=config.name,
        domain=ref,
    )
