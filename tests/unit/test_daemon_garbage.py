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
def clock() -> Iterator[Clock]:
    before = gc.get_threshold()
    yield Clock()
    gc.set_threshold(*before)
    gc.unfreeze()
    gc.enable()


def started(clock: Clock) -> Garbage:
    collector = Garbage(clock)
    collector.start()
    gc.disable()  # no search but those of the test
    return collector


def middle_searches(count: int) -> None:
    """As they come by themselves while objects are made."""
    for _ in range(count):
        gc.collect(1)


def test_the_oldest_is_looked_through_at_a_beat_only(clock: Clock) -> None:
    collector = started(clock)
    ring = Ring()
    gone = weakref.ref(ring)
    gc.collect(1)  # now it is old
    del ring
    middle_searches(garbage.OFTEN - 2)
    collector.beat()
    assert gone() is not None
    middle_searches(1)
    collector.beat()
    assert gone() is None


def test_what_took_long_is_not_looked_through_again(clock: Clock) -> None:
    collector = started(clock)
    clock.step = 2 * garbage.LONG
    ring, plain = Ring(), [Ring()]
    gone, plain_gone = weakref.ref(ring), weakref.ref(plain[0])
    before = gc.get_freeze_count()
    middle_searches(garbage.OFTEN)
    collector.beat()
    assert gc.get_freeze_count() > before
    plain[0].itself = None  # type: ignore[assignment]
    plain.clear()
    assert plain_gone() is None  # nothing refers to it: it is freed as ever
    del ring
    gc.collect()
    assert gone() is not None


def test_frozen_cycles_are_found_when_there_are_many(clock: Clock) -> None:
    collector = started(clock)
    clock.step = 2 * garbage.LONG
    rings = [Ring() for _ in range(2 * gc.get_freeze_count())]
    gone = weakref.ref(rings[0])
    middle_searches(garbage.OFTEN)
    collector.beat()
    del rings
    middle_searches(garbage.OFTEN)
    collector.beat()
    assert gone() is not None  # too soon after the start
    clock.now += garbage.APART
    middle_searches(garbage.OFTEN)
    collector.beat()
    assert gone() is None


def test_before_the_daemon_serves_nothing_is_done(clock: Clock) -> None:
    before = gc.get_threshold(), gc.get_freeze_count()
    middle_searches(garbage.OFTEN)
    Garbage(clock).beat()
    assert (gc.get_threshold(), gc.get_freeze_count()) == before
