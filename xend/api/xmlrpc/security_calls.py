"""Security labels: what a host without a policy answers (Xen's ACM module is long gone).

`xm list --label` and `xm labels` ask these; there is never anything to tell.
"""

from __future__ import annotations

from typing import Any

from xend.api.xmlrpc.context import CallContext


async def policy_type(_context: CallContext) -> int:
    """0: no policy."""
    return 0


async def policy(_context: CallContext) -> list[Any]:
    """Name and type."""
    return ["", 0]


async def labels(_context: CallContext, _policy: Any, _type: Any) -> list[str]:
    return []


async def labelled_resources(_context: CallContext) -> dict[str, Any]:
    return {}


async def label(_context: CallContext, _what: Any) -> str:
    return ""
