"""How long this face's own answers take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Gauge, Histogram

from xend.api.asgi import App, Message, Receive, Scope, Send

_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


_STREAMED: Final = (b"text/event-stream", b"application/x-ndjson")


class RequestMetrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.seconds = Histogram(
            "xend_http_request_duration_seconds",
            "Time from a request's head to the end of its answer, by route; streams are not in it",
            ("method", "route", "status"),
            registry=self.registry,
            buckets=_BUCKETS,
        )
        self.under_way = Gauge(
            "xend_http_requests_in_progress",
            "Requests being answered, streams and WebSockets included",
            registry=self.registry,
        )


class Timed:
    """Wraps the application.  The route is its template (`/v1/domains/{ref}`), and methods that
    do not exist are one, so that no client can make new series."""

    def __init__(self, app: App, metrics: RequestMetrics, clock: Callable[[], float]) -> None:
        self._app = app
        self._metrics = metrics
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begin = self._clock()
        status = 0
        streamed = scope["type"] == "websocket"

        async def watched(message: Message) -> None:
            nonlocal status, streamed
            if message["type"] == "http.response.start":
                status = message["status"]
                streamed = _is_stream(message)
            await send(message)

        self._metrics.under_way.inc()
        try:
            await self._app(scope, receive, watched)
        finally:
            self._metrics.under_way.dec()
            if status and not streamed:
                method = scope["method"] if scope["method"] in _METHODS else "other"
                route = getattr(scope.get("route"), "path", "none")
                series = self._metrics.seconds.labels(method, route, str(status))
                series.observe(self._clock() - begin)


def _is_stream(start: Message) -> bool:
    """Events have no end to wait for."""
    headers = {bytes(name).lower(): bytes(value) for name, value in start.get("headers", ())}
    kind = headers.get(b"content-type", b"")
    return b"content-length" not in headers and kind.startswith(_STREAMED)
