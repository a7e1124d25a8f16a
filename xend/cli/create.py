"""xm create and xm new: a domain from its configuration file."""

from __future__ import annotations

from typing import cast

from xend.cli.failures import (
    INVALID_DOMAIN_FAULT,
    CommandFailed,
    Exit,
    Fault,
    ProtocolError,
    Unreachable,
)
from xend.cli.listing import print_sxp
from xend.cli.records import child_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Literal, TextIO

    from xend.cli.app import Xm
    from xend.config.xmcreate import CreateRequest


def create(xm: Xm, args: list[str]) -> int:
    request = _prepare(xm, "create", args)

    def launch() -> None:
        domid = _launch(xm, request)
        if request.vncviewer:
            from xend.cli.display import spawn_viewer

            spawn_viewer(xm, domid, request.vncviewer_autopass)

    if request.console:
        from xend.cli.console import with_console

        return with_console(xm, "create", request.name, launch)
    launch()
    return 0


def new(xm: Xm, args: list[str]) -> None:
    request = _prepare(xm, "new", args)
    try:
        xm.call("xend.domain.new", request.sxp)
    except Fault as fault:
        raise _refused(fault) from fault


def _prepare(xm: Xm, command: Literal["create", "new"], args: list[str]) -> CreateRequest:
    """What the command line and the file ask for; Exit when there is nothing to create."""
    import os

    from xend.config.xmcreate import prepare

    request = prepare(
        args,
        command=command,
        env=xm.env,
        cwd=os.getcwd(),  # noqa: PTH109
        stdout=cast("TextIO", xm.out),
        stderr=cast("TextIO", xm.err),
        read_xl=lambda text, path: _read_xl(xm, text, path),
    )
    if isinstance(request, int):
        raise Exit(request)
    if request.dryrun:
        print_sxp(xm, [request.sxp])
        raise Exit(0)
    return request


def _read_xl(xm: Xm, text: str, path: str) -> Mapping[str, Any]:
    """A file of xl as the daemon reads it, which knows its host's NUMA nodes; without a daemon, or
    with an old one, it is read here."""
    try:
        found: Mapping[str, Any] = xm.call("xend.private.vm", text, path)
    except (Unreachable, Fault):
        from xend.config.xlcreate import request_of

        return request_of(text, path)
    return found


def _launch(xm: Xm, request: CreateRequest) -> int:
    """Id of the new domain; whatever goes wrong, nothing is left of it."""
    try:
        launch = _launch_at_once if xm.server.becomes_ours() else _launch_in_steps
        name, domid = launch(xm, request)
    except Fault as fault:
        raise _refused(fault) from fault
    if not request.quiet:
        xm.print(f"Started domain {name} (id={domid})")
    return domid


def _launch_at_once(xm: Xm, request: CreateRequest) -> tuple[str, int]:
    """Our own daemon does all of it in one job, and undoes it if it fails."""
    name, domid = xm.call("xend.private.launch", request.sxp, bool(request.paused))
    return name, domid


def _launch_in_steps(xm: Xm, request: CreateRequest) -> tuple[str, int]:
    """As the original did, for a daemon of any age."""
    record = xm.call("xend.domain.create", request.sxp)
    name = child_value(record, "name")
    _wait_for_devices(xm, name)
    if not request.paused:
        _unpause(xm, name)
    return name, int(child_value(record, "domid"))


def _refused(fault: Fault) -> CommandFailed:
    if fault.code == INVALID_DOMAIN_FAULT:
        return CommandFailed(f"the domain '{fault.text}' does not exist.")
    return CommandFailed(fault.text)


def _wait_for_devices(xm: Xm, name: Any) -> None:
    try:
        xm.call("xend.domain.waitForDevices", name)
    except Fault as fault:
        xm.call("xend.domain.destroy", name)
        raise CommandFailed(fault.text) from fault
    except (Unreachable, ProtocolError) as error:
        xm.call("xend.domain.destroy", name)
        raise CommandFailed(f"Device creation failed for domain {name}") from error


def _unpause(xm: Xm, name: Any) -> None:
    try:
        xm.call("xend.domain.unpause", name)
    except (Fault, Unreachable, ProtocolError) as error:
        xm.call("xend.domain.destroy", name)
        raise CommandFailed(f"Failed to unpause domain {name}") from error
