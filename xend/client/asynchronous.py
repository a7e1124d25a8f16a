"""The client that is awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, cast

import httpx

from xend.client import calls, connection
from xend.client.calls import Call
from xend.client.connection import Events, Place
from xend.client.models import Event, Operation
from xend.client.problems import ApiError, raise_of_operation

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

T = TypeVar("T")


class AsyncClient:
    """As `Client`, with `await client(calls.…)`; many requests may be under way at once."""

    def __init__(
        self,
        address: str | None = None,
        *,
        token: str | None = None,
        authority: Path | str | None = None,
        certificate: tuple[Path | str, Path | str] | None = None,
        timeout: float = 60.0,
    ) -> None:
        self._place = Place.of(address)
        self._tls = connection.tls(authority, certificate) if self._place.is_secure else None
        self._headers = connection.headers(token)
        # Without TLS nothing is verified, and reading all the CAs for that takes 40 ms.
        transport = httpx.AsyncHTTPTransport(uds=self._place.socket, verify=self._tls or False)
        self._http = httpx.AsyncClient(
            transport=transport,
            base_url=self._place.url,
            headers=self._headers,
            timeout=timeout,
        )

    async def __call__(self, call: Call[T]) -> T:
        return connection.answer(call, await self.response(call))

    async def response(self, call: Call[Any]) -> httpx.Response:
        request = connection.request(self._http, call)
        tries = connection.TRIES if connection.may_repeat(call) else 1
        for attempt in range(1, tries + 1):
            try:
                return await self._http.send(request)
            except httpx.TransportError:
                if attempt == tries:
                    raise
                await asyncio.sleep(0.2 * attempt)
        raise AssertionError("unreachable")

    async def finish(self, operation: Mapping[str, Any], timeout: float | None = None) -> Operation:
        """Waits until it has ended; ApiError when that was not well, TimeoutError."""
        async with asyncio.timeout(timeout):
            while True:
                found = await self(calls.wait_for(operation["id"], 30))
                if found["status"] not in ("queued", "running"):
                    raise_of_operation(found)
                    return found

    async def events(
        self, since: int | None = None, topics: str | None = None
    ) -> AsyncIterator[Event]:
        """Without end; comes again after the last that it got when it is cut off."""
        stream = Events(since)
        while True:
            call = calls.events(stream.last, topics)
            try:
                async with self._http.stream(
                    "GET", call.path, params=call.params, timeout=httpx.Timeout(10.0, read=60.0)
                ) as response:
                    if response.status_code >= 400:
                        await response.aread()
                        raise ApiError.of(response)
                    async for line in response.aiter_lines():
                        for event in stream.feed(line):
                            yield cast(Event, event)
            except httpx.TransportError:
                if stream.last is None:
                    raise
            await asyncio.sleep(0.2)

    async def console(
        self,
        ref: str,
        *,
        access: Literal["read", "write"] = "write",
        force: bool = False,
        scrollback: bool = True,
    ) -> ClientConnection:
        """A WebSocket: bytes are the console's, text is JSON beside it.  A context manager."""
        ticket = await self(
            calls.console_ticket(ref, access=access, force=force, scrollback=scrollback)
        )
        return await self.websocket(ticket["url"], ticket["protocol"])

    async def websocket(self, path: str, protocol: str) -> ClientConnection:
        from websockets.asyncio.client import connect, unix_connect
        from websockets.typing import Subprotocol

        url = f"{self._place.websocket}{path}"
        protocols = [Subprotocol(protocol)]
        if self._place.socket is not None:
            return await unix_connect(self._place.socket, url, subprotocols=protocols)
        return await connect(url, ssl=self._tls, subprotocols=protocols)

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()
