"""One daemon per run directory: a locked pid file.

The lock, not the number, says whether it runs: a number survives kill -9 and may be reused.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from xend.errors import ConfigError, ConflictError


class AlreadyRunning(ConflictError):
    """Fields: `value`, the pid file, and `pid`."""

    key = "daemon.already-running"
    template = "xend is already running (pid {pid})"


class PidFile:
    """Held from `take` until the process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    def take(self) -> None:
        """AlreadyRunning when another daemon holds it; ConfigError when it cannot be written."""
        while True:
            try:
                fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            except OSError as error:
                raise ConfigError(
                    f"cannot write the pid file {self.path}: {error.strerror}",
                    field="pid file",
                    value=str(self.path),
                ) from error
            if not _lock(fd):
                pid = _read(fd)
                os.close(fd)
                raise AlreadyRunning(what="pid file", value=str(self.path), pid=pid)
            if _is_current(fd, self.path):
                break
            os.close(fd)  # removed by its former holder between our open and our lock
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self._fd = fd

    def release(self) -> None:
        if self._fd is not None:
            self.path.unlink(missing_ok=True)
            os.close(self._fd)
            self._fd = None


def holder(path: Path) -> int | None:
    """The pid of the daemon that holds the file; None when none does."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", value=str(path)) from error
    try:
        if _lock(fd, fcntl.LOCK_SH):
            return None
        return _read(fd)
    finally:
        os.close(fd)


def _lock(fd: int, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(fd: int) -> int:
    """0 while its holder has not written it yet."""
    text = os.pread(fd, 20, 0).strip()
    return int(text) if text.isdigit() else 0


def _is_current(fd: int, path: Path) -> bool:
    mine = os.fstat(fd)
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino)
