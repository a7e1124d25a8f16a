"""Values as a file of xl spells them.  Imports no model: the command line uses it, too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

_ESCAPES: Final = {
    "\\": "\\\\",
    **dict(zip("\a\b\f\n\r\t\v", (f"\\{letter}" for letter in "abfnrtv"), strict=True)),
}


def text_of(value: str) -> str:
    """In quotes, so that xl reads it as it is; its reader knows these backslashes and no others."""
    escaped = "".join([_ESCAPES.get(letter, letter) for letter in value])
    return f"'{escaped}'" if '"' in value and "'" not in value else _double(escaped)


def _double(escaped: str) -> str:
    return '"' + escaped.replace('"', '\\"') + '"'


def spelled(value: object) -> str:
    """A number bare (a negative one in quotes), a list in brackets, the rest as a text."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0:
        return str(int(value))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(spelled(item) for item in value) + "]"
    return text_of(str(value))


def assignment(name: str, value: object) -> str:
    return f"{name} = {spelled(value)}"


def completed(text: str, given: Mapping[str, object]) -> str:
    """A file with what a command line sets, as if it stood at its end, which is how xl has it."""
    return "\n".join([text, *(assignment(name, value) for name, value in given.items()), ""])
