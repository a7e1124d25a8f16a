"""`xl help`: usage lines and option names are xl's, descriptions are ours."""

from __future__ import annotations

from xend.cli.xltable import COMMANDS, find

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xend.cli.xlcommand import Xl


def show(xl: Xl, name: str | None) -> None:
    """Of one subcommand, or the list of all."""
    if not name or name == "help":
        _show_all(xl)
        return
    command = find(name)
    if command is None:
        xl.print(f'command "{name}" not implemented')
        return
    letters = f"vtT{'f' if command.modifies else ''}{'N' if command.dry_run else ''}"
    xl.print(f"Usage: xl [-{letters}] {command.name} {command.usage}\n")
    xl.print(f"{command.summary}.\n")
    if command.options:
        xl.print("Options:\n")
        for short, long, text in command.options:
            keys = ", ".join(key for key in (short, long) if key)
            xl.print(f"{keys:<31s} {text}")


def _show_all(xl: Xl) -> None:
    xl.print("Usage xl [-vfNtT] <subcommand> [args]\n")
    xl.print("xl full list of subcommands:\n")
    for command in COMMANDS:
        xl.print(f" {command.name:<19s} {command.summary}")
