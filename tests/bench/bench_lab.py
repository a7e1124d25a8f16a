"""xm against xl, in one boot, interleaved: create and destroy, and what the daemon itself takes.

Runs inside the lab's dom0 (`make bench`); bench_verbs.py has the other verbs.  Absolute times under
emulation transfer nowhere; ratios to xl in the same boot do.  Differences below ten per cent mean
nothing.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.bench.measure import (
    XL,
    XM,
    Report,
    Row,
    as_on_any_host,
    calm_afterwards,
    interleaved,
    timed,
)
from tests.lab.guests import config, linux


def listing(guests: int, rounds: int) -> Row:
    ours, theirs = interleaved(rounds, lambda: timed(XM, "list"), lambda: timed(XL, "list"))
    return Row(f"list, {guests} guests", ours, theirs, 0.20)


def create_and_destroy(what: str, path: Path, rounds: int, aims: tuple[float, float]) -> list[Row]:
    """Both as their users call them: xl leaves a process for each domain."""
    times: dict[str, list[float]] = {f"{p} {verb}": [] for p in (XM, XL) for verb in "cd"}
    for number in range(rounds + 1):
        for program in (XL, XM):
            with calm_afterwards():
                create = timed(program, "create", "-q", str(path))
                destroy = timed(program, "destroy", path.name)
            if number > 0:
                times[f"{program} c"].append(create)
                times[f"{program} d"].append(destroy)
    middle = {key: statistics.median(column) for key, column in times.items()}
    return [
        Row(f"create to unpaused, {what}", middle[f"{XM} c"], middle[f"{XL} c"], aims[0]),
        Row(f"destroy, {what}", middle[f"{XM} d"], middle[f"{XL} d"], aims[1]),
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
    parser.add_argument("--guests", type=int, nargs="*", default=[10])
    parser.add_argument("--json", type=Path, help="write the numbers there too")
    options = parser.parse_args(arguments)
    as_on_any_host()
    subprocess.run(["/usr/sbin/xend", "restart"], check=True)  # with the code of now
    report = Report()
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
                report.add(listing(count, options.rounds))
                if count == 10:
                    memory_report = processes()
        finally:
            for name in started:
                timed(XM, "destroy", name)
        tiny, big = config(folder, "bench-tiny"), linux(folder, "bench-linux", memory=96)
        for row in create_and_destroy("tiny", tiny, options.rounds, (0.75, 0.80)):
            report.add(row)
        for row in create_and_destroy("Linux", big, options.rounds, (0.90, 0.80)):
            report.add(row)
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
                    "rows": report.plain(),
                    "start_ms": start,
                    "rss_kib": total,
                    "pss_kib": shared,
                }
            )
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
