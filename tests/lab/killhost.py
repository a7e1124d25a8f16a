"""A host whose daemon is killed: what a test does to it, and what must be true afterwards.

The daemon is that of `tests.lab.killdaemon`, a process of its own with its own state folder, on
the sockets that `xm` uses; `xm` is the installed program, helped by a warm process that is the
test's and so outlives the daemons.
"""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.lab.conftest import SETTLE, run
from tests.lab.looking import FREE_NOISE, Guest, Look

ROOT = Path(__file__).parents[2]
RUN_DIR = Path("/var/run/xend")
XM = "/usr/sbin/xm"
USERDATA = Path("/var/lib/xen")
START_SECONDS = 60.0
SETTLE_SECONDS = 60.0


class DaemonMaker:
    """The process that has imported everything, and forks daemons."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.lab.killdaemon"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert self._line() == "ready"

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the maker of daemons died; its stderr has the reason"
        return line.strip()

    def make(self, folder: Path, words: list[str]) -> int:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"folder": str(folder), "words": words}) + "\n")
        self._process.stdin.flush()
        return int(self._line())

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


class WarmCli:
    """What makes the installed `xm` quick, without a daemon."""

    def __init__(self) -> None:
        RUN_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._socket = RUN_DIR / "warm.sock"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "xend.cli.warm", "--socket", str(self._socket)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        _until(self._socket.exists, 30, "the warm command line did not start")

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)
        self._socket.unlink(missing_ok=True)


def _until(true: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


class KillHost:
    def __init__(self, folder: Path, maker: DaemonMaker) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.images = folder / "images"
        self._maker = maker
        self._pid = 0
        self._pidfd = -1
        self._round = 0
        self.state.mkdir()
        self.images.mkdir()
        (folder / "config.sxp").write_text("(loglevel DEBUG)\n")
        self.killed: list[str] = []
        """Every point at which something was killed."""
        self._free: dict[str, int] = {}
        """Free memory in KiB by what runs, as it was the first time."""
        self._look = Look()

    # -- The daemon ----------------------------------------------------------------------------

    def start(self) -> None:
        words = [
            f"--state-dir={self.state}",
            f"--config={self.folder / 'config.sxp'}",
            f"--log-file={self.folder / 'xend.log'}",
        ]
        self.disarm()
        self._pid = self._maker.make(self.folder, words)
        self._pidfd = os.pidfd_open(self._pid)
        _until(self._answers, START_SECONDS, "the daemon does not serve")

    def _answers(self) -> bool:
        assert not self.dead, f"the daemon died at its start; see {self.folder / 'output'}"
        with socket.socket(socket.AF_UNIX) as probe, suppress(OSError):
            probe.connect(str(RUN_DIR / "cli.sock"))
            return True
        return False

    @property
    def dead(self) -> bool:
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return bool(poll.poll(0))

    def kill(self) -> None:
        """-9, and waits for its end."""
        if self._pidfd < 0:
            return
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        self.died()

    def died(self) -> None:
        """It has been killed, or must be about to be."""
        _until(lambda: self.dead, 10, "a killed daemon lives")
        os.close(self._pidfd)
        self._pidfd = -1

    def arm(self, at: int, victim: str) -> None:
        (self.folder / "passed").unlink(missing_ok=True)
        order = self.folder / "arm.new"
        self._round += 1
        order.write_text(json.dumps({"at": at, "victim": victim, "round": self._round}))
        order.rename(self.folder / "arm")

    def disarm(self) -> None:
        (self.folder / "arm").unlink(missing_ok=True)

    def passed(self) -> list[str]:
        with suppress(FileNotFoundError):
            return (self.folder / "passed").read_text().splitlines()
        return []

    # -- What is seen --------------------------------------------------------------------------

    def xm(self, *words: str) -> subprocess.CompletedProcess[str]:
        return run(XM, *words)

    def xm_must(self, *words: str) -> str:
        done = self.xm(*words)
        assert done.returncode == 0, f"xm {' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout

    def guests(self) -> dict[str, Guest]:
        """What Xen has; Domain-0 left out."""
        found: dict[str, Guest] = {}
        for guest in self._look.guests():
            assert guest.name not in found or guest.name == "(null)", f"two called {guest.name}"
            found[guest.name] = guest
        return found

    def exists(self, path: str) -> bool:
        """In XenStore."""
        return self._look.store.read(path) is not None

    def xm_guests(self) -> dict[str, int | None]:
        """Name → domid as xend has it; None for the halted, whose lines have no id and state."""
        found: dict[str, int | None] = {}
        for line in self.xm_must("list").splitlines()[1:]:
            words = line.split()
            domid = int(words[1]) if len(words) == 6 else None
            assert words[0] not in found, f"xm list has {words[0]} twice"
            if domid != 0:
                found[words[0]] = domid
        return found

    def open_intents(self) -> list[tuple[str, str]]:
        with sqlite3.connect(f"file:{self.state / 'xend.db'}?mode=ro", uri=True) as db:
            return db.execute("SELECT kind, data FROM intents").fetchall()

    def configs(self) -> dict[str, str]:
        """Name → uuid of the managed domains on disk."""
        found = {}
        folder = self.state / "domains"
        for path in folder.iterdir() if folder.exists() else ():
            assert re.fullmatch(r"[0-9a-f-]{36}", path.name), f"left behind: {path}"
            left = {each.name for each in path.iterdir()} - {"config.sxp", "checkpoint.chk"}
            assert not left, f"left behind in {path}: {left}"
            match = re.search(r"\(name '?([^\s')]+)'?\)", (path / "config.sxp").read_text())
            assert match, path
            assert match[1] not in found, f"two configurations of {match[1]}"
            found[match[1]] = path.name
        return found

    # -- What must be true ----------------------------------------------------------------------

    def settle(self, where: str) -> None:
        """Waits until everything that was cut off has been finished or undone."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while True:
            problem = self._unsettled()
            if not problem:
                return
            assert time.monotonic() < deadline, f"{where}: {problem}"
            time.sleep(0.1)

    def _unsettled(self) -> str:
        if intents := self.open_intents():
            return f"open intents: {intents}"
        xl, xm = self.guests(), self.xm_guests()
        if "(null)" in xl:
            return f"a domain without a name: {xl}"
        running = {name: domid for name, domid in xm.items() if domid is not None}
        theirs = {name: guest.domid for name, guest in xl.items()}
        if running != theirs:
            return f"xm list has {running}, xl list has {theirs}"
        bad = [guest for guest in xl.values() if "s" in guest.state or "d" in guest.state]
        return f"not running: {bad}" if bad else ""

    def check(self, where: str) -> None:
        """The invariants that hold after every kill, whatever was killed."""
        self.settle(where)
        self._check_leftovers(where)
        running = ",".join(sorted(self.guests()))
        self._free.setdefault(running, self._look.free())
        self._wait_free(self._free[running], where)

    def _check_leftovers(self, where: str) -> None:
        """Userdata, XenStore and files hold nothing of domains that are gone."""
        domids = {guest.domid for guest in self.guests().values()} | {0}
        for path in USERDATA.glob("userdata-*"):
            parts = path.name.split(".")
            assert int(parts[1]) in domids, f"{where}: left behind: {path}"
        for folder in ("/local/domain", "/libxl"):
            words = self._look.store.children(folder)
            left = {int(word) for word in words if word.isdigit()} - domids
            assert not left, f"{where}: left behind in XenStore: {folder}/{left}"
        left_files = [*self.folder.rglob("*.partial"), *self.folder.rglob(".*.new")]
        assert not left_files, f"{where}: left behind: {left_files}"
        self.configs()

    def _wait_free(self, wanted: int, where: str) -> None:
        """KiB; Xen gives back in its own time, and its own heaps breathe a little."""
        deadline = time.monotonic() + SETTLE
        while abs((free := self._look.free()) - wanted) > FREE_NOISE:
            assert time.monotonic() < deadline, f"{where}: {free} KiB free, {wanted} expected"
            time.sleep(0.1)

    def begin_again(self, but: str) -> None:
        """With a daemon that remembers nothing, and no guest but one."""
        self.kill()
        for guest in self.guests().values():
            if guest.name != but:
                run("xl", "destroy", str(guest.domid))
        shutil.rmtree(self.state)
        self.state.mkdir()
        for path in self.images.iterdir():
            path.unlink()
        self.start()

    def close(self) -> None:
        self.kill()
        self._look.close()


@contextmanager
def kill_host(folder: Path, maker: DaemonMaker) -> Iterator[KillHost]:
    host = KillHost(folder, maker)
    host.start()
    try:
        yield host
    finally:
        host.kill()
        for guest in host.guests().values():
            run("xl", "destroy", str(guest.domid))
        host.close()
