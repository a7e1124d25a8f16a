"""Where a create and a destroy spend their time: the stages of the round in the middle, in order.

Runs inside the lab's dom0 (`scripts/bench timeline`), as root.  xend is restarted with XEND_TRACE,
and once more without it in the end.  `*` marks what happens when xm has ended already.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.measure import XM, timed
from tests.lab.guests import config, linux

QUIET = 0.5
"""Seconds after which what follows a command has been done."""


@dataclass(frozen=True)
class Stage:
    at: int
    """Microseconds of the monotonic clock."""
    process: int
    what: str


@dataclass(frozen=True)
class Run:
    """One command, in microseconds of the monotonic clock."""

    began: int
    ended: int
    stages: tuple[Stage, ...]

    @property
    def took(self) -> int:
        return self.ended - self.began

    def text(self) -> str:
        lines, last = [], self.began
        for stage in self.stages:
            late = "*" if stage.at > self.ended else " "
            since, step = (stage.at - self.began) / 1000, (stage.at - last) / 1000
            lines.append(f"{since:8.1f} {step:+7.1f} {late} {stage.process:6d} {stage.what}")
            last = stage.at
        return "\n".join(lines)


def stages(text: str) -> tuple[Stage, ...]:
    """Of the lines of a trace (`xend.trace`), by time."""
    rows = (line.split(" ", 2) for line in text.splitlines())
    found = (Stage(int(at), int(process), what.strip()) for at, process, what in rows)
    return tuple(sorted(found, key=lambda stage: stage.at))


def traced(trace: Path, *argv: str) -> Run:
    trace.write_text("")
    began = time.monotonic_ns() // 1000
    timed(*argv)
    ended = time.monotonic_ns() // 1000
    time.sleep(QUIET)
    return Run(began, ended, stages(trace.read_text()))


def restart(trace: Path | None) -> None:
    env = {name: value for name, value in os.environ.items() if name != "XEND_TRACE"}
    if trace is not None:
        env["XEND_TRACE"] = str(trace)
    subprocess.run(["/usr/sbin/xend", "restart"], env=env, check=True)
    time.sleep(2)  # the worker's spare and the command line warm up


def middle(runs: Sequence[Run]) -> Run:
    return sorted(runs, key=lambda run: run.took)[len(runs) // 2]


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", nargs="?", choices=["tiny", "linux"], default="tiny")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args(arguments)
    runs: dict[str, list[Run]] = {"create": [], "destroy": []}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make = config if options.kind == "tiny" else linux
        path = make(folder, "timeline")
        trace = folder / "trace"
        restart(trace)
        try:
            for number in range(options.rounds + 1):
                created = traced(trace, XM, "create", "-q", str(path))
                destroyed = traced(trace, XM, "destroy", path.name)
                if number > 0:  # the first one warms caches
                    runs["create"].append(created)
                    runs["destroy"].append(destroyed)
        finally:
            restart(None)
    for verb, found in runs.items():
        shown = middle(found)
        print(f"{verb}, {options.kind}: {shown.took / 1000:.1f} ms, in the middle of {len(found)}")
        print(shown.text(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
