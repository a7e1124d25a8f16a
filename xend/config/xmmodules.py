"""The modules that a domain file may import: what is pure or only reads, nothing else.

Paths are seen from the directory that the command was started in, which need not be the working
directory of this process.
"""
# These are the functions of os and os.path themselves:
# ruff: noqa: PTH110, PTH112, PTH113, PTH114, PTH202, PTH208

from __future__ import annotations

import math
import os
import posixpath
import re
import sys
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from xend.config.xmip import ip_members, packed
from xend.config.xmlimits import Refused
from xend.config.xmmachine import Arguments, Keywords, Machine
from xend.config.xmmethods import method
from xend.config.xmregex import regex_members
from xend.config.xmsource import is_sealed
from xend.config.xmvalues import (
    EXCEPTIONS,
    Builtin,
    Dict,
    Module,
    Type,
    integer,
    iterate,
    str2,
    throw,
    type_name,
)

_STEPS_OF_ENTRY: Final = 5
"""What looking at one file of a directory counts for."""
_WILD: Final = re.compile(r"[*?[]")


class World(Protocol):
    """What a domain file can see of the run."""

    env: Mapping[str, str]
    cwd: str
    argv: list[str]
    stdout: object
    stderr: object


def text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"coercing to Unicode: need string or buffer, {type_name(value)} found")
    return str(value)


def native(value: object) -> str:
    """A path of the file as the operating system's text."""
    return os.fsdecode(text(value).encode("latin-1", "replace"))


def foreign(value: str) -> str:
    """The operating system's text as a value of the file."""
    return os.fsencode(value).decode("latin-1")


def _functions(prefix: str, table: dict[str, Callable[[Arguments], object]]) -> dict[str, object]:
    """Functions that take no keywords."""

    def wrap(name: str, function: Callable[[Arguments], object]) -> Builtin:
        def called(given: Arguments, keywords: Keywords) -> object:
            if keywords:
                raise TypeError(f"{name}() takes no keyword arguments")
            return function(given)

        return Builtin(name, called)

    return {name: wrap(prefix + name, function) for name, function in table.items()}


def _refused(module: str, names: str, instead: str) -> dict[str, object]:
    def make(name: str) -> Builtin:
        def refuse(given: Arguments, keywords: Keywords) -> object:
            raise Refused(f"{module}.{name} is not available in a domain file", instead)

        return Builtin(name, refuse)

    return {name: make(name) for name in names.split()}


def _on_this_host(world: World, value: object) -> str:
    if is_sealed():
        raise Refused("looking at the files of this host", "the settings themselves")
    return posixpath.join(world.cwd, native(value))


def _path_module(world: World) -> Module:
    def at(value: object) -> str:
        return _on_this_host(world, value)

    def expand_home(value: str) -> str:
        home = world.env.get("HOME", "/root")
        return home + value[1:] if value == "~" or value.startswith("~/") else value

    members: dict[str, Callable[[Arguments], object]] = {
        "exists": lambda a: os.path.exists(at(a[0])),
        "lexists": lambda a: os.path.lexists(at(a[0])),
        "isfile": lambda a: os.path.isfile(at(a[0])),
        "isdir": lambda a: os.path.isdir(at(a[0])),
        "islink": lambda a: os.path.islink(at(a[0])),
        "getsize": lambda a: integer(os.path.getsize(at(a[0]))),
        "realpath": lambda a: foreign(os.path.realpath(at(a[0]))),
        "abspath": lambda a: foreign(posixpath.normpath(at(a[0]))),
        "basename": lambda a: posixpath.basename(text(a[0])),
        "dirname": lambda a: posixpath.dirname(text(a[0])),
        "join": lambda a: posixpath.join(*[text(part) for part in a]),
        "split": lambda a: posixpath.split(text(a[0])),
        "splitext": lambda a: posixpath.splitext(text(a[0])),
        "normpath": lambda a: posixpath.normpath(text(a[0])),
        "isabs": lambda a: posixpath.isabs(text(a[0])),
        "expanduser": lambda a: expand_home(text(a[0])),
    }
    return Module("posixpath", {**_functions("", members), "sep": "/"})


