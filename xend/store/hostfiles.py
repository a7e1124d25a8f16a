"""`ports.HostFiles` on the file system of this host."""

from __future__ import annotations

import os
import re
import signal
import stat
from contextlib import suppress
from pathlib import Path

from xend.core.ports import Userdata
from xend.errors import OperationFailed
from xend.store.disk import DiskThreads

_BRIDGES = Path("/sys/class/net")
_PROCESSES = Path("/proc")
_LIBXL = Path("/var/lib/xen")
_USERDATA = re.compile(
    r"userdata-[a-z]\.(\d{1,5})\.([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\..+"
)
_XL_LOGS = "/var/log/xen/xl-{}.log"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str:
    """A uuid that is another one after each boot of dom0 (random(4))."""
    return _BOOT_ID.read_text("ascii").strip()


class LocalFiles:
    """Several threads, so that one dead NFS server does not stop the checks of all domains."""

    def __init__(
        self, network: Path = _BRIDGES, processes: Path = _PROCESSES, libxl: Path = _LIBXL
    ) -> None:
        self._threads = DiskThreads("xend-files", 4)
        self._network = network
        self._processes = processes
        self._libxl = libxl

    async def close(self) -> None:
        await self._threads.close()

    async def exists(self, path: Path) -> bool:
        return await self._threads.run(path.exists)

    async def bridge_exists(self, bridge: str) -> bool:
        """Linux bridges have a directory `bridge` there; an Open vSwitch bridge is an interface
        without one, and vif-bridge handles it as well."""
        if not bridge or "/" in bridge or bridge in (".", ".."):
            return False
        return await self._threads.run((self._network / bridge).exists)

    async def reason_unreadable(self, path: Path) -> str:
        return await self._threads.run(_reason_unreadable, path)

    async def reason_unwritable(self, path: Path) -> str:
        return await self._threads.run(_reason_unwritable, path)

    async def make_directory(self, path: Path) -> None:
        await self._threads.run(_make_directory, path)

    async def remove(self, path: Path) -> None:
        await self._threads.run(_remove, path)

    async def rename(self, old: Path, new: Path) -> None:
        await self._threads.run(_rename, old, new)

    async def userdata(self) -> list[Userdata]:
        return await self._threads.run(_userdata, self._libxl)

    async def end_watchers(self, name: str) -> list[int]:
        return await self._threads.run(_end_watchers, name, self._processes)

    async def is_plain(self, path: Path) -> bool:
        return await self._threads.run(_is_plain, path)


def _reason_unreadable(path: Path) -> str:
    try:
        # O_NONBLOCK: the other end of a fifo is not waited for.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return error.strerror or str(error)
    try:
        mode = os.fstat(handle).st_mode
    finally:
        os.close(handle)
    if stat.S_ISDIR(mode):
        return os.strerror(21)  # EISDIR
    # Whoever reads a fifo waits for its other end, perhaps for ever.
    return "" if stat.S_ISREG(mode) or stat.S_ISBLK(mode) else "Not a regular file or block device"


def _reason_unwritable(path: Path) -> str:
    """Asked without making the file, which a failed operation would then leave behind."""
    try:
        if path.is_dir():
            return os.strerror(21)  # EISDIR
        if path.exists():
            return "" if os.access(path, os.W_OK) else os.strerror(13)
        if not path.parent.is_dir():
            return os.strerror(2)
        if os.statvfs(path.parent).f_flag & os.ST_RDONLY:
            return os.strerror(30)
    except OSError as error:
        return error.strerror or str(error)
    return "" if os.access(path.parent, os.W_OK | os.X_OK) else os.strerror(13)


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise OperationFailed(
            f"Cannot create directory {path}: {error.strerror}", path=str(path)
        ) from error


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise OperationFailed(f"Cannot remove {path}: {error.strerror}", path=str(path)) from error


def _rename(old: Path, new: Path) -> None:
    try:
        sync(old)
        old.replace(new)
        sync(new.parent)
    except FileNotFoundError as error:
        if not new.exists():
            raise OperationFailed(f"Cannot rename {old} to {new}: {error.strerror}") from error
    except OSError as error:
        raise OperationFailed(
            f"Cannot rename {old} to {new}: {error.strerror}", path=str(new)
        ) from error


def sync(path: Path) -> None:
    """fsync of a file, or of a directory so that a rename in it lasts."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _is_plain(path: Path) -> bool:
    with suppress(FileNotFoundError):
        return stat.S_ISREG(path.stat().st_mode)
    return True


def _userdata(folder: Path) -> list[Userdata]:
    found: list[Userdata] = []
    with suppress(FileNotFoundError):
        for path in folder.iterdir():
            match = _USERDATA.fullmatch(path.name)
            if match and path.is_file():
                found.append(Userdata(path, int(match[1]), match[2]))
    return found


def _end_watchers(name: str, processes: Path) -> list[int]:
    log = _XL_LOGS.format(name)
    ended: list[int] = []
    for process in processes.glob("[1-9]*"):
        with suppress(OSError):  # It has just ended.
            if (process / "comm").read_text().strip() != "xl":
                continue
            if str((process / "fd" / "1").readlink()) != log:
                continue
            handle = os.pidfd_open(int(process.name))
            try:
                # Looked at once more: now it cannot be another process any more.
                if str((process / "fd" / "1").readlink()) == log:
                    signal.pidfd_send_signal(handle, signal.SIGTERM)
                    ended.append(int(process.name))
            finally:
                os.close(handle)
    return ended
