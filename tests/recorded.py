"""Finds the recorded behaviour of the original, if it is at hand.

The folder is named by XEND_VECTORS, or lies beside the checkout as shared/vectors.  A test file
defines its tests only if there are cases, so that nothing counts as passed without having run.
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any


def folder() -> Path:
    named = os.environ.get("XEND_VECTORS")
    return Path(named) if named else Path(__file__).parents[2] / "shared" / "vectors"


def cases(kind: str) -> dict[str, dict[str, Any]]:
    """The cases of one folder by name, in order."""
    paths = sorted((folder() / kind).glob("*.json"))
    return {path.stem: json.loads(path.read_text()) for path in paths}


def blob(data: dict[str, str]) -> str:
    """Recorded output as text whose bytes that are not UTF-8 are lone surrogates."""
    if "text" in data:
        return data["text"]
    return base64.b64decode(data["base64"]).decode("utf-8", "surrogateescape")


def from_latin1(value: Any) -> Any:
    """Recorded strings are bytes as Latin-1; ours are UTF-8 text."""
    if isinstance(value, str):
        return value.encode("latin-1").decode("utf-8", "surrogateescape")
    if isinstance(value, list):
        return [from_latin1(item) for item in value]
    return value
