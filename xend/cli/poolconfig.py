"""The configuration of a CPU pool: command line, file in Python syntax or SXP, result as SXP."""

from __future__ import annotations

import os
from typing import Any, Final, TextIO, cast

from xend.cli.failures import CommandFailed, Exit, OptionError
from xend.cli.listing import print_sxp
from xend.cli.tuning import cpu_numbers
from xend.config.commandline import CommandLine, Option, Settings, UsageError
from xend.config.xmcreate import Context, find_config, load_config, read_sxp
from xend.config.xmlimits import ExitRequested
from xend.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xend.cli.app import Xm

COMMAND_LINE: Final = CommandLine(
    [
        Option("help", 0, "Show the switches of this command.", short="h", is_switch=True),
        Option("help_config", 0, "Show the variables that a file may set.", is_switch=True),
        Option(
            "path",
            ".:/etc/xen/cpupool",
            "Directories, separated by colons, in which the configuration file is looked for.",
            metavar="PATH",
            is_switch=True,
        ),
        Option(
            "defconfig",
            "xmdefconfig",
            "The configuration file. What the command line sets stays as it is there, whatever"
            " the file says.",
            metavar="FILE",
            short="f",
            is_switch=True,
        ),
        Option(
            "config",
            None,
            "A file with the finished configuration in SXP, as --dryrun prints it.",
            metavar="FILE",
            short="F",
            is_switch=True,
        ),
        Option(
            "dryrun",
            0,
            "Print the configuration in SXP and do nothing else.",
            short="n",
            is_switch=True,
        ),
        Option("name", None, "Name of the pool; the file's if there is none."),
        Option("sched", "credit", "Scheduler of the pool."),
        Option("cpus", 1, "How many CPUs, or '#' and how many, or which ones."),
        Option("other_config", None, "More about the pool, as VAR=VAL.", is_list=True),
    ],
    "defconfig",
)
_USAGE: Final = (
    "[options] [vars]\n\nA pool is described by a configuration file, by switches, or by a"
    " finished SXP\nconfiguration (-F). VAR=VAL sets an option, or a variable of the file.\n"
)
_FAILED: Final = 255


def pool_config(xm: Xm, command: str, args: list[str]) -> list[Any] | None:
    """The pool as the daemon wants it; None when the command line asked only to see something."""
    try:
        settings = COMMAND_LINE.parse(args)
        if settings.values["help"] or settings.values["help_config"]:
            if settings.values["help_config"]:
                xm.print(COMMAND_LINE.variables_help())
            return None
        config = _config(xm, command, args, settings)
    except UsageError as error:
        raise OptionError(str(error), _USAGE) from error
    except ConfigError as error:
        raise CommandFailed(str(error), _FAILED) from error
    except ExitRequested as request:
        if request.text:
            xm.err.write(request.text + "\n")
        raise Exit(request.code) from request
    if settings.values["dryrun"]:
        print_sxp(xm, [config])
        return None
    return config


def _config(xm: Xm, command: str, args: list[str], settings: Settings) -> list[Any]:
    values = settings.values
    cwd = os.getcwd()  # noqa: PTH109
    if values["config"]:
        return _from_sxp(str(values["config"]), cwd)
    out, err = cast("TextIO", xm.out), cast("TextIO", xm.err)
    context = Context(env=xm.env, cwd=cwd, stdout=out, stderr=err)
    path = find_config(settings, context)
    load_config(path, settings, COMMAND_LINE, context, ["xm", command, *args])
    values["name"] = values["name"] or str(values["defconfig"]).rpartition("/")[2]
    return _as_sxp(values)


def _from_sxp(path: str, cwd: str) -> list[Any]:
    try:
        value = read_sxp(path, cwd)
    except UsageError as error:
        raise CommandFailed(str(error), _FAILED) from error
    if not isinstance(value, list):
        raise CommandFailed(f"{path} does not hold an SXP list", _FAILED)
    return value


def _as_sxp(values: dict[str, object]) -> list[Any]:
    other = values["other_config"]
    entries = [str(entry) for entry in other] if isinstance(other, list) else []
    return [
        "pool",
        ["name_label", values["name"]],
        ["sched_policy", values["sched"]],
        *_cpus_as_sxp(values["cpus"]),
        ["other_config", *(entry.strip().split("=", 1) for entry in entries if "=" in entry)],
    ]


def _cpus_as_sxp(cpus: object) -> list[list[Any]]:
    """A number, or a text `#N`, leaves the choice to the daemon; anything else names CPUs."""
    if isinstance(cpus, int):
        return [["ncpu", cpus], ["proposed_CPUs", []]]
    if isinstance(cpus, str) and len(cpus) > 1 and cpus[0] == "#":
        if not cpus[1:].isdigit():
            raise CommandFailed('Wrong illegal of parameter "cpus"', _FAILED)
        return [["ncpu", int(cpus[1:])], ["proposed_CPUs", []]]
    try:
        proposed = _proposed(cpus)
    except ValueError as error:
        raise CommandFailed(f"cpus = {cpus}: {error}", _FAILED) from error
    return [["ncpu", len(proposed)], ["proposed_CPUs", *proposed]]


def _proposed(cpus: object) -> list[Any]:
    if not isinstance(cpus, list):
        return cpu_numbers(str(cpus))
    return [
        [int(cpu) for cpu in item] if isinstance(item, list) else cpu_numbers(str(item))
        for item in cpus
    ]
