"""A session with a Xen-API server: who asks is the first argument of every call.

docs: Xen Management API (docs/xen-api of Xen 4.4), "Wire protocol".
"""

from __future__ import annotations

import contextlib

from xend.cli.failures import (
    GENERIC_FAULT,
    CommandFailed,
    Fault,
    OptionError,
    ProtocolError,
    XenApiFailure,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Rpc = Callable[[str, tuple[Any, ...]], Any]

_ATTEMPTS = 3
"""Times that a call is made when the server has forgotten the session."""
_MAX_INT = 2**31 - 1
_INVALID = object()
"""In place of a result: the server does not know the session."""

_TEXTS = {
    "INTERNAL_ERROR": "Internal error: {1}.",
    "MAP_DUPLICATE_KEY": "This map already contains {1} -> {2}.",
    "MESSAGE_METHOD_UNKNOWN": "The method {1} is unsupported.",
    "MESSAGE_PARAMETER_COUNT_MISMATCH": "The method {1} takes {2} argument(s) ({3} given).",
    "SESSION_AUTHENTICATION_FAILED": "Permission denied.",
    "VALUE_NOT_SUPPORTED": (
        'Value "{2}" for {1} is not supported by this server.  The server said "{3}".'
    ),
    "HANDLE_INVALID": "The {1} handle {2} is invalid.",
    "OPERATION_NOT_ALLOWED": "You attempted an operation that was not allowed.",
    "NETWORK_ALREADY_CONNECTED": (
        "The network you specified already has a PIF attached to it, and so another one may not "
        "be attached."
    ),
    "SECURITY_ERROR": "{2}",
}
"""What is told of the server's words, each with the parameters that come with it."""


class Session:
    """Calls of a server's methods, logged in at the first one."""

    def __init__(self, rpc: Rpc, username: str, password: str) -> None:
        self.rpc = rpc
        """Sends a call without a session: the connection may be another one later."""
        self._login = (username, password)
        self._ref: str | None = None
        self._known: dict[str, Any] = {}
        """Answers that stay the same."""

    def log_in(self) -> None:
        if self._ref is not None:
            return
        found = self._ask("session.login_with_password", self._login)
        if found is _INVALID:
            raise _broken("Received SESSION_INVALID when logging in")
        self._ref = str(found)

    def log_out(self) -> None:
        """The command is over: what the server says to that changes nothing any more."""
        if self._ref is None:
            return
        with contextlib.suppress(Fault, ProtocolError, OSError):
            self._ask("session.logout", (self._ref,))
        self._ref = None

    def call(self, method: str, *params: Any) -> Any:
        """The method's value; XenApiFailure when the server refuses."""
        carried = tuple(_carried(value) for value in params)
        for _ in range(_ATTEMPTS):
            self.log_in()
            result = self._ask(method, (self._ref, *carried))
            if result is not _INVALID:
                return result
            self._ref = None
        raise _broken(f"Tried {_ATTEMPTS} times to get a valid session, but failed")

    def _ask(self, method: str, params: tuple[Any, ...]) -> Any:
        answer = self.rpc(method, params)
        if not isinstance(answer, dict) or "Status" not in answer:
            raise _broken(f"Missing Status in response from server: {answer}")
        wanted = "Value" if answer["Status"] == "Success" else "ErrorDescription"
        if wanted not in answer:
            raise _broken(f"Missing {wanted} in response from server")
        if wanted == "Value":
            return answer["Value"]
        details = answer["ErrorDescription"]
        words = [str(word) for word in details] if isinstance(details, list) else [str(details)]
        if words[:1] == ["SESSION_INVALID"]:
            return _INVALID
        raise XenApiFailure(failure_text(words))

    def host(self) -> str:
        """Reference of the host that the server runs on."""
        self.log_in()
        return str(self.once("session.get_this_host", self._ref))

    def once(self, method: str, *params: Any) -> Any:
        """What the host is does not change meanwhile."""
        if method not in self._known:
            self._known[method] = self.call(method, *params)
        return self._known[method]

    def vm(self, named: str) -> str:
        """Reference of the domain with that name, else with that id."""
        if isinstance(named, Ref):
            return named
        refs: list[str] = self.call("VM.get_by_name_label", named)
        if not refs and named.lstrip("-").isdigit():
            refs = [
                ref
                for ref in self.call("VM.get_all")
                if int(self.call("VM.get_domid", ref)) == int(named)
            ]
        if not refs:
            raise OptionError(f"Domain '{named}' not found.")
        return refs[0]

    def network(self, name: str) -> str:
        """Reference of the network with that name: it is the name of its bridge, too."""
        for ref, record in self.call("network.get_all_records").items():
            if record["name_label"] == name:
                return str(ref)
        raise CommandFailed(f"Network {name} doesn't exist")


class Ref(str):
    """A domain's reference where otherwise its name stands."""

    __slots__ = ()


def _carried(value: Any) -> Any:
    """The Xen-API's numbers have 64 bits and XML-RPC's 32: the long ones travel as text, which
    every server reads."""
    is_long = isinstance(value, int) and not -_MAX_INT - 1 <= value <= _MAX_INT
    return str(value) if is_long else value


def _broken(text: str) -> Fault:
    return Fault(GENERIC_FAULT, text)


def failure_text(words: list[str]) -> str:
    """A sentence for the word and the parameters that a server gives as its reason."""
    if words[:1] == ["MESSAGE_PARAMETER_COUNT_MISMATCH"]:
        # The server counts the session, which the user has not typed.
        words = [*words[:2], *(_less_one(word) for word in words[2:])]
    text = _TEXTS.get(words[0]) if words else None
    if text is None:
        return f"Xen-API failure: {words}"
    try:
        return text.format(*words)
    except IndexError:
        return f"Xen-API failure: {words}"


def _less_one(word: str) -> str:
    return str(int(word) - 1) if word.isdigit() else word
