"""Long work in short turns: whoever else waits for the event loop comes in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final, TypeVar

T = TypeVar("T")

PORTION: Final = 50
"""Domains: what is done with each for a list takes some microseconds."""


async def portions(items: Sequence[T], size: int = PORTION) -> AsyncIterator[Sequence[T]]:
    """All of them; in one piece, without a pause, when they are few."""
    for start in range(0, len(items), size):
        if start:
            await asyncio.sleep(0)
        yield items[start : start + size]
