"""Stops a service at any of its steps, as `kill -9` would, and counts how often."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection
from typing import Any, Protocol

from xend.model.units import Domid

TRIED: Counter[str] = Counter()
"""Kill points by what was killed, and where; shown at the end of every run of the tests."""


def tried(victim: str, points: int) -> None:
    TRIED[victim] += points


class KillSwitch:
    """Counts the points that an operation passes, and holds it at the one with number `at`."""

    def __init__(self, at: int) -> None:
        self._at = at
        self.passed: list[str] = []
        self.hit = asyncio.Event()

    def arm(self, at: int) -> None:
        """From here on: what was passed before does not count."""
        self._at = at
        self.passed.clear()

    async def point(self, name: str) -> None:
        if self.hit.is_set():
            await asyncio.Event().wait()  # A killed process does nothing more.
        self.passed.append(name)
        if len(self.passed) == self._at:
            self.hit.set()
            await asyncio.Event().wait()

    async def fault(self, operation: str, stage: str, domid: Domid | None) -> None:
        await self.point(f"{operation}.{stage}")


class Switch(Protocol):
    async def point(self, name: str) -> None: ...


class Killing:
    """A journal or repository whose every call has a point before and a point after it."""

    def __init__(
        self, real: Any, switch: Switch, name: str, *, only: Collection[str] | None = None
    ) -> None:
        """`only`: the methods that have points; None: all."""
        self._real = real
        self._switch = switch
        self._name = name
        self._only = only

    def _has_points(self, name: str) -> bool:
        return self._only is None or name in self._only

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._real, name)
        if not asyncio.iscoroutinefunction(method) or not self._has_points(name):
            return method

        async def call(*args: Any, **kwargs: Any) -> Any:
            await self._switch.point(f"before {self._name}.{name}")
            result = await method(*args, **kwargs)
            await self._switch.point(f"after {self._name}.{name}")
            return result

        return call