def _os_members(world: World, path: Module) -> dict[str, object]:
    environ = Dict()
    for name, value in world.env.items():
        environ[foreign(name)] = foreign(value)

    def at(value: object) -> str:
        return _on_this_host(world, value)

    members: dict[str, Callable[[Arguments], object]] = {
        "getenv": lambda a: environ.get(text(a[0]), a[1] if len(a) > 1 else None),
        "uname": lambda a: tuple(foreign(part) for part in os.uname()),
        "getcwd": lambda a: foreign(world.cwd),
        "getpid": lambda a: os.getpid(),
        "getuid": lambda a: os.getuid(),
        "geteuid": lambda a: os.geteuid(),
        "getgid": lambda a: os.getgid(),
        "getloadavg": lambda a: os.getloadavg(),
        "access": lambda a: os.access(at(a[0]), int(str2(a[1]))),
        "listdir": lambda a: [foreign(name) for name in os.listdir(at(a[0]))],
    }
    constants: dict[str, object] = {
        "name": "posix",
        "environ": environ,
        "path": path,
        "sep": "/",
        "curdir": ".",
        "pardir": "..",
        "pathsep": ":",
        "linesep": "\n",
        "F_OK": os.F_OK,
        "R_OK": os.R_OK,
        "W_OK": os.W_OK,
        "X_OK": os.X_OK,
        "error": EXCEPTIONS["OSError"],
    }
    refused = _refused(
        "os",
        "popen system popen2 popen3 popen4 spawnl spawnv spawnlp spawnvp execv execl fork kill "
        "startfile",
        "the value itself, or a variable set by NAME=VALUE on the command line",
    )
    changes = _refused(
        "os",
        "remove unlink rename mkdir makedirs rmdir removedirs chmod chown chdir symlink link "
        "putenv unsetenv open write mkfifo mknod utime umask setuid setgid truncate",
        "a script that runs before xm",
    )
    return {**refused, **changes, **_functions("", members), **constants}


def _sys_module(world: World) -> Module:
    def leave(given: Arguments) -> object:
        throw("SystemExit", *given)

    return Module(
        "sys",
        {
            "argv": [foreign(word) for word in world.argv],
            "stdout": world.stdout,
            "stderr": world.stderr,
            "exit": _functions("", {"exit": leave})["exit"],
            "platform": "linux2",
            "version": "2.7.18 (xend)",
            "version_info": (2, 7, 18, "final", 0),
            "hexversion": 0x020712F0,
            "maxint": sys.maxsize,
            "byteorder": sys.byteorder,
            "path": [],
        },
    )


_LOWER: Final = "abcdefghijklmnopqrstuvwxyz"
_PUNCTUATION: Final = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
_STRING_FUNCTIONS: Final = (
    "capitalize count expandtabs find index join ljust lower lstrip replace rfind rindex rjust "
    "rstrip split strip swapcase translate upper zfill center rsplit"
)


def _string_module(machine: Machine, types: dict[str, Type]) -> Module:
    def through(name: str) -> Callable[[Arguments], object]:
        def called(given: Arguments) -> object:
            if name == "join":
                owner, arguments = (text(given[1]) if len(given) > 1 else " "), [given[0]]
            else:
                owner, arguments = text(given[0]), list(given[1:])
            found = method(owner, name)
            return None if found is None else found(machine, owner, arguments, {})

        return called

    def maketrans(given: Arguments) -> object:
        source, target = text(given[0]), text(given[1])
        if len(source) != len(target):
            throw("ValueError", "maketrans arguments must have same length")
        table = [chr(code) for code in range(256)]
        for a, b in zip(source, target, strict=True):
            table[ord(a) & 0xFF] = b
        return "".join(table)

    members: dict[str, Callable[[Arguments], object]] = {
        **{name: through(name) for name in _STRING_FUNCTIONS.split()},
        "atoi": lambda a: types["int"].convert(a, {}),
        "atol": lambda a: types["long"].convert(a, {}),
        "atof": lambda a: types["float"].convert(a, {}),
        "joinfields": through("join"),
        "splitfields": through("split"),
        "maketrans": maketrans,
    }
    constants: dict[str, object] = {
        "letters": _LOWER + _LOWER.upper(),
        "ascii_letters": _LOWER + _LOWER.upper(),
        "lowercase": _LOWER,
        "ascii_lowercase": _LOWER,
        "uppercase": _LOWER.upper(),
        "ascii_uppercase": _LOWER.upper(),
        "digits": "0123456789",
        "hexdigits": "0123456789abcdefABCDEF",
        "octdigits": "01234567",
        "punctuation": _PUNCTUATION,
        "whitespace": "\t\n\x0b\x0c\r ",
        "printable": "0123456789" + _LOWER + _LOWER.upper() + _PUNCTUATION + " \t\n\r\x0b\x0c",
    }
    return Module("string", {**_functions("", members), **constants})


