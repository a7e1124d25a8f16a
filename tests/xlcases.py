"""The configurations of tests/data/xl/cases.txt and what the real xl made of them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data" / "xl"
UUID = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
_COMMON = f'name = "case"\nuuid = "{UUID}"\nmemory = 64\n'
_BEFORE = {
    "raw": "",
    "pv": _COMMON + 'kernel = "/boot/vmlinuz"\n',
    "pvh": _COMMON + 'type = "pvh"\nkernel = "/boot/vmlinuz"\n',
    "hvm": _COMMON + 'type = "hvm"\n',
}
_WITHOUT_END = "-without-end"
"""End of the names of cases whose last line has no end."""
_HEADER = re.compile(r"== (\w+) (\S+)\n")


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What `xl create -n -q` said; `tree` is None if it refused the file."""

    tree: dict[str, Any] | None
    complaint: str


def cases() -> dict[str, Case]:
    """By name, in the file's order."""
    parts = _HEADER.split((DATA / "cases.txt").read_text())[1:]
    found: dict[str, Case] = {}
    for kind, name, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        assert name not in found, f"two cases are called {name}"
        end = "" if name.endswith(_WITHOUT_END) else "\n"
        found[name] = Case(name, _BEFORE[kind] + body.rstrip("\n") + end)
    return found


def recorded() -> dict[str, Answer]:
    stored = json.loads((DATA / "recorded.json").read_text())
    return {
        name: Answer(answer.get("json"), answer.get("stderr", ""))
        for name, answer in stored["answers"].items()
    }
