"""Progress lines with times, so that nobody wonders whether a long step hangs."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

HEARTBEAT_SECONDS = 15.0


class Progress:
    """Prints one line when a step starts, one when it is done, and a sign of life between."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._start = time.monotonic()

    def say(self, text: str) -> None:
        """One line on stderr, so that stdout stays for results."""
        if not self._quiet:
            elapsed = time.monotonic() - self._start
            print(f"lab {elapsed:6.1f}s  {text}", file=sys.stderr, flush=True)

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Announce a step, tell now and then that it goes on, and how long it took."""
        self.say(f"{text} ...")
        begun = time.monotonic()
        done = threading.Event()

        def beat() -> None:
            while not done.wait(HEARTBEAT_SECONDS):
                self.say(f"  ... {text}: {time.monotonic() - begun:.0f} s so far")

        pulse = threading.Thread(target=beat, daemon=True)
        pulse.start()
        try:
            yield
        finally:
            done.set()
            pulse.join()
        self.say(f"{text}: {time.monotonic() - begun:.1f} s")
