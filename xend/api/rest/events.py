"""What happens on this host, as it happens: server-sent events and WebSocket, the same JSON.

Each event has a number; who was cut off or away asks for what came after the last that it got
(`Last-Event-ID`, or `?since=`), also after a restart of xend.  A reader that does not keep up is
told so and cut off: never is an event left out silently.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Header, Query, Request, WebSocket
from starlette.responses import Response
from starlette.websockets import WebSocketDisconnect, WebSocketState

from xend.api.asgi import Receive, Scope, Send
from xend.api.rest.access import Role, Viewer, require
from xend.api.rest.documents import TOPICS, event_document
from xend.api.rest.jobs import Service
from xend.api.rest.lists import NDJSON, wants_lines
from xend.api.rest.problems import problem, refuse
from xend.api.rest.refusals import InvalidQuery
from xend.api.rest.suggestions import did_you_mean
from xend.core.events import Event, EventBus, Subscription
from xend.errors import XendError

router = APIRouter(tags=["events"])

HEARTBEAT_SECONDS: Final = 15.0
STALL_SECONDS: Final = 30.0
"""So long a client may take for what has been sent to it."""
BACKLOG: Final = 1024
"""Events that may wait for a client."""
_CHUNK: Final = 64
"""Events that are taken and sent at once."""
_TEXTS: Final = 256
"""Events whose JSON is kept."""
_TOO_SLOW: Final = 1008
"""Policy violation (RFC 6455 §7.4.1)."""
_GOING_AWAY: Final = 1012
"""Service restart."""

Since = Annotated[int | None, Query(ge=0, le=1 << 62, description="only events after this number")]
Topics = Annotated[
    str | None,
    Query(
        max_length=200,
        description="only these, separated by commas: domain, device, operation, host",
        examples=["domain,operation"],
    ),
]


def wanted_topics(text: str | None) -> frozenset[str] | None:
    """The core's words; None: all of them."""
    if text is None:
        return None
    found = set()
    for word in text.split(","):
        word = word.strip()
        if word not in TOPICS:
            raise InvalidQuery(
                f"topics: there is no topic '{word}'{did_you_mean(word, TOPICS)}",
                argument="topics",
                value=word,
                expected=", ".join(TOPICS),
            )
        found.add(TOPICS[word])
    return frozenset(found)


async def happened(bus: EventBus, after: int | None) -> list[Event]:
    """What is kept of what came after that number, up to now.  Raises EventsGone."""
    newest = bus.newest
    start = bus.oldest - 1 if after is None else after
    if start >= newest:
        bus.subscribe(start).close()  # says if there never was such a number
        return []
    reader = bus.subscribe(start, backlog=newest)
    found: list[Event] = []
    try:
        async for event in reader:
            found += [event, *reader.waiting(_CHUNK)]
            if found[-1].seq >= newest:
                break
            await asyncio.sleep(0)
    finally:
        reader.close()
    while found and found[-1].seq > newest:
        found.pop()
    return found


