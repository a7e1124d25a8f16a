"""What a table of methods consists of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from xend.api.xmlrpc.parameters import Parameter

Handler = Callable[..., Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Method:
    """`handler` gets the context and the decoded arguments, in order."""

    name: str
    handler: Handler
    parameters: Sequence[Parameter]
    help: str
