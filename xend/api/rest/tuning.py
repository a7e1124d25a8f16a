"""What a domain may use: memory, virtual CPUs, weight and cap, and on which CPUs it runs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from xend.api.rest.access import Operator, Viewer
from xend.api.rest.jobs import Service, Submission, Submit
from xend.api.rest.lists import document_answer
from xend.api.rest.media import JsonBody
from xend.api.rest.parameters import Ref
from xend.api.rest.schemas import (
    AffinityShown,
    Done,
    MemoryShown,
    OperationShown,
    SchedulerShown,
    VcpusShown,
)
from xend.core.views import DomainView
from xend.errors import InvalidArgument
from xend.model.units import KiB

router = APIRouter(prefix="/v1/domains", tags=["resources"])

CHANGED: dict[int | str, dict[str, Any]] = {
    200: {"model": Done, "description": "It was changed within the wait"},
    202: {"model": OperationShown},
}


class Change(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class MemoryChange(Change):
    """One of them."""

    target: int | None = Field(
        default=None, gt=0, lt=1 << 50, description="KiB that it should have", examples=[262144]
    )
    maximum: int | None = Field(default=None, gt=0, lt=1 << 50, description="KiB")
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"target": 262144}], "minProperties": 1}
    )


class VcpusChange(Change):
    online: int = Field(ge=1, le=4096, description="so many; of a halted domain the most")
    model_config = ConfigDict(json_schema_extra={"examples": [{"online": 2}]})


class SchedulerChange(Change):
    weight: int | None = Field(default=None, ge=1, le=65535)
    cap: int | None = Field(default=None, ge=0, le=1 << 20, description="percent; 0: no cap")
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"weight": 512, "cap": 50}], "minProperties": 1}
    )


Cpu = Annotated[int, Field(ge=0, le=4095)]


class AffinityChange(Change):
    vcpu: int | None = Field(default=None, ge=0, le=4095, description="null: each of them")
    cpus: list[Cpu] = Field(min_length=1, max_length=4096)
    model_config = ConfigDict(json_schema_extra={"examples": [{"vcpu": 0, "cpus": [0, 1]}]})


def _one_of(change: Change) -> dict[str, Any]:
    given = {name: value for name, value in change.model_dump().items() if value is not None}
    if not given:
        raise InvalidArgument(
            f"One of {', '.join(type(change).model_fields)} must be given",
            argument="",
            value="{}",
        )
    return given


def _nothing(result: Any) -> dict[str, None]:
    return {"result": None}


@router.get(
    "/{ref}/memory", summary="KiB that it has and can have", responses={200: {"model": MemoryShown}}
)
async def get_memory(request: Request, service: Service, _: Viewer, ref: Ref) -> Response:
    view = await service.with_config(await service.lookup(ref))
    document = {
        "current": view.memory,
        "target": view.config.memory if view.config else None,
        "maximum": view.max_memory,
    }
    return document_answer(request, document)


@router.patch(
    "/{ref}/memory",
    status_code=202,
    summary="Balloon it, or change the most that it can have",
    dependencies=[JsonBody],
    responses=CHANGED,
)
async def patch_memory(
    service: Service, submit: Submit, caller: Operator, ref: Ref, body: MemoryChange
) -> Response:
    given = _one_of(body)
    view = await service.lookup(ref)
    submission = submit(caller)
    if len(given) == 2:
        raise InvalidArgument(
            "target and maximum are two operations: send one after the other",
            argument="maximum",
            value=given["maximum"],
        )
    if "maximum" in given:
        limit = KiB(given["maximum"])
        return await submission.answer("set-max-memory", view.uuid, limit=limit, show=_nothing)
    target = KiB(given["target"])
    return await submission.answer("set-memory", view.uuid, target=target, show=_nothing)


@router.get(
    "/{ref}/vcpus",
    summary="Its virtual CPUs, and where they are",
    responses={200: {"model": VcpusShown}},
)
async def get_vcpus(request: Request, service: Service, _: Viewer, ref: Ref) -> Response:
    view = await service.lookup(ref)
    items = [asdict(vcpu) for vcpu in await service.vcpus(view.uuid)]
    document = {"online": view.vcpus_online, "maximum": view.vcpus, "items": items}
    return document_answer(request, document)


@router.patch(
    "/{ref}/vcpus",
    status_code=202,
    summary="How many are online",
    dependencies=[JsonBody],
    responses=CHANGED,
)
async def patch_vcpus(
    service: Service, submit: Submit, caller: Operator, ref: Ref, body: VcpusChange
) -> Response:
    view = await service.lookup(ref)
    return await submit(caller).answer("set-vcpus", view.uuid, count=body.online, show=_nothing)


@router.get(
    "/{ref}/scheduler", summary="Weight and cap", responses={200: {"model": SchedulerShown}}
)
async def get_scheduler(request: Request, service: Service, _: Viewer, ref: Ref) -> Response:
    view = await service.lookup(ref)
    weight, cap = await service.scheduler(view.uuid)
    return document_answer(request, {"weight": weight, "cap": cap})


@router.patch(
    "/{ref}/scheduler",
    status_code=202,
    summary="Change weight or cap, or both",
    dependencies=[JsonBody],
    responses=CHANGED,
)
async def patch_scheduler(
    service: Service, submit: Submit, caller: Operator, ref: Ref, body: SchedulerChange
) -> Response:
    given = _one_of(body)
    view = await service.lookup(ref)
    return await submit(caller).answer("set-scheduler", view.uuid, **given, show=_nothing)


@router.get(
    "/{ref}/affinity",
    summary="Which CPUs each of its virtual CPUs may use",
    responses={200: {"model": AffinityShown}},
)
async def get_affinity(request: Request, service: Service, _: Viewer, ref: Ref) -> Response:
    view = await service.with_config(await service.lookup(ref))
    seen = await service.vcpus(view.uuid)
    items = [list(vcpu.affinity) for vcpu in seen] if seen else _configured(view)
    return document_answer(request, {"items": items})


def _configured(view: DomainView) -> list[list[int]]:
    affinity = view.config.affinity if view.config else ()
    return [list(affinity[n]) if n < len(affinity) else [] for n in range(view.vcpus)]


@router.patch(
    "/{ref}/affinity",
    status_code=202,
    summary="Pin virtual CPUs",
    dependencies=[JsonBody],
    responses=CHANGED,
)
async def patch_affinity(
    service: Service, submit: Submit, caller: Operator, ref: Ref, body: AffinityChange
) -> Response:
    view = await service.lookup(ref)
    submission: Submission = submit(caller)
    cpus = tuple(body.cpus)
    return await submission.answer("pin-vcpu", view.uuid, vcpu=body.vcpu, cpus=cpus, show=_nothing)
