"""What was measured on this machine, for `scripts/lab status`."""

from __future__ import annotations

import json
import time
from typing import Any

from labkit.cache import Cache


class Measures:
    """The last time that each kind of build and boot took."""

    def __init__(self, cache: Cache) -> None:
        self._path = cache.top / "measures.json"

    def all(self) -> dict[str, Any]:
        """Everything measured so far."""
        try:
            loaded: dict[str, Any] = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return {}
        return loaded

    def _put(self, key: str, seconds: float) -> None:
        measured = self.all()
        measured[key] = {"seconds": seconds, "when": time.strftime("%Y-%m-%d %H:%M:%S")}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(measured, indent=2) + "\n")

    def build(self, xen: str, start: str, seconds: float) -> None:
        """A build; `start` is what it could begin with."""
        self._put(f"build {xen} from {start}", seconds)

    def boot(self, xen: str, how: str, hosts: int, seconds: float) -> None:
        """A boot, from QEMU's start until a command can be run in dom0."""
        self._put(f"boot {xen} {how}{f' of {hosts} hosts' if hosts > 1 else ''}", seconds)
