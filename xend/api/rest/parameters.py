"""Parameters that several resources share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path as FilePath
from typing import Annotated

from fastapi import Depends, Header, Path, Request
from starlette.requests import HTTPConnection

from xend.api.rest.lists import matches
from xend.api.rest.refusals import PreconditionFailed, PreconditionRequired
from xend.errors import InvalidArgument, PermissionDenied

Ref = Annotated[
    str,
    Path(
        description="name, uuid or domid",
        min_length=1,
        max_length=255,
        examples=["prospero"],
    ),
]
IfMatch = Annotated[
    str | None, Header(description="the ETag that the GET had, or * for whatever there is")
]


class AllowedPaths:
    """Below which directories of the host a client may name a file."""

    def __init__(self, roots: tuple[FilePath, ...]) -> None:
        self.roots = roots

    async def check(self, path: FilePath) -> None:
        """InvalidArgument or PermissionDenied.  Links are followed: what counts is where it is."""
        await asyncio.to_thread(self._check, path)

    def _check(self, path: FilePath) -> None:
        if not path.is_absolute():
            raise InvalidArgument(
                f"path: '{path}' is not absolute",
                argument="path",
                value=str(path),
                expected="an absolute path on the host",
            )
        real = path.resolve()
        if not any(real.is_relative_to(root.resolve()) for root in self.roots):
            raise PermissionDenied(
                f"{path} is not below {', '.join(map(str, self.roots))}",
                path=str(path),
                allowed=[str(root) for root in self.roots],
            )


def required_match(request: Request, current: Callable[[], str]) -> None:
    """428 without If-Match, 412 with a stale one."""
    given = request.headers.get("if-match")
    if given is None:
        raise PreconditionRequired(header="If-Match")
    if not matches(given, current()):
        raise PreconditionFailed(expected=given, etag=current())


async def paths_of(connection: HTTPConnection) -> AllowedPaths:
    found: AllowedPaths = connection.app.state.paths
    return found


Paths = Annotated[AllowedPaths, Depends(paths_of)]
