"""Where the interface is, and how both clients ask and read."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar, cast
from urllib.parse import urlsplit
from uuid import uuid4

import httpx

from xend.client.calls import Call
from xend.client.problems import ApiError

T = TypeVar("T")

DEFAULT: Final = "unix:/var/run/xend/rest.sock"
TRIES: Final = 3
"""Of a request that may be repeated: reads, and POSTs, which carry a key for that."""


@dataclass(frozen=True, slots=True)
class Place:
    """`unix:PATH`, `https://HOST:PORT`, or `http://` on the loopback interface."""

    socket: str | None
    url: str

    @classmethod
    def of(cls, address: str | None) -> Place:
        """None: $XEND_REST, else the socket of this host's daemon."""
        text = address or os.environ.get("XEND_REST") or DEFAULT
        if text.startswith("unix:"):
            return cls(text.removeprefix("unix:").removeprefix("//"), "http://xend")
        return cls(None, text.rstrip("/"))

    @property
    def websocket(self) -> str:
        parts = urlsplit(self.url)
        return parts._replace(scheme="wss" if parts.scheme == "https" else "ws").geturl()

    @property
    def is_secure(self) -> bool:
        return self.url.startswith("https:")


def tls(
    authority: Path | str | None, certificate: tuple[Path | str, Path | str] | None
) -> ssl.SSLContext:
    """`authority`: PEM of the server's own certificate (or its CA) if it is not publicly signed;
    `certificate`: (certificate, key) of this client."""
    context = ssl.create_default_context(cafile=authority)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if certificate is not None:
        context.load_cert_chain(*certificate)
    return context


def headers(token: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


def request(client: httpx.Client | httpx.AsyncClient, call: Call[Any]) -> httpx.Request:
    extra = dict(call.headers)
    if call.method == "POST":
        extra.setdefault("Idempotency-Key", str(uuid4()))
    return client.build_request(
        call.method,
        call.path,
        params=call.params,
        json=call.json,
        content=call.text,
        headers=extra,
    )


def may_repeat(call: Call[Any]) -> bool:
    return call.method in ("GET", "POST")


def answer(call: Call[T], response: httpx.Response) -> T:
    """Of a whole response; ApiError when it is a refusal."""
    if response.status_code >= 400:
        raise ApiError.of(response)
    if call.answer == "text":
        return cast(T, response.text)
    return cast(T, response.json() if response.content else None)


class Events:
    """Server-sent events, line by line (https://html.spec.whatwg.org/#event-stream)."""

    def __init__(self, since: int | None) -> None:
        self.last = since
        self._name = ""
        self._data: list[str] = []

    def feed(self, line: str) -> Iterator[Mapping[str, Any]]:
        """The event that this line completes, if it does.  ApiError when the stream ends with
        a problem other than this reader's slowness, after which it only has to come again."""
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if line == "":
            yield from self._complete()
        elif name == "event":
            self._name = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and value.isdecimal():
            self.last = int(value)

    def _complete(self) -> Iterator[Mapping[str, Any]]:
        name, text = self._name, "\n".join(self._data)
        self._name, self._data = "", []
        if not text:
            return
        document = httpx.Response(200, text=text).json()
        if name != "error":
            yield document
        elif document.get("code") != "events.too-slow":
            raise ApiError(int(document.get("status", 500)), document)
