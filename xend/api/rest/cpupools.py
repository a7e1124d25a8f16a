"""CPU pools: which physical CPUs, under which scheduler, serve which domains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import uuid4

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from xend.api.rest.access import Admin, Operator, Viewer
from xend.api.rest.jobs import Service, Submit
from xend.api.rest.lists import document_answer
from xend.api.rest.media import JsonBody
from xend.api.rest.parameters import Ref
from xend.api.rest.refusals import NotFound
from xend.api.rest.schemas import Done, OperationShown, PoolList, PoolShown
from xend.core.domains import DomainService
from xend.errors import ConflictError
from xend.model.pools import PoolConfig, PoolView

router = APIRouter(tags=["cpupools"])

Pool = Annotated[
    str,
    Path(description="its name or number", min_length=1, max_length=255, examples=["quiet"]),
]
Cpu = Annotated[int, Path(ge=0, le=4095, description="a physical CPU", examples=[3])]
CHANGED: dict[int | str, dict[str, Any]] = {
    200: {"model": Done, "description": "It was changed within the wait"},
    202: {"model": OperationShown},
}
GONE: dict[int | str, dict[str, Any]] = {
    204: {"description": "It was done within the wait"},
    202: {"model": OperationShown},
}


class NewPool(BaseModel):
    name: str = Field(min_length=1, max_length=255, pattern=r"^[A-Za-z0-9_\-.:+]+$")
    scheduler: str = Field(default="", max_length=32, description="empty: the host's")
    cpus: list[Annotated[int, Field(ge=0, le=4095)]] = Field(
        default_factory=list, max_length=4096, description="those it would like to have"
    )
    ncpu: int = Field(default=1, ge=0, le=4096, description="how many, if not all of `cpus`")
    description: str = Field(default="", max_length=1024)
    auto_power_on: bool = Field(default=False, description="start it with the daemon")
    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"name": "quiet", "cpus": [3]}]},
    )

    def config(self) -> PoolConfig:
        values = self.model_dump() | {"cpus": tuple(self.cpus), "uuid": uuid4()}
        return PoolConfig(**{**values, "ncpu": max(self.ncpu, len(self.cpus))})


class Move(BaseModel):
    pool: str = Field(min_length=1, max_length=255, examples=["quiet"])
    model_config = ConfigDict(extra="forbid", strict=True)


def pool_document(view: PoolView) -> dict[str, Any]:
    return {
        "id": view.id,
        "name": view.config.name,
        "uuid": str(view.config.uuid),
        "description": view.config.description,
        "active": view.active,
        "managed": view.managed,
        "scheduler": view.scheduler,
        "cpus": list(view.cpus),
        "domains": [{"uuid": uuid, "name": name} for uuid, name in view.domains],
    }


async def _views(service: DomainService) -> Sequence[PoolView]:
    return await service.cpu_pools.list()


async def _found(service: DomainService, pool: str) -> PoolView:
    views = await _views(service)
    for view in views:
        if view.config.name == pool or (view.id is not None and str(view.id) == pool):
            return view
    raise NotFound(what="CPU pool", value=pool, possible=[view.config.name for view in views])


def _nothing(result: Any) -> dict[str, None]:
    return {"result": None}


@router.get("/v1/cpupools", summary="All CPU pools", responses={200: {"model": PoolList}})
async def list_cpupools(request: Request, service: Service, _: Viewer) -> Response:
    items = [pool_document(view) for view in await _views(service)]
    return document_answer(request, {"items": items, "next": None})


@router.get("/v1/cpupools/{pool}", summary="One CPU pool", responses={200: {"model": PoolShown}})
async def get_cpupool(request: Request, service: Service, _: Viewer, pool: Pool) -> Response:
    return document_answer(request, pool_document(await _found(service, pool)))


@router.post(
    "/v1/cpupools",
    status_code=202,
    summary="Make a CPU pool; with define it is registered, to be started later",
    dependencies=[JsonBody],
    responses={
        201: {"model": Done, "description": "It was made within the wait"},
        202: {"model": OperationShown},
    },
)
async def create_cpupool(
    service: Service,
    submit: Submit,
    caller: Admin,
    body: NewPool,
    define: Annotated[bool, Query(description="only register it")] = False,
) -> Response:
    if any(view.config.name == body.name for view in await _views(service)):
        raise ConflictError(
            f"There is a CPU pool '{body.name}' already", what="name", value=body.name, domain=""
        )
    verb = "pool-new" if define else "pool-create"
    return await submit(caller).answer(verb, None, pool=body.config(), status=201, show=_nothing)


@router.delete(
    "/v1/cpupools/{pool}",
    status_code=202,
    summary="End a CPU pool, and forget it",
    responses=GONE,
)
async def delete_cpupool(service: Service, submit: Submit, caller: Admin, pool: Pool) -> Response:
    view = await _found(service, pool)
    if view.active and view.managed:
        await service.submit("pool-destroy", None, pool=pool, caller=caller.core).wait()
    verb = "pool-delete" if view.managed else "pool-destroy"
    return await submit(caller).answer(verb, None, pool=view.config.name, status=204)


@router.post(
    "/v1/cpupools/{pool}/actions/start",
    status_code=202,
    summary="Start a registered CPU pool",
    responses=CHANGED,
)
async def start_cpupool(service: Service, submit: Submit, caller: Admin, pool: Pool) -> Response:
    await _found(service, pool)
    return await submit(caller).answer("pool-start", None, pool=pool, show=_nothing)


@router.post(
    "/v1/cpupools/{pool}/actions/stop",
    status_code=202,
    summary="Stop a CPU pool; a registered one is still known",
    responses=CHANGED,
)
async def stop_cpupool(service: Service, submit: Submit, caller: Admin, pool: Pool) -> Response:
    await _found(service, pool)
    return await submit(caller).answer("pool-destroy", None, pool=pool, show=_nothing)


@router.put(
    "/v1/cpupools/{pool}/cpus/{cpu}",
    status_code=202,
    summary="Add a CPU",
    responses=CHANGED,
)
async def add_cpu_to_pool(
    service: Service, submit: Submit, caller: Admin, pool: Pool, cpu: Cpu
) -> Response:
    await _found(service, pool)
    return await submit(caller).answer("pool-cpu-add", None, pool=pool, cpu=cpu, show=_nothing)


@router.delete(
    "/v1/cpupools/{pool}/cpus/{cpu}",
    status_code=202,
    summary="Take a CPU out",
    responses=GONE,
)
async def remove_cpu_from_pool(
    service: Service, submit: Submit, caller: Admin, pool: Pool, cpu: Cpu
) -> Response:
    await _found(service, pool)
    return await submit(caller).answer("pool-cpu-remove", None, pool=pool, cpu=cpu, status=204)


@router.patch(
    "/v1/domains/{ref}/cpupool",
    status_code=202,
    summary="Move a domain into another CPU pool",
    dependencies=[JsonBody],
    responses=CHANGED,
)
async def move_domain(
    service: Service, submit: Submit, caller: Operator, ref: Ref, body: Move
) -> Response:
    view = await service.lookup(ref)
    await _found(service, body.pool)
    return await submit(caller).answer("pool-migrate", view.uuid, pool=body.pool, show=_nothing)
