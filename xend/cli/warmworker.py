"""A warm process that runs one command line after another for launchers.

The protocol is described in scripts/launcher/xm.c.
"""

from __future__ import annotations

import _socket
import gc
import os
import select
from _signal import SIGPIPE  # type: ignore[import-not-found]
from time import monotonic

from xend.cli.app import Xm
from xend.cli.failures import Unreachable
from xend.cli.frames import FrameConnection
from xend.cli.main import command_of, personality
from xend.cli.server import RUN_DIR
from xend.cli.streams import ErrorStream, Stream
from xend.trace import mark

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

    from xend.cli.command import Command

MAGIC = b"xmwarm2\0"
HEAD = len(MAGIC) + 4
_FDS = 4
_CHUNK = 1 << 16
_MAX_REQUEST = 1 << 22
_PIPE_BUF = 4096
_SOON = 1000
"""Milliseconds, well below those that a launcher waits."""
_CLOCK = 1 << 32
_CONTROL = _socket.CMSG_SPACE(_FDS * 4)
_COLLECT_EVERY = 100
_GROWTH = 4096
"""KiB that a worker may have gained by reading domain files: one that made it big is let go."""
_PAGE_KIB = os.sysconf("SC_PAGESIZE") // 1024
_BROKEN = (b"X", 1)
"""The answer when a command has not ended by itself."""


class HandedOver(BaseException):
    """The launcher has become another program: nothing is left to do or to answer.

    Not an Exception, so that no command takes it for a failure of its own.
    """


class LauncherGone(BaseException):
    """Nobody wants the command any more.  Not an Exception, for the same reason."""


class BadRequest(Exception):
    """Not a launcher, or one of another version."""


class Request:
    """A command line as it arrives: its words, environment, umask and descriptors."""

    __slots__ = ("argv", "env", "fds", "sent", "taken_over", "umask")

    def __init__(self, data: bytes, fds: list[int]) -> None:
        texts = data.decode("utf-8", "surrogateescape").split("\0")
        try:
            self.umask = int(texts[0], 8)
            end = 3 + int(texts[1])
            self.sent = int(texts[2])
            """When, by the launcher's clock: CLOCK_MONOTONIC in milliseconds, modulo 2^32."""
        except (ValueError, IndexError) as error:
            raise BadRequest from error
        self.argv = texts[3:end]
        if not self.argv or len(fds) != _FDS:
            raise BadRequest
        self.env: Mapping[str, str] = dict(
            [entry.split("=", 1) for entry in texts[end:-1] if "=" in entry]
        )
        self.fds = fds
        """Standard input, output, error, and the working folder."""
        self.taken_over = False
        """This process has become what the launcher is."""

    def command(self) -> Command | None:
        return command_of(self.argv)


class Launcher:
    """The far end of a connection."""

    def __init__(self, sock: _socket.socket) -> None:
        self.sock = sock
        self._announced = False
        self._sent = 0

    def uid(self) -> int:
        """Whose process it is."""
        credentials = self.sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
        return int.from_bytes(credentials[4:8], "little")

    def receive(self) -> Request:
        data, control, _, _ = self.sock.recvmsg(_CHUNK, _CONTROL, _socket.MSG_CMSG_CLOEXEC)
        fds = [
            int.from_bytes(packed[at : at + 4], "little")
            for _, _, packed in control
            for at in range(0, len(packed), 4)
        ]
        try:
            request = Request(self._rest(data), fds)
        except BadRequest:
            close_all(fds)
            raise
        self._sent = request.sent
        return request

    def _has_waited(self) -> bool:
        """Since it sent its request: this process may have been too busy to take it."""
        return (int(monotonic() * 1000) - self._sent) % _CLOCK > _SOON

    def _rest(self, data: bytes) -> bytes:
        if len(data) < HEAD or not data.startswith(MAGIC):
            raise BadRequest
        size = HEAD + int.from_bytes(data[len(MAGIC) : HEAD], "big")
        if size > _MAX_REQUEST:
            raise BadRequest
        while len(data) < size:
            more = self.sock.recv(_CHUNK)
            if not more:
                raise BadRequest
            data += more
        return data[HEAD:size]

    def tell(self, letter: bytes, number: int, rest: bytes = b"") -> None:
        self.sock.sendall(letter + number.to_bytes(4, "big") + rest)

    def announce(self) -> None:
        """The command is ours now; LauncherGone when the launcher no longer wants it run."""
        if self._announced:
            return
        self._announced = True
        try:
            self.tell(b"H", os.getpid())
        except OSError as error:
            raise LauncherGone from error

    def before_write(self, fd: int, size: int) -> None:
        """A launcher that hears nothing runs the command itself in the end: what may make it wait
        for long, and so what is written late, is announced."""
        if not self._announced and (size > _PIPE_BUF or self._has_waited() or not _has_room(fd)):
            self.announce()

    def tell_argv(self, letter: bytes, argv: list[str]) -> None:
        text = "".join([word + "\0" for word in argv]).encode("utf-8", "surrogateescape")
        self.tell(letter, len(text), text)


