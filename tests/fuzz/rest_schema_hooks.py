"""What schemathesis must be told: how bodies that are no JSON are sent, and which token is its own
(it tries the ids that it has seen in answers, and would lock itself out)."""

from __future__ import annotations

import os
from typing import Any

import schemathesis


def _text(_context: Any, value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    # What is no text cannot be sent as one: these bytes are none either.
    return value if isinstance(value, bytes) else b"\xff"


schemathesis.serializer("text/x-python", "application/x-xl-config", "application/sxp")(_text)


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    if (case.method, case.path) == ("POST", "/v1/domains"):
        # Answered with 202 it is still to be made, and asking for it at once finds nothing.
        case.headers["Prefer"] = "wait=20"
    if case.path_parameters and case.path_parameters.get("id") == os.environ["XEND_FUZZ_TOKEN"]:
        case.path_parameters["id"] = "0" * 16
