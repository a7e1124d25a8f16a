"""xm shutdown and xm reboot: ask domains, and wait for them if told to."""

from __future__ import annotations

import time

from xend.cli.failures import CommandFailed, OptionError
from xend.cli.getopts import GetoptError, getopt
from xend.cli.records import child_value, fields, text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from xend.cli.app import Xm

_RECREATING_SECONDS = 30
"""How long a rebooting domain may be missing."""
_TEARDOWN_SECONDS = 120
"""How long a domain that has shut down may wait for its end: libxl alone grants each hotplug script
40 s, and each back end 10."""

_USAGE = "[options] [DOM]\n\nAsk domains to shut down.\n"
_LONG = ("help", "all", "wait", "halt", "reboot")


def reboot(xm: Xm, args: list[str]) -> int:
    return shutdown(xm, ["-R", *args])


def shutdown(xm: Xm, args: list[str]) -> int:
    given, operands = parse(args)
    if "all" in given:
        domains = xm.call("xend.domains", 0)
        domains.remove(child_value(xm.call("xend.domain", 0), "name"))
    else:
        domains = [_single(xm, operands)]
    if {"halt", "reboot"} <= given:
        raise CommandFailed("Can't specify halt and reboot")
    mode = "halt" if "halt" in given else "reboot" if "reboot" in given else "poweroff"
    counts = {}
    for name in domains:
        counts[name] = xm.call("xend.domain.getRestartCount", name)
        xm.call("xend.domain.shutdown", name, mode)
    if "wait" in given:
        if mode == "reboot":
            _wait_reboot(xm, domains, counts)
        else:
            _wait_gone(xm, domains)
    return 0


def parse(args: list[str]) -> tuple[set[str], list[str]]:
    """Options may follow operands; a word behind `--` is an operand only if it is the first."""
    short = {"-" + name[0]: name for name in ("all", "wait", "help")} | {
        "-H": "halt",
        "-R": "reboot",
    }
    given: set[str] = set()
    operands: list[str] = []
    while args:
        try:
            options, args = getopt(args, "hawHR", _LONG)
        except GetoptError as error:
            raise OptionError(str(error), _USAGE) from error
        given.update(short.get(option, option.lstrip("-")) for option, _ in options)
        if args:
            operands.append(args[0])
            args = args[1:]
    return given, operands


def _single(xm: Xm, operands: list[str]) -> Any:
    if not operands:
        raise CommandFailed("No domain parameter given")
    if len(operands) > 1:
        raise CommandFailed("No multiple domain parameters allowed")
    return child_value(xm.call("xend.domain", operands[0]), "name")


def _wait_gone(xm: Xm, domains: list[Any]) -> None:
    """Until each is gone, not only asked."""
    pause = Poll(xm)
    remains = Remains()
    while domains:
        alive = remains.names(xm) if xm.server.is_ours else xm.call("xend.domains", 0)
        for name in [name for name in domains if name not in alive]:
            xm.print(f"Domain {name} terminated")
            domains.remove(name)
        pause.after(bool(domains))
    xm.print("All domains terminated")


def _wait_reboot(xm: Xm, domains: list[Any], counts: dict[Any, Any]) -> None:
    """Until each has a new restart count; it is missing from the list while it is made again."""
    missing: dict[Any, int] = {}
    pause = Poll(xm)
    while domains:
        alive = xm.call("xend.domains", 0)
        done: dict[Any, str] = {}
        for name in domains:
            if name in alive:
                if xm.call("xend.domain.getRestartCount", name) != counts[name]:
                    done[name] = f"Domain {name} rebooted"
            else:
                missing[name] = missing.get(name, -1) + 1
                if missing[name] > pause.limit:
                    done[name] = f"Domain {name} destroyed for failing to reboot"
        for name, message in done.items():
            xm.print(message)
            domains.remove(name)
        pause.after(bool(domains))
    xm.print("All domains rebooted")


class Remains:
    """Domains that are still there, be it only to be torn down.

    A domain whose policy is to preserve it has ended once it has shut down; so has one that nobody
    tears down, because whoever made it does not look after it.
    """

    def __init__(self) -> None:
        self._down_since: dict[str, float] = {}

    def names(self, xm: Xm) -> set[str]:
        now = time.monotonic()
        found = set()
        for record in xm.call("xend.domains_with_state", True, "all", 0):
            known = fields(record)
            name = text_of(known.get("name"))
            if "domid" not in known:
                continue
            if known.get("state", "")[3:5] != "--":
                since = self._down_since.setdefault(name, now)
                if known.get("on_poweroff") == "preserve" or now - since > _TEARDOWN_SECONDS:
                    continue
            found.add(name)
        return found


class Poll:
    """A pause between two looks: a second, or less with a daemon that looks cheaply."""

    def __init__(self, xm: Xm) -> None:
        self._xm = xm
        self._seconds = 0.25 if xm.server.is_ours else 1.0
        self.limit = _RECREATING_SECONDS / self._seconds
        """Looks that a rebooting domain may be missing."""

    def after(self, again: bool) -> None:
        """The last look needs no pause after it."""
        if again:
            self._xm.out.flush()
            time.sleep(self._seconds)
