"""The REST face, loaded when its first request comes.

FastAPI is two thirds of what the daemon would otherwise import: most hosts' daemons are only
ever asked by xm, and start sooner and stay smaller without it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from xend.api.asgi import App, Receive, Scope, Send


class LazyApp:
    """Calls `load` once, in a thread: importing may take seconds on a slow host."""

    def __init__(self, load: Callable[[], App]) -> None:
        self._load = load
        self._app: App | None = None
        self._loading = asyncio.Lock()

    def stop(self) -> None:
        """Streams end, if it has been loaded and has any."""
        stop = getattr(self._app, "stop", None)
        if stop is not None:
            stop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._app is None:
            async with self._loading:
                if self._app is None:
                    self._app = await asyncio.to_thread(self._load)
        await self._app(scope, receive, send)
