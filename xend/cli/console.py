"""Programs on the terminal: a domain's console, its display, xentop."""

from __future__ import annotations

import os
import time

from xend.cli.app import guarded
from xend.cli.domains import running_domid
from xend.cli.failures import (
    CommandFailed,
    Exit,
    Fault,
    OptionError,
    ProtocolError,
    Unreachable,
    UsageError,
)
from xend.cli.records import child_value
from xend.cli.sysfs import names_in
from xend.cli.terminal import TerminalMode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from xend.cli.app import Xm
    from xend.cli.terminal import Program

_POLL = 0.05
"""Seconds between two looks at a domain that is being created."""
_RETRIES = 20
"""Times that a console which fails while its domain is being created is tried again."""
_CONSOLE_PATIENCE = 10.0
"""Seconds that a running domain's console may take to appear in XenStore."""


def find_program(xm: Xm, name: str) -> str:
    """On the path, else of the Xen release that runs, else of the newest one installed."""
    folders = xm.env.get("PATH", os.defpath).split(":")
    folders += [f"/usr/lib/xen-{version}/bin" for version in _xen_versions()]
    folders.append("/usr/lib/xen/bin")
    for folder in folders:
        path = f"{folder}/{name}"
        if os.access(path, os.X_OK):
            return path
    raise CommandFailed(f"{name} is not installed: it is in none of {', '.join(folders)}")


def _xen_versions() -> list[str]:
    folders = names_in("/usr/lib")
    installed = [n[4:] for n in folders if n.startswith("xen-") and n[4:5].isdigit()]
    installed.sort(key=lambda version: [int(p) if p.isdigit() else 0 for p in version.split(".")])
    return [*_running_version(), *reversed(installed)]


def _running_version() -> list[str]:
    try:
        parts = []
        for part in ("major", "minor"):
            with open(f"/sys/hypervisor/version/{part}") as file:
                parts.append(file.read().strip())
    except OSError:
        return []
    return [".".join(parts)]


def console(xm: Xm, args: list[str]) -> None:
    options, params = xm.options("console", args, "qn:", "quiet", "num=")
    given = {option.lstrip("-")[0]: value for option, value in options}
    number = int(given.get("n", "0"))
    if len(params) != 1:
        raise UsageError("No domain given", "console")
    try:
        domid = running_domid(xm, params[0])
    except (Fault, OptionError, Unreachable, ProtocolError) as error:
        if "q" in given:
            raise Exit(1) from error
        raise
    xm.terminal.replace(console_argv(xm, domid, number), xm.env)


def console_argv(xm: Xm, domid: int, number: int = 0) -> list[str]:
    return [find_program(xm, "xenconsole"), str(domid), "--num", str(number)]


def top(xm: Xm, _args: list[str]) -> None:
    xm.terminal.replace([find_program(xm, "xentop")], xm.env)


def with_console(xm: Xm, typed: str, name: str, work: Callable[[], None]) -> int:
    """Do the work while the console of the domain that it makes is on the terminal.

    The work is done by a child; this process attaches the console as soon as the domain has an
    id, that is before its boot loader asks anything, and gives the child's exit status.
    """
    xm.out.flush()
    xm.terminal.take_over()
    return _Attendance(xm, name, _Child(xm, typed, work)).run()


