"""xl's verbs on a domain: pause, destroy, shutdown, rename, trigger, save, dump-core …"""

from __future__ import annotations

import os
import time

from xend.cli.failures import Exit
from xend.cli.xlcommand import ERROR_DOMAIN_NOTFOUND, ERROR_FAIL, number_at_start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xend.cli.xlcommand import Xl

_PAUSE = 0.2
"""Seconds between two looks at a domain that is waited for."""
_TRIGGERS = ("unknown", "power", "sleep", "nmi", "init", "reset", "s3resume")
"""libxl_trigger of libxl_types.idl."""


def pause(xl: Xl, args: list[str]) -> None:
    """What goes wrong is told, but xl's status is 0."""
    _, operands = xl.flags("pause", args, least=1)
    xl.tolerate("xend.domain.pause", xl.find(operands[0]))


def unpause(xl: Xl, args: list[str]) -> None:
    _, operands = xl.flags("unpause", args, least=1)
    xl.tolerate("xend.domain.unpause", xl.find(operands[0]))


def destroy(xl: Xl, args: list[str]) -> None:
    flags, operands = xl.flags("destroy", args, "f", least=1)
    domid = xl.find(operands[0])
    if domid == 0 and "f" not in flags:
        xl.complain("Not destroying domain 0; use -f to force.")
        xl.complain(
            "This can only be done when using a disaggregated hardware domain and toolstack.\n"
        )
        raise Exit(1)
    rc = ERROR_DOMAIN_NOTFOUND if xl.row(domid) is None else ERROR_FAIL
    xl.require(f"destroy failed (rc={rc})", "xend.domain.destroy", domid)


def shutdown(xl: Xl, args: list[str]) -> None:
    _ask(xl, "shutdown", "poweroff", "Shutting down", args)


def reboot(xl: Xl, args: list[str]) -> None:
    _ask(xl, "reboot", "reboot", "Rebooting", args)


def _ask(xl: Xl, name: str, request: str, doing: str, args: list[str]) -> None:
    """-F needs no doing: the daemon presses the ACPI button of a guest without drivers anyway."""
    options, operands = xl.options(name, args, "a/all w/wait F")
    letters = [letter for letter, _ in options]
    if not operands and "a" not in letters:
        xl.complain("You must specify -a or a domain id.\n")
        raise Exit(1)
    if "a" in letters:
        domids = [row.domid for row in xl.domains() if row.domid and not row.never_stop]
    else:
        domids = [xl.find(operands[0])]
    for domid in domids:
        xl.complain(f"{doing} domain {domid}")
        xl.require(f"{name} failed (rc={ERROR_FAIL})", "xend.domain.shutdown", domid, request)
    waits = letters.count("w")
    if waits:
        _wait(xl, domids, until_gone=waits > 1)


def _wait(xl: Xl, domids: list[int], *, until_gone: bool) -> None:
    """Until each has shut down, or is gone if that is wanted (`-w -w`)."""
    xl.complain(f"Waiting for {len(domids)} domains")
    waiting = set(domids)
    while waiting:
        rows = {row.domid: row for row in xl.look()}
        for domid in sorted(waiting):
            row = rows.get(domid)
            if row is None:
                xl.complain(f"Domain {domid} has been destroyed")
                waiting.discard(domid)
            elif row.reason is not None and not until_gone:
                xl.complain(f"Domain {domid} has been shut down, reason code {row.reason}")
                waiting.discard(domid)
        if waiting:
            time.sleep(_PAUSE)


def rename(xl: Xl, args: list[str]) -> None:
    _, operands = xl.flags("rename", args, least=2)
    domid = xl.find(operands[0])
    message = f"Can't rename domain '{operands[0]}'."
    xl.require(message, "xend.domain.setName", domid, operands[1])


def trigger(xl: Xl, args: list[str]) -> None:
    _, operands = xl.flags("trigger", args, least=2)
    domid = xl.find(operands[0])
    name = operands[1].lower()
    if name not in _TRIGGERS:
        xl.complain(f'Invalid trigger "{operands[1]}"')
        raise Exit(1)
    vcpu = 0
    if len(operands) > 2:
        number = number_at_start(operands[2])
        if number is None:
            xl.complain("Invalid vcpuid, using default vcpuid=0.\n")
        vcpu = number or 0
    xl.tolerate("xend.domain.send_trigger", domid, name, vcpu)


def button_press(xl: Xl, args: list[str]) -> None:
    xl.complain('WARNING: "button-press" is deprecated. Please use "trigger"')
    _, operands = xl.flags("button-press", args, least=2)
    domid = xl.find(operands[0])
    if operands[1] not in ("power", "sleep"):
        xl.complain(f"{operands[1]} is an invalid button identifier")
        raise Exit(1)
    xl.tolerate("xend.domain.send_trigger", domid, operands[1], 0)


def sysrq(xl: Xl, args: list[str]) -> int:
    _, operands = xl.flags("sysrq", args, least=2)
    domid = xl.find(operands[0])
    if len(operands[1].encode("utf-8", "surrogateescape")) != 1:
        xl.complain("Invalid sysrq.\n")
        xl.help("sysrq")
        return 1
    xl.tolerate("xend.domain.send_sysrq", domid, operands[1])
    return 0


# -- To and from a file ----------------------------------------------------------------------------


def save(xl: Xl, args: list[str]) -> int:
    flags, operands = xl.flags("save", args, "c p D", least=2)
    if len(operands) > 3:
        xl.help("save")
        return 1
    if len(operands) == 3:
        xl.complain("xl: xend saves a domain with its own configuration: leave the file's name out")
        return 1
    domid = xl.find(operands[0])
    path = _absolute(operands[1])
    if not os.access(path.rpartition("/")[0] or "/", os.W_OK):
        xl.complain(f"Failed to open temp file {operands[1]} for writing")
        return 1
    xl.complain(f"Saving to {operands[1]} new xl format")
    message = "Failed to save domain, resuming domain"
    checkpoint = bool(flags & {"c", "p"})
    xl.require(message, "xend.private.save", domid, path, checkpoint, "p" in flags)
    return 0


def dump_core(xl: Xl, args: list[str]) -> None:
    _, operands = xl.flags("dump-core", args, least=2)
    domid = xl.find(operands[0])
    path = _absolute(operands[1])
    message = f"core dump failed (rc={ERROR_FAIL})"
    xl.require(message, "xend.domain.dump", domid, path, True, False, False)


def _absolute(path: str) -> str:
    return os.path.abspath(path)  # noqa: PTH100 - a symbolic link stays as it was typed
