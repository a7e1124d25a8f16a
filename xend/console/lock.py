"""The lock that xenconsole takes, so that two programs never share one guest's output.

Source: tools/console/client/main.c of Xen 4.17, console_lock: `xenconsole.DOMID` in XEN_LOCK_DIR,
flock(LOCK_EX | LOCK_NB), then a look whether the file is still the one of that name, because who
unlocks removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from xend.errors import ConflictError

FOLDER = Path("/var/lock")
"""XEN_LOCK_DIR of Debian's Xen and of Xen's own default."""


class ConsoleLock:
    """Taken at once or not at all."""

    def __init__(self, domid: int, folder: Path = FOLDER) -> None:
        """Raises ConflictError when xenconsole has it, OSError when there can be no file."""
        self._path = folder / f"xenconsole.{domid}"
        while True:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(fd)
                raise ConflictError(
                    f"another program has the console of domain {domid} (xm console, xl console "
                    f"or virsh console; its lock is {self._path}): leave it there first",
                    what="console",
                    value=str(domid),
                ) from None
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(fd), self._path.stat()):
                    self._fd = fd
                    return
            os.close(fd)  # removed between our open and our lock

    def release(self) -> None:
        self._path.unlink(missing_ok=True)
        os.close(self._fd)