def _math_module() -> Module:
    def real(name: str) -> Callable[[Arguments], object]:
        function = getattr(math, name)

        def called(given: Arguments) -> object:
            for value in given:
                if not isinstance(value, (int, float)):
                    raise TypeError("a float is required")
            return float(function(*given))

        return called

    names = "ceil floor sqrt fabs log log10 exp pow fmod sin cos tan atan atan2 hypot"
    constants: dict[str, object] = {"pi": math.pi, "e": math.e}
    return Module("math", {**_functions("", {n: real(n) for n in names.split()}), **constants})


def _time_module() -> Module:
    import time

    def parts(given: Arguments, index: int) -> time.struct_time:
        if len(given) <= index:
            return time.localtime()
        return time.struct_time([int(str2(part)) for part in iterate(given[index])])

    def seconds(given: Arguments) -> float | None:
        return float(str2(given[0])) if given and given[0] is not None else None

    members: dict[str, Callable[[Arguments], object]] = {
        "time": lambda a: time.time(),
        "localtime": lambda a: tuple(time.localtime(seconds(a))),
        "gmtime": lambda a: tuple(time.gmtime(seconds(a))),
        "strftime": lambda a: foreign(time.strftime(native(a[0])[:1000], parts(a, 1))),
        "ctime": lambda a: time.ctime(seconds(a)),
        "asctime": lambda a: time.asctime(parts(a, 0)),
        "mktime": lambda a: time.mktime(parts(a, 0)),
    }
    refused = _refused("time", "sleep", "nothing: a domain file does not wait")
    return Module("time", {**refused, **_functions("", members)})


def _digest_members(names: str) -> dict[str, object]:
    import hashlib

    def make(name: str) -> Callable[[Arguments], object]:
        def digest(given: Arguments) -> object:
            data = text(given[0]).encode("latin-1") if given else b""
            made = hashlib.new(name, data, usedforsecurity=False)
            return Module(
                name,
                _functions(
                    "",
                    {
                        "hexdigest": lambda a: made.hexdigest(),
                        "digest": lambda a: made.digest().decode("latin-1"),
                        "update": lambda a: made.update(text(a[0]).encode("latin-1")),
                    },
                ),
            )

        return digest

    return _functions("", {name: make(name) for name in names.split()})


def _old_digest(module: str, algorithm: str) -> Module:
    found = _digest_members(algorithm)[algorithm]
    return Module(module, {"new": found, module: found})


def _socket_module() -> Module:
    import socket

    members: dict[str, Callable[[Arguments], object]] = {
        "gethostname": lambda a: foreign(socket.gethostname()),
        "inet_aton": lambda a: packed(a[0]).decode("latin-1"),
        "inet_ntoa": lambda a: socket.inet_ntoa(text(a[0]).encode("latin-1")),
    }
    refused = _refused(
        "socket", "socket gethostbyname getaddrinfo create_connection", "the address itself"
    )
    error: dict[str, object] = {"error": EXCEPTIONS["IOError"]}
    return Module("socket", {**refused, **_functions("", members), **error})


def _glob_module(machine: Machine, world: World) -> Module:
    def found(given: Arguments) -> object:
        pattern = native(given[0])
        _on_this_host(world, pattern)
        return sorted(foreign(name) for name in _matching(pattern, world.cwd, machine))

    return Module("glob", _functions("", {"glob": found}))


