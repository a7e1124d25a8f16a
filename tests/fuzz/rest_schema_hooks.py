"""What schemathesis must be told: how bodies that are no JSON are sent."""

from __future__ import annotations

from typing import Any

import schemathesis


def _text(_context: Any, value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    return str(value).encode("utf-8", "surrogateescape")


schemathesis.serializer("text/x-python", "application/x-xl-config", "application/sxp")(_text)
