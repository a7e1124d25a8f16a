"""Where the time of a command goes: stamps of the stages that it passes, in all processes.

With XEND_TRACE=FILE in the daemon's environment each stage adds a line to that file: microseconds
of the monotonic clock, which all processes of a host share, the process, the stage, and what it is
about.  `scripts/bench timeline` puts them in order.  Without the variable a stage costs a call.

Imported by worker processes and the command line: keep it light.
"""

from __future__ import annotations

import os
from time import monotonic_ns


def _opened(path: str | None) -> int:
    if not path:
        return -1
    try:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return -1  # xend does its work without it


_fd = _opened(os.environ.get("XEND_TRACE"))


def mark(stage: str, about: object = "") -> None:
    """One write of one line, so that lines of several processes do not mix."""
    if _fd >= 0:
        os.write(_fd, f"{monotonic_ns() // 1000} {os.getpid()} {stage} {about}\n".encode())
