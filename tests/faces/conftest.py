"""Every test of a face also proves that the event loop was never held up."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

LONGEST_BLOCK = 0.2
"""Seconds of work in one turn of the loop that is too much on a machine of its own speed."""


class LoopProbe:
    """Times each callback of the running loop, by CPU time of its thread: a busy machine that
    makes the test wait is not the loop's fault."""

    def __init__(self) -> None:
        self.longest = 0.0
        self.culprit = ""
        self._original = asyncio.events.Handle._run

    def __enter__(self) -> LoopProbe:
        original, probe = self._original, self

        def timed(handle: asyncio.events.Handle) -> object:
            before_wall, before_cpu = time.monotonic(), time.thread_time()
            try:
                return original(handle)
            finally:
                wall = time.monotonic() - before_wall
                cpu = time.thread_time() - before_cpu
                # Sleeping or waiting in the kernel counts as well; being preempted does not show
                # as either for long, so the smaller excess decides.
                spent = cpu if cpu > wall / 2 or wall < 1 else wall
                if spent > probe.longest:
                    probe.longest, probe.culprit = spent, repr(handle)

        asyncio.events.Handle._run = timed  # type: ignore[method-assign, assignment]
        return self

    def __exit__(self, *exc: object) -> None:
        asyncio.events.Handle._run = self._original  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def _loop_never_blocked(request: pytest.FixtureRequest) -> Iterator[None]:
    gc.collect()  # what earlier tests left must not be collected on this test's time
    with LoopProbe() as probe:
        yield
    if probe.longest > LONGEST_BLOCK:
        pytest.fail(f"the event loop was blocked for {probe.longest:.3f} s by {probe.culprit}")


@pytest_asyncio.fixture
async def run_dir(tmp_path: Path) -> AsyncIterator[Path]:
    """A short path: a Unix socket's may have 107 bytes only."""
    yield tmp_path
