"""Python's search for cyclic garbage, so that it does not hold the event loop up.

CPython looks through *all* objects whenever those that outlived two searches are a quarter more.
With a thousand domains each list that is asked for makes two thousand objects, so that this comes
every second, takes a tenth of one, and finds nothing.  Here the young generations stay as they are,
and the daemon's beat decides when the oldest is looked through.  What took long is then frozen
(`gc.freeze`): what is left lives long, and is not looked through again.  Frozen objects that are no
longer referred to are freed all the same, cycles of them only by a thorough search; that comes when
the frozen ones are twice what they were after the last.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Final

LONG: Final = 0.003
"""Seconds of a search."""
OFTEN: Final = 10
"""Searches of the middle generation before the oldest is looked through: CPython's own number."""
_NEVER: Final = 1 << 30
APART: Final = 600.0
"""Seconds between two thorough searches, at least."""


class Garbage:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = False
        self._thorough_at = 0.0
        self._frozen = 0
        """After the last thorough search."""

    def start(self) -> None:
        """What there is now is taken to live as long as the daemon."""
        young, middle, _ = gc.get_threshold()
        gc.set_threshold(young, middle, _NEVER)
        self._thorough()
        gc.enable()
        self._started = True

    def beat(self) -> None:
        if not self._started or gc.get_count()[2] < OFTEN:
            return
        began = self._clock()
        gc.collect()
        if self._clock() - began < LONG:
            return
        gc.freeze()
        if began - self._thorough_at > APART and gc.get_freeze_count() > 2 * self._frozen:
            self._thorough()

    def _thorough(self) -> None:
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        self._thorough_at, self._frozen = self._clock(), gc.get_freeze_count()
