"""Slowing down who guesses."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from xend.errors import PermissionDenied

FAILURES = 10
"""Before an origin has to wait."""
FIRST_WAIT = 1.0
LONGEST_WAIT = 300.0
"""Seconds: each further failure doubles the wait up to this; so long ago, it is forgotten."""
_ORIGINS = 10_000
"""Kept at most; the one that failed longest ago goes first."""


class TooManyFailures(PermissionDenied):
    """Field: `retry_after`, in seconds."""

    key = "too-many-failures"
    template = "Too many failed logins from {origin}: try again in {retry_after} s"


@dataclass(slots=True)
class _Record:
    failures: int = 0
    last: float = 0.0
    until: float = 0.0


class LoginLimiter:
    """Counts failed logins by origin, so that whoever tries in a loop is cheap: while it has to
    wait, its failures are neither counted nor audited."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def check(self, origin: str) -> None:
        """Raises TooManyFailures."""
        record = self._records.get(origin)
        if record is None:
            return
        left = record.until - self._monotonic()
        if left > 0:
            raise TooManyFailures(origin=origin, retry_after=int(left) + 1)

    def failed(self, origin: str) -> None:
        now = self._monotonic()
        record = self._records.setdefault(origin, _Record())
        self._records.move_to_end(origin)
        if now - max(record.last, record.until) > LONGEST_WAIT:
            record.failures = 0
        record.failures += 1
        record.last = now
        surplus = record.failures - FAILURES
        if surplus >= 0:
            record.until = now + min(FIRST_WAIT * 2 ** min(surplus, 20), LONGEST_WAIT)
        while len(self._records) > _ORIGINS:
            self._records.popitem(last=False)
