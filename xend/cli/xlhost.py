"""xl's commands about the host, and those that put a program on the terminal."""

from __future__ import annotations

from xend.cli.failures import Exit
from xend.cli.xlcommand import number_at_start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from xend.cli.xlcommand import Xl

_CONSOLES = {"pv": "pv", "serial": "serial", "vuart": "vuart"}
_NOT_SHOWN = ("cpu_topology", "pci_nodes", "numa")
_LAST_OF_HOST = "free_cpus"
"""After this line stand the tables of `-n`."""


def info(xl: Xl, args: list[str]) -> None:
    flags, operands = xl.flags("info", args, "n/numa")
    numa = "n" in flags
    found = xl.call("xend.private.host", numa)
    wanted = "" if numa or not operands else operands[0]
    for key, value in found.items():
        if key not in _NOT_SHOWN and key.startswith(wanted):
            _show(xl, key, value, only_value=bool(wanted))
        if numa and key == _LAST_OF_HOST:
            _show_topology(xl, found)
    if "xend_config_format".startswith(wanted):
        _show(xl, "xend_config_format", 4, only_value=bool(wanted))


def _show(xl: Xl, key: str, value: Any, *, only_value: bool) -> None:
    if not only_value:
        # virt_caps puts a blank in front of each word, so that none stands when there is none.
        blank = " " if value or key != "virt_caps" else ""
        xl.print(f"{key:<23s}:{blank}{value}")
    elif value or key != "virt_caps":
        xl.print(str(value))


def _show_topology(xl: Xl, found: dict[str, Any]) -> None:
    xl.print("cpu_topology           :")
    xl.print("cpu:    core    socket     node")
    for cpu, (core, socket, node) in enumerate(found["cpu_topology"]):
        xl.print(f"{cpu:3d}:    {core:4d}     {socket:4d}     {node:4d}")
    if found["pci_nodes"] is None:
        xl.complain("libxl_get_pci_topology failed.")
    else:
        _show_devices(xl, found["pci_nodes"])
    xl.print("numa_info              :")
    xl.print("node:    memsize    memfree    distances")
    for number, (total, free, distances) in enumerate(found["numa"]):
        near = ",".join(map(str, distances))
        xl.print(f"{number:4d}:    {total:6d}     {free:6d}      {near}")


def _show_devices(xl: Xl, devices: list[list[int]]) -> None:
    xl.print("device topology        :")
    xl.print("device           node")
    for segment, bus, devfn, node in devices:
        xl.print(f"{segment:04x}:{bus:02x}:{devfn >> 3:02x}.{devfn & 7:x}      {node}")
    if not devices:
        xl.print("No device topology data available")


def dmesg(xl: Xl, args: list[str]) -> None:
    flags, _ = xl.flags("dmesg", args, "c/clear")
    xl.xm.out.write(xl.call(f"xend.node.dmesg.{'clear' if 'c' in flags else 'info'}"))


def debug_keys(xl: Xl, args: list[str]) -> None:
    _, operands = xl.flags("debug-keys", args, least=1)
    message = f"cannot send debug keys: {operands[0]}"
    xl.require(message, "xend.node.send_debug_keys", operands[0])


# -- Programs --------------------------------------------------------------------------------------


def console(xl: Xl, args: list[str]) -> None:
    options, operands = xl.options("console", args, "n: t:", least=1)
    given = dict(options)
    if given.get("t", "pv") not in _CONSOLES:
        xl.complain("console type supported are: pv, serial, vuart")
        raise Exit(1)
    domid = xl.find(operands[0])
    row = xl.row(domid)
    if row is None:
        xl.complain("Unable to attach console")
        raise Exit(1)
    kind = given.get("t") or ("serial" if row.type == "hvm" else "pv")
    number = (number_at_start(given.get("n", "0")) or 0) if "t" in given else 0
    replace_by_console(xl, domid, kind, number)


def replace_by_console(xl: Xl, domid: int, kind: str, number: int) -> NoReturn:
    from xend.cli.console import find_program

    argv = [find_program(xl.xm, "xenconsole"), str(domid), "--num", str(number), "--type", kind]
    xl.xm.terminal.replace(argv, xl.xm.env)


def vncviewer(xl: Xl, args: list[str]) -> None:
    from xend.cli.display import vncviewer as show

    flags, operands = xl.flags("vncviewer", args, "a/autopass a/vncviewer-autopass", least=1)
    domid = xl.find(operands[0])
    if xl.row(domid) is None:
        raise Exit(1)
    show(xl.xm, [*(["--autopass"] if "a" in flags else []), str(domid)])


def top(xl: Xl, args: list[str]) -> None:
    from xend.cli.console import find_program

    xl.flags("top", args)
    xl.xm.terminal.replace([find_program(xl.xm, "xentop")], xl.xm.env)
