"""xm against xl, in one boot, interleaved: medians and ratios.

Runs inside the lab's dom0 (`make bench`).  Absolute times under emulation transfer nowhere; ratios
to xl in the same boot do.  Differences below ten per cent mean nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab.guests import config, linux

XL = "/usr/sbin/xl"
XM = "/usr/sbin/xm"
NULL = os.open(os.devnull, os.O_RDWR)


@dataclass(frozen=True)
class Row:
    """One line of the report; times in ms, medians."""

    what: str
    xm: float
    xl: float
    aim: float | None

    @property
    def ratio(self) -> float:
        return self.xm / self.xl

    def text(self) -> str:
        verdict = ""
        if self.aim is not None:
            verdict = f"  aim {self.aim:.2f}  " + ("met" if self.ratio <= self.aim else "MISSED")
        return f"{self.what:34} {self.xm:9.1f} {self.xl:9.1f} {self.ratio:7.2f}{verdict}"


def timed(*argv: str) -> float:
    """Milliseconds from start to end of a process whose output nobody reads."""
    began = time.perf_counter()
    pid = os.posix_spawn(
        argv[0],
        argv,
        os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, NULL, fd) for fd in (0, 1, 2)],
    )
    _, status = os.waitpid(pid, 0)
    spent = (time.perf_counter() - began) * 1000
    if status != 0:
        raise RuntimeError(f"{' '.join(argv)} ended with {os.waitstatus_to_exitcode(status)}")
    return spent


def interleaved(rounds: int, *runs: Callable[[], float]) -> list[float]:
    """Medians of several measurements taken in turns."""
    times: list[list[float]] = [[] for _ in runs]
    for number in range(rounds):
        for index, measure in enumerate(runs):
            spent = measure()
            if number > 0:  # the first round warms caches for both
                times[index].append(spent)
    return [statistics.median(column) for column in times]


def listing(guests: int, rounds: int) -> Row:
    ours, theirs = interleaved(rounds, lambda: timed(XM, "list"), lambda: timed(XL, "list"))
    return Row(f"list, {guests} guests", ours, theirs, 0.20)


def lookups(guests: int, rounds: int) -> list[Row]:
    found = []
    for verb, aim in (("info", None), ("domid", None)):
        tail = ["Domain-0"] if verb == "domid" else []
        ours, theirs = interleaved(
            rounds,
            lambda verb=verb, tail=tail: timed(XM, verb, *tail),  # type: ignore[misc]
            lambda verb=verb, tail=tail: timed(XL, verb, *tail),  # type: ignore[misc]
        )
        found.append(Row(f"{verb}, {guests} guests", ours, theirs, aim))
    return found


def create_and_destroy(what: str, path: Path, rounds: int, aims: tuple[float, float]) -> list[Row]:
    times: dict[str, list[float]] = {"xm c": [], "xm d": [], "xl c": [], "xl d": []}
    for number in range(rounds):
        measured = {
            "xl c": timed(XL, "create", "-e", "-q", str(path)),
            "xl d": timed(XL, "destroy", path.name),
            "xm c": timed(XM, "create", "-q", str(path)),
            "xm d": timed(XM, "destroy", path.name),
        }
        if number > 0:
            for key, spent in measured.items():
                times[key].append(spent)
    middle = {key: statistics.median(column) for key, column in times.items()}
    return [
        Row(f"create to unpaused, {what}", middle["xm c"], middle["xl c"], aims[0]),
        Row(f"destroy, {what}", middle["xm d"], middle["xl d"], aims[1]),
    ]


def daemon_start(rounds: int) -> float:
    """Median milliseconds of `xend start` to ready, after a stop."""
    times = []
    for _ in range(rounds):
        timed("/usr/sbin/xend", "stop")
        times.append(timed("/usr/sbin/xend", "start"))
    return statistics.median(times)


def processes() -> list[tuple[str, int, int]]:
    """(command line, RSS KiB, PSS KiB) of each process that the daemon consists of."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            argv = (entry / "cmdline").read_text().replace("\0", " ").strip()
            memory = (entry / "smaps_rollup").read_text()
        except (OSError, UnicodeDecodeError):
            continue
        if re.search(r"xend(\.|/|$| )", argv) and "bench" not in argv and "python" in argv:
            rss, pss = (re.search(rf"^{key}:\s+(\d+)", memory, re.M) for key in ("Rss", "Pss"))
            if rss is not None and pss is not None:
                found.append((argv, int(rss.group(1)), int(pss.group(1))))
    return sorted(found)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--guests", type=int, nargs="*", default=[1, 10, 50])
    parser.add_argument("--json", type=Path, help="write the numbers there too")
    options = parser.parse_args(arguments)
    subprocess.run(["/usr/sbin/xend", "start"], check=True)
    rows: list[Row] = []
    print(f"{'median, ms':34} {'xm':>9} {'xl':>9} {'ratio':>7}")

    def report(row: Row) -> None:
        rows.append(row)
        print(row.text(), flush=True)

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        started: list[str] = []
        memory_report: list[tuple[str, int, int]] = []
        try:
            for count in sorted(options.guests):
                while len(started) < count:
                    name = f"bench{len(started)}"
                    path = config(folder, name)
                    timed(XM, "create", "-q", str(path))
                    started.append(name)
                report(listing(count, options.rounds))
                if count == 10:
                    memory_report = processes()
                    for row in lookups(count, options.rounds):
                        report(row)
        finally:
            for name in started:
                timed(XM, "destroy", name)
        tiny, big = config(folder, "bench-tiny"), linux(folder, "bench-linux", memory=96)
        for row in create_and_destroy("tiny", tiny, options.rounds, (0.75, 0.80)):
            report(row)
        for row in create_and_destroy("Linux", big, options.rounds, (0.90, 0.80)):
            report(row)
    start = daemon_start(5)
    print(f"{'daemon start to ready':34} {start:9.1f}")
    total = sum(rss for _, rss, _ in memory_report)
    shared = sum(pss for _, _, pss in memory_report)
    print(f"memory with 10 guests: RSS {total / 1024:.1f} MiB, PSS {shared / 1024:.1f} MiB")
    print(f"  (aim: RSS at most 120 MB: {'met' if total * 1024 <= 120e6 else 'MISSED'})")
    for argv, rss, pss in memory_report:
        print(f"  {rss / 1024:6.1f} {pss / 1024:6.1f}  {argv[:90]}")
    if options.json:
        options.json.write_text(
            json.dumps(
                {
                    "rows": [[r.what, r.xm, r.xl, r.aim] for r in rows],
                    "start_ms": start,
                    "rss_kib": total,
                    "pss_kib": shared,
                }
            )
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
