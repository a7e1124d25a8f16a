"""Configurations without a domain: into another dialect, and whether they would do."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import JSONResponse, Response

from xend.api.rest.access import Operator
from xend.api.rest.bodies import CONFIG_BODY, JSON, read_config
from xend.api.rest.documents import config_document
from xend.api.rest.hostpaths import Paths
from xend.api.rest.jobs import Service
from xend.api.rest.problems import problem
from xend.api.rest.schemas import Converted, Validated
from xend.api.rest.writing import MEDIA, Dialect, written
from xend.core.domains import DomainService
from xend.errors import (
    ConfigError,
    ConflictError,
    ResourceError,
    UnsupportedFeature,
)
from xend.model.domain import DomainConfig

router = APIRouter(tags=["configuration"])


@router.post(
    "/v1/convert",
    summary="A configuration in another dialect",
    openapi_extra={"requestBody": CONFIG_BODY},
    responses={
        200: {
            "model": Converted,
            "content": {media: {"schema": {"type": "string"}} for media in MEDIA.values()},
        }
    },
)
async def convert(
    request: Request,
    _: Operator,
    to: Annotated[Dialect, Query(description="the dialect that is wanted")] = "json",
) -> Response:
    read = await read_config(request)
    if to == "json":
        document = {"warnings": list(read.warnings), "config": config_document(read.config)}
        return JSONResponse(document, media_type=JSON)
    text = written(read.config, to).encode("utf-8", "surrogateescape")
    return Response(text, media_type=f"{MEDIA[to]}; charset=utf-8")


@router.post(
    "/v1/validate",
    summary="Whether a domain could be made of it on this host now; nothing is changed",
    openapi_extra={"requestBody": CONFIG_BODY},
    responses={200: {"model": Validated}},
)
async def validate(request: Request, service: Service, caller: Operator, paths: Paths) -> Response:
    """A body that cannot even be read is refused as POST /v1/domains would refuse it."""
    read = await read_config(request)
    await paths.check_images(caller, read.config.model_dump(mode="json"))
    problems = await _problems(service, read.config)
    return JSONResponse(
        {
            "valid": not problems,
            "name": read.config.name,
            "warnings": list(read.warnings),
            "problems": problems,
        }
    )


async def _problems(service: DomainService, config: DomainConfig) -> list[dict[str, Any]]:
    """The first that is found, as a create would report it."""
    try:
        await service.check(config)
    except (ConfigError, ConflictError, ResourceError, UnsupportedFeature) as error:
        return [problem(error)]
    return []
