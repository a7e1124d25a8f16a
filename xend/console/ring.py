"""The last bytes that a guest wrote."""

from __future__ import annotations


class ConsoleRing:
    """Positions are numbers of bytes since the first that was ever read; they only grow."""

    def __init__(self, limit: int) -> None:
        """`limit` in bytes; the buffer grows to it as it is needed."""
        self._limit = limit
        self._bytes = bytearray()
        self._start = 0

    @property
    def start(self) -> int:
        """Position of the oldest byte that is kept."""
        return self._start

    @property
    def end(self) -> int:
        """Position of the next byte that comes."""
        return self._start + len(self._bytes)

    def append(self, data: bytes) -> None:
        self._bytes += data
        surplus = len(self._bytes) - self._limit
        if surplus > 0:
            del self._bytes[:surplus]
            self._start += surplus

    def read(self, position: int, most: int) -> bytes:
        """At most `most` bytes from `position`, which must not be older than `start`."""
        first = position - self._start
        assert first >= 0
        return bytes(self._bytes[first : first + most])
