"""The command line as `xl`: the same daemon in the syntax and the formats of Xen 4.17's xl."""

from __future__ import annotations

from xend.cli.app import guarded
from xend.cli.failures import CommandFailed, Exit, Fault, OptionError, UsageError
from xend.cli.server import not_spoken
from xend.cli.xlcommand import Xl
from xend.cli.xltable import ELSEWHERE, find

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xend.cli.app import Xm
    from xend.cli.xlcommand import XlCommand

_GLOBAL = "vftTN"


def run_xl(xm: Xm, args: list[str]) -> int:
    """Exit status of `xl ARGS`."""
    return guarded(xm, "", lambda: _guarded(xm, args))


def command_of(args: list[str]) -> XlCommand | None:
    """The row that will be run; None when there is none."""
    _, rest = _global_options(args)
    return find(rest[0]) if rest else None


def _guarded(xm: Xm, args: list[str]) -> int | None:
    """What the daemon refuses is told, and nothing else: xm would show its help, too."""
    try:
        return _run(xm, args)
    except Fault as fault:
        xm.err.write(f"xl: {fault.text}\n")
    except (OptionError, UsageError) as error:
        xm.err.write(f"xl: {error}\n")
    except (ValueError, OverflowError) as error:
        xm.err.write(f"xl: invalid argument: {error}\n")
    return 1


def _run(xm: Xm, args: list[str]) -> int | None:
    given, rest = _global_options(args)
    xl = Xl(xm, dry_run="N" in given)
    if "?" in given:
        xl.complain(f"xl: invalid option -- '{given[-1]}'")
        xl.complain("unknown global option")
        return 1
    if not rest:
        xl.help(None)
        return 1
    word, *words = rest
    command = find(word)
    if command is not None:
        if xl.dry_run and not command.dry_run:
            xl.complain("command does not implement -N (dryrun) option")
            return 1
        if xm.server.is_xen_api:
            raise CommandFailed(not_spoken(xm.server.choice))
        return command.run(xl, words)
    if word == "help":
        xl.help(words[0] if words else None)
        return 0
    if word in ELSEWHERE:
        xl.complain(f"xl: xend does not do {word}; the distribution's xl does: /usr/sbin/xl {word}")
    else:
        xl.complain("command not implemented")
    raise Exit(1)


def _global_options(args: list[str]) -> tuple[str, list[str]]:
    """Letters of the options in front of the subcommand; `?` and the letter for a wrong one."""
    given = ""
    for at, word in enumerate(args):
        if word == "--":
            return given, args[at + 1 :]
        if not word.startswith("-") or word == "-":
            return given, args[at:]
        for letter in word[1:]:
            if letter not in _GLOBAL:
                return given + "?" + letter, []
            given += letter
    return given, []
