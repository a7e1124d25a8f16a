"""Listening sockets: bound by us or taken from systemd, never by the HTTP server.

The HTTP server would make a Unix socket readable and writable for everybody; here mode and owner
are set between bind() and listen(), so that nobody can connect before they hold.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import stat
from collections.abc import Collection, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from xend.errors import ConfigError, ConflictError

BACKLOG = 128
_FIRST_INHERITED = 3
"""SD_LISTEN_FDS_START of sd_listen_fds(3)."""
_MAX_PATH = 107
"""sizeof(sun_path) less its closing NUL, unix(7)."""


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """`uid` and `gid` of None leave the owner as bind() makes it."""

    path: Path
    mode: int = 0o600
    uid: int | None = None
    gid: int | None = None

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """An empty `host` means all interfaces; `port` 0 any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host or '*'}:{self.port}"


Address: TypeAlias = UnixAddress | TcpAddress


def make_directory(path: Path, mode: int = 0o700) -> None:
    """Makes `path` with exactly that mode; one that exists keeps its own."""
    try:
        path.mkdir(parents=True, mode=mode)
    except FileExistsError:
        return
    path.chmod(mode)


def inherited_sockets(environ: MutableMapping[str, str]) -> list[socket.socket]:
    """The listening stream sockets that systemd handed over (sd_listen_fds(3)).

    The variables are removed, so that no child takes them for its own.
    """
    pid = environ.pop("LISTEN_PID", "")
    count = environ.pop("LISTEN_FDS", "")
    environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdigit():
        return []
    found: list[socket.socket] = []
    for fd in range(_FIRST_INHERITED, _FIRST_INHERITED + int(count)):
        os.set_inheritable(fd, False)
        sock = socket.socket(fileno=fd)
        if sock.type != socket.SOCK_STREAM or not sock.getsockopt(
            socket.SOL_SOCKET, socket.SO_ACCEPTCONN
        ):
            name = sock.getsockname()
            sock.close()
            raise ConfigError(
                f"systemd passed {name!r}, which is no listening stream socket",
                field="ListenStream",
                value=str(name),
            )
        sock.setblocking(False)
        found.append(sock)
    return found


@dataclass
class _Held:
    sockets: list[socket.socket]
    inode: int | None = None
    """Of a Unix socket's file that we made; None for one that is systemd's."""


class Listeners:
    """All listening sockets of the daemon, kept over a reload.

    Servers get duplicates: a server can be stopped and another started on the same address while
    clients wait in the backlog, none refused.
    """

    def __init__(self, inherited: Collection[socket.socket] = ()) -> None:
        self._held: dict[Address, _Held] = {}
        self._inherited = list(inherited)

    async def open(self, address: Address) -> list[socket.socket]:
        """Listening sockets for `address`, the caller's to close.

        ConflictError when another process answers there; ConfigError when it cannot be bound.
        """
        held = self._held.get(address)
        if held is None:
            held = self._held[address] = await self._bind(address)
        return [sock.dup() for sock in held.sockets]

    def keep_only(self, addresses: Collection[Address]) -> None:
        """Closes what is no longer wanted, and removes its file."""
        for address in [known for known in self._held if known not in addresses]:
            self._release(address, self._held.pop(address))

    def close(self) -> None:
        self.keep_only(())
        for sock in self._inherited:
            sock.close()

    async def _bind(self, address: Address) -> _Held:
        inherited = self._take_inherited(address)
        if inherited:
            return _Held(inherited)
        if isinstance(address, UnixAddress):
            sock = bind_unix(address)
            return _Held([sock], inode=address.path.stat().st_ino)
        return _Held(await bind_tcp(address))

    def _take_inherited(self, address: Address) -> list[socket.socket]:
        found = [sock for sock in self._inherited if _is_bound_to(sock, address)]
        return [sock.dup() for sock in found]

    def _release(self, address: Address, held: _Held) -> None:
        for sock in held.sockets:
            sock.close()
        if isinstance(address, UnixAddress) and held.inode is not None:
            try:
                if address.path.stat().st_ino == held.inode:
                    address.path.unlink()
            except FileNotFoundError:
                pass


def _is_bound_to(sock: socket.socket, address: Address) -> bool:
    name = sock.getsockname()
    if isinstance(address, UnixAddress):
        return sock.family == socket.AF_UNIX and bool(name) and _same_file(str(name), address.path)
    if sock.family == socket.AF_UNIX:
        return False
    host, port = str(name[0]), int(name[1])
    wanted = {"": {"0.0.0.0", "::"}, "localhost": {"127.0.0.1", "::1"}}
    return port == address.port and host in wanted.get(address.host, {address.host})


def _same_file(name: str, path: Path) -> bool:
    """/var/run is a link to /run: the two spellings are one socket."""
    return os.path.realpath(name) == os.path.realpath(path)


def bind_unix(address: UnixAddress) -> socket.socket:
    """A listening Unix socket; a file that nobody answers on is replaced."""
    path = address.path
    if len(os.fsencode(path)) > _MAX_PATH:
        raise ConfigError(
            f"{path} is too long for a Unix socket: at most {_MAX_PATH} bytes. "
            "Choose a shorter --run-dir",
            value=str(path),
        )
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.bind(str(path))
        path.chmod(address.mode)
        if address.uid is not None or address.gid is not None:
            os.chown(
                path,
                -1 if address.uid is None else address.uid,
                -1 if address.gid is None else address.gid,
            )
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise _cannot_listen(address, error) from error
    return sock


def _remove_stale(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise _cannot_listen(UnixAddress(path), error) from error
    if not stat.S_ISSOCK(mode):
        raise ConflictError(
            f"{path} exists and is not a socket: move it away",
            what="file",
            value=str(path),
        )
    if is_answered(path):
        raise ConflictError(
            f"another process answers on {path}: is a xend already running?",
            what="socket",
            value=str(path),
        )
    path.unlink(missing_ok=True)


def is_answered(path: Path) -> bool:
    """Whether a process listens on the Unix socket `path`.  Never waits: a full backlog counts."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        code = probe.connect_ex(str(path))
    return code not in (errno.ECONNREFUSED, errno.ENOENT)


async def bind_tcp(address: TcpAddress) -> list[socket.socket]:
    """One listening socket per address that the name stands for."""
    loop = asyncio.get_running_loop()
    try:
        infos = await loop.getaddrinfo(
            address.host or None,
            address.port,
            type=socket.SOCK_STREAM,
            flags=socket.AI_PASSIVE,
        )
    except OSError as error:
        raise _cannot_listen(address, error) from error
    bound: list[socket.socket] = []
    for family, _type, _proto, _name, place in dict.fromkeys(infos):
        if bound and address.port == 0:
            place = (place[0], bound[0].getsockname()[1], *place[2:])
        try:
            bound.append(_bind_one(family, place))
        except OSError as error:
            if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                continue  # localhost may name ::1 on a host without IPv6
            for sock in bound:
                sock.close()
            raise _cannot_listen(address, error) from error
    if not bound:
        raise _cannot_listen(address, OSError(errno.EADDRNOTAVAIL, "no such address here"))
    return bound


def _bind_one(family: int, place: tuple[object, ...]) -> socket.socket:
    # The protocol is named since asyncio looks for it before it switches Nagle's algorithm off:
    # with that, an answer in two pieces waits 40 ms for the client's delayed acknowledgement.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(place)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def _cannot_listen(address: Address, error: OSError) -> ConfigError:
    return ConfigError(
        f"cannot listen on {address}: {error.strerror or error}",
        field="listener",
        value=str(address),
    )
