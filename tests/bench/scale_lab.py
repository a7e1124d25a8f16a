"""As many real guests as were asked for, or as memory allows, and a restart of the daemon with all
of them running: what it costs, and that none of them notices.

`python3 -m tests.bench.scale_lab --guests 150` inside the lab's dom0; `make bench` runs it.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.lab.conftest import free_memory
from tests.lab.guests import config
from tests.lab.looking import Guest, Look
from tests.soak.usage import children, usage

XM = "/usr/sbin/xm"
XL = "/usr/sbin/xl"
SPARE = 64
"""MiB that are left free."""


def timed(*argv: str) -> float:
    """Seconds."""
    began = time.perf_counter()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    return time.perf_counter() - began


def lists(rounds: int = 7) -> tuple[float, float]:
    """Medians of `xm list` and `xl list`, in turns."""
    times = [(timed(XM, "list"), timed(XL, "list")) for _ in range(rounds)]
    ours, theirs = zip(*times, strict=True)
    return statistics.median(ours), statistics.median(theirs)


def fill(folder: Path, guests: int) -> list[float]:
    """Creates them; seconds of each."""
    spent: list[float] = []
    while len(spent) < guests and free_memory() > SPARE:
        path = config(folder, f"scale{len(spent)}")
        spent.append(timed(XM, "create", "-q", str(path)))
        if len(spent) % 25 == 0:
            ours, theirs = lists(3)
            print(
                f"{len(spent):4d} guests: create {statistics.median(spent[-25:]):.2f} s, xm list "
                f"{ours * 1e3:.0f} ms, xl list {theirs * 1e3:.0f} ms",
                flush=True,
            )
    return spent


def daemon_memory() -> tuple[int, int]:
    """KiB of RSS: the daemon itself, and its children."""
    pid = int(Path("/var/run/xend.pid").read_text())
    return usage(pid).rss, sum(usage(child).rss for child in children(pid))


def undisturbed(before: Sequence[Guest], after: Sequence[Guest]) -> bool:
    """The same domains under the same names, none of them paused or ended.  (They sleep, so the
    processor time that they have used says nothing.)"""
    return [(g.name, g.domid) for g in before] == [(g.name, g.domid) for g in after] and all(
        guest.running for guest in after
    )


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--guests", type=int, default=150)
    options = parser.parse_args(arguments)
    subprocess.run(["/usr/sbin/xend", "start"], check=True)
    look = Look()
    with tempfile.TemporaryDirectory() as folder:
        spent: list[float] = []
        try:
            spent = fill(Path(folder), options.guests)
            before = look.guests()
            stopping = timed("/usr/sbin/xend", "stop")
            starting = timed("/usr/sbin/xend", "start")
            ours, theirs = lists()
            after = look.guests()
            fine = undisturbed(before, after)
            daemon, helpers = daemon_memory()
            print(
                f"{len(spent)} guests: stop {stopping:.1f} s, start to ready {starting:.1f} s, all "
                f"{'undisturbed' if fine else 'DISTURBED'}; xm list {ours * 1e3:.0f} ms, xl list "
                f"{theirs * 1e3:.0f} ms; daemon {daemon / 1024:.0f} MiB RSS, its children "
                f"{helpers / 1024:.0f} MiB"
            )
            listed = subprocess.run([XM, "list"], capture_output=True, text=True, check=True)
            fine = fine and len(listed.stdout.splitlines()) == len(spent) + 2
        finally:
            for number in range(len(spent)):
                timed(XM, "destroy", f"scale{number}")
            look.close()
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
