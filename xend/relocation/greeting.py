"""The first line of each side, in the original's SXP (server/relocate.py of its source)."""

from __future__ import annotations

import re
from typing import Final

from xend.core.relocation import Purpose

VERSION: Final = 1
"""Of what follows the greeting."""
WORDS: Final[dict[str, Purpose]] = {"receive.libxl": "receive", "outcome.libxl": "outcome"}
OLD_WORDS: Final = ("receive", "sslreceive")
"""Of the original: a save image follows, in a stream that Xen has dropped."""
OLD_PEER: Final = (
    "this xend drives Xen through libxl, which cannot read the stream of a xend of Xen 4.4 or "
    "before: shut the guest down and create it here"
)
GREETING_LIMIT: Final = 4096
"""Bytes of either line."""

_READY = re.compile(rb"\(ready (\S+) (\d+)\)\n")
_ERR = re.compile(rb"\(err \(type .*?\) \(value '?(.*?)'?\)\)\n")


def request(purpose: Purpose) -> bytes:
    word = next(word for word, meant in WORDS.items() if meant == purpose)
    return word.encode() + b"\n"


def ready(word: str) -> bytes:
    return f"(ready {word} {VERSION})\n".encode()


def refusal(text: str) -> bytes:
    """As the original told an error, which it showed as "TEXT (from HOST)"."""
    plain = text.replace("'", "`").replace("\n", " ")
    return f"(err (type xen.xend.XendError.XendError) (value '{plain}'))\n".encode()


def problem(line: bytes) -> str:
    """What is wrong with the answer to `request`; empty: nothing."""
    if found := _READY.fullmatch(line):
        version = int(found[2])
        if version == VERSION:
            return ""
        return f"it speaks version {version} of the relocation protocol, this xend {VERSION}"
    if found := _ERR.fullmatch(line):
        text = found[1].decode("utf-8", "replace")
        if "Invalid operation" in text:
            return (
                "an old xend answers there, which cannot read what today's Xen sends: shut the "
                "guest down and create it there"
            )
        return text
    if not line:
        return "it closed the connection"
    return f"no xend answers there: {line[:60]!r}"
