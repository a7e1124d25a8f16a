"""Commands that show domains: list, vcpu-list, uptime, domid, domname, domstate."""

from __future__ import annotations

import time

from xend.cli.failures import OptionError
from xend.cli.records import DomainRow, as_json, child_value, children, number_or_none, text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from xend.cli.app import Xm

_HEADER = f"{'Name':<40s} {'ID':>5s} {'Mem':>5s} {'VCPUs':>5s} {'State':>10s} {'Time(s)':>9s}"
_VCPU_HEADER = (
    f"{'Name':<32s} {'ID':>5s} {'VCPU':>5s} {'CPU':>5s} {'State':>5s} {'Time(s)':>9s} CPU Affinity"
)


def domain_records(
    xm: Xm, names: list[str], state: str = "all", full: int = 0, pool: str | None = None
) -> list[Any]:
    """Records of the named domains, or of all in that state and pool."""
    if names:
        return xm.call_each("xend.domain", [(name, full) for name in names])
    found: list[Any] = xm.call("xend.domains_with_state", True, state, full)
    if pool:
        found = [record for record in found if child_value(record, "pool_name", "") == pool]
    return found


def list_domains(xm: Xm, args: list[str]) -> None:
    options, names = xm.options(
        "list", args, "lv", "long", "vcpus", "label", "state=", "pool=", "json"
    )
    given = dict(options)
    state = given.get("--state", "all")
    pool = given.get("--pool")
    if state != "all" and names:
        raise OptionError("You may specify either a state or a particular VM, but not both")
    if pool and names:
        raise OptionError("You may specify either a pool or a particular VM, but not both")
    if "-v" in given or "--vcpus" in given:
        xm.err.write("xm list -v is deprecated.  Please use xm vcpu-list.\n")
        vcpu_list(xm, names)
        return
    full = 1 if "-l" in given or "--long" in given else 0
    if not (full or names or pool or "--json" in given or "--label" in given):
        _list_all(xm, state)
        return
    records = domain_records(xm, names, state, full, pool)
    if "--json" in given:
        _list_json(xm, records, full)
    elif full:
        print_sxp(xm, records)
    elif "--label" in given:
        _list_labels(xm, records)
    else:
        _list_brief(xm, records)


def print_sxp(xm: Xm, values: list[Any]) -> None:
    """Each value pretty printed, as people and scripts know it from `list -l`."""
    from xend.config.sxp import pretty

    for value in values:
        text = pretty(value)
        xm.out.write(text if text.endswith("\n") else text + "\n")


def _list_all(xm: Xm, state: str) -> None:
    """Our own daemon has just the columns; any other one tells everything."""
    if not xm.server.becomes_ours():
        _list_brief(xm, domain_records(xm, [], state))
        return
    lines = [_HEADER]
    for name, domid, memory, vcpus, flags, seconds in xm.call("xend.private.listing", state):
        number = "" if domid is None else domid
        lines.append(f"{name:<40s} {number:>5} {memory:5d} {vcpus:5d} {flags:>10s} {seconds:8.1f}")
    xm.print("\n".join(lines))


def _line(row: DomainRow) -> str:
    return (
        f"{row.name:<40s} {row.domid:>5s} {row.memory:5d} {row.vcpus:5d} "
        f"{row.state:>10s} {row.cpu_time:8.1f}"
    )


def _list_brief(xm: Xm, records: list[Any]) -> None:
    # The header is out before a record that cannot be read ends the command.
    xm.print(_HEADER)
    for record in records:
        xm.print(_line(DomainRow(record)))


def _list_labels(xm: Xm, records: list[Any]) -> None:
    xm.print(f"{_HEADER} {'Label':<10s}")
    rows = [DomainRow(record) for record in records]
    labels = xm.call_each("xend.security.get_domain_label", [(row.name,) for row in rows])
    for row, label in zip(rows, labels, strict=True):
        row.label = text_of(label).removeprefix("'")
    for row in sorted(rows, key=lambda row: row.label.lower()):
        xm.print(f"{_line(row)} {row.label:>10s}")


def _list_json(xm: Xm, records: list[Any], full: int) -> None:
    xm.print(as_json(records if full else [_row_json(record) for record in records]))


def _row_json(record: Any) -> dict[str, Any]:
    row = DomainRow(record)
    return {
        "name": row.name,
        "domid": number_or_none(row.domid),
        "uuid": child_value(record, "uuid"),
        "memory": row.memory,
        "vcpus": row.vcpus,
        "state": row.state or None,
        "cpu_time": row.cpu_time,
        "pool": child_value(record, "pool_name"),
    }


def domid(xm: Xm, args: list[str]) -> None:
    xm.print(text_of(_who(xm, args[0])[1]))


def domname(xm: Xm, args: list[str]) -> None:
    xm.print(text_of(_who(xm, args[0])[0]))


def _who(xm: Xm, ref: str) -> list[Any]:
    """Name and id; our own daemon need not tell everything for that."""
    if xm.server.becomes_ours():
        found: list[Any] = xm.call("xend.private.who", ref)
        return found
    record = xm.call("xend.domain", ref)
    return [child_value(record, "name"), child_value(record, "domid")]


def domstate(xm: Xm, args: list[str]) -> None:
    options, names = xm.options("domstate", args, "s", "domname=", "json")
    as_tree = ("--json", "") in options
    row = DomainRow(domain_records(xm, names)[0])
    word = _state_word(row.state)
    asked = names[0] if as_tree and names else args[0]
    if word == "paused" and xm.call("xend.domain.getpauseflag", asked):
        word = "paused by admin"
    if as_tree:
        number = number_or_none(row.domid)
        xm.print(as_json({"name": row.name, "domid": number, "state": word or None}))
    elif word:
        xm.print(word)