class LauncherTerminal:
    """The terminal is the launcher's: it runs programs there."""

    def __init__(self, launcher: Launcher, out: Stream, request: Request) -> None:
        self._launcher = launcher
        self._out = out
        self._request = request

    def replace(self, argv: list[str], env: Mapping[str, str]) -> NoReturn:
        """The launcher has the same environment, so it is not sent back."""
        self._out.flush()
        self._launcher.tell_argv(b"E", argv)
        raise HandedOver

    def start(self, argv: list[str], env: Mapping[str, str]) -> LauncherProgram:
        self._out.flush()
        self._launcher.tell_argv(b"R", argv)
        return LauncherProgram(self._launcher)

    def take_over(self) -> None:
        _take_over(self._request)

    def leave(self) -> None:
        self._launcher.sock.close()


class LauncherProgram:
    """A child of the launcher."""

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher
        self._status: int | None = None

    def poll(self) -> int | None:
        if self._status is None:
            try:
                self._status = self._receive(_socket.MSG_DONTWAIT)
            except BlockingIOError:
                return None
        return self._status

    def kill(self) -> None:
        if self.poll() is None:
            self._launcher.tell(b"K", 15)
            self._status = self._receive(0)

    def _receive(self, flags: int) -> int:
        frame = self._launcher.sock.recv(5, flags)
        if len(frame) < 5:
            raise HandedOver  # the launcher is gone, and the program with it
        return int.from_bytes(frame[1:], "big")


def _has_room(fd: int) -> bool:
    """Whether a small write ends at once."""
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return bool(poll.poll(0))


def close_all(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)


class Worker:
    """Accepts connections, one after the other, for as long as nothing has soiled the process."""

    def __init__(self, listener: _socket.socket, supervisor: int, run_dir: str) -> None:
        self._listener = listener
        self._run_dir = run_dir
        self._epoll = select.epoll()
        # One worker is woken by a connection, not all of them.
        self._epoll.register(listener.fileno(), select.EPOLLIN | select.EPOLLEXCLUSIVE)
        self._epoll.register(supervisor, select.EPOLLIN)
        self._supervisor = supervisor
        self._daemon = FrameConnection(run_dir + "/cli.sock")
        self._connected = False
        self._uids = (0, os.getuid())
        self._most_memory = _resident() + _GROWTH

    def accept(self) -> Launcher | None:
        """A connection; None when the supervisor has gone."""
        if not self._connected:
            self._connect()
        while True:
            if any(fd == self._supervisor for fd, _ in self._epoll.poll()):
                return None
            try:
                fd, _ = self._listener._accept()  # type: ignore[attr-defined]
            except (BlockingIOError, ConnectionAbortedError):
                continue
            mark("xm accepted")
            return Launcher(_socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, fd))

    def _connect(self) -> None:
        """Before the first command, so that it need not."""
        try:
            self._daemon.connect()
        except Unreachable:
            return
        self._connected = True

    def serve(self, launcher: Launcher) -> bool:
        """Run what it asks for; whether this process may go on to another one."""
        try:
            if launcher.uid() in self._uids:
                return self._run(launcher, launcher.receive())
        except (BadRequest, OSError):
            pass  # not a launcher, or one that has gone
        finally:
            launcher.sock.close()
        return True

    def _run(self, launcher: Launcher, request: Request) -> bool:
        command = request.command()
        alone = command is not None and command.alone
        fds = request.fds
        answer: tuple[bytes, int] | None = _BROKEN
        try:
            if command is not None and command.plain:
                answer = (b"P", 0)
                return True
            if command is None or not command.reads:
                launcher.announce()
            if alone:
                _take_over(request)
            elif command is not None and command.folder:
                os.fchdir(fds[3])
            mark("xm begins", request.argv)
            answer = self._command(launcher, request)
        except LauncherGone:
            answer = None
        finally:
            if answer is _BROKEN:
                os.dup2(fds[2], 2)  # an error of ours is on its way up: it is told there
            close_all(fds)
            if answer is not None:
                launcher.tell(*answer)
                mark("xm ended")
        if command is None or not command.folder:
            return not request.taken_over
        os.chdir("/")
        return not request.taken_over and _resident() <= self._most_memory

    def _command(self, launcher: Launcher, request: Request) -> tuple[bytes, int] | None:
        """How the command has ended; None when the launcher has become another program."""
        out = Stream(request.fds[1], launcher.before_write)
        program, *args = request.argv
        terminal = LauncherTerminal(launcher, out, request)
        err = ErrorStream(request.fds[2], out, launcher.before_write)
        xm = Xm(out, err, request.env, terminal)
        if xm.server.is_xen_api:
            return b"P", 0  # it may be far away, and what is needed for it is not imported
        if self._connected and request.env.get("XEND_RUN_DIR", RUN_DIR) == self._run_dir:
            xm.server.use_frames(self._daemon)
        try:
            status = personality(program)(xm, args)
            out.flush()
        except BrokenPipeError:
            return b"S", SIGPIPE
        except HandedOver:
            return None
        finally:
            xm.server.disconnect()
        return b"X", status & 0xFF


def _resident() -> int:
    """KiB of memory that this process has."""
    with open("/proc/self/statm", "rb") as statm:
        return int(statm.read().split()[1]) * _PAGE_KIB


def _take_over(request: Request) -> None:
    """Make this process what the launcher is."""
    request.taken_over = True
    os.umask(request.umask)
    os.fchdir(request.fds[3])
    for number, fd in enumerate(request.fds[:3]):
        os.dup2(fd, number)


def housekeeping(done: int) -> None:
    """Between two commands: collect what reference counts did not, now that nobody waits."""
    if done % _COLLECT_EVERY == 0:
        gc.collect()
