"""xm's verbs against xl's, in one boot, interleaved: look-ups, hot-plug, save and restore, eight
creates and destroys at once; and what the daemon costs when it is asked all the time.

Runs inside the lab's dom0 (`scripts/bench verbs`), as root.  xl is used as its users do: without
`-e`, so that it keeps a process for each domain.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.bench.measure import (
    XL,
    XM,
    Report,
    Row,
    Timing,
    as_on_any_host,
    calm_afterwards,
    interleaved,
    reap,
    spawn,
    timed,
    together,
)
from tests.lab.conftest import domains, free_memory
from tests.lab.guests import IMAGES, config, linux
from tests.lab.verbs import booted
from tests.soak.usage import children

SPARE = 64
"""MiB that are left free."""
EACH = 8
"""MiB that a tiny guest takes at most, with what Xen needs for it."""
MEMORY_FILES = "/dev/shm"
"""A tmpfs: how fast the disk is says nothing about xm."""
SETTLED = 1.5
"""Seconds after which a guest that was restored does nothing more."""
BRIDGE = "bridge=xenbr0"
DISK = IMAGES / "data.img"
TICKS = os.sysconf("SC_CLK_TCK")
Pair = tuple[Timing, Timing]
"""Something is done, and undone."""
PARTS = ("lookups", "hotplug", "save", "crowd", "load")


class Guests:
    """Tiny ones, more and more of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.names: list[str] = []

    def grow(self, count: int) -> bool:
        """Whether memory is enough for them; otherwise none is made."""
        missing = count - len(self.names)
        if missing > 0 and free_memory() - SPARE < missing * EACH:
            return False
        while len(self.names) < count:
            name = f"bench{len(self.names)}"
            timed(XM, "create", "-q", str(config(self._folder, name)))
            self.names.append(name)
        return True

    def destroy(self) -> None:
        for name in self.names:
            timed(XM, "destroy", name)
        self.names = []


def against(what: str, rounds: int, aim: float, ours: Sequence[str], theirs: Sequence[str]) -> Row:
    xm, xl = interleaved(rounds, lambda: timed(XM, *ours), lambda: timed(XL, *theirs))
    return Row(what, xm, xl, aim)


def lookups(report: Report, folder: Path, counts: Sequence[int], rounds: int) -> None:
    guests = Guests(folder)
    try:
        for count in sorted(counts):
            if not guests.grow(count):
                print(f"  memory is enough for {len(guests.names)} guests, not for {count}")
                break
            for words in (["list"], ["list", "-l"], ["domid", guests.names[-1]], ["info"]):
                long = "-l" in words
                what = f"{' '.join(words[:2] if long else words[:1])}, {count} guests"
                few = 3 if long and count > 20 else rounds  # xl takes seconds for each
                aim = 0.10 if long and count == 50 else 0.20
                report.add(against(what, few, aim, words, words))
    finally:
        guests.destroy()


@contextmanager
def two_linux(folder: Path) -> Iterator[tuple[str, str]]:
    """A guest of xm's and one of xl's, both booted and idle."""
    ours, theirs = (linux(folder, f"bench-{name}", memory=96) for name in ("xm", "xl"))
    timed(XM, "create", "-q", str(ours))
    timed(XL, "create", "-q", str(theirs))
    try:
        for path in (ours, theirs):
            booted(domains()[path.name])
        yield ours.name, theirs.name
    finally:
        with calm_afterwards():
            for name in domains().keys() & {ours.name, theirs.name}:
                timed(XL, "destroy", name)


def in_pairs(report: Report, whats: tuple[str, str], rounds: int, pairs: Sequence[Pair]) -> None:
    """Of what is done and undone, first by xm and then by xl."""
    measures = [measure for pair in pairs for measure in pair]
    done, undone, xl_done, xl_undone = interleaved(rounds, *measures)
    report.add(Row(whats[0], done, xl_done, 1.00))
    report.add(Row(whats[1], undone, xl_undone, 1.00))


def hotplug(report: Report, folder: Path, rounds: int) -> None:
    with two_linux(folder) as (ours, theirs):
        in_pairs(
            report,
            ("block-attach", "block-detach"),
            rounds,
            [
                (
                    lambda: timed(XM, "block-attach", ours, f"file:{DISK}", "xvdb", "r"),
                    lambda: timed(XM, "block-detach", ours, "xvdb"),
                ),
                (
                    lambda: timed(XL, "block-attach", theirs, f"{DISK},raw,xvdb,r"),
                    lambda: timed(XL, "block-detach", theirs, "xvdb"),
                ),
            ],
        )
        in_pairs(
            report,
            ("network-attach", "network-detach"),
            rounds,
            [network(XM, ours), network(XL, theirs)],
        )


