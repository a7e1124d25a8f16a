"""Errors that a user of the lab reads: the cause, and what to do about it."""

from __future__ import annotations

from pathlib import Path


class LabError(Exception):
    """A failure with a cause in one line and, where known, the way out of it."""

    def __init__(self, cause: str, fix: str = "", kept: Path | None = None) -> None:
        super().__init__(cause)
        self.cause = cause
        self.fix = fix
        self.kept = kept

    def lines(self) -> list[str]:
        """What is printed, one line each."""
        text = [self.cause]
        if self.fix:
            text.append(self.fix)
        if self.kept is not None:
            text.append(f"kept for a closer look: {self.kept}")
        return text
