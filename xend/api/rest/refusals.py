"""What only this face refuses: errors of HTTP's own conventions."""

from __future__ import annotations

from xend.errors import OperationFailed, XendError


class NotFound(XendError):
    """Nothing is at that address.  Fields: `what`, `value`."""

    key = "not-found"
    template = "There is no {what} '{value}'"


class UnsupportedMediaType(XendError):
    """Fields: `given`, `expected`."""

    key = "http.unsupported-media-type"
    template = "A body of type '{given}' is not understood: expected {expected}"


class NotAcceptable(XendError):
    """Fields: `given`, `expected`."""

    key = "http.not-acceptable"
    template = "Nothing of type '{given}' can be answered here: possible are {expected}"


class MalformedBody(XendError):
    """Not of the syntax that its media type says.  Fields: `reason`, perhaps `line`, `column`."""

    key = "http.malformed-body"
    template = "The body cannot be read: {reason}"


class InvalidQuery(XendError):
    """A parameter of the query is wrong.  Fields: `argument`, `value`, `expected`."""

    key = "query.invalid"


class PreconditionFailed(XendError):
    """Somebody was faster, or it exists already.  Fields: `expected`, `etag` (as it is now)."""

    key = "precondition.failed"
    template = "It has been changed meanwhile: its ETag is {etag}, not {expected}"


class PreconditionRequired(XendError):
    """Fields: `header`."""

    key = "precondition.required"
    template = (
        "This needs an {header} header, so that nobody's change is lost: send the ETag that "
        "the GET had, or * for whatever is there"
    )


class KeyReused(XendError):
    """Field: `value`, the key."""

    key = "idempotency.key-reused"
    template = (
        "The Idempotency-Key '{value}' has been used for another request: a new request "
        "needs a new key"
    )


class KeyInUse(XendError):
    """Field: `value`, the key."""

    key = "idempotency.in-progress"
    template = "The first request with the Idempotency-Key '{value}' is not answered yet"


class DisplayUnreachable(OperationFailed):
    """Fields: `address`, `reason`."""

    key = "display.unreachable"
    template = "The display at {address} does not answer: {reason}"
