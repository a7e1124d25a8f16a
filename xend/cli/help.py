"""Help texts, laid out as the original did: people and completion scripts read the columns."""

from __future__ import annotations

from xend.cli.table import BY_NAME, COMMANDS, COMMON, Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xend.cli.app import Xm

_HEAD = "Usage: xm <subcommand> [args]\n\nControl the domains of this host and the host itself.\n"
_FOOT = (
    "<Domain> is a domain's name, id or UUID.\n"
    "More about 'xm' is in xm(1), more about configuration files in xmdomain.cfg(5).\n"
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
    if command.name in ("create", "new"):
        from xend.config.xmoptions import help_text

        xm.out.write(help_text("create" if command.name == "create" else "new"))
        return
    xm.print(f"Usage: xm {command.name} {command.usage}")
    xm.print()
    xm.print(command.summary)
    for option in command.options:
        _show_option(xm, *option)
    if command.options:
        xm.print()


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
