"""A guest's console over WebSocket.

POST gives a one-time ticket and the address to open.  Binary frames are what the guest writes and
what is typed to it; text frames are JSON with a `type`:

* from here: `opened` (`domid`; after a reboot again), `closed` (the terminal went away, another may
  come), `writer` (`you`: whether you are the one who types), `lost` (`bytes`: you were too slow for
  so many), `error` (`code`, `detail`);
* to here: `resize` (`rows`, `columns`), `claim` (`force`: also if another one types).

It ends with close code 1000 when the domain is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Annotated, Any, Literal, assert_never

from fastapi import APIRouter, Body, Path, Request, WebSocket
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.responses import JSONResponse
from starlette.websockets import WebSocketDisconnect

from xend.api.rest import problems
from xend.api.rest.access import Operator, Unauthenticated
from xend.api.rest.media import JsonBody
from xend.api.rest.tickets import SECONDS, Ticket
from xend.console.console import Notice, Reader
from xend.errors import XendError

router = APIRouter(prefix="/v1/domains", tags=["console"])

PROTOCOL = "xend.console.v1"

Ref = Annotated[str, Path(description="name, uuid or domid", min_length=1, max_length=255)]


class ConsoleWish(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"access": "write", "scrollback": True}]},
    )

    access: Literal["read", "write"] = Field(
        default="write", description="only look on, or type as well"
    )
    force: bool = Field(default=False, description="take over from who types now")
    scrollback: bool = Field(default=True, description="begin with what the guest wrote before")


class TicketDocument(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "ticket": "Dq0…",
                    "url": "/v1/domains/6b4f…/console?ticket=Dq0…",
                    "protocol": PROTOCOL,
                    "expires_in": 30,
                }
            ]
        }
    )

    ticket: str = Field(description="good for one WebSocket")
    url: str = Field(description="open this, relative to the server, as a WebSocket")
    protocol: str = Field(description="the subprotocol that is spoken there")
    expires_in: float = Field(description="seconds")


@router.post(
    "/{ref}/console",
    status_code=201,
    summary="A ticket for the console's WebSocket",
    response_model=TicketDocument,
    dependencies=[JsonBody],
)
async def console_ticket(
    caller: Operator,
    request: Request,
    ref: Ref,
    body: Annotated[ConsoleWish | None, Body()] = None,
) -> JSONResponse:
    wish = body or ConsoleWish()
    view = await request.app.state.parts.consoles.having(ref)
    path = f"/v1/domains/{view.uuid}/console"
    ticket = request.app.state.tickets.mint(
        caller,
        path,
        write=wish.access == "write",
        force=wish.force,
        scrollback=wish.scrollback,
    )
    return ticket_answer(ticket, path, PROTOCOL)


def ticket_answer(ticket: str, path: str, protocol: str) -> JSONResponse:
    document = TicketDocument(
        ticket=ticket, url=f"{path}?ticket={ticket}", protocol=protocol, expires_in=SECONDS
    )
    return JSONResponse(document.model_dump(), 201, {"Cache-Control": "no-store"})


@router.websocket("/{ref}/console")
async def console(websocket: WebSocket, ref: Ref) -> None:
    try:
        ticket = ticket_of(websocket)
        consoles = websocket.app.state.parts.consoles
        reader: Reader = await consoles.attach(ref, scrollback=ticket.scrollback)
    except XendError as error:
        await websocket.send_denial_response(problems.respond(error))
        return
    try:
        await websocket.accept(offered(websocket, PROTOCOL))
        if ticket.write:
            reader.claim(force=ticket.force)
        await serve(websocket, _out(websocket, reader), _in(websocket, reader, ticket))
    finally:
        reader.close()


def ticket_of(websocket: WebSocket) -> Ticket:
    """Which the door has redeemed already; a caller who is known otherwise needs one all the
    same, so that there is one way only."""
    ticket: Ticket | None = websocket.scope["state"].get("ticket")
    if ticket is None:
        raise Unauthenticated(
            "POST to this address gives the ticket that it needs", scheme="Bearer"
        )
    return ticket


def offered(websocket: WebSocket, protocol: str) -> str | None:
    return protocol if protocol in websocket.scope.get("subprotocols", ()) else None


async def serve(websocket: WebSocket, *directions: Any) -> None:
    """Both directions, until the first of them ends."""
    tasks = [asyncio.ensure_future(each) for each in directions]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception) and not isinstance(result, WebSocketDisconnect):
            raise result
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):  # it has been closed already
        await websocket.close(1000, "the end")


async def _out(websocket: WebSocket, reader: Reader) -> None:
    while True:
        news = await reader.next()
        if isinstance(news, bytes):
            await websocket.send_bytes(news)
        elif news.kind == "ended":
            await websocket.close(1000, "the domain is gone, or its console")
            return
        else:
            await websocket.send_json(_notice(news))


def _notice(notice: Notice) -> dict[str, Any]:
    match notice.kind:
        case "opened":
            return {"type": "opened", "domid": notice.value}
        case "writer":
            return {"type": "writer", "you": bool(notice.value)}
        case "lost":
            return {"type": "lost", "bytes": notice.value}
        case "closed" | "ended":
            return {"type": notice.kind}
        case _:
            assert_never(notice.kind)


class _Resize(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    type: Literal["resize"]
    rows: int = Field(ge=1, le=65535)
    columns: int = Field(ge=1, le=65535)


class _Claim(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    type: Literal["claim"]
    force: bool = False


_ORDER: TypeAdapter[_Resize | _Claim] = TypeAdapter(
    Annotated[_Resize | _Claim, Field(discriminator="type")]
)


async def _in(websocket: WebSocket, reader: Reader, ticket: Ticket) -> None:
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return
        try:
            if message.get("bytes") is not None:
                await reader.write(message["bytes"])
            else:
                _obey(reader, ticket, message["text"])
        except XendError as error:
            await _complain(websocket, error.key, str(error))
        except ValidationError as error:
            await _complain(websocket, "request.invalid", str(error.errors()[0]["msg"]))


def _obey(reader: Reader, ticket: Ticket, text: str) -> None:
    order = _ORDER.validate_json(text)
    if isinstance(order, _Resize):
        reader.resize(order.rows, order.columns)
    elif ticket.write:
        reader.claim(force=order.force)


async def _complain(websocket: WebSocket, code: str, detail: str) -> None:
    await websocket.send_json({"type": "error", "code": code, "detail": detail})
