"""How a command of `xm` ends when it does not simply return.

These are apart from `xend.errors` because the command line must start fast: this module needs
nothing that a bare interpreter has not loaded already.
"""

from __future__ import annotations

INTERNAL_FAULT = 1
GENERIC_FAULT = 2
INVALID_DOMAIN_FAULT = 3


class Exit(Exception):
    """The command is over, with this exit status and nothing more to say."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class RunPlainly(Exception):
    """A warm process was asked for a command that needs the caller's own process."""


class UsageError(Exception):
    """A wrong call: the message, then the help of `command` (its real name, never an alias)."""

    def __init__(self, message: str, command: str, *, on_stdout: bool = False) -> None:
        super().__init__(message)
        self.command = command
        self.on_stdout = on_stdout


class OptionError(Exception):
    """A wrong call: the message, the help of the command as it was typed, then `usage`."""

    def __init__(self, message: str, usage: str = "") -> None:
        super().__init__(message)
        self.usage = usage


class CommandFailed(Exception):
    """The command cannot be done: only the message, no help."""

    def __init__(self, message: str, status: int = 1, *, on_stdout: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.on_stdout = on_stdout
        """The message is all that is said, and is said there."""


class Fault(Exception):
    """The daemon's refusal; `code` is one of the XML-RPC fault numbers above."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text


class XenApiFailure(Fault):
    """The refusal of a Xen-API server."""

    def __init__(self, text: str) -> None:
        super().__init__(GENERIC_FAULT, text)


class ProtocolError(Exception):
    """An answer that is not HTTP, or not a success; code -1 when there is no status at all."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class Unreachable(OSError):
    """No connection to the daemon; `strerror` is the system's reason."""


class Restarting(Unreachable):
    """The daemon was being restarted and did not come back within the time that we wait."""
