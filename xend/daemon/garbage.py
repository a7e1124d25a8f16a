"""Python's search for cyclic garbage, so that it does not hold the event loop up.

CPython looks through *all* objects whenever those that outlived two searches are a quarter more.
With a thousand domains each list that is asked for makes two thousand objects, so that this comes
every second, takes a tenth of one, and finds nothing.  Here what a long search has left is frozen
(`gc.freeze`): it lives long, and is not looked through again.  Frozen objects that are no longer
referred to are freed all the same, cycles of them only by a thorough search; that comes when the
frozen ones are twice what they were after the last.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

LONG: Final = 0.003
"""Seconds of a search."""
APART: Final = 600.0
"""Seconds between two looks at how many are frozen, and so between two thorough searches."""


class Garbage:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = 0.0
        self._counted_at = float("inf")
        self._frozen = 0
        """After the last thorough search."""

    def start(self) -> None:
        """What there is now is taken to live as long as the daemon."""
        self._search_thoroughly()
        self._counted_at = self._clock()
        gc.callbacks.append(self._searched)
        gc.enable()

    def close(self) -> None:
        if self._searched in gc.callbacks:
            gc.callbacks.remove(self._searched)

    def _searched(self, phase: str, info: Mapping[str, Any]) -> None:
        """Called by CPython, in any thread, before and after each search."""
        if info["generation"] < 2:
            return
        if phase == "start":
            self._began = self._clock()
        elif self._clock() - self._began > LONG:
            gc.freeze()

    def beat(self) -> None:
        now = self._clock()
        if now - self._counted_at < APART:
            return
        self._counted_at = now
        if gc.get_freeze_count() > 2 * self._frozen:
            self._search_thoroughly()

    def _search_thoroughly(self) -> None:
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        self._frozen = gc.get_freeze_count()
