"""Every subcommand of `xm`, one row each.

A row is the only place that knows a command's name, usage line, help, options, how many words it
takes and which function does it.  Rows stand in the order of `xm help`; usage lines, option names
and counts are the original's, descriptions are ours.
"""

from __future__ import annotations

from xend.cli.command import Command
from xend.cli.rowsdevices import DEVICES
from xend.cli.rowsdomains import DOMAINS
from xend.cli.rowsdropped import DROPPED, NETCHANNEL2
from xend.cli.rowshost import HOST, POOLS

COMMANDS: tuple[Command, ...] = (
    *DOMAINS,
    *HOST,
    *DEVICES,
    *NETCHANNEL2,
    *DROPPED,
    *POOLS,
    Command("shell", "", "Read commands from a prompt.", "relay.shell", None, plain=True),
    Command("help", "", "Print this text.", "help.long_help_command", None, listed=False),
    Command("event-monitor", "", None, "dropped.event_monitor", listed=False),
    Command("network-new", "", None, "dropped.only_xen_api", listed=False),
    Command("network-del", "", None, "dropped.only_xen_api", listed=False),
    Command("network-show", "", None, "dropped.only_xen_api", listed=False),
)

COMMON: tuple[str, ...] = (
    *("console", "vncviewer", "create", "new", "delete", "destroy", "dump-core", "help", "list"),
    *("mem-set", "migrate", "pause", "reboot", "reset", "restore", "resume", "save", "shell"),
    *("shutdown", "start", "suspend", "top", "unpause", "uptime", "usb-add", "usb-del"),
    *("domstate", "vcpu-set"),
)
"""What the short help shows."""

ALIASES: dict[str, str] = {
    "balloon": "mem-set",
    "pool-create": "cpupool-create",
    "pool-new": "cpupool-new",
    "pool-start": "cpupool-start",
    "pool-list": "cpupool-list",
    "pool-destroy": "cpupool-destroy",
    "pool-delete": "cpupool-delete",
    "pool-cpu-add": "cpupool-cpu-add",
    "pool-cpu-remove": "cpupool-cpu-remove",
    "pool-migrate": "cpupool-migrate",
    "set-vcpus": "vcpu-set",
    "vif-list": "network-list",
    "vbd-create": "block-attach",
    "vbd-destroy": "block-detach",
    "vbd-list": "block-list",
}

BY_NAME: dict[str, Command] = {command.name: command for command in COMMANDS}


def find(typed: str) -> Command | None:
    """By name, else by a prefix of two letters or more that only one command has."""
    command = BY_NAME.get(typed)
    if command is not None or len(typed) < 2:
        return command
    found = [row for row in COMMANDS if row.name.startswith(typed) and row.name != "help"]
    return found[0] if len(found) == 1 else None
