"""The client that waits."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, cast

import httpx

from xend.client import calls, connection
from xend.client.calls import Call
from xend.client.connection import Events, Place
from xend.client.models import Event, Operation
from xend.client.problems import ApiError, raise_of_operation

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

T = TypeVar("T")


class Client:
    """Use it as a context manager; one is for one thread.

    Calling it with what `xend.client.calls` makes asks that and returns the answer; ApiError is a
    refusal, httpx.TransportError no answer at all (after reads and POSTs were tried again: a POST
    carries an Idempotency-Key, so it is done once).
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        token: str | None = None,
        authority: Path | str | None = None,
        certificate: tuple[Path | str, Path | str] | None = None,
        timeout: float = 60.0,
    ) -> None:
        """`address`: see Place; `authority` and `certificate`: see `connection.tls`."""
        self._place = Place.of(address)
        self._tls = connection.tls(authority, certificate) if self._place.is_secure else None
        self._headers = connection.headers(token)
        # Without TLS nothing is verified, and reading all the CAs for that takes 40 ms.
        transport = httpx.HTTPTransport(uds=self._place.socket, verify=self._tls or False)
        self._http = httpx.Client(
            transport=transport,
            base_url=self._place.url,
            headers=self._headers,
            timeout=timeout,
        )

    def __call__(self, call: Call[T]) -> T:
        return connection.answer(call, self.response(call))

    def response(self, call: Call[Any]) -> httpx.Response:
        """The same with status and headers (an ETag), refused or not."""
        request = connection.request(self._http, call)
        tries = connection.TRIES if connection.may_repeat(call) else 1
        for attempt in range(1, tries + 1):
            try:
                return self._http.send(request)
            except httpx.TransportError:
                if attempt == tries:
                    raise
                time.sleep(0.2 * attempt)
        raise AssertionError("unreachable")

    def finish(self, operation: Mapping[str, Any], timeout: float | None = None) -> Operation:
        """Waits until it has ended; ApiError when that was not well, TimeoutError."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = 30.0 if deadline is None else min(30.0, deadline - time.monotonic())
            found = self(calls.wait_for(operation["id"], max(left, 0)))
            if found["status"] not in ("queued", "running"):
                raise_of_operation(found)
                return found
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"operation {found['id']} is still {found['status']}")

    def events(self, since: int | None = None, topics: str | None = None) -> Iterator[Event]:
        """Without end; comes again after the last that it got when it is cut off."""
        stream = Events(since)
        while True:
            call = calls.events(stream.last, topics)
            try:
                with self._http.stream(
                    "GET", call.path, params=call.params, timeout=httpx.Timeout(10.0, read=60.0)
                ) as response:
                    if response.status_code >= 400:
                        response.read()
                        raise ApiError.of(response)
                    for line in response.iter_lines():
                        yield from (cast(Event, event) for event in stream.feed(line))
            except httpx.TransportError:
                if stream.last is None:
                    raise
            time.sleep(0.2)

    def console(
        self,
        ref: str,
        *,
        access: Literal["read", "write"] = "write",
        force: bool = False,
        scrollback: bool = True,
    ) -> ClientConnection:
        """A WebSocket: bytes are the console's, text is JSON beside it.  A context manager."""
        from websockets.sync.client import connect, unix_connect
        from websockets.typing import Subprotocol

        ticket = self(calls.console_ticket(ref, access=access, force=force, scrollback=scrollback))
        url = f"{self._place.websocket}{ticket['url']}"
        protocols = [Subprotocol(ticket["protocol"])]
        if self._place.socket is not None:
            return unix_connect(self._place.socket, url, subprotocols=protocols)
        return connect(url, ssl=self._tls, subprotocols=protocols)

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
