"""A libxl context with its logger: opening, closing, errors, progress.

Naming as in libxl's CODING_STYLE: `rc` is a libxl code and nothing else.  Imported by worker
processes: keep it light.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

from xend.libxl._xl import ffi, lib

ProgressCallback = Callable[[int, str, int, int, int], None]
"""(domid or 0, what, percent or -1, done, total); called inside libxl, on whatever thread."""


class XlError(Exception):
    """libxl returned an error.  `log` is what it logged meanwhile: (level, text), oldest first."""

    def __init__(self, operation: str, rc: int, log: Sequence[tuple[int, str]] = ()) -> None:
        self.operation = operation
        self.rc = rc
        self.rc_name = error_name(rc)
        self.log = tuple(log)
        super().__init__(f"{operation}: {self.rc_name} ({rc})")

    @property
    def errors(self) -> list[str]:
        """Texts of the records of level ERROR and above."""
        return [text for level, text in self.log if level >= lib.XTL_ERROR]


def error_name(rc: int) -> str:
    """`ERROR_FAIL` for -3 and so on (libxl_error of libxl_types.idl)."""
    name = lib.xend_error_name(rc)
    return f"ERROR_{c_text(name).upper()}" if name != ffi.NULL else f"ERROR_{rc}"


@ffi.def_extern()  # type: ignore[untyped-decorator]
def xend_py_progress(
    listener: Any, domid: int, what: Any, percent: int, done: int, total: int
) -> None:
    ffi.from_handle(listener)(domid, c_text(what), percent, done, total)


def c_text(pointer: Any) -> str:
    """A C string; XenStore's and the kernel's bytes survive as surrogates."""
    return "" if pointer == ffi.NULL else ffi.string(pointer).decode("utf-8", "surrogateescape")


def raw_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def refuse_event_loop() -> None:
    asyncio = sys.modules.get("asyncio.events")
    if asyncio is not None and asyncio._get_running_loop() is not None:
        raise RuntimeError("a libxl call on the event-loop thread would block the loop")


class Handle:
    """A libxl context with its logger; close it (or use `with`) when nothing runs in it."""

    def __init__(self, *, min_level: int | None = None, echo_fd: int = -1) -> None:
        """`echo_fd`: where log records also go as text, at once (a worker's stderr).

        Raises XlError when libxl cannot open its interfaces.
        """
        refuse_event_loop()
        level = lib.XTL_WARN if min_level is None else min_level
        self._logger = lib.xend_logger_new(level, echo_fd)
        if self._logger == ffi.NULL:
            raise MemoryError("no memory for libxl's logger")
        rc = ffi.new("int *")
        self._ctx = lib.xend_ctx_new(self._logger, rc)
        if self._ctx == ffi.NULL:
            error = XlError("libxl_ctx_alloc", rc[0], self.take_log())
            lib.xend_logger_free(self._logger)
            raise error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        if self._ctx != ffi.NULL:
            lib.xend_ctx_free(self._ctx)
            lib.xend_logger_free(self._logger)
            self._ctx = self._logger = ffi.NULL

    @property
    def raw(self) -> Any:
        """The libxl_ctx pointer, after the check of the thread."""
        refuse_event_loop()
        return self._ctx

    @property
    def logger(self) -> Any:
        return self._logger

    @property
    def disaster(self) -> int:
        """An errno once libxl has given up on this context, else 0."""
        return int(lib.xend_logger_disaster(self._logger))

    def take_log(self) -> list[tuple[int, str]]:
        """Records since the last call, and forgets them."""
        room = ffi.new("char[]", 1024)
        records = []
        while level := lib.xend_logger_take(self._logger, room, len(room)):
            records.append((int(level), c_text(room)))
        return records

    def check(self, operation: str, rc: int) -> None:
        """Raises XlError when `rc` says so; else drops what was logged meanwhile."""
        if rc < 0:
            raise XlError(operation, rc, self.take_log())
        self.drop_log()

    def drop_log(self) -> None:
        room = ffi.new("char[]", 1)
        while lib.xend_logger_take(self._logger, room, 1):
            pass

    @contextmanager
    def listening(self, callback: ProgressCallback) -> Iterator[Any]:
        """Reports progress of one operation to `callback`; yields its libxl_asyncprogress_how."""
        handle = ffi.new_handle(callback)
        how = ffi.new("libxl_asyncprogress_how *")
        lib.xend_console_how(how, self._logger)
        lib.xend_logger_listen(self._logger, handle)
        try:
            yield how
        finally:
            lib.xend_logger_listen(self._logger, ffi.NULL)
