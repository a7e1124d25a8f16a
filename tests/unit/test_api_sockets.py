"""Binding, owners and modes, stale files, inherited sockets."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from xend.api.sockets import (
    Listeners,
    TcpAddress,
    UnixAddress,
    inherited_sockets,
    is_answered,
    make_directory,
)
from xend.errors import ConfigError, ConflictError


def close_all(sockets: list[socket.socket]) -> None:
    for sock in sockets:
        sock.close()


async def test_mode_holds_before_anybody_can_connect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s"
    modes: list[int] = []
    listen = socket.socket.listen

    def spy(sock: socket.socket, backlog: int) -> None:
        modes.append(stat.S_IMODE(path.stat().st_mode))
        listen(sock, backlog)

    monkeypatch.setattr(socket.socket, "listen", spy)
    listeners = Listeners()
    close_all(await listeners.open(UnixAddress(path, mode=0o660)))
    listeners.close()
    assert modes == [0o660]


async def test_owner_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root gives it away; anyone else asks the kernel for the same."""
    path = tmp_path / "s"
    asked: list[tuple[Path, int, int]] = []
    original = os.chown

    def spy(name: Path, uid: int, gid: int) -> None:
        asked.append((name, uid, gid))
        if os.getuid() == 0:
            original(name, uid, gid)

    monkeypatch.setattr(os, "chown", spy)
    listeners = Listeners()
    close_all(await listeners.open(UnixAddress(path, uid=1, gid=2)))
    assert asked == [(path, 1, 2)]
    if os.getuid() == 0:
        assert (path.stat().st_uid, path.stat().st_gid) == (1, 2)
    listeners.close()


async def test_stale_file_is_replaced_and_ours_removed_at_close(tmp_path: Path) -> None:
    path = tmp_path / "s"
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    assert not is_answered(path)
    listeners = Listeners()
    close_all(await listeners.open(UnixAddress(path)))
    assert is_answered(path)
    listeners.close()
    assert not path.exists()


async def test_socket_of_a_living_process_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    other = socket.socket(socket.AF_UNIX)
    other.bind(str(path))
    other.listen(0)
    listeners = Listeners()
    with pytest.raises(ConflictError, match="another process answers"):
        await listeners.open(UnixAddress(path))
    assert path.exists()
    other.close()
    listeners.close()


async def test_a_file_that_is_no_socket_is_never_removed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(ConflictError, match="not a socket"):
        await Listeners().open(UnixAddress(path))
    assert path.read_text() == "precious"


async def test_a_file_that_was_replaced_meanwhile_is_not_ours_to_remove(tmp_path: Path) -> None:
    path = tmp_path / "s"
    listeners = Listeners()
    close_all(await listeners.open(UnixAddress(path)))
    path.rename(tmp_path / "moved")
    path.write_text("new owner")
    listeners.close()
    assert path.read_text() == "new owner"


async def test_too_long_a_path_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="too long"):
        await Listeners().open(UnixAddress(tmp_path / ("x" * 120)))


async def test_missing_directory_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot listen on .*No such file or directory"):
        await Listeners().open(UnixAddress(tmp_path / "no" / "s"))


async def test_kept_over_a_reload(tmp_path: Path) -> None:
    kept, dropped = UnixAddress(tmp_path / "a"), UnixAddress(tmp_path / "b")
    listeners = Listeners()
    for address in (kept, dropped):
        close_all(await listeners.open(address))
    inode = kept.path.stat().st_ino
    listeners.keep_only([kept])
    assert is_answered(kept.path)
    assert not dropped.path.exists()
    close_all(await listeners.open(kept))
    assert kept.path.stat().st_ino == inode
    listeners.close()


async def test_tcp_all_names_share_one_port() -> None:
    listeners = Listeners()
    sockets = await listeners.open(TcpAddress("localhost", 0))
    assert len({sock.getsockname()[1] for sock in sockets}) == 1
    close_all(sockets)
    listeners.close()


async def test_an_answer_in_two_pieces_does_not_wait_for_an_acknowledgement() -> None:
    """asyncio switches Nagle's algorithm off for what it knows to be TCP."""
    listeners = Listeners()
    accepted: asyncio.Queue[int] = asyncio.Queue()

    async def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sock = writer.get_extra_info("socket")
        no_delay = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        writer.close()
        await writer.wait_closed()
        accepted.put_nowait(no_delay)

    [sock] = await listeners.open(TcpAddress("127.0.0.1", 0))
    async with await asyncio.start_server(connected, sock=sock):
        reader, writer = await asyncio.open_connection(*sock.getsockname())
        await reader.read()
        writer.close()
        await writer.wait_closed()
        assert await accepted.get() == 1
    listeners.close()


async def test_tcp_port_taken() -> None:
    listeners = Listeners()
    sockets = await listeners.open(TcpAddress("127.0.0.1", 0))
    port = sockets[0].getsockname()[1]
    with pytest.raises(ConfigError, match="Address already in use"):
        await Listeners().open(TcpAddress("127.0.0.1", port))
    close_all(sockets)
    listeners.close()


async def test_unknown_host() -> None:
    with pytest.raises(ConfigError, match="cannot listen on"):
        await Listeners().open(TcpAddress("no-such-host.invalid", 8006))


def test_directory_mode(tmp_path: Path) -> None:
    made = tmp_path / "run"
    make_directory(made)
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    made.chmod(0o755)
    make_directory(made)
    assert stat.S_IMODE(made.stat().st_mode) == 0o755


def test_sockets_of_another_process_are_not_taken() -> None:
    environ = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "x", "OTHER": "y"}
    assert inherited_sockets(environ) == []
    assert environ == {"OTHER": "y"}


INHERIT = """
import asyncio, os, sys
from pathlib import Path
from xend.api.sockets import Listeners, UnixAddress, inherited_sockets
os.dup2(int(sys.argv[2]), 3)
os.environ["LISTEN_PID"] = str(os.getpid())
async def main():
    listeners = Listeners(inherited_sockets(os.environ))
    address = UnixAddress(Path(sys.argv[1]))
    [sock] = await listeners.open(address)
    print(sock.getsockname(), sock.get_inheritable(), "LISTEN_FDS" in os.environ)
    sock.close()
    listeners.close()
    print(address.path.exists())
asyncio.run(main())
"""


def test_sockets_from_systemd_are_used_and_their_files_kept(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        sock.listen(1)
        done = subprocess.run(
            [sys.executable, "-c", INHERIT, str(path), str(sock.fileno())],
            pass_fds=[sock.fileno()],
            env={**os.environ, "LISTEN_FDS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.stderr == ""
    assert done.stdout.split("\n")[:2] == [f"{path} False False", "True"]
