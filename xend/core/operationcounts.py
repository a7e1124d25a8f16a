"""How many operations ended how, and how long they took, since the daemon's start."""

from __future__ import annotations

from collections import Counter
from typing import Final

from xend.core.jobs import Job

BOUNDS: Final = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
"""Seconds: upper ends of the classes; what took longer is in one more."""


class Durations:
    """A histogram of one kind."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.sum = 0.0

    def add(self, seconds: float) -> None:
        place = next((i for i, bound in enumerate(BOUNDS) if seconds <= bound), len(BOUNDS))
        self.counts[place] += 1
        self.sum += seconds


class OperationCounts:
    def __init__(self) -> None:
        self.ended: Counter[tuple[str, str]] = Counter()
        """(kind, status) → how many."""
        self.durations: dict[str, Durations] = {}
        """By kind, from the start of the work to its end; waiting is not in it."""

    def add(self, job: Job) -> None:
        """A job that has ended."""
        self.ended[job.kind, job.status.value] += 1
        if job.started is not None and job.finished is not None:
            durations = self.durations.setdefault(job.kind, Durations())
            durations.add(max(job.finished - job.started, 0.0))
