"""The routes of actions: one per action, so that each describes its own body."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from xend.api.rest.access import Caller, Viewer, require
from xend.api.rest.actions import ACTIONS, Action
from xend.api.rest.hostpaths import Paths
from xend.api.rest.jobs import Service, Submit
from xend.api.rest.lists import document_answer
from xend.api.rest.media import JsonBody
from xend.api.rest.parameters import Ref
from xend.api.rest.refusals import NotFound
from xend.api.rest.schemas import ActionList, DomainShown, Done, OperationShown
from xend.core.domains import DomainService
from xend.core.views import DomainView
from xend.errors import DomainStateError
from xend.model.units import DOM0

router = APIRouter(prefix="/v1/domains", tags=["actions"])


def may(action: Action, name: str, view: DomainView, service: DomainService) -> None:
    """DomainStateError (409) at once, when nothing is under way that may change its state."""
    if service.jobs.active(view.uuid) is not None or action.possible(view):
        return
    state = "dom0" if view.domid == DOM0 else view.power_state.name.lower()
    possible = [other for other, each in ACTIONS.items() if each.possible(view)]
    raise DomainStateError(
        f"Domain '{view.name}' is {state}: cannot {name}",
        domain=view.name,
        state=state,
        verb=name,
        possible=possible,
    )


@router.get("/{ref}/actions", include_in_schema=False)
@router.get(
    "/{ref}/actions/",
    summary="What can be asked of a domain",
    responses={200: {"model": ActionList}},
)
async def list_actions(request: Request, service: Service, _: Viewer, ref: Ref) -> Response:
    view = await service.lookup(ref)
    items = [
        {
            "action": name,
            "summary": action.summary,
            "arguments": action.arguments.model_json_schema(),
            "href": f"/v1/domains/{view.uuid}/actions/{name}",
            "possible": action.possible(view),
        }
        for name, action in ACTIONS.items()
    ]
    return document_answer(request, {"items": items, "next": None})


def _route(word: str, action: Action) -> Callable[..., Awaitable[Response]]:
    async def act(
        service: Service, submit: Submit, paths: Paths, ref: Ref, caller: Any, body: Any = None
    ) -> Response:
        arguments = (
            body.given() if body is not None else action.arguments.model_validate({}).given()
        )
        for name, value in arguments.items():
            if isinstance(value, FilePath):
                arguments[name] = await paths.to_write(value)
        view = await service.lookup(ref)  # 404 before an operation is begun
        may(action, word, view, service)
        action.check(view, arguments)
        return await submit(caller).answer(action.verb, view.uuid, **action.fixed, **arguments)

    act.__name__ = "action_" + word.replace("-", "_")
    optional = not any(field.is_required() for field in action.arguments.model_fields.values())
    kind: Any = action.arguments
    act.__annotations__["body"] = kind | None if optional else kind
    act.__annotations__["caller"] = Annotated[Caller, Depends(require(action.role))]
    if not optional:
        act.__defaults__ = None
    return act


for _name, _action in ACTIONS.items():
    router.add_api_route(
        f"/{{ref}}/actions/{_name}",
        _route(_name, _action),
        methods=["POST"],
        status_code=202,
        summary=_action.summary,
        dependencies=[JsonBody],
        responses={
            200: {"model": DomainShown | Done, "description": "It has ended within the wait"},
            202: {"model": OperationShown},
        },
    )


@router.post("/{ref}/actions/{verb}", include_in_schema=False)
async def no_such_action(_: Viewer, ref: Ref, verb: str) -> Response:
    raise NotFound(
        f"There is no action '{verb}': possible are {', '.join(ACTIONS)}",
        what="action",
        value=verb,
        possible=list(ACTIONS),
    )
