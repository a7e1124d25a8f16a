"""The warm side of the command line: `python3 -m xend.cli.warm --socket P [--fd N] [--parent P]`.

The daemon starts this process and watches it; it ends when the daemon does.  It has imported
everything that commands need, and keeps workers forked that wait in accept(): no start and no
fork is between a launcher and its answer.  It is a process of its own because the daemon, which
has libxl inside, must not fork.
"""

from __future__ import annotations

import _socket
import gc
import mmap
import os
import select
import signal
import sys

from xend.cli.server import RUN_DIR
from xend.cli.table import COMMANDS
from xend.cli.warmworker import Worker, housekeeping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

SPARES = 2
"""Workers that wait for a command."""
_MAX_WORKERS = 64
_MAX_COMMANDS = 1000
"""Commands after which a worker gives way to a fresh one."""
_BACKLOG = 128
_FREE, _IDLE, _BUSY = 0, 1, 2


class Slots:
    """What each worker is doing, in memory that all of them share."""

    def __init__(self) -> None:
        self._states = mmap.mmap(-1, _MAX_WORKERS)

    def set(self, slot: int, state: int) -> None:
        self._states[slot] = state

    def count(self, state: int) -> int:
        return self._states[:].count(state)

    def take_free(self) -> int | None:
        at = self._states[:].find(bytes([_FREE]))
        return None if at < 0 else at


class Supervisor:
    """Keeps enough workers waiting; does no command itself."""

    def __init__(self, listener: _socket.socket, run_dir: str, daemon: int) -> None:
        """`daemon`: a pidfd of the process to end with."""
        self._listener = listener
        self._daemon = daemon
        self._run_dir = run_dir
        self._slots = Slots()
        self._workers: dict[int, tuple[int, int]] = {}
        """pidfd of each worker: its process id and slot."""
        self._wake_reader, self._wake_writer = os.pipe()
        os.set_blocking(self._wake_reader, False)
        self._self = os.pidfd_open(os.getpid())
        self._poll = select.poll()
        for fd in (self._wake_reader, self._daemon):
            self._poll.register(fd, select.POLLIN)

    def run(self) -> None:
        """Until the daemon is gone.  Workers that are busy finish their command by themselves."""
        while True:
            self._fill_up()
            for fd, _ in self._poll.poll():
                if fd == self._daemon:
                    return
                if fd == self._wake_reader:
                    os.read(fd, 4096)
                else:
                    self._reap(fd)

    def _fill_up(self) -> None:
        while self._slots.count(_IDLE) < SPARES:
            slot = self._slots.take_free()
            if slot is None:
                return  # so many are at work that launchers may do without
            self._fork(slot)

    def _fork(self, slot: int) -> None:
        self._slots.set(slot, _IDLE)
        pid = os.fork()
        if pid == 0:
            self._work(slot)
        worker = os.pidfd_open(pid)
        self._workers[worker] = (pid, slot)
        self._poll.register(worker, select.POLLIN)

    def _reap(self, worker: int) -> None:
        pid, slot = self._workers.pop(worker)
        os.waitpid(pid, 0)
        self._poll.unregister(worker)
        os.close(worker)
        self._slots.set(slot, _FREE)

    def _work(self, slot: int) -> NoReturn:
        """A worker's life."""
        status = 1
        try:
            gc.disable()
            worker = Worker(self._listener, self._self, self._run_dir)
            self._serve(worker, slot)
            status = 0
        finally:
            if status:  # an error of ours: let the interpreter tell it
                sys.excepthook(*sys.exc_info())
            os._exit(status)

    def _serve(self, worker: Worker, slot: int) -> None:
        for done in range(1, _MAX_COMMANDS + 1):
            launcher = worker.accept()
            if launcher is None:
                return
            self._slots.set(slot, _BUSY)
            if not self._slots.count(_IDLE):
                os.write(self._wake_writer, b"!")
            if not worker.serve(launcher) or self._slots.count(_IDLE) >= SPARES:
                return
            self._slots.set(slot, _IDLE)
            housekeeping(done)


def listen(path: str) -> _socket.socket:
    """A socket that only this user can reach, from its first moment on."""
    listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    temporary = f"{path}.{os.getpid()}"
    mask = os.umask(0o177)
    try:
        listener.bind(temporary)
    finally:
        os.umask(mask)
    listener.listen(_BACKLOG)
    os.replace(temporary, path)  # noqa: PTH105
    return listener


def _run_dir(socket_path: str) -> str:
    """Where the daemon's sockets are, by the name under which launchers know it."""
    found = socket_path.rpartition("/")[0]
    same = os.path.realpath(found) == os.path.realpath(RUN_DIR)
    return RUN_DIR if same else found


def import_everything() -> None:
    """What commands import when they run, so that workers share it.

    Reading a domain file takes a millisecond, and importing what reads it a hundred.
    """
    from xend.cli import poolconfig, xl, xlhelp, xltable  # noqa: F401
    from xend.config import dialectmarks, sxp, xmcreate, xmfile, xmip, xmrandom  # noqa: F401

    for command in COMMANDS:
        command.load()
    for other in xltable.COMMANDS:
        other.load()
    gc.collect()
    gc.freeze()


def follow(parent: int) -> int:
    """A pidfd of the daemon.  Ends here if it died before it could be watched: the pid of a dead
    parent may be somebody else's already, but then it is not our parent's."""
    try:
        daemon = os.pidfd_open(parent)
    except ProcessLookupError:
        raise SystemExit(1) from None
    if os.getppid() != parent:
        raise SystemExit(1)
    return daemon


def main(args: list[str]) -> None:
    options = dict(zip(args[::2], args[1::2], strict=True))
    daemon = follow(int(options.get("--parent", os.getppid())))
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if "--fd" in options:
        listener = _socket.socket(fileno=int(options["--fd"]))
    else:
        listener = listen(options["--socket"])
    listener.setblocking(False)
    if os.getpriority(os.PRIO_PROCESS, 0) < 0:
        os.setpriority(os.PRIO_PROCESS, 0, 0)  # that is the daemon's
    import_everything()
    Supervisor(listener, _run_dir(options["--socket"]), daemon).run()


if __name__ == "__main__":
    main(sys.argv[1:])
