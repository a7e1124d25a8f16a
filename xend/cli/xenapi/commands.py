"""How a command runs with a Xen-API server, and the commands that are its own."""

from __future__ import annotations

import time

from xend.cli.app import check_count, guarded
from xend.cli.failures import CommandFailed, UsageError
from xend.cli.terminal import LocalTerminal
from xend.cli.xenapi.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, NoReturn

    from xend.cli.app import Xm
    from xend.cli.command import Command

    Handler = Callable[[Xm, Session, list[str]], int | None]

UNSUPPORTED = frozenset(
    (
        *("network2-attach", "network2-detach", "network2-list", "pci-list-assignable-devices"),
        *("sched-sedf", "usb-attach", "usb-detach", "usb-hc-create", "usb-hc-destroy"),
        *("usb-list", "usb-list-assignable-devices", "vnet-create", "vnet-delete", "vnet-list"),
    )
)


class _Terminal(LocalTerminal):
    """A command that becomes another program has no end at which to log out."""

    def __init__(self, xm: Xm) -> None:
        super().__init__(xm.out)
        self._server = xm.server

    def replace(self, argv: list[str], env: Mapping[str, str]) -> NoReturn:
        self._server.log_out()
        super().replace(argv, env)


def run(xm: Xm, command: Command, typed: str, args: list[str]) -> int:
    """Exit status.  Whatever it is, one logs in first; a shell's lines share its session."""
    server = xm.server
    outermost = not server.has_session
    xm.terminal = _Terminal(xm)

    def body() -> int | bool | None:
        session = server.log_in()
        if command.name in UNSUPPORTED:
            raise CommandFailed("This function is not supported by Xen-API")
        if command.name == "serve":
            raise CommandFailed("Not supported with XenAPI", 255, on_stdout=True)
        check_count(command, args)
        handler = HANDLERS.get(command.name)
        if handler is not None:
            return handler(xm, session, args)
        return command.load()(xm, args)

    try:
        return guarded(xm, typed, body)
    finally:
        if outermost:
            server.log_out()


def run_method(xm: Xm, method: str, args: list[str]) -> None:
    """A line of the shell that is no command is a method of the server."""

    def body() -> None:
        result = xm.server.log_in().call(method, *args)
        if result not in (None, ""):
            from pprint import pformat

            xm.print(pformat(result))

    guarded(xm, method, body)


def _domname(xm: Xm, session: Session, args: list[str]) -> None:
    xm.print(session.call("VM.get_name_label", session.vm(args[0])))


def _reboot(xm: Xm, session: Session, args: list[str]) -> None:
    _shutdown(xm, session, ["-R", *args])


def _shutdown(xm: Xm, session: Session, args: list[str]) -> None:
    from xend.cli.shutdown import parse

    given, operands = parse(args)
    if "all" in given:
        domains = [
            ref
            for ref in session.call("VM.get_all")
            if not session.call("VM.get_is_control_domain", ref)
        ]
    elif len(operands) == 1:
        domains = [session.vm(operands[0])]
    elif operands:
        raise CommandFailed("No multiple domain parameters allowed")
    else:
        raise CommandFailed("No domain parameter given")
    if {"halt", "reboot"} <= given:
        raise CommandFailed("Can't specify halt and reboot")
    again = "reboot" in given
    for ref in domains:
        session.call("VM.clean_reboot" if again else "VM.clean_shutdown", ref)
    if "wait" in given:
        if again:
            raise CommandFailed("Cannot wait for reboot w/ XenAPI (yet)")
        _wait(xm, session, domains)


def _wait(xm: Xm, session: Session, domains: list[str]) -> None:
    while domains:
        running = {
            ref
            for ref in session.call("VM.get_all")
            if session.call("VM.get_power_state", ref) == "Running"
        }
        for ref in [ref for ref in domains if ref not in running]:
            xm.print(f"Domain {ref} terminated")
            domains.remove(ref)
        if domains:
            xm.out.flush()
            time.sleep(1)
    xm.print("All domains terminated")


def _event_monitor(xm: Xm, session: Session, args: list[str]) -> None:
    """Until it is interrupted."""
    while True:
        session.call("event.register", args)
        for event in session.call("event.next"):
            xm.print(event)
        xm.out.flush()


def _network_name(command: str, args: list[str]) -> str:
    if len(args) != 1:
        raise UsageError(f"'xm {command}' requires 1 arguments.\n", command)
    return args[0]


def _network_new(_xm: Xm, session: Session, args: list[str]) -> None:
    record = {
        "name_label": _network_name("network-new", args),
        "name_description": "",
        "other_config": {},
        "default_gateway": "",
        "default_netmask": "",
    }
    session.call("network.create", record)


def _network_del(_xm: Xm, session: Session, args: list[str]) -> None:
    session.call("network.destroy", session.network(_network_name("network-del", args)))


def _network_show(xm: Xm, session: Session, args: list[str]) -> None:
    """A line for each interface, those of domains beside those of the host."""
    if args:
        raise UsageError("'xm network-show' requires 0 arguments.\n", "network-show")
    networks = session.call("network.get_all_records")
    of_host = session.call("PIF.get_all_records")
    of_domains = session.call("VIF.get_all_records")
    xm.print(f"{'Name':<20s} {'VIFs':<40s} {'PIFs':<10s}")
    for network in networks.values():
        vifs = [_vif_name(session, of_domains.get(ref)) for ref in network["VIFs"]]
        pifs = [_pif_name(of_host.get(ref)) for ref in network["PIFs"]]
        for at in range(max(len(vifs), len(pifs), 1)):
            name = network["name_label"] if at == 0 else ""
            vif, pif = ("".join(names[at : at + 1]) for names in (vifs, pifs))
            xm.print(f"{name:<20s} {vif:<40s} {pif:<10s}")


def _vif_name(session: Session, vif: dict[str, Any] | None) -> str:
    if not vif:
        return ""
    return f"{session.call('VM.get_name_label', vif['VM'])}.{vif['device']}"


def _pif_name(pif: dict[str, Any] | None) -> str:
    if not pif:
        return ""
    return f"{pif['device']}.{pif['VLAN']}" if int(pif["VLAN"]) > -1 else str(pif["device"])


HANDLERS: dict[str, Handler] = {
    "domname": _domname,
    "event-monitor": _event_monitor,
    "network-del": _network_del,
    "network-new": _network_new,
    "network-show": _network_show,
    "reboot": _reboot,
    "shutdown": _shutdown,
}
