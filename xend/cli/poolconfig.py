"""The configuration of a CPU pool: command line, file in Python syntax or SXP, result as SXP."""

from __future__ import annotations

import os
from typing import cast

from xend.cli.failures import CommandFailed, Exit, OptionError
from xend.cli.getopts import GetoptError, getopt
from xend.cli.listing import print_sxp
from xend.cli.tuning import cpu_numbers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TextIO

    from xend.cli.app import Xm

_USAGE = (
    "[options] [vars]\n\nMake a CPU pool. Its parameters come from a configuration file in Python"
    "\nsyntax, from one in SXP form, or as VAR=VAL on the command line.\n"
)
_PATH = ".:/etc/xen/cpupool"
_LONG = ("help", "help_config", "path=", "defconfig=", "config=", "dryrun")
_SHORT = {"-h": "help", "-f": "defconfig", "-F": "config", "-n": "dryrun"}
_VALUES = """
Values:

name=NAME            Name of the pool; the file's name if there is none.
sched=SCHED          Scheduler of the pool.
cpus=CPUS            How many CPUs, '#' and how many, or which ones.
other_config=OTHER_CONFIG
                     More about the pool, as VAR=VAL.

"""
_FAILED = 255


class _Settings:
    """What the command line gives, and then the file for the rest."""

    def __init__(self) -> None:
        self.options: dict[str, str] = {}
        self.values: dict[str, Any] = {}
        """name, sched, cpus, other_config as given on the command line."""
        self.variables: dict[str, str] = {}


def pool_config(xm: Xm, command: str, args: list[str]) -> list[Any] | None:
    """The pool as the daemon wants it; None when the command line asked only to see something."""
    try:
        settings = _parse(args)
        if "help" in settings.options or "help_config" in settings.options:
            if "help_config" in settings.options:
                xm.print(_VALUES)
            return None
        config = _config(xm, settings)
    except (ValueError, TypeError) as error:
        raise CommandFailed(str(error), _FAILED) from error
    if "dryrun" in settings.options:
        print_sxp(xm, [config])
        return None
    return config


def _parse(args: list[str]) -> _Settings:
    settings = _Settings()
    rest = args
    while rest:
        try:
            options, rest = getopt(rest, "hf:F:n", _LONG)
        except GetoptError as error:
            raise OptionError(str(error), _USAGE) from error
        for option, value in options:
            settings.options[_SHORT.get(option, option.lstrip("-"))] = value
        for word in rest[:1]:
            _take_word(settings, word)
        rest = rest[1:]
    return settings


def _take_word(settings: _Settings, word: str) -> None:
    """VAR=VAL, or the name of the configuration file."""
    name, equals, value = word.partition("=")
    if not equals:
        settings.options["defconfig"] = word
    elif name == "other_config":
        settings.values.setdefault(name, []).append(value)
    elif name in ("name", "sched", "cpus"):
        settings.values[name] = value
    else:
        settings.variables[name.strip()] = value.strip()


def _config(xm: Xm, settings: _Settings) -> list[Any]:
    path = settings.options.get("config")
    if path is not None:
        return _from_sxp(path)
    defconfig = settings.options.get("defconfig", "xmdefconfig")
    values = {"sched": "credit", "cpus": 1, "other_config": []}
    values |= _from_file(xm, _find(xm, settings, defconfig), settings.variables)
    values |= settings.values
    values["name"] = values.get("name") or defconfig.rpartition("/")[2]
    return _as_sxp(values)


def _from_sxp(path: str) -> list[Any]:
    from xend.config import sxp
    from xend.errors import ConfigError

    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            value = sxp.parse_one(file.read(), file=path)
    except OSError as error:
        raise CommandFailed(f"Cannot read file {path}: {error.strerror}", _FAILED) from error
    except ConfigError as error:
        raise CommandFailed(str(error), _FAILED) from error
    if not isinstance(value, list):
        raise CommandFailed(f"{path} does not hold an SXP list", _FAILED)
    return value


def _find(xm: Xm, settings: _Settings, defconfig: str) -> str:
    for folder in ["", *settings.options.get("path", _PATH).split(":")]:
        path = f"{folder}/{defconfig}" if folder and defconfig[:1] != "/" else defconfig
        if not path.startswith(("/", "./")):
            path = "./" + path
        if os.access(path, os.F_OK):
            xm.print(f'Using config file "{path}".')
            return path
    raise OptionError(f"Unable to open config file: {defconfig}", _USAGE)


def _from_file(xm: Xm, path: str, variables: dict[str, str]) -> dict[str, Any]:
    """The file's variables, of whatever name."""
    from xend.config import xmfile
    from xend.config.xmlimits import ExitRequested
    from xend.errors import ConfigError

    streams = {"stdout": cast("TextIO", xm.out), "stderr": cast("TextIO", xm.err)}
    cwd = os.getcwd()  # noqa: PTH109
    run = xmfile.Run(env=xm.env, cwd=cwd, argv=["xm"], variables=variables, **streams)
    try:
        return dict(xmfile.load(path, run))
    except ExitRequested as request:
        if request.text:
            xm.err.write(request.text)
        raise Exit(request.code) from request
    except ConfigError as error:
        raise CommandFailed(str(error), _FAILED) from error


def _as_sxp(values: dict[str, Any]) -> list[Any]:
    pairs = [entry.strip().split("=", 1) for entry in values["other_config"] if "=" in entry]
    return [
        "pool",
        ["name_label", values["name"]],
        ["sched_policy", values["sched"]],
        *_cpus_as_sxp(values["cpus"]),
        ["other_config", *pairs],
    ]


def _cpus_as_sxp(cpus: Any) -> list[list[Any]]:
    """A number, or a text `#N`, leaves the choice to the daemon; anything else names CPUs."""
    if isinstance(cpus, int):
        return [["ncpu", cpus], ["proposed_CPUs", []]]
    if isinstance(cpus, str) and len(cpus) > 1 and cpus[0] == "#":
        if not cpus[1:].isdigit():
            raise CommandFailed('Wrong illegal of parameter "cpus"', _FAILED)
        return [["ncpu", int(cpus[1:])], ["proposed_CPUs", []]]
    try:
        proposed: list[Any] = _proposed(cpus)
    except ValueError as error:
        raise CommandFailed(f"cpus = {cpus}: {error}", _FAILED) from error
    return [["ncpu", len(proposed)], ["proposed_CPUs", *proposed]]


def _proposed(cpus: Any) -> list[Any]:
    if not isinstance(cpus, list):
        return cpu_numbers(cpus)
    return [
        [int(cpu) for cpu in item] if isinstance(item, list) else cpu_numbers(str(item))
        for item in cpus
    ]
