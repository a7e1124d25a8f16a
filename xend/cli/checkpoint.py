"""Commands that write a domain out or bring it elsewhere: save, restore, migrate, dump-core."""

from __future__ import annotations

import os

from xend.cli.failures import CommandFailed, OptionError, UsageError
from xend.cli.getopts import GetoptError, getopt, gnu_getopt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xend.cli.app import Xm

_MIGRATE_USAGE = "[options] DOM HOST\n\nMove domain DOM to HOST; the daemon must run on both.\n"
_MIGRATE_OPTIONS = {
    "-l": "live",
    "-p": "port",
    "-n": "node",
    "-s": "ssl",
    "-c": "change_home_server",
}


def save(xm: Xm, args: list[str]) -> None:
    flags, params = xm.flags("save", args, "c:checkpoint")
    if len(params) != 2:
        raise UsageError("Wrong number of parameters", "save")
    path = _absolute(params[1])
    if not os.access(path.rpartition("/")[0] or "/", os.W_OK):
        raise CommandFailed(f"xm save: Unable to create file {path}")
    xm.call("xend.domain.save", params[0], path, "checkpoint" in flags)


def restore(xm: Xm, args: list[str]) -> None:
    flags, params = xm.flags("restore", args, "p:paused")
    if len(params) != 1:
        raise UsageError("Wrong number of parameters", "restore")
    path = _absolute(params[0])
    if not os.access(path, os.R_OK):
        raise CommandFailed(f"xm restore: Unable to read file {path}")
    xm.call("xend.domain.restore", path, "paused" in flags)


def dump_core(xm: Xm, args: list[str]) -> None:
    try:
        options, params = gnu_getopt(args, "LCR", ("live", "crash", "reset"))
    except GetoptError as error:
        raise OptionError(str(error)) from error
    given = {option.lstrip("-")[0].lower() for option, _ in options}
    live, crash, reset = ("l" in given, "c" in given, "r" in given)
    if crash and reset:
        raise OptionError("You may not specify more than one '-CR' option")
    if len(params) not in (1, 2):
        raise OptionError("Expects 1 or 2 argument(s)")
    path = _absolute(params[1]) if len(params) == 2 else None
    xm.print(f"Dumping core of domain: {params[0]} ...")
    xm.call("xend.domain.dump", params[0], path, live, crash, reset)


def migrate(xm: Xm, args: list[str]) -> None:
    """Flags travel as 0 and 1, an `ssl` that is not asked for as nothing: the daemon's choice."""
    given: dict[str, int] = {}
    operands: list[str] = []
    rest = args
    while rest:
        try:
            options, rest = getopt(
                rest, "hlp:n:sc", ("help", "live", "port=", "node=", "ssl", "change_home_server")
            )
        except GetoptError as error:
            raise OptionError(str(error), _MIGRATE_USAGE) from error
        for option, value in options:
            name = _MIGRATE_OPTIONS.get(option, option.lstrip("-"))
            given[name] = _number(value) if name in ("port", "node") else 1
        operands += rest[:1]
        rest = rest[1:]
    if len(operands) != 2:
        raise OptionError("Invalid number of arguments")
    xm.call(
        "xend.domain.migrate",
        *operands,
        given.get("live", 0),
        given.get("port", 0),
        given.get("node", -1),
        given.get("ssl"),
        given.get("change_home_server", 0),
    )


def _absolute(path: str) -> str:
    return os.path.abspath(path)  # noqa: PTH100 - a symbolic link stays as it was typed


def _number(value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise CommandFailed(f"Invalid value: {value}") from None
