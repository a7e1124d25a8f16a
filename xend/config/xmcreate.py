"""`xm create` and `xm new` up to the request: from the command line to the `(vm …)` SXP."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal, TextIO

from xend.config import sxp
from xend.config.commandline import CommandLine, Settings, UsageError
from xend.config.xlwrite import completed
from xend.config.xmlimits import ExitRequested
from xend.config.xmoptions import COMMAND_LINE, USAGE, VARIABLES, help_text
from xend.config.xmvm import make_vm
from xend.errors import ConfigError

Command = Literal["create", "new"]
ReadXl = Callable[[str, str], Mapping[str, Any]]
"""Text and name of a file of xl to `{vm, notes, problems}` (see `xlcreate.request_of`)."""


class CreateRequest:
    """What is to be created.

    `sxp` is ready to be sent; `name` is the domain's; `config_path` the file it came from.
    """

    __slots__ = (
        "config_path",
        "console",
        "dryrun",
        "name",
        "paused",
        "quiet",
        "sxp",
        "vncviewer",
        "vncviewer_autopass",
    )

    def __init__(self, tree: sxp.Value, values: Mapping[str, object], path: str) -> None:
        self.sxp = tree
        self.config_path = path
        self.name = str(sxp.child_value(tree, "name", ""))
        self.paused = bool(values.get("paused"))
        self.console = bool(values.get("console_autoconnect"))
        self.quiet = bool(values.get("quiet"))
        self.dryrun = bool(values.get("dryrun"))
        self.vncviewer = bool(values.get("vncconsole"))
        self.vncviewer_autopass = bool(values.get("vncviewer-autopass"))


class Context:
    """Where a command runs: its streams, environment and directory."""

    __slots__ = ("cwd", "env", "ignored", "read_xl", "stderr", "stdout")

    def __init__(
        self,
        *,
        env: Mapping[str, str],
        cwd: str,
        stdout: TextIO,
        stderr: TextIO,
        read_xl: ReadXl | None = None,
        ignored: dict[str, object] | None = None,
    ) -> None:
        self.env = env
        self.ignored = ignored
        """See `xmfile.Run`."""
        self.read_xl = read_xl
        self.cwd = cwd
        self.stdout = stdout
        self.stderr = stderr

    def say(self, text: str) -> None:
        self.stdout.write(text + "\n")

    def complain(self, text: str) -> None:
        self.stderr.write(f"Error: {text}\n")

    def warn(self, text: str) -> None:
        self.stderr.write(f"Warning: {text}\n")


_OK: Final = 0
_FAILED: Final = 1


def prepare(
    argv: list[str],
    *,
    command: Command,
    env: Mapping[str, str],
    cwd: str,
    stdout: TextIO,
    stderr: TextIO,
    read_xl: ReadXl | None = None,
) -> CreateRequest | int:
    """The request that the words after `xm create` ask for, or the exit code if that is all.

    `read_xl` reads a file of xl; None: it is read here, without knowing the host's NUMA nodes.

    Everything that is to be printed until then (the file's own output, a dry run, errors, help)
    goes to the given streams.
    """
    context = Context(env=env, cwd=cwd, stdout=stdout, stderr=stderr, read_xl=read_xl)
    try:
        return _prepare(argv, command, context)
    except UsageError as error:
        context.complain(str(error))
        context.stdout.write(help_text(command) + USAGE + "\n")
    except ConfigError as error:
        context.complain(str(error))
    except ExitRequested as leave:
        if leave.text:
            context.stderr.write(leave.text + "\n")
        return leave.code
    return _FAILED


def _prepare(argv: list[str], command: Command, context: Context) -> CreateRequest | int:
    settings = COMMAND_LINE.parse(argv)
    values = settings.values
    if values["help"] or values["help_config"]:
        if values["help_config"]:
            context.say(COMMAND_LINE.variables_help())
        return _OK
    tree: object
    if values["config"]:
        path = str(values["config"])
        tree = read_sxp(path, context.cwd)
    else:
        display_settings(values, context.env)
        path = find_config(settings, context)
        if first_character(path, context.cwd) == "<":
            return _xml_file(path, values, command)
        tree = _tree_of_file(path, settings, ["xm", command, *argv], context)
    if values["dryrun"]:
        context.stdout.write(sxp.pretty(tree))
    if values["dryrun"] or (values["xmldryrun"] and command == "create"):
        return _OK
    return CreateRequest(sxp.wire(tree), values, path)


def _tree_of_file(path: str, settings: Settings, argv: list[str], context: Context) -> object:
    """A file of xm, or one that only xl understands.  xm's own words say what is wrong with a
    file that neither can read."""
    from xend.config.dialectmarks import could_be_xl, told

    text = _text_of_file(path, context.cwd)
    if told(text) == "xl":
        return _tree_of_xl(text, path, settings, context)
    values = settings.values
    try:
        load_config(path, settings, COMMAND_LINE, context, argv)
        if not values.get("name") and values.get("defconfig"):
            values["name"] = posixpath.basename(str(values["defconfig"]))
        return make_vm(values, context.env, context.cwd, context.warn)
    except ConfigError as error:
        if not could_be_xl(text):
            raise
        try:
            return _tree_of_xl(text, path, settings, context)
        except ConfigError:
            raise error from None


def _tree_of_xl(text: str, path: str, settings: Settings, context: Context) -> object:
    """The daemon reads it, if it may be asked: what reads it takes long to import."""
    read = context.read_xl
    if read is None:
        from xend.config.xlcreate import request_of

        read = request_of
    given = {option.name: settings.values[option.name] for option in VARIABLES}
    given = {name: value for name, value in given.items() if name in settings.given}
    found = read(completed(text, given | settings.variables), path)
    if found["problems"]:
        raise ConfigError("\n".join(found["problems"]), file=path)
    for note in found["notes"]:
        context.warn(note)
    tree: object = found["vm"]
    return tree


def _text_of_file(path: str, cwd: str) -> str:
    """Empty if it cannot be read: whoever runs it says why."""
    try:
        return read_start(path, cwd, sxp.MAX_TEXT).decode("utf-8", "surrogateescape")
    except OSError:
        return ""


def display_settings(values: dict[str, object], env: Mapping[str, str]) -> None:
    """Before a file is read, the display and its authority come from the environment."""
    values["display"] = values["display"] or env.get("DISPLAY")
    values["xauthority"] = values["xauthority"] or xauthority(env)


def xauthority(env: Mapping[str, str]) -> str:
    if env.get("XAUTHORITY"):
        return env["XAUTHORITY"]
    home = env.get("HOME")
    if not home:
        import pwd

        home = pwd.getpwuid(os.getuid()).pw_dir
    return home + "/.Xauthority"


def find_config(settings: Settings, context: Context) -> str:
    """The configuration file: the name itself, else in each directory of the search path."""
    name = str(settings.values["defconfig"])
    for directory in ["", *str(settings.values["path"]).split(":")]:
        path = posixpath.join(directory, name) if directory else name
        if not path.startswith("/"):
            path = posixpath.join(".", path)
        if Path(context.cwd, path).exists():
            if not settings.values.get("quiet"):
                context.say(f'Using config file "{path}".')
            return path
    raise UsageError(f"Unable to open config file: {name}", value=name, expected="a file's name")


def load_config(
    path: str,
    settings: Settings,
    command_line: CommandLine,
    context: Context,
    argv: list[str],
) -> None:
    """Runs the file; what it sets becomes an option unless the command line has given it."""
    from xend.config.xmfile import Run, load

    run = Run(
        stdout=context.stdout,
        stderr=context.stderr,
        env=context.env,
        cwd=context.cwd,
        argv=argv,
        variables=settings.variables,
        ignored=context.ignored,
    )
    for name, value in load(path, run).items():
        if name not in settings.given:
            settings.values[name] = value


def first_character(path: str, cwd: str) -> str:
    try:
        return read_start(path, cwd, 1).decode("latin-1")
    except OSError as error:
        raise ConfigError(f"[Errno {error.errno}] {error.strerror}: '{path}'", file=path) from None


def read_start(path: str, cwd: str, size: int) -> bytes:
    """The first bytes of a file; nothing of a pipe in which nobody writes."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    with open(os.open(Path(cwd, path), flags), "rb") as opened:
        return opened.read(size) or b""


def read_sxp(path: str, cwd: str) -> sxp.Value:
    """A finished configuration (-F)."""
    try:
        data = read_start(path, cwd, sxp.MAX_TEXT + 1)
    except OSError as error:
        raise UsageError(f"Cannot read file {path}: {error.strerror}", file=path) from None
    return sxp.parse_one(data.decode("utf-8", "surrogateescape"), file=path)


def _xml_file(path: str, values: Mapping[str, object], command: Command) -> int:
    """XML described a domain to the Xen-API; without it the original silently did nothing."""
    if command == "create" and (values["dryrun"] or values["xmldryrun"]):
        return _OK
    raise ConfigError(
        f"{path} is an XML file: xm does not read these",
        file=path,
        expected="a domain file, or SXP with -F",
    )
