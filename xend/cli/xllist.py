"""xl's listings of domains: list, vm-list, claims, vcpu-list, uptime, domid, domname."""

from __future__ import annotations

import time

from xend.cli.failures import INVALID_DOMAIN_FAULT, Exit, Fault
from xend.cli.xlcommand import left, number_at_start, set_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from xend.cli.xlcommand import DomainRow, Xl

_HEADER = "Name                                        ID   Mem VCPUs\tState\tTime(s)"
_NO_DOMID = 0x7FF0
"""DOMID_FIRST_RESERVED of xen/include/public/xen.h."""
_NO_CPU = 0xFFFFFFFF
"""What xl prints for a vcpu that has never been anywhere."""


def list_domains(xl: Xl, args: list[str]) -> int | None:
    flags, operands = xl.flags("list", args, "l/long v/verbose Z/context c/cpupool n/numa")
    if len(operands) > 1:
        xl.help("list")
        return 1
    rows = [_one(xl, operands[0])] if operands else xl.domains()
    if "l" in flags:
        _list_long(xl, rows)
    else:
        _list_brief(xl, rows, flags)
    return 0


def _one(xl: Xl, word: str) -> DomainRow:
    row = xl.row(xl.find(word))
    if row is None:
        xl.complain(f"Error: Domain '{word}' does not exist.")
        raise Exit(1)
    return row


def _list_brief(xl: Xl, rows: list[DomainRow], flags: set[str]) -> None:
    labelled = bool(flags & {"v", "Z"})
    labels = dict(xl.call("xend.private.labels")) if labelled else {}
    nodes, node_count = _nodes(xl, rows) if "n" in flags else ({}, 0)
    heading = _HEADER
    if "v" in flags:
        heading += "   UUID                            Reason-Code\tSecurity Label"
    elif "Z" in flags:
        heading += "   Security Label"
    heading += "         Cpupool" if "c" in flags else ""
    heading += " NODE Affinity" if "n" in flags else ""
    lines = [heading]
    for row in rows:
        line = _line(row)
        if "v" in flags:
            line += f" {row.uuid} {_reason(row):>8s}"
        if labelled:
            line += f" {labels.get(row.domid) or '-':>16s}"
        if "c" in flags:
            line += f"{row.pool:>16s}"
        if "n" in flags:
            line += " " + set_text(nodes.get(row.domid, ()), node_count)
        lines.append(line)
    xl.print("\n".join(lines))


def _line(row: DomainRow) -> str:
    return (
        f"{left(row.name, 40)} {row.domid:5d} {row.memory:5d} {row.vcpus:5d}     {row.state}"
        f"  {row.seconds:8.1f}"
    )


def _reason(row: DomainRow) -> str:
    return "-" if row.reason is None else f"{row.reason & 0xFFFFFFFF:x}"


def _nodes(xl: Xl, rows: list[DomainRow]) -> tuple[dict[int, list[int]], int]:
    """NUMA nodes of each domain, and how many nodes the host has."""
    found = dict(xl.call("xend.private.nodes", [row.domid for row in rows]))
    return found, xl.call("xend.private.host")["nr_nodes"]


def _list_long(xl: Xl, rows: list[DomainRow]) -> None:
    """libxl's texts are set in, not read: they are as xl prints them already."""
    found = xl.call("xend.private.configurations", [row.domid for row in rows])
    parts = [
        f'    {{\n        "domid": {domid},\n        "config": {_indented(text)}\n    }}'
        for domid, text in found
    ]
    # yajl ends a document with a newline of its own, and xl prints it with puts().
    xl.print("[\n" + ",\n".join(parts) + "\n]\n" if parts else "[\n\n]\n")


def _indented(text: str) -> str:
    """libxl's strings have no newline in them: each one is the layout's.  Between the brackets of
    what is empty stands an empty line, which is not indented."""
    return text.rstrip("\n").replace("\n", "\n        ").replace("\n        \n", "\n\n")


def vm_list(xl: Xl, args: list[str]) -> None:
    xl.flags("vm-list", args)
    xl.print("UUID                                  ID    name")
    for row in xl.domains():
        xl.print(f"{row.uuid}  {row.domid}    {left(row.name, 30)}")


def claims(xl: Xl, args: list[str]) -> None:
    xl.flags("claims", args)
    xl.print(_HEADER + "  Claimed")
    for row in xl.domains():
        xl.print(f"{_line(row)} {row.claimed:5d}")


