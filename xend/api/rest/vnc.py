"""A guest's VNC display over WebSocket, as noVNC speaks it: RFB in binary frames.

The display itself listens where the device model was told to, on the loopback interface by default;
this is how it is reached from elsewhere, by whoever may.  A password of the display is still asked
for: that is between the viewer and the display.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from fastapi import APIRouter, Request, WebSocket
from starlette.responses import JSONResponse

from xend.api.rest import problems
from xend.api.rest.access import Operator
from xend.api.rest.console import Ref, TicketDocument, offered, serve, ticket_answer, ticket_of
from xend.api.rest.jobs import Service
from xend.api.rest.refusals import DisplayUnreachable
from xend.core.domains import DomainService
from xend.errors import XendError

router = APIRouter(prefix="/v1/domains", tags=["console"])

PROTOCOL: Final = "binary"
"""noVNC's name for it."""
_CHUNK: Final = 64 * 1024
_PATIENCE: Final = 5.0


@router.post(
    "/{ref}/vnc",
    status_code=201,
    summary="A ticket for the display's WebSocket",
    response_model=TicketDocument,
)
async def vnc_ticket(
    service: Service, caller: Operator, request: Request, ref: Ref
) -> JSONResponse:
    view = await service.lookup(ref)
    await service.vnc_address(ref)
    path = f"/v1/domains/{view.uuid}/vnc"
    ticket = request.app.state.tickets.mint(caller, path, write=True)
    return ticket_answer(ticket, path, PROTOCOL)


@router.websocket("/{ref}/vnc")
async def vnc(websocket: WebSocket, ref: Ref) -> None:
    service: DomainService = websocket.app.state.service
    try:
        ticket_of(websocket)
        display, keyboard = await _connect(*await service.vnc_address(ref))
    except XendError as error:
        await websocket.send_denial_response(problems.respond(error))
        return
    try:
        await websocket.accept(offered(websocket, PROTOCOL))
        await serve(websocket, _out(websocket, display), _in(websocket, keyboard))
    finally:
        keyboard.close()
        with contextlib.suppress(OSError):
            await keyboard.wait_closed()


async def _connect(host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        async with asyncio.timeout(_PATIENCE):
            return await asyncio.open_connection(host, port, limit=_CHUNK)
    except (OSError, TimeoutError) as error:
        raise DisplayUnreachable(
            address=f"{host}:{port}", reason=str(error) or "no answer"
        ) from error


async def _out(websocket: WebSocket, display: asyncio.StreamReader) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await display.read(_CHUNK):
            await websocket.send_bytes(data)


async def _in(websocket: WebSocket, keyboard: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while (message := await websocket.receive())["type"] == "websocket.receive":
            keyboard.write(message.get("bytes") or b"")
            await keyboard.drain()
