"""The daemon's own rhythm of looking for cyclic garbage."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from xend.daemon import garbage
from xend.daemon.garbage import Garbage


class Ring:
    """Refers to itself: only a search frees it."""

    def __init__(self) -> None:
        self.itself = self


class Clock:
    """Each look takes so many seconds."""

    def __init__(self) -> None:
        self.now, self.step = 0.0, 0.0

    def __call__(self) -> float:
        self.now += self.step
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def collector(clock: Clock) -> Iterator[Garbage]:
    """No searches but those of the test."""
    collector = Garbage(clock)
    collector.start()
    gc.disable()
    yield collector
    collector.close()
    gc.unfreeze()
    gc.enable()


@pytest.mark.usefixtures("collector")
def test_what_was_looked_through_quickly_is_looked_through_again() -> None:
    ring = Ring()
    gone = weakref.ref(ring)
    before = gc.get_freeze_count()
    gc.collect()
    assert gc.get_freeze_count() == before
    del ring
    gc.collect()
    assert gone() is None


@pytest.mark.usefixtures("collector")
def test_what_took_long_is_not(clock: Clock) -> None:
    clock.step = 2 * garbage.LONG
    ring, plain = Ring(), Ring()
    gone, plain_gone = weakref.ref(ring), weakref.ref(plain)
    before = gc.get_freeze_count()
    gc.collect(1)
    assert gc.get_freeze_count() == before
    gc.collect()
    assert gc.get_freeze_count() > before
    del plain.itself, plain
    assert plain_gone() is None  # nothing refers to it: it is freed as ever
    del ring
    gc.collect()
    assert gone() is not None


def test_frozen_cycles_are_found_when_there_are_many(clock: Clock, collector: Garbage) -> None:
    clock.step = 2 * garbage.LONG
    rings = [Ring() for _ in range(2 * gc.get_freeze_count())]
    gone = weakref.ref(rings[0])
    gc.collect()
    del rings
    collector.beat()
    assert gone() is not None  # too soon after the start
    clock.now += garbage.APART
    collector.beat()
    assert gone() is None


def test_few_frozen_cycles_wait(clock: Clock, collector: Garbage) -> None:
    clock.step = 2 * garbage.LONG
    ring = Ring()
    gone = weakref.ref(ring)
    gc.collect()
    del ring
    clock.now += garbage.APART
    collector.beat()
    assert gone() is not None


def test_before_the_daemon_serves_nothing_is_done(clock: Clock) -> None:
    before = gc.get_freeze_count()
    clock.now = 10 * garbage.APART
    Garbage(clock).beat()
    assert gc.get_freeze_count() == before
