"""One-time tickets for WebSockets: a browser cannot send an Authorization header with one.

Who asks for a ticket proves who it is; the ticket then stands for it, once, within seconds, at one
address.  In memory only: a restart of the daemon makes all of them worthless.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from xend.api.rest.access import Caller
from xend.errors import ConflictError

SECONDS: Final = 30.0
_MOST: Final = 1000
"""Unused at a time; nobody who uses what it asks for gets near."""


@dataclass(frozen=True, slots=True)
class Ticket:
    caller: Caller
    path: str
    expires: float
    """Monotonic."""
    write: bool = False
    force: bool = False
    scrollback: bool = True


class Tickets:
    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._tickets: dict[str, Ticket] = {}

    def mint(
        self,
        caller: Caller,
        path: str,
        *,
        write: bool = False,
        force: bool = False,
        scrollback: bool = True,
    ) -> str:
        """Raises ConflictError when far too many wait to be used."""
        now = self._monotonic()
        self._tickets = {text: each for text, each in self._tickets.items() if each.expires > now}
        if len(self._tickets) >= _MOST:
            raise ConflictError(
                f"{_MOST} tickets are waiting to be used: try again in {SECONDS:g} s",
                what="ticket",
                value="",
            )
        text = secrets.token_urlsafe(24)
        self._tickets[text] = Ticket(caller, path, now + SECONDS, write, force, scrollback)
        return text

    def redeem(self, text: str, path: str) -> Ticket | None:
        """It is worth nothing afterwards, also when it was brought to the wrong address."""
        ticket = self._tickets.pop(text, None)
        if ticket is None or ticket.expires <= self._monotonic() or ticket.path != path:
            return None
        return ticket
