"""Bearer tokens: made here, shown once, kept as a hash.

A token is `xend_ID_SECRET`; its secret has 256 random bits, so a plain SHA-256 of it tells nothing
and a slow hash would add nothing.  It can expire and be revoked; what was revoked stays listed
until it is deleted, so that the audit's names keep their meaning.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from xend.core.access import Role
from xend.core.ports import Records
from xend.errors import XendError

KIND: Final = "token"
PREFIX: Final = "xend_"
_USED_RESOLUTION: Final = 60.0
"""Seconds: `last_used` is not written more often."""


class TokenNotFound(XendError):
    """Field: `token`, its id."""

    key = "token.not-found"
    template = "There is no token '{token}'"


@dataclass(frozen=True, slots=True)
class Token:
    """Times are seconds since the epoch."""

    id: str
    name: str
    role: Role
    digest: str
    created: float
    created_by: str
    expires: float | None = None
    """None: never."""
    revoked: float | None = None
    last_used: float | None = None
    """To the minute."""

    def valid_at(self, now: float) -> bool:
        return self.revoked is None and (self.expires is None or now < self.expires)

    def record(self) -> dict[str, Any]:
        """JSON values, for the disk."""
        return {**asdict(self), "role": self.role.word}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Token:
        return cls(**{**record, "role": Role.of(record["role"])})


class Tokens:
    """All of them, in memory and in the records."""

    def __init__(self, records: Records, now: Callable[[], float]) -> None:
        self._records = records
        self._now = now
        self._tokens: dict[str, Token] | None = None
        self._reading = asyncio.Lock()

    async def make(
        self, name: str, role: Role, created_by: str, seconds: float | None = None
    ) -> tuple[Token, str]:
        """The token, which expires in so many `seconds` (None: never), and its text, which is
        nowhere else."""
        now = self._now()
        expires = None if seconds is None else now + seconds
        kept = await self._all()
        secret = secrets.token_urlsafe(32)
        token = Token(secrets.token_hex(8), name, role, _digest(secret), now, created_by, expires)
        await self._records.put(KIND, token.id, token.record())
        kept[token.id] = token
        return token, f"{PREFIX}{token.id}_{secret}"

    async def find(self, text: str) -> Token | None:
        """The valid token that `text` is, or None."""
        if not text.startswith(PREFIX):
            return None
        id, _, secret = text.removeprefix(PREFIX).partition("_")
        token = (await self._all()).get(id)
        # Hashed and compared also when there is no such id: both cases take as long.
        right = hmac.compare_digest(_digest(secret), token.digest if token else "0" * 64)
        if token is None or not right or not token.valid_at(self._now()):
            return None
        return await self._used(token)

    async def called(self, token: Token) -> str:
        """What the audit calls who has it: with its id when another one has the same name."""
        others = (await self._all()).values()
        same = any(each.name == token.name and each.id != token.id for each in others)
        return f"token {token.name} ({token.id})" if same else f"token {token.name}"

    async def _used(self, token: Token) -> Token:
        now = self._now()
        if token.last_used is not None and now - token.last_used < _USED_RESOLUTION:
            return token
        token = replace(token, last_used=now)
        (await self._all())[token.id] = token
        await self._records.put(KIND, token.id, token.record())
        return token

    async def list(self) -> list[Token]:
        """By age, the revoked and expired too."""
        return sorted((await self._all()).values(), key=lambda token: (token.created, token.id))

    async def get(self, id: str) -> Token:
        """TokenNotFound."""
        try:
            return (await self._all())[id]
        except KeyError:
            raise TokenNotFound(token=id) from None

    async def revoke(self, id: str) -> Token:
        """From now on it is worth nothing.  Revoking twice is fine."""
        token = await self.get(id)
        if token.revoked is None:
            token = replace(token, revoked=self._now())
            (await self._all())[id] = token
            await self._records.put(KIND, id, token.record())
        return token

    async def delete(self, id: str) -> None:
        """It is worth nothing, and forgotten."""
        await self.get(id)
        del (await self._all())[id]
        await self._records.drop(KIND, id)

    async def _all(self) -> dict[str, Token]:
        if self._tokens is None:
            async with self._reading:
                if self._tokens is None:
                    found = await self._records.all(KIND)
                    self._tokens = {id: Token.from_record(dict(record)) for id, record in found}
        return self._tokens


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
