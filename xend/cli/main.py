"""Entry of the command line: the program's name chooses the syntax, the first word the command."""

from __future__ import annotations

import os
import sys
from _signal import (  # type: ignore[import-not-found]  # without the enums of `signal`
    SIG_DFL,
    SIGINT,
    SIGPIPE,
    signal,
)

from xend.cli.app import Xm, run_command
from xend.cli.command import Command
from xend.cli.streams import ErrorStream, Stream
from xend.cli.table import ALIASES, BY_NAME, find
from xend.cli.terminal import LocalTerminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn


def run_xm(xm: Xm, args: list[str]) -> int:
    """Exit status of `xm ARGS`."""
    if not args:
        xm.help(None)
        return 1
    typed = args[0]
    for option in ("--help", "-h"):
        if option in args and option != typed:
            xm.help(typed)
            return 1
    if typed in ("help", "--help", "-h"):
        from xend.cli.help import long_help

        long_help(xm)
        return 0
    command = find_command(xm, typed)
    if command is None:
        xm.error(f"Subcommand {typed} not found!")
        xm.help(None)
        return 1
    return run_command(xm, command, typed, args[1:])


def find_command(xm: Xm, typed: str) -> Command | None:
    """The command meant by a word; an old name of one is told to be old."""
    new_name = ALIASES.get(typed)
    if new_name is None:
        return find(typed)
    xm.err.write(f"Command {typed} is deprecated.  Please use xm {new_name} instead.\n")
    return BY_NAME[new_name]


def _run_xl(xm: Xm, args: list[str]) -> int:
    from xend.cli.xl import run_xl

    return run_xl(xm, args)


PERSONALITIES: dict[str, Callable[[Xm, list[str]], int]] = {"xm": run_xm, "xl": _run_xl}
"""Syntax by program name; any other name speaks xm."""


def personality(program: str) -> Callable[[Xm, list[str]], int]:
    return PERSONALITIES.get(program.rpartition("/")[2], run_xm)


def command_of(argv: list[str]) -> Command | None:
    """The row of what a command line asks for; None when there is none."""
    if personality(argv[0]) is _run_xl:
        from xend.cli import xl

        return xl.command_of(argv[1:])
    return find(argv[1]) if len(argv) > 1 else None


def main(argv: list[str] | None = None) -> NoReturn:
    """Run in a process of its own and leave it."""
    signal(SIGINT, SIG_DFL)
    _open_standard_descriptors()
    program, *args = sys.argv if argv is None else argv
    out = Stream(1)
    xm = Xm(out, ErrorStream(2, out), os.environ, LocalTerminal(out))
    try:
        status = personality(program)(xm, args)
        out.flush()
    except BrokenPipeError:
        die_of_closed_pipe()
    # Nothing is left to clean up, and tearing the interpreter down takes longer than a command.
    os._exit(status & 0xFF)


def _open_standard_descriptors() -> None:
    """One that the caller has closed must not become a socket of ours."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def main_of_launcher() -> NoReturn:
    """For `python3 -c`, which has put its own name in front of the words."""
    main(sys.argv[1:])


def die_of_closed_pipe() -> NoReturn:
    """Nobody reads the output any more: end as any program would, without a word."""
    signal(SIGPIPE, SIG_DFL)
    os.kill(os.getpid(), SIGPIPE)
    os._exit(1)
