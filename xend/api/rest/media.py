"""Which media types a route takes."""

from __future__ import annotations

from fastapi import Depends, Request

from xend.api.rest.bodies import JSON, MERGE_PATCH, parse_json
from xend.api.rest.refusals import UnsupportedMediaType


async def json_only(request: Request) -> None:
    """Other dialects have other types; guessing would turn a typo into another machine."""
    given = request.headers.get("content-type", "")
    name = given.partition(";")[0].strip().lower()
    expected = (JSON, MERGE_PATCH) if request.method == "PATCH" else (JSON,)
    if name and name not in expected:
        raise UnsupportedMediaType(given=given, expected=", ".join(expected))
    body = await request.body()
    if body:
        parse_json(body)  # FastAPI takes what is no text, and fields that are there twice.


JsonBody = Depends(json_only)