class Reader:
    """A subscription, taken in portions and with heartbeats."""

    def __init__(self, subscription: Subscription, stopping: asyncio.Event) -> None:
        self._subscription = subscription
        self._stopping = stopping

    async def portions(self) -> AsyncGenerator[Sequence[Event], None]:
        """An empty one is a heartbeat.  Ends when xend stops; ReaderTooSlow, EventsGone."""
        stop = asyncio.ensure_future(self._stopping.wait())
        coming: asyncio.Future[Event] = asyncio.ensure_future(anext(self._subscription))
        try:
            while True:
                await asyncio.wait(
                    (stop, coming),
                    timeout=HEARTBEAT_SECONDS,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if stop.done():
                    return
                if not coming.done():
                    yield ()
                    continue
                try:
                    events = [coming.result(), *self._subscription.waiting(_CHUNK)]
                except StopAsyncIteration:
                    return
                coming = asyncio.ensure_future(anext(self._subscription))
                yield events
        finally:
            self._subscription.close()
            for task in (stop, coming):
                task.cancel()
            await asyncio.wait((stop, coming))
            if not coming.cancelled():
                coming.exception()


class EventTexts:
    """The JSON of the newest events, made once for all who follow them."""

    def __init__(self) -> None:
        self._kept: list[tuple[Event, str] | None] = [None] * _TEXTS

    def of(self, event: Event) -> str:
        place = event.seq % _TEXTS
        kept = self._kept[place]
        if kept is None or kept[0] is not event:
            kept = self._kept[place] = (event, json.dumps(event_document(event)))
        return kept[1]


@dataclass(frozen=True, slots=True)
class Framing:
    """How events follow each other in an answer that has no end."""

    media_type: str
    opening: str
    heartbeat: str
    event: Callable[[int, str], str]
    """From its number and its JSON."""
    error: Callable[[str], str]
    """From the JSON of a problem, which is the last that comes."""


SSE: Final = Framing(
    "text/event-stream",
    "retry: 1000\n\n",
    ": still here\n\n",
    lambda seq, text: f"id: {seq}\ndata: {text}\n\n",
    lambda text: f"event: error\ndata: {text}\n\n",
)
"""Server-sent events (WHATWG HTML)."""
LINES: Final = Framing(
    NDJSON, "", "\n", lambda _seq, text: f"{text}\n", lambda text: f'{{"error":{text}}}\n'
)
"""JSON lines: for `curl | jq`; an empty line is a heartbeat."""


class EventStream(Response):
    def __init__(self, reader: Reader, texts: EventTexts, framing: Framing) -> None:
        self.media_type = framing.media_type
        self._framing = framing
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "Vary": "Accept"}
        super().__init__(headers=headers)
        del self.headers["content-length"]
        self._reader = reader
        self._texts = texts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        pump = asyncio.ensure_future(self._pump(send))
        gone = asyncio.ensure_future(_until_gone(receive))
        try:
            await asyncio.wait((pump, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (pump, gone):
                task.cancel()
            await asyncio.wait((pump, gone))
        if not pump.cancelled() and not isinstance(pump.exception(), TimeoutError | None):
            pump.result()

    async def _pump(self, send: Send) -> None:
        async def say(text: str, more: bool = True) -> None:
            message = {"type": "http.response.body", "body": text.encode(), "more_body": more}
            async with asyncio.timeout(STALL_SECONDS):
                await send(message)

        await say(self._framing.opening)
        last = ""
        try:
            async with aclosing(self._reader.portions()) as portions:
                async for events in portions:
                    await say("".join(map(self._framed, events)) or self._framing.heartbeat)
        except XendError as error:
            last = self._framing.error(json.dumps(problem(error)))
        await say(last, more=False)

    def _framed(self, event: Event) -> str:
        return self._framing.event(event.seq, self._texts.of(event))


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


@router.get(
    "/v1/events",
    summary="Everything that happens, as it happens (server-sent events; also a WebSocket)",
    response_class=Response,
    openapi_extra={"x-stream": True},
    responses={
        200: {
            "description": "One event after the other, each as `id: NUMBER` and `data: JSON`; a "
            "comment every 15 s when nothing happens; `event: error` with a problem document "
            "before a reader that is too slow is cut off.  The WebSocket at the same address "
            "sends the same JSON, and says why in its close frame.",
            "content": {
                "text/event-stream": {
                    "schema": {"type": "string"},
                    "example": 'id: 1042\ndata: {"id": 1042, "time": '
                    '"2026-11-23T10:00:00.000+00:00", "topic": "domain", "kind": "created", '
                    '"ids": {"name": "prospero", "domid": "3"}}\n\n',
                },
                NDJSON: {
                    "schema": {
                        "type": "string",
                        "description": "one event per line; an empty line is a heartbeat",
                    }
                },
            },
        }
    },
)
async def stream_events(
    request: Request,
    service: Service,
    _: Viewer,
    since: Since = None,
    topics: Topics = None,
    last_event_id: Annotated[
        str | None, Header(description="the number of the last event that was received")
    ] = None,
) -> Response:
    after = since
    if last_event_id is not None:
        after = _number(last_event_id)
    subscription = service.events.subscribe(after, topics=wanted_topics(topics), backlog=BACKLOG)
    state = request.app.state
    framing = LINES if wants_lines(request) else SSE
    return EventStream(Reader(subscription, state.stopping), state.event_texts, framing)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise InvalidQuery(
            f"Last-Event-ID: '{text}' is not the number of an event",
            argument="Last-Event-ID",
            value=text[:80],
            expected="the id of the last event that was received",
        )
    return int(text)


@router.websocket("/v1/events")
async def websocket_events(websocket: WebSocket) -> None:
    query = websocket.query_params
    service = websocket.app.state.service
    try:
        await require(Role.VIEWER)(websocket)
        given = query.get("since") or websocket.headers.get("last-event-id")
        topics = wanted_topics(query.get("topics"))
        after = _number(given) if given is not None else None
        subscription = service.events.subscribe(after, topics=topics, backlog=BACKLOG)
    except XendError as error:
        await refuse(error, websocket.scope, websocket.receive, websocket.send)
        return
    await websocket.accept()
    pump = asyncio.ensure_future(
        _pump_websocket(websocket, Reader(subscription, websocket.app.state.stopping))
    )
    gone = asyncio.ensure_future(_until_closed(websocket))
    try:
        await asyncio.wait((pump, gone), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (pump, gone):
            task.cancel()
        await asyncio.wait((pump, gone))
    if not pump.cancelled() and not isinstance(
        pump.exception(), TimeoutError | WebSocketDisconnect | RuntimeError | None
    ):
        pump.result()


async def _pump_websocket(websocket: WebSocket, reader: Reader) -> None:
    code, reason = _GOING_AWAY, "xend stops"
    texts: EventTexts = websocket.app.state.event_texts
    try:
        async with aclosing(reader.portions()) as portions:
            async for events in portions:
                for event in events:
                    async with asyncio.timeout(STALL_SECONDS):
                        await websocket.send_text(texts.of(event))
    except XendError as error:
        # 123 bytes are all that a close frame has room for (RFC 6455 §5.5).
        code, reason = _TOO_SLOW, f"{error.key}: {error}"[:123]
    if websocket.application_state is WebSocketState.CONNECTED:
        async with asyncio.timeout(STALL_SECONDS):
            await websocket.close(code, reason)


async def _until_closed(websocket: WebSocket) -> None:
    """What it sends is of no interest, text or not."""
    with suppress(WebSocketDisconnect):
        while (await websocket.receive())["type"] != "websocket.disconnect":
            pass