class _Child:
    """The work in a process of its own; what it says is held back until it has ended."""

    def __init__(self, xm: Xm, typed: str, work: Callable[[], None]) -> None:
        self._pipes = [os.pipe(), os.pipe()]
        self._pid = os.fork()
        self.status: int | None = None
        if self._pid == 0:
            self._work(xm, typed, work)
        for _, writing in self._pipes:
            os.close(writing)

    def _work(self, xm: Xm, typed: str, work: Callable[[], None]) -> None:
        """Never returns.  Its own connection: the parent goes on using the old one."""
        status = 1
        try:
            for stream, (reading, writing) in zip((xm.out, xm.err), self._pipes, strict=True):
                os.close(reading)
                stream.fd = writing
            xm.server.disconnect()
            xm.terminal.leave()
            status = guarded(xm, typed, work)
            xm.out.flush()
        finally:
            os._exit(status)

    def ended(self) -> bool:
        if self.status is None:
            pid, wait_status = os.waitpid(self._pid, os.WNOHANG)
            if not pid:
                return False
            self.status = os.waitstatus_to_exitcode(wait_status) & 0xFF
        return True

    def said(self) -> tuple[str, str]:
        """What it wrote to standard output and to standard error."""
        texts = []
        for reading, _ in self._pipes:
            with open(reading, "rb") as file:
                texts.append(file.read().decode("utf-8", "surrogateescape"))
        return texts[0], texts[1]


class _Attendance:
    """The parent's part of `with_console`."""

    def __init__(self, xm: Xm, name: str, child: _Child) -> None:
        self._xm = xm
        self._name = name
        self._child = child
        self._program: Program | None = None
        self._mode = TerminalMode()
        self._tty: str | None = None
        """The pseudo-terminal of the console that was attached, as XenStore named it then."""
        self._left = False
        """The console has been attached and left again."""
        self._retries = _RETRIES

    def run(self) -> int:
        while not self._child.ended():
            self._look_after_console()
            time.sleep(_POLL)
        status = self._child.status or 0
        if status and self._program is not None:
            self._program.kill()
            self._program = None
            self._mode.restore()
        self._report()
        if status == 0:
            self._wait_for_console()
        return status

    def _report(self) -> None:
        """A terminal that has a console on it is raw: lines must bring their own return."""
        said, complaint = self._child.said()
        if self._program is not None and self._xm.out.isatty():
            said = said.replace("\n", "\r\n")
        self._xm.out.write(said)
        self._xm.out.flush()
        if complaint:
            self._xm.err.write(complaint)

    def _look_after_console(self) -> None:
        if self._program is None:
            if not self._left:
                self._attach()
            return
        wait_status = self._program.poll()
        if wait_status is None:
            return
        self._program = None
        if wait_status == 0:
            self._left = not self._console_moved()
            return
        # One that fails at once came too early for this domain's console.
        self._retries -= 1
        self._left = self._retries <= 0

    def _console_left(self) -> bool:
        if not self._left:
            self._look_after_console()
        return self._left

    def _console_moved(self) -> bool:
        """Whether xenconsole ended because the boot loader's terminal went away (its
        `console_loop` ends with 0 then, as it does for CTRL-]) and not because the user left."""
        domid = self._domid()
        if domid < 0:
            return False
        now = _console_tty(domid)
        return now is None or now != self._tty

    def _attach(self) -> None:
        domid = self._domid()
        if domid < 0:
            return
        tty = _console_tty(domid)
        if tty is None:
            return  # nobody serves its console yet; xenconsole would give up
        self._tty = tty
        self._program = self._xm.terminal.start(console_argv(self._xm, domid), self._xm.env)

    def _domid(self) -> int:
        try:
            return int(child_value(self._xm.call("xend.domain", self._name), "domid", -1))
        except (Fault, OptionError):
            return -1  # not yet known

    def _wait_for_console(self) -> None:
        deadline = time.monotonic() + _CONSOLE_PATIENCE
        while not self._console_left():
            if self._program is not None:
                deadline = time.monotonic() + _CONSOLE_PATIENCE
            elif self._domid() < 0 or time.monotonic() > deadline:
                self._xm.print("Could not start console\n")
                return
            time.sleep(_POLL)


def _console_tty(domid: int) -> str | None:
    """The pseudo-terminal of the console; None while nobody serves it; empty when XenStore cannot
    be asked here, and xenconsole has to find out."""
    from xend.cli.xenstore import XenStoreReader

    try:
        store = XenStoreReader()
    except OSError:
        return ""
    try:
        return store.read(f"/local/domain/{domid}/console/tty") or None
    finally:
        store.close()