def _state_word(state: str) -> str:
    """The first letter does not count, so a plain running domain has no word: as ever."""
    if not state:
        return "shutoff"
    words = {
        "s": "shutoff",
        "b": "idle",
        "d": "shutdown",
        "r": "running",
        "c": "crashed",
        "p": "paused",
    }
    return next((word for letter, word in words.items() if letter in state[1:]), "")


def uptime(xm: Xm, args: list[str]) -> None:
    flags, names = xm.flags("uptime", args, "s:short :json")
    rows = [DomainRow(record) for record in domain_records(xm, names)]
    if "json" in flags:
        seconds = [
            {"name": row.name, "domid": number_or_none(row.domid), "uptime": _seconds_up(row)}
            for row in rows
        ]
        xm.print(as_json(seconds))
        return
    if "short" not in flags:
        xm.print(f"{'Name':<33s} {'ID':>4s} Uptime ")
    for row in rows:
        minutes, seconds_left = _time_text(_seconds_up(row))
        if "short" in flags:
            xm.print(f"{_clock(xm)} up {minutes}, {row.name} ({row.domid})")
        else:
            xm.print(f"{row.name:<32s} {row.domid:>5s} {minutes}:{seconds_left:02d}")


def _seconds_up(row: DomainRow) -> int:
    if row.domid in ("", "-1") or (row.domid != "0" and row.start_time == -1):
        return 0
    if row.domid != "0":
        return int(time.time() - row.start_time + 0.5)
    with open("/proc/uptime") as file:
        return int(float(file.read().split(" ")[0]) + 0.5)


def _time_text(seconds: int) -> tuple[str, int]:
    days, seconds = divmod(seconds, 86400)
    hours, seconds = divmod(seconds, 3600)
    minutes, seconds = divmod(seconds, 60)
    prefix = f"{days} day{'s' if days > 1 else ''}, " if days > 0 else ""
    return f"{prefix}{hours:2d}:{minutes:02d}", seconds


def _clock(xm: Xm) -> str:
    return time.strftime(" %H:%M:%S", local_time(xm, time.time()))


def local_time(xm: Xm, seconds: float) -> time.struct_time:
    """The time of day where the caller is; a warm process lives in the daemon's time zone."""
    import os

    zone = xm.env.get("TZ")
    if zone is not None and os.environ.get("TZ") != zone:
        os.environ["TZ"] = zone
        time.tzset()
    return time.localtime(seconds)


def vcpu_list(xm: Xm, args: list[str]) -> None:
    names = [word for word in args if word != "--json"]
    wanted = names or xm.call("xend.domains_with_state", False, "all", False)
    infos = xm.call_each("xend.domain.getVCPUInfo", [(name,) for name in wanted])
    if len(names) < len(args):
        rows = [_vcpu_row(xm, info, vcpu) for info in infos for vcpu in children(info, "vcpu")]
        xm.print(as_json([row.as_dict() for row in rows]))
        return
    xm.print(_VCPU_HEADER)
    for info in infos:
        for vcpu in children(info, "vcpu"):
            xm.print(_vcpu_row(xm, info, vcpu).line())


class VcpuRow:
    """The columns of a virtual CPU."""

    def __init__(self, info: Any, vcpu: Any, affinity: str) -> None:
        domid = child_value(info, "domid")
        self.name = text_of(child_value(info, "name"))
        self.domid = "" if domid is None else text_of(domid)
        self.number = int(child_value(vcpu, "number"))
        self.cpu_time = float(child_value(vcpu, "cpu_time"))
        self.affinity = affinity
        self.cpu, self.state = _cpu_and_state(vcpu)

    def line(self) -> str:
        return (
            f"{self.name:<32s} {self.domid:>5s} {self.number:5d} {self.cpu:>5s} {self.state:>5s} "
            f" {self.cpu_time:8.1f} {self.affinity}"
        )

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "domid": number_or_none(self.domid),
            "vcpu": self.number,
            "cpu": number_or_none(self.cpu),
            "state": self.state or None,
            "cpu_time": self.cpu_time,
            "affinity": self.affinity,
        }


def _vcpu_row(xm: Xm, info: Any, vcpu: Any) -> VcpuRow:
    return VcpuRow(info, vcpu, _affinity(xm, child_value(vcpu, "cpumap")))


def _cpu_and_state(vcpu: Any) -> tuple[str, str]:
    cpu = int(child_value(vcpu, "cpu"))
    if cpu < 0:
        return "", ""
    if not int(child_value(vcpu, "online")):
        return "-", "--p"
    running = "r" if int(child_value(vcpu, "running")) else "-"
    blocked = "b" if int(child_value(vcpu, "blocked")) else "-"
    return str(cpu), f"{running}{blocked}-"


def _affinity(xm: Xm, cpumap: list[Any]) -> str:
    total = 0
    for item in xm.node_info()[1:]:
        if len(item) > 1 and item[0] == "nr_cpus":
            total = int(item[1])
    cpus = sorted({int(cpu) for cpu in cpumap if int(cpu) < total})
    if len(cpus) == total:
        return "any cpu"
    return cpu_ranges(cpus) if cpus else "no cpus"


def cpu_ranges(cpus: list[int]) -> str:
    """[0, 1, 3] as 0-1,3; sorted numbers only."""
    parts: list[str] = []
    first = last = cpus[0]
    for cpu in [*cpus[1:], -1]:
        if cpu == last + 1:
            last = cpu
            continue
        parts.append(str(first) if first == last else f"{first}-{last}")
        first = last = cpu
    return ",".join(parts)
