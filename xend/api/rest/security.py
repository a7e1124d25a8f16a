"""Who calls the REST face: a process of this host, a certificate, or a bearer token.

A token goes first, so that a local program can be less than its user; then the kernel's word about
the peer of a Unix socket; then the certificate that TLS has verified.  Over TCP somebody without
either is nobody: also on the loopback interface, which every local user and every web page in a
local browser can reach.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Final
from urllib.parse import parse_qs

from xend.api.asgi import Scope, header
from xend.api.peer import Peer
from xend.api.rest.access import Caller, Unauthenticated
from xend.api.rest.security_limits import LoginLimiter, TooManyFailures
from xend.api.rest.security_rules import RestRules
from xend.api.rest.tickets import Tickets
from xend.api.rest.tokens import Tokens
from xend.core.access import Role
from xend.errors import PermissionDenied

PUBLIC: Final = frozenset({"/v1/healthz", "/v1/readyz"})
"""Answered to anybody who can connect: they tell nothing but that the daemon lives."""


class Gatekeeper:
    """`xend.api.rest.access.Access` by the rules of the configuration."""

    def __init__(
        self,
        rules: Callable[[], RestRules],
        tokens: Tokens,
        tickets: Tickets,
        monotonic: Callable[[], float],
    ) -> None:
        self._rules = rules
        self._tokens = tokens
        self._tickets = tickets
        self._limiter = LoginLimiter(monotonic)
        self._local_admins = frozenset({0, os.geteuid()})

    async def identify(self, scope: Scope) -> Caller:
        """Raises Unauthenticated, TooManyFailures or PermissionDenied."""
        peer: Peer | None = scope["state"].get("peer")
        origin = origin_of(scope)
        if scope["path"] in PUBLIC and scope.get("method") in ("GET", "HEAD"):
            return Caller("anybody", Role.VIEWER, origin)
        source = f"uid {peer.uid}" if peer is not None else origin.rpartition(":")[0]
        ticket = _ticket(scope)
        if ticket is not None:
            return self._by_ticket(ticket, scope, source, origin)
        text = _bearer(scope)
        if text is not None:
            return await self._by_token(text, source, origin)
        if peer is not None:
            return self._by_peer(peer, origin)
        return self._by_certificate(scope, origin)

    def _by_ticket(self, text: str, scope: Scope, source: str, origin: str) -> Caller:
        ticket = self._tickets.redeem(text, scope["path"])
        if ticket is None:
            raise self._guessed(source, "The ticket is unknown, used or too old", scheme="Bearer")
        scope["state"]["ticket"] = ticket
        return replace(ticket.caller, origin=origin)

    async def _by_token(self, text: str, source: str, origin: str) -> Caller:
        token = await self._tokens.find(text)
        if token is None:
            raise self._guessed(source, "The token is unknown, expired or revoked", scheme="Bearer")
        return Caller(await self._tokens.called(token), token.role, origin, token=token.id)

    def _guessed(self, source: str, why: str, *, scheme: str) -> PermissionDenied:
        """Who brings what is right is let in at any time, so that nobody can lock out others
        behind the same address; the secrets are too long to be guessed in any number of tries."""
        try:
            self._limiter.check(source)
        except TooManyFailures as error:
            return error
        self._limiter.failed(source)
        return Unauthenticated(why, scheme=scheme)

    def _by_peer(self, peer: Peer, origin: str) -> Caller:
        if peer.uid in self._local_admins:
            return Caller(f"uid {peer.uid}", Role.ADMIN, origin, peer.uid)
        role = self._rules().role_of(peer.uid, frozenset({peer.gid, *peer.groups}))
        if role is None:
            raise PermissionDenied(
                f"{peer} may not use this socket: xend-rest-unix-roles names neither it nor a "
                "group of its",
                peer=str(peer),
            )
        return Caller(f"uid {peer.uid}", role, origin, peer.uid)

    def _by_certificate(self, scope: Scope, origin: str) -> Caller:
        der: bytes | None = scope["state"].get("certificate")
        if der is None:
            raise Unauthenticated(
                "Nobody is known here without a token or a certificate", scheme="Bearer"
            )
        found = self._rules().certificates.get(hashlib.sha256(der).hexdigest())
        if found is None:
            raise Unauthenticated("The certificate has no role here", scheme="Bearer")
        name, role = found
        return Caller(f"certificate {name}", role, origin)


def origin_of(scope: Scope) -> str:
    """`unix:pid 12`, or an address and port."""
    peer: Peer | None = scope["state"].get("peer")
    if peer is not None:
        return f"unix:pid {peer.pid}"
    client = scope.get("client")
    return f"{client[0]}:{client[1]}" if client else "unknown"


def _ticket(scope: Scope) -> str | None:
    """Of a WebSocket's address; tickets open nothing else."""
    if scope["type"] != "websocket":
        return None
    found = parse_qs(scope["query_string"].decode("latin-1")).get("ticket")
    return found[0] if found else None


def _bearer(scope: Scope) -> str | None:
    """The token of RFC 6750, which is all that is understood of Authorization."""
    value = header(scope, b"authorization")
    if value is None:
        return None
    scheme, _, text = value.decode("latin-1").strip().partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated(f"Authorization by '{scheme}' is not understood", scheme="Bearer")
    return text.strip()
