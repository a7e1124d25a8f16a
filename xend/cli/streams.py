"""Output of a command: bytes on a file descriptor, whatever the locale says.

Domain names may hold bytes that are not UTF-8; they arrive as lone surrogates and leave as the
bytes they were.  Standard output is gathered and written when the command ends, before it waits
for the daemon, and before anything goes to standard error, so that a terminal shows both in order.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Stream:
    """A file-like object (`write`, `flush`, `isatty`) for text."""

    encoding = "utf-8"
    errors = "surrogateescape"

    def __init__(self, fd: int, gate: Callable[[int, int], None] | None = None) -> None:
        self.fd = fd
        self._pending: list[str] = []
        self._gate = gate
        """Asked before each write, with the descriptor and the number of bytes."""

    def write(self, text: str) -> int:
        """Gather; nothing is written yet."""
        self._pending.append(text)
        return len(text)

    def flush(self) -> None:
        """Write what is pending; BrokenPipeError when nobody reads any more."""
        if not self._pending:
            return
        data = "".join(self._pending).encode("utf-8", "surrogateescape")
        self._pending.clear()
        self.write_bytes(data)

    def write_bytes(self, data: bytes) -> None:
        """All of the data at once, past what is pending."""
        if self._gate is not None:
            self._gate(self.fd, len(data))
        done = os.write(self.fd, data)
        while done < len(data):
            done += os.write(self.fd, data[done:])

    def isatty(self) -> bool:
        return os.isatty(self.fd)

    def fileno(self) -> int:
        return self.fd


class ErrorStream(Stream):
    """Standard error: written at once, after what is pending on standard output."""

    def __init__(
        self, fd: int, out: Stream, gate: Callable[[int, int], None] | None = None
    ) -> None:
        super().__init__(fd, gate)
        self._out = out

    def write(self, text: str) -> int:
        self._out.flush()
        super().write(text)
        self.flush()
        return len(text)

    def flush(self) -> None:
        """Nobody can be told that standard error is closed, so that is not an error."""
        try:
            super().flush()
        except OSError:
            self._pending.clear()