def _matching(pattern: str, cwd: str, machine: Machine) -> list[str]:
    """The names that a pattern of a shell finds.  Every entry that is looked at is a few steps:
    `/*/*/*/*` would go through all of a host."""
    top = "/" if pattern.startswith("/") else ""
    found = [top]
    for part in [part for part in pattern.split("/") if part]:
        bases, found = found, []
        for base in bases:
            machine.meter.spend(_STEPS_OF_ENTRY)
            if not _WILD.search(part):
                names = [part] if os.path.lexists(posixpath.join(cwd, base, part)) else []
            else:
                names = _entries(posixpath.join(cwd, base), part, machine)
            found += [posixpath.join(base, name) for name in names]
    return found if found != [top] else []


def _entries(directory: str, part: str, machine: Machine) -> list[str]:
    from fnmatch import fnmatchcase

    found: list[str] = []
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                machine.meter.spend(_STEPS_OF_ENTRY)
                is_hidden = entry.name.startswith(".") and not part.startswith(".")
                if not is_hidden and fnmatchcase(entry.name, part):
                    found.append(entry.name)
    except OSError:
        return []
    return found


def _platform_module() -> Module:
    uname = os.uname()
    values = {
        "machine": uname.machine,
        "node": uname.nodename,
        "release": uname.release,
        "system": uname.sysname,
        "processor": uname.machine,
    }
    members: dict[str, Callable[[Arguments], object]] = {}
    for name, value in values.items():
        members[name] = lambda a, value=value: foreign(value)  # type: ignore[misc]
    return Module("platform", _functions("", members))


_PROCESS_MODULES: Final = ("commands", "subprocess", "popen2", "pty", "pexpect")
_NETWORK_MODULES: Final = ("urllib", "urllib2", "httplib", "xmlrpclib", "ftplib", "smtplib")


def refuse_module(name: str, known: list[str]) -> Refused:
    """The error about a module that is not available."""
    first = name.partition(".")[0]
    if first in _PROCESS_MODULES:
        return Refused(
            f"the module {name} (it starts processes) is not available in a domain file",
            "the value itself, or a variable set by NAME=VALUE on the command line",
        )
    if first in _NETWORK_MODULES:
        return Refused(
            f"the module {name} (it uses the network) is not available in a domain file",
            "the value itself",
        )
    return Refused(
        f"the module {name} is not available in a domain file",
        "one of " + ", ".join(sorted(known)),
    )


class Modules:
    """The modules of one evaluation, made when they are first imported."""

    def __init__(self, machine: Machine, world: World, types: dict[str, Type]) -> None:
        from xend.config.xmrandom import random_members

        self._made: dict[str, Module] = {}
        self._makers: dict[str, Callable[[], Module]] = {
            "os": lambda: Module("os", lambda: _os_members(world, self.get("os.path"))),
            "os.path": lambda: _path_module(world),
            "posixpath": lambda: self.get("os.path"),
            "sys": lambda: _sys_module(world),
            "re": lambda: Module("re", lambda: regex_members(machine)),
            "string": lambda: _string_module(machine, types),
            "math": _math_module,
            "time": _time_module,
            "random": lambda: Module("random", random_members(machine)),
            "socket": _socket_module,
            "glob": lambda: _glob_module(machine, world),
            "platform": _platform_module,
            "hashlib": lambda: Module("hashlib", _digest_members("md5 sha1 sha224 sha256 sha512")),
            "md5": lambda: _old_digest("md5", "md5"),
            "sha": lambda: _old_digest("sha", "sha1"),
            "xen": lambda: Module("xen", {"util": self.get("xen.util")}),
            "xen.util": lambda: Module("xen.util", {"ip": self.get("xen.util.ip")}),
            "xen.util.ip": self._ip,
            "__future__": lambda: Module("__future__", dict.fromkeys(_FUTURE, True)),
        }

    def get(self, name: str) -> Module:
        """The module of that dotted name."""
        if name not in self._made:
            maker = self._makers.get(name)
            if maker is None:
                known = [known for known in self._makers if not known.startswith("_")]
                raise refuse_module(name, known)
            self._made[name] = maker()
        return self._made[name]

    def _ip(self) -> Module:
        """The names that every domain file has without importing anything, and its modules."""
        return Module(
            "xen.util.ip",
            {**ip_members(), **{name: self.get(name) for name in ("os", "re", "socket")}},
        )


_FUTURE: Final = ("division", "absolute_import", "with_statement", "nested_scopes")
