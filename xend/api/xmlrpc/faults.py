"""Fault numbers of the old interface: one table from class to number.

1: internal (also a wrong number of arguments, and what cannot be marshalled)
2: generic: the text is for people
3: invalid domain: the text is only the name or id that was asked for
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from xend.api.xmlrpc.codec import CannotMarshal, NotXmlRpc
from xend.api.xmlrpc.parameters import WrongArguments
from xend.errors import DomainNotFound, HypervisorError, PoolError, XendError

INTERNAL: Final = 1
GENERIC: Final = 2
INVALID_DOMAIN: Final = 3

_NUMBERS: Final[Mapping[type[XendError], int]] = {
    WrongArguments: INTERNAL,
    CannotMarshal: INTERNAL,
    NotXmlRpc: INTERNAL,
    DomainNotFound: INVALID_DOMAIN,
    XendError: GENERIC,
}


class Fault(NamedTuple):
    code: int
    text: str


def fault_of(error: XendError) -> Fault:
    """Its number is that of the nearest class in the table."""
    for cls in type(error).__mro__:
        if cls in _NUMBERS:
            return Fault(_NUMBERS[cls], _text(error))
    return Fault(GENERIC, _text(error))


def _text(error: XendError) -> str:
    if isinstance(error, DomainNotFound):
        return str(error.fields["domain"])
    if isinstance(error, PoolError) and error.fields["code"]:
        # The original sent an array [code, detail] here, which is no XML-RPC fault.
        return f"{error.fields['code']}: {error}"
    if isinstance(error, HypervisorError):
        text = str(error)
        more = [line for line in map(str, error.fields["log"]) if not _says(text, line)]
        return "\n".join([text, *more])
    return str(error)


def _says(text: str, line: str) -> bool:
    """Whether a line of libxl's log is in the sentence already, but for its place in the source."""
    return any(part and part in text for part in (line, line.split(":", 4)[-1].strip()))


def internal(error: BaseException) -> Fault:
    """A failure of ours; the traceback is in the log."""
    return Fault(INTERNAL, str(error) or type(error).__name__)
