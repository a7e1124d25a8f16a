"""What the comparisons with xl share: timing processes, taking turns, and a table of ratios."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

XL = "/usr/sbin/xl"
XM = "/usr/sbin/xm"
NULL = os.open(os.devnull, os.O_RDWR)

_RANDOMISED = Path("/proc/sys/kernel/randomize_va_space")

Timing = Callable[[], float]
"""One measurement, in milliseconds."""


@dataclass(frozen=True)
class Row:
    """One line of the report; times in ms, medians."""

    what: str
    xm: float
    xl: float
    aim: float | None = None
    """The greatest ratio that is wanted."""

    @property
    def ratio(self) -> float:
        return self.xm / self.xl

    def text(self) -> str:
        verdict = ""
        if self.aim is not None:
            verdict = f"  aim {self.aim:.2f}  " + ("met" if self.ratio <= self.aim else "MISSED")
        return f"{self.what:34} {self.xm:9.1f} {self.xl:9.1f} {self.ratio:7.2f}{verdict}"


@dataclass
class Report:
    """Prints each row when it is known."""

    rows: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        print(f"{'median, ms':34} {'xm':>9} {'xl':>9} {'ratio':>7}", flush=True)

    def add(self, row: Row) -> None:
        self.rows.append(row)
        print(row.text(), flush=True)

    def plain(self) -> list[list[object]]:
        """For JSON: what, xm, xl, aim."""
        return [[row.what, row.xm, row.xl, row.aim] for row in self.rows]


def as_on_any_host() -> None:
    """Processes at random addresses, as everywhere.  The lab's tests turn that off, which under
    emulation halves the time that a program of many libraries takes to start: xl, but not xm."""
    _RANDOMISED.write_text("2")


def spawn(argv: list[str]) -> int:
    """The process id of a program whose output nobody reads."""
    return os.posix_spawn(
        argv[0],
        argv,
        os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, NULL, fd) for fd in (0, 1, 2)],
    )


def reap(pid: int, argv: list[str]) -> None:
    _, status = os.waitpid(pid, 0)
    if status != 0:
        raise RuntimeError(f"{' '.join(argv)} ended with {os.waitstatus_to_exitcode(status)}")


def timed(*argv: str) -> float:
    """Milliseconds from start to end of a process that succeeds."""
    return together([[*argv]])


def together(commands: Sequence[list[str]]) -> float:
    """Milliseconds until the last of several processes, all started at once, has succeeded."""
    began = time.perf_counter()
    pids = [spawn(argv) for argv in commands]
    for pid, argv in zip(pids, commands, strict=True):
        reap(pid, argv)
    return (time.perf_counter() - began) * 1000


def interleaved(rounds: int, *runs: Timing) -> list[float]:
    """Medians of several measurements taken in turns, after one round that warms caches for all."""
    times: list[list[float]] = [[] for _ in runs]
    for number in range(rounds + 1):
        for column, measure in zip(times, runs, strict=True):
            spent = measure()
            if number > 0:
                column.append(spent)
    return [statistics.median(column) for column in times]


def of_program(name: str) -> list[int]:
    """Process ids of what runs under that name."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "comm").read_text().strip() == name:
                found.append(int(entry.name))
        except OSError:
            continue  # It ended while we looked.
    return found


@contextmanager
def calm_afterwards(seconds: float = 20) -> Iterator[None]:
    """Waits until the processes that `xl create` leaves, one for each domain, have followed their
    domains; otherwise the next measurement pays for their end."""
    yield
    deadline = time.monotonic() + seconds
    while of_program("xl"):
        if time.monotonic() > deadline:
            raise RuntimeError(f"xl's processes {of_program('xl')} outlive their domains")
        time.sleep(0.05)
