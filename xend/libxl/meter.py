"""How far a restore is: libxl does not say, but the offset in the file that it reads does (the
helper process that reads shares it).

Imported by worker processes: keep it light, so `_thread` and not `threading`.
"""

from __future__ import annotations

import _thread
import os
from collections.abc import Callable

_EVERY = 0.5
"""Seconds."""

Report = Callable[[int, int], None]
"""Called from another thread with bytes: read, and in all."""


class Meter:
    """Reports now and then, from entering it until leaving it; then it is quiet for good."""

    def __init__(self, fd: int, report: Report) -> None:
        self._fd = fd
        self._report = report
        self._size = os.fstat(fd).st_size
        self._stop = _thread.allocate_lock()
        self._ended = _thread.allocate_lock()

    def __enter__(self) -> Meter:
        self._stop.acquire()
        self._ended.acquire()
        _thread.start_new_thread(self._run, ())
        return self

    def _run(self) -> None:
        try:
            while not self._stop.acquire(timeout=_EVERY):
                if self._size:  # A pipe has neither a size nor an offset.
                    self._report(os.lseek(self._fd, 0, os.SEEK_CUR), self._size)
        finally:
            self._ended.release()

    def __exit__(self, *_: object) -> None:
        self._stop.release()
        self._ended.acquire()
