"""Who may do what, and who did what: roles and the audit.

A role includes those below it.  `viewer` reads; `operator` also starts, stops and tunes what there
is; `admin` also makes and deletes domains, reads consoles, names files of dom0, changes the host
and gives others access.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from xend.errors import XendError


class AuditError(XendError):
    """The audit's file cannot be read or written.  Fields: `path`, `reason`."""

    key = "audit.error"
    template = "The audit {path} cannot be used: {reason}"


class Role(IntEnum):
    """Comparable: what needs OPERATOR may also be done by ADMIN."""

    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3

    @property
    def word(self) -> str:
        """`viewer`, `operator`, `admin`: in the interface and in the configuration."""
        return self.name.lower()

    @classmethod
    def of(cls, word: str) -> Role:
        """Raises ValueError."""
        for role in cls:
            if role.word == word:
                return role
        raise ValueError(f"{word!r} is none of {', '.join(role.word for role in cls)}")


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One request that changes something (or was refused), or the end of one operation."""

    time: float
    """Seconds since the epoch."""
    who: str
    origin: str
    """`unix:pid 12`, or an address and port; empty when the face does not know it."""
    face: str
    """`rest`, `xmlrpc` … as in Caller."""
    action: str
    """`POST /v1/domains`, or the verb of an operation (`create`)."""
    target: str
    """A domain's uuid or name; empty when there is none."""
    result: str
    """Of a request its status (`202`); of an operation `done`, `failed: CODE` …"""
    role: str = ""
    operation: str = ""
    """Its id: a request's line and its operation's have the same."""
    seq: int = 0
    """Given by the log: they begin at 1 and grow."""


class AuditLog(Protocol):
    """All errors are AuditError."""

    async def append(self, lines: Sequence[AuditLine]) -> None:
        """Returns when they are in the file."""

    async def read(
        self,
        *,
        before: int | None = None,
        limit: int = 100,
        who: str = "",
        target: str = "",
        operation: str = "",
    ) -> Sequence[AuditLine]:
        """Newest first; `before`: only those with a smaller number."""

    async def close(self) -> None: ...
