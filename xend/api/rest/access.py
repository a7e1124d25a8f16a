"""Who calls, and what they may: every request has a caller before any route sees it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Protocol

from fastapi import Depends
from starlette.requests import HTTPConnection

from xend.api.asgi import Scope
from xend.api.peer import Peer
from xend.core.access import Role
from xend.core.views import Caller as CoreCaller
from xend.errors import PermissionDenied

__all__ = [
    "Access",
    "Admin",
    "Caller",
    "Operator",
    "PeerAccess",
    "Role",
    "Unauthenticated",
    "Viewer",
    "require",
]


@dataclass(frozen=True, slots=True)
class Caller:
    name: str
    """Of a user, a certificate or a token: what the audit says."""
    role: Role
    origin: str
    """From where: `unix:pid 12`, or an address and port."""
    uid: int | None = None
    """Only over a Unix socket."""
    token: str = ""
    """The id of its token: names may be given twice."""

    @property
    def core(self) -> CoreCaller:
        """As operations remember it."""
        return CoreCaller("rest", self.uid, self.name)


class Unauthenticated(PermissionDenied):
    """Nobody that is known here.  Field: `scheme`, what an answer 401 asks for."""

    key = "unauthenticated"


class Access(Protocol):
    async def identify(self, scope: Scope) -> Caller:
        """Of an http or websocket scope.  Raises Unauthenticated or PermissionDenied."""


class PeerAccess:
    """Over a Unix socket: who the kernel says it is; some users are admins, others nobody."""

    def __init__(self, admins: frozenset[int]) -> None:
        self._admins = admins

    async def identify(self, scope: Scope) -> Caller:
        peer: Peer | None = scope["state"].get("peer")
        if peer is None or peer.uid not in self._admins:
            who = str(peer) if peer is not None else "a stranger"
            raise PermissionDenied(f"{who} may not use this socket", peer=who)
        return Caller(f"uid {peer.uid}", Role.ADMIN, f"unix:pid {peer.pid}", peer.uid)


def require(role: Role) -> Callable[[HTTPConnection], Awaitable[Caller]]:
    """A dependency: the caller, if it has at least that role."""

    async def check(connection: HTTPConnection) -> Caller:
        caller: Caller = connection.scope["state"]["caller"]
        if caller.role < role:
            raise PermissionDenied(
                f"{caller.name} is {caller.role.word}: this needs {role.word}",
                role=caller.role.word,
                needed=role.word,
            )
        return caller

    check.role = role  # type: ignore[attr-defined]  # for the description of the interface
    return check


Viewer = Annotated[Caller, Depends(require(Role.VIEWER))]
Operator = Annotated[Caller, Depends(require(Role.OPERATOR))]
Admin = Annotated[Caller, Depends(require(Role.ADMIN))]