def network(program: str, guest: str) -> Pair:
    return (
        lambda: timed(program, "network-attach", guest, BRIDGE),
        lambda: timed(program, "network-detach", guest, "0"),
    )


def saving(report: Report, folder: Path, rounds: int) -> None:
    with two_linux(folder) as (ours, theirs), tempfile.TemporaryDirectory(dir=MEMORY_FILES) as at:

        def pair(program: str, name: str) -> Pair:
            file = str(Path(at) / name)

            def save() -> float:
                time.sleep(SETTLED)
                spent = timed(program, "save", name, file)
                wait_until_gone(name)
                return spent

            return save, lambda: timed(program, "restore", file)

        in_pairs(
            report,
            ("save, 96 MiB", "restore, 96 MiB"),
            rounds,
            [pair(XM, ours), pair(XL, theirs)],
        )


def wait_until_gone(name: str) -> None:
    while name in domains():
        time.sleep(0.1)


def crowd(report: Report, folder: Path, rounds: int, size: int = 8) -> None:
    """All at once, by as many processes."""
    kinds = (
        ("tiny", [config(folder, f"crowd{i}") for i in range(size)], 0.60),
        ("Linux", [linux(folder, f"linux{i}", memory=96) for i in range(size)], 0.80),
    )
    for kind, paths, aim in kinds:
        columns: dict[str, list[float]] = {f"{p} {v}": [] for p in (XM, XL) for v in "cd"}
        for number in range(rounds + 1):
            for program in (XL, XM):
                with calm_afterwards():
                    create = together([[program, "create", "-q", str(path)] for path in paths])
                    destroy = together([[program, "destroy", path.name] for path in paths])
                if number > 0:
                    columns[f"{program} c"].append(create)
                    columns[f"{program} d"].append(destroy)
        middle = {key: statistics.median(column) for key, column in columns.items()}
        for verb, key, wanted in (("creates", "c", aim), ("destroys", "d", 0.80)):
            what = f"{size} {verb} at once, {kind}"
            report.add(Row(what, middle[f"{XM} {key}"], middle[f"{XL} {key}"], wanted))


def cpu_seconds(daemon: int) -> float:
    """Of the processor, by the daemon and its children, those that have ended too."""
    total = 0
    for pid in (daemon, *children(daemon)):
        with suppress(FileNotFoundError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += sum(map(int, fields[11:15]))  # utime, stime, cutime, cstime: proc(5)
    return total / TICKS


def load(folder: Path, seconds: float = 10, rate: float = 50) -> None:
    """What `xm list` of ten guests costs the daemon and its children, asked `rate` times a second
    or as often as the machine can."""
    guests = Guests(folder)
    guests.grow(10)
    try:
        daemon = int(Path("/var/run/xend.pid").read_text())
        before = cpu_seconds(daemon)
        own = sum(os.times()[2:4])
        began = time.perf_counter()
        asked = keep_asking([XM, "list"], seconds, rate)
        spent = time.perf_counter() - began
        used = cpu_seconds(daemon) - before
        clients = sum(os.times()[2:4]) - own
    finally:
        guests.destroy()
    print(
        f"{asked / spent:.1f} xm list a second (wanted {rate:.0f}), 10 guests: the daemon uses "
        f"{used / spent:.2f} of a processor, {1000 * used / asked:.1f} ms each; the commands "
        f"themselves {1000 * clients / asked:.1f} ms each",
        flush=True,
    )


def keep_asking(argv: list[str], seconds: float, rate: float, most: int = 4) -> int:
    """How often it was run; never more than `most` of them at a time."""
    running: list[int] = []
    began = time.perf_counter()
    number = 0
    while (now := time.perf_counter() - began) < seconds:
        if len(running) >= most:
            reap(running.pop(0), argv)
        due = number / rate
        if now < due:
            time.sleep(due - now)
        running.append(spawn(argv))
        number += 1
    for pid in running:
        reap(pid, argv)
    return number


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="all, when none is named")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--guests", type=int, nargs="+", default=[1, 10, 50, 100])
    parser.add_argument("--json", type=Path, help="write the numbers there too")
    options = parser.parse_args(arguments)
    as_on_any_host()
    subprocess.run(["/usr/sbin/xend", "restart"], check=True)  # with the code of now
    few = max(3, options.rounds // 2 + 1)
    report = Report()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        runs: dict[str, Callable[[], None]] = {
            "lookups": lambda: lookups(report, folder, options.guests, options.rounds),
            "hotplug": lambda: hotplug(report, folder, few),
            "save": lambda: saving(report, folder, few),
            "crowd": lambda: crowd(report, folder, few),
            "load": lambda: load(folder),
        }
        for part in options.parts or PARTS:
            runs[part]()
    if options.json:
        options.json.write_text(json.dumps({"rows": report.plain()}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
