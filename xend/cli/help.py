"""Help texts, laid out as the original did: people and completion scripts read the columns."""

from __future__ import annotations

from xend.cli.command import Command
from xend.cli.table import BY_NAME, COMMANDS, COMMON

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xend.cli.app import Xm
    from xend.config.commandline import CommandLine

_HEAD = "Usage: xm <subcommand> [args]\n\nControl the domains of this host and the host itself.\n"
_FOOT = (
    "<Domain> is a domain's name, id or UUID.\n"
    "More is in xm(1); 'xm create --help_config' has what configuration files may set.\n"
)


def short_help(xm: Xm) -> None:
    """What `xm` without arguments prints."""
    xm.print(_HEAD)
    xm.print("Common 'xm' commands:\n")
    _list(xm, [BY_NAME[name] for name in COMMON])
    xm.print()
    xm.print(_FOOT)
    xm.print("All subcommands: 'xm help'.")


def long_help(xm: Xm) -> None:
    """What `xm help` prints."""
    xm.print(_HEAD)
    xm.print("xm full list of subcommands:\n")
    _list(xm, [command for command in COMMANDS if command.listed])
    xm.print()
    xm.print(_FOOT)


def long_help_command(xm: Xm, _args: list[str]) -> None:
    long_help(xm)


def show_help(xm: Xm, typed: str) -> None:
    """Help of a command, of the first one with that prefix, or the short help."""
    command = BY_NAME.get(typed)
    if command is None or command.summary is None:
        command = next(
            (row for row in COMMANDS if row.summary and row.name.startswith(typed)), None
        )
    if command is None:
        short_help(xm)
        return
    xm.print(f"Usage: xm {command.name} {command.usage}")
    xm.print()
    xm.print(command.summary)
    if command.doer in _CONFIGURED:
        xm.print(_command_line(command).switches_help())
    for option in command.options:
        _show_option(xm, *option)
    if command.options:
        xm.print()


_CONFIGURED = ("create.create", "create.new", "cpupool.create", "cpupool.new")
"""Their command lines set the variables of a configuration file."""


def _command_line(command: Command) -> CommandLine:
    if command.doer.startswith("cpupool."):
        from xend.cli.poolconfig import COMMAND_LINE as POOL

        return POOL
    from xend.config.xmoptions import COMMAND_LINE

    return COMMAND_LINE


def _show_option(xm: Xm, short: str, long: str, text: str) -> None:
    first, *more = wrap(text, 43)
    keys = ", ".join(key for key in (short, long) if key)
    xm.print(f"  {keys:<30s} {first:<43s}")
    for line in more:
        xm.print(" " * 33 + line)


def _list(xm: Xm, commands: list[Command]) -> None:
    for command in commands:
        if command.summary is None:
            continue
        first, *more = wrap(command.summary, 50)
        xm.print(f" {command.name:<20s} {first:<50s}")
        for line in more:
            xm.print(" " * 22 + line)


def wrap(text: str, width: int) -> list[str]:
    """Lines shorter than `width`; a text that fits is left alone."""
    if len(text) < width:
        return [text]
    lines: list[str] = []
    line = ""
    for word in text.split():
        if line and len(line) + len(word) + 2 >= width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, line]
