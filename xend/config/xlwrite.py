"""Values as a file of xl spells them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_ESCAPES: Final = str.maketrans(
    {
        **{letter: f"\\{letter}" for letter in '"\\'},
        "\a": "\\a",
        "\b": "\\b",
        "\f": "\\f",
        "\n": "\\n",
        "\r": "\\r",
        "\t": "\\t",
        "\v": "\\v",
    }
)


def quoted(text: str) -> str:
    """A text in double quotes, in one line."""
    return f'"{text.translate(_ESCAPES)}"'


def spelled(value: object) -> str:
    """A number bare (a negative one in quotes), a list in brackets, the rest as a text."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0:
        return str(int(value))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(spelled(item) for item in value) + "]"
    return quoted(str(value))


def assignment(name: str, value: object) -> str:
    return f"{name} = {spelled(value)}"
