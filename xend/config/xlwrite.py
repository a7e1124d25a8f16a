"""Values as a file of xl spells them."""

from __future__ import annotations

from collections.abc import Sequence

from xend.config.xltext import text_of


def spelled(value: object) -> str:
    """A number bare (a negative one in quotes), a list in brackets, the rest as a text."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0:
        return str(int(value))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(spelled(item) for item in value) + "]"
    return text_of(str(value))


def assignment(name: str, value: object) -> str:
    return f"{name} = {spelled(value)}"