def vcpu_list(xl: Xl, args: list[str]) -> None:
    _, operands = xl.flags("vcpu-list", args)
    cpus = xl.call("xend.private.host")["max_cpu_id"] + 1
    xl.print(
        f"{'Name':<32s} {'ID':>5s} {'VCPU':>5s} {'CPU':>5s} {'State':>5s} {'Time(s)':>9s} "
        "Affinity (Hard / Soft)"
    )
    if not operands:
        _print_vcpus(xl, [row.domid for row in xl.domains()], cpus)
    for word in operands:
        _print_vcpus(xl, [xl.find(word)], cpus)


def _print_vcpus(xl: Xl, domids: list[int], cpus: int) -> None:
    names = {row.domid: row.name for row in xl.domains()}
    for domid, vcpus in xl.call("xend.private.vcpus", domids):
        for vcpu in vcpus:
            start = f"{left(names.get(domid, '(null)'), 32)} {domid:5d} {vcpu[0]:5d}"
            xl.print(start + _vcpu_line(vcpu, cpus))


def _vcpu_line(vcpu: list[Any], cpus: int) -> str:
    _, online, blocked, running, cpu, seconds, hard, soft = vcpu
    if online:
        place = _NO_CPU if cpu < 0 else cpu
        where = f"{place:5d}   {'r' if running else '-'}{'b' if blocked else '-'}- "
    else:
        where = "    -   --p "
    return f"{where}{seconds:9.1f}  {set_text(hard, cpus)} / {set_text(soft, cpus)}"


def domid(xl: Xl, args: list[str]) -> None:
    _, operands = xl.flags("domid", args, least=1)
    found = _who(xl, operands[0])
    if found is None or found[0] != operands[0] or found[1] is None:
        xl.complain(
            f"Can't get domid of domain name '{operands[0]}', maybe this domain does not exist."
        )
        raise Exit(1)
    xl.print(str(found[1]))


def _who(xl: Xl, ref: str | int) -> list[Any] | None:
    """Name and id of a domain; also of one that is not running, or that `ref` is the uuid of."""
    try:
        found: list[Any] = xl.call("xend.private.who", ref)
    except Fault as fault:
        if fault.code != INVALID_DOMAIN_FAULT:
            raise
        return None
    return found


def domname(xl: Xl, args: list[str]) -> None:
    _, operands = xl.flags("domname", args, least=1)
    number = number_at_start(operands[0])
    if number is None:
        xl.complain("Invalid domain id.\n")
        raise Exit(1)
    found = _who(xl, number) if 0 <= number < _NO_DOMID else None
    if found is None or found[1] != number:
        xl.complain(
            f"Can't get domain name of domain id '{number & 0xFFFFFFFF}', "
            "maybe this domain does not exist."
        )
        raise Exit(1)
    xl.print(found[0])


def uptime(xl: Xl, args: list[str]) -> None:
    flags, operands = xl.flags("uptime", args, "s")
    domids = [xl.find(word) for word in operands] or [row.domid for row in xl.domains()]
    short = "s" in flags
    if not short:
        xl.print(f"{'Name':<33s} {'ID':>4s} Uptime")
    now = int(time.time())
    for number in domids:
        row = xl.row(number)
        seconds = _seconds_up(row, now) if row is not None else None
        if row is None or seconds is None:
            xl.complain(f"libxl: error: Domain {number}: can't get its start time")
        elif short:
            clock = _clock(xl, now)
            xl.print(f" {clock} up {_uptime_text(seconds, short)}, {row.name} ({number})")
        else:
            xl.print(f"{left(row.name, 33)} {number:4d} {_uptime_text(seconds, short)}")


def _clock(xl: Xl, now: int) -> str:
    from xend.cli.listing import local_time

    return time.strftime("%H:%M:%S", local_time(xl.xm, now))


def _seconds_up(row: DomainRow, now: int) -> int | None:
    if row.domid == 0:
        with open("/proc/uptime") as file:
            return int(float(file.read().split()[0]))
    return None if row.started is None else now - int(row.started)


def _uptime_text(seconds: int, short: bool) -> str:
    days, seconds = divmod(seconds, 86400)
    hours, seconds = divmod(seconds, 3600)
    minutes, seconds = divmod(seconds, 60)
    prefix = f"{days} day{'s' if days > 1 else ''}, " if days > 0 else ""
    text = f"{prefix}{hours:2d}:{minutes:02d}"
    return text if short else f"{text}:{seconds:02d}"
