"""Lists as they are answered: pages with an opaque cursor, JSON lines, ETags."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import urlencode

from fastapi import Depends, Query, Request
from starlette.responses import Response

from xend.api.rest.query import (
    Document,
    Test,
    only,
    parse_fields,
    parse_filter,
    parse_sort,
    sorted_by,
)
from xend.api.rest.refusals import InvalidQuery
from xend.core.portions import portions

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
MAX_LIMIT: Final = 1000

D = TypeVar("D", bound=Document)
T = TypeVar("T")

FILTER: Final = (
    "Only what matches: `path=value`, with = != < <= > >= ~ (a pattern with * and ?); "
    "terms are separated by commas and must all hold.  E.g. `power_state=running,name~web*`"
)


@dataclass(frozen=True, slots=True)
class Page:
    """What a client asked to see of a list."""

    limit: int | None = None
    cursor: str | None = None
    fields: str | None = None
    filter: str | None = None
    sort: str | None = None


async def page_of(
    limit: Annotated[int | None, Query(ge=1, le=MAX_LIMIT, description="at most so many")] = None,
    cursor: Annotated[
        str | None, Query(max_length=1024, description="`next` of the page before")
    ] = None,
    fields: Annotated[
        str | None,
        Query(max_length=1024, description="only these, e.g. `name,memory.current`"),
    ] = None,
    filter: Annotated[str | None, Query(max_length=1024, description=FILTER)] = None,
    sort: Annotated[
        str | None,
        Query(max_length=1024, description="e.g. `-memory.current,name`; - is the greatest first"),
    ] = None,
) -> Page:
    return Page(limit, cursor, fields, filter, sort)


Paged = Annotated[Page, Depends(page_of)]


async def answer(
    request: Request,
    documents: Sequence[D],
    page: Page,
    *,
    known: Sequence[str],
    id_of: Callable[[D], str],
    render: Callable[[Sequence[D]], list[str]] | None = None,
) -> Response:
    """What `page` asks for of `documents`.  `known`: the paths that it may name; `render` gives the
    JSON of whole ones, where there is a faster way than making them.

    A cursor names the last item of the page before by what `id_of` gives, so that items that come
    and go meanwhile shift nothing; one whose item has gone is refused as expired.
    """
    if page.filter:
        documents = await _matching(documents, parse_filter(page.filter, known))
    if page.sort:
        documents = await sorted_by(documents, parse_sort(page.sort, known))
    documents, following = _cut(documents, page, id_of)
    if page.fields is not None:
        paths = parse_fields(page.fields, known)
        render = lambda part: [_text(only(document, paths)) for document in part]  # noqa: E731
    texts: list[str] = []
    async for part in portions(documents):
        texts += render(part) if render else map(_text, part)
    headers = {"link": next_link(request, following)} if following else None
    if wants_lines(request):
        lines = "".join(f"{text}\n" for text in texts)
        return tagged(request, lines.encode(), media_type=NDJSON, headers=headers)
    body = f'{{"items":[{",".join(texts)}],"next":{_text(following)}}}'
    return tagged(request, body.encode(), headers=headers)


async def whole(
    request: Request,
    things: Sequence[T],
    document: Callable[[T], Document],
    *,
    following: str | None = None,
) -> Response:
    """All of `things`, which are a page already when there is a `following` one."""
    texts: list[str] = []
    async for part in portions(things):
        texts += [_text(document(each)) for each in part]
    headers = {"link": next_link(request, following)} if following else None
    body = f'{{"items":[{",".join(texts)}],"next":{_text(following)}}}'
    return tagged(request, body.encode(), headers=headers)


async def _matching(documents: Sequence[D], test: Test) -> list[D]:
    found: list[D] = []
    async for part in portions(documents):
        found += filter(test, part)
    return found


def next_link(request: Request, cursor: str) -> str:
    """RFC 8288; for JSON lines, which have no place for `next`."""
    query = [(name, value) for name, value in request.query_params.items() if name != "cursor"]
    return f'<{request.scope["path"]}?{urlencode([*query, ("cursor", cursor)])}>; rel="next"'


def _cut(
    documents: Sequence[D], page: Page, id_of: Callable[[D], str]
) -> tuple[Sequence[D], str | None]:
    start = 0
    if page.cursor is not None:
        last = _decode(page.cursor, page)
        ids = [id_of(document) for document in documents]
        if last not in ids:
            raise InvalidQuery(
                "cursor: what it points at is no longer in the list: begin anew",
                argument="cursor",
                value=page.cursor,
            )
        start = ids.index(last) + 1
    end = len(documents) if page.limit is None else start + page.limit
    following = _encode(id_of(documents[end - 1]), page) if end < len(documents) else None
    return documents[start:end], following


def _mark(page: Page) -> str:
    """A cursor is of one order and one filter."""
    text = json.dumps([page.filter, page.sort])
    return hashlib.blake2s(text.encode(), digest_size=4).hexdigest()


def _encode(last: str, page: Page) -> str:
    text = f"{_mark(page)}{last}".encode("utf-8", "surrogateescape")
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def _decode(cursor: str, page: Page) -> str:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, ValueError):
        text = ""
    if not text.startswith(_mark(page)):
        raise InvalidQuery(
            "cursor: it is not one of this list, or filter and sort are not those it was made with",
            argument="cursor",
            value=cursor,
        )
    return text.removeprefix(_mark(page))


def wants_lines(request: Request) -> bool:
    return NDJSON in request.headers.get("accept", "")


_text: Final = json.JSONEncoder(separators=(",", ":")).encode
"""JSON as short as it can be; text that is not UTF-8 (old names) keeps its escapes."""


def dumps(value: Any) -> bytes:
    return _text(value).encode()


def etag_of(body: bytes) -> str:
    """Strong: the same bytes, the same tag."""
    return f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'


def tagged(
    request: Request,
    body: bytes,
    *,
    etag: str | None = None,
    media_type: str = JSON,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """With its ETag; 304 and no body when the client has it already (If-None-Match)."""
    etag = etag or etag_of(body)
    given = request.headers.get("if-none-match")
    fields = {"etag": etag, "cache-control": "no-cache", "vary": "Accept", **(headers or {})}
    if given is not None and matches(given, etag):
        return Response(status_code=304, headers=fields)
    return Response(body, headers=fields, media_type=media_type)


def document_answer(request: Request, document: Any) -> Response:
    return tagged(request, dumps(document))


def matches(given: str, etag: str, *, weak: bool = True) -> bool:
    """Of If-None-Match, and of If-Match, which takes no weak tag (`weak=False`): a list of tags,
    or `*` (RFC 9110 §13.1)."""
    tags = [tag.strip() for tag in given.split(",")]
    if weak:
        tags = [tag.removeprefix("W/") for tag in tags]
    return "*" in tags or etag in tags
