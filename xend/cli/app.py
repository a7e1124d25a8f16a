"""What a command runs with, and how each way of ending becomes messages and an exit status."""

from __future__ import annotations

import os

from xend.cli.failures import (
    INVALID_DOMAIN_FAULT,
    CommandFailed,
    Exit,
    Fault,
    OptionError,
    ProtocolError,
    Restarting,
    Unreachable,
    UsageError,
    XenApiFailure,
)
from xend.cli.getopts import GetoptError, gnu_getopt
from xend.cli.server import RESTART_PATIENCE, Server, choose_server

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from xend.cli.command import Command
    from xend.cli.streams import ErrorStream, Stream
    from xend.cli.terminal import Terminal

    Handler = Callable[["Xm", list[str]], int | bool | None]


class Xm:
    """One command line: its streams, environment, terminal and connection to the daemon."""

    def __init__(
        self, out: Stream, err: ErrorStream, env: Mapping[str, str], terminal: Terminal
    ) -> None:
        self.out = out
        self.err = err
        self.env = env
        self.terminal = terminal
        self.server = Server(env, choose_server(env, err))
        self._node_info: Any = None

    def print(self, line: object = "") -> None:
        self.out.write(f"{line}\n")

    def error(self, message: object) -> None:
        self.err.write(f"Error: {message}\n")

    def call(self, method: str, *params: Any) -> Any:
        """Show what is pending, for a call may take long; then the method's result."""
        self.out.flush()
        return self.server.call(method, *params)

    def call_each(self, method: str, calls: list[tuple[Any, ...]]) -> list[Any]:
        """The method's results for several sets of arguments."""
        self.out.flush()
        return self.server.call_each(method, calls)

    def node_info(self) -> Any:
        """About the host; asked anew each time of a server that may be an old one."""
        if not self.server.is_ours:
            return self.call("xend.node.info")
        if self._node_info is None:
            self._node_info = self.call("xend.node.info")
        return self._node_info

    def options(
        self, command: str, args: list[str], short: str, *long: str
    ) -> tuple[list[tuple[str, str]], list[str]]:
        """Options and operands of a command; a wrong one shows the command's help."""
        try:
            return gnu_getopt(args, short, long)
        except GetoptError as error:
            raise UsageError(str(error), command) from error

    def flags(self, command: str, args: list[str], spec: str) -> tuple[set[str], list[str]]:
        """For options without a value: `"l:long c:cpus :json"` gives the long names found."""
        pairs = [word.partition(":") for word in spec.split()]
        short = {"-" + letter: name for letter, _, name in pairs if letter}
        found, params = self.options(command, args, "".join(p[0] for p in pairs), *names(pairs))
        return {short.get(option, option.lstrip("-")) for option, _ in found}, params

    def help(self, command: str | None) -> None:
        from xend.cli.help import short_help, show_help

        if command:
            show_help(self, command)
        else:
            short_help(self)


def names(pairs: list[tuple[str, str, str]]) -> list[str]:
    return [name for _, _, name in pairs]


def run_command(xm: Xm, command: Command, typed: str, args: list[str]) -> int:
    """Exit status of a command; everything that it has to say has been written."""
    if xm.server.is_xen_api:
        from xend.cli.xenapi.commands import run

        return run(xm, command, typed, args)

    def body() -> int | bool | None:
        check_count(command, args)
        return command.load()(xm, args)

    return guarded(xm, typed, body)


def guarded(xm: Xm, typed: str, body: Callable[[], int | bool | None]) -> int:
    """Exit status of the body; `typed` is the command whose help an error shows."""
    try:
        return int(body() or 0)
    except Exit as end:
        return end.status
    except XenApiFailure as failure:
        _report_xen_api(xm, failure)
    except Fault as fault:
        if fault.code == INVALID_DOMAIN_FAULT:
            xm.error(f"Domain '{fault.text}' does not exist.")
            return fault.code
        xm.error(fault.text)
        xm.help(typed)
    except (UsageError, OptionError) as error:
        _report_usage(xm, typed, error)
    except (ValueError, OverflowError):
        xm.error("Invalid argument.")
        xm.help(typed)
    except CommandFailed as failed:
        (xm.print if failed.on_stdout else xm.error)(failed)
        return failed.status
    except ProtocolError as error:
        _report_protocol(xm, error)
    except Unreachable as error:
        _report_unreachable(xm, error)
    except BrokenPipeError:
        raise
    except OSError as error:
        xm.error(f"{error.filename}: {error.strerror}" if error.filename else error.strerror)
    except (LookupError, TypeError, AttributeError) as error:
        xm.error(f"xend's answer is not understood: {type(error).__name__}: {error}")
    return 1


def _report_xen_api(xm: Xm, failure: XenApiFailure) -> None:
    from xend.cli.help import wrap

    for line in ("", *wrap(failure.text, 80), ""):
        xm.err.write(line + "\n")


def _report_usage(xm: Xm, typed: str, error: UsageError | OptionError) -> None:
    if isinstance(error, OptionError):
        xm.error(error)
        xm.help(typed)
        xm.print(error.usage)
        return
    if error.on_stdout:
        xm.print(error)
    else:
        xm.error(error)
    xm.help(error.command)


def check_count(command: Command, args: list[str]) -> None:
    """The original counted every word but `--`, options included; `--json` it did not know."""
    if command.counts is None:
        return
    low, high = command.counts
    given = len(args) - args.count("--") - args.count("--json")
    if low <= given <= high:
        return
    if low == high:
        text = f"'xm {command.name}' requires {low} arguments.\n"
    else:
        text = f"'xm {command.name}' requires between {low} and {high} arguments.\n"
    raise UsageError(text, command.name)


def _report_protocol(xm: Xm, error: ProtocolError) -> None:
    if error.code == -1:
        xm.err.write("Xend has probably crashed!  Invalid or missing HTTP status code.\n")
    else:
        xm.err.write(f"Xend has probably crashed!  ProtocolError({error.code}, {error.reason}).\n")


def _report_unreachable(xm: Xm, error: Unreachable) -> None:
    if os.geteuid() != 0:
        xm.error("Most commands need root access. Please try again as root.")
    elif isinstance(error, Restarting):
        xm.error(
            f"Unable to connect to xend: {error.strerror}. "
            f"It is being restarted and was not back after {RESTART_PATIENCE:.0f} seconds."
        )
    else:
        xm.error(f"Unable to connect to xend: {error.strerror}. Is xend running?")
