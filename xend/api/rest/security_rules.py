"""What the configuration says about who may use the REST face, and for what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from xend.core.access import Role

_NOBODY: Mapping[int, Role] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class RestRules:
    """Of xend-config.sxp; a reload puts others in its place."""

    users: Mapping[int, Role] = field(default_factory=lambda: _NOBODY)
    """By uid, over the Unix socket; root and the daemon's own user are admins anyway."""
    groups: Mapping[int, Role] = field(default_factory=lambda: _NOBODY)
    certificates: Mapping[str, tuple[str, Role]] = field(default_factory=dict)
    """SHA-256 of the certificate's DER, in hex → (name, role)."""
    origins: frozenset[str] = frozenset()
    """Web origins (`https://panel.example`) whose pages may call; none by default."""
    images: tuple[Path, ...] = ()
    """Below which configurations may name files, but for root of this host."""

    def role_of(self, uid: int, gids: frozenset[int]) -> Role | None:
        """The highest of what the user and its groups have."""
        found = [role for gid, role in self.groups.items() if gid in gids]
        if uid in self.users:
            found.append(self.users[uid])
        return max(found, default=None)
