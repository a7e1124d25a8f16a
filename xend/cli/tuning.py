"""Commands that give a domain more or less: memory, virtual CPUs, scheduler shares."""

from __future__ import annotations

from xend.cli.failures import INVALID_DOMAIN_FAULT, CommandFailed, Fault, UsageError
from xend.cli.getopts import GetoptError, getopt
from xend.cli.listing import domain_records
from xend.cli.records import DomainRow, as_json, number_or_none, text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from xend.cli.app import Xm

_MIB = 1024 * 1024
_UNITS = {"k": 1024, "m": _MIB, "g": 1024 * _MIB}


def memory_mib(xm: Xm, text: str) -> int:
    """MiB of a number with an optional unit k, m or g; ValueError when it is none."""
    if not text:
        raise ValueError("no number")
    letter = text[-1]
    if not letter.isalpha():
        return int(text)
    factor = _UNITS.get(letter.lower())
    if factor is None:
        xm.print("ignoring unknown unit")
        factor = 1
    return int(text[:-1]) * factor // _MIB


def mem_max(xm: Xm, args: list[str]) -> None:
    xm.call("xend.domain.maxmem_set", args[0], memory_mib(xm, args[1]))


def mem_set(xm: Xm, args: list[str]) -> None:
    xm.call("xend.domain.setMemoryTarget", args[0], memory_mib(xm, args[1]))


def vcpu_set(xm: Xm, args: list[str]) -> None:
    xm.call("xend.domain.setVCpuCount", args[0], int(args[1]))


def vcpu_pin(xm: Xm, args: list[str]) -> None:
    cpus = cpu_numbers("0-63" if args[2] == "all" else args[2])
    xm.call("xend.domain.pincpu", args[0], args[1], ",".join(map(str, sorted(cpus))))


def cpu_numbers(text: str) -> list[int]:
    """`0-3,^1` as [0, 2, 3]: later items win over earlier ones."""
    cpus: list[int] = []
    for item in text.split(","):
        if "-" in item:
            first, last = item.split("-")
            cpus += range(int(first), int(last) + 1)
        elif item.startswith("^"):
            cpus = [cpu for cpu in cpus if cpu != int(item[1:])]
        elif item:
            cpus.append(int(item))
    return cpus


class Scheduler:
    """A scheduler's command: what its parameters are called and how they are shown."""

    def __init__(self, policy: str, command: str, *columns: tuple[str, str, int]) -> None:
        self.policy = policy
        self.command = command
        self.columns = columns
        """Of each parameter: its name, its heading, the width of its column."""
        self.short = "d:" + "".join(f"{name[0]}:" for name, _, _ in columns)
        self.long = ("domain=", *(f"{name}=" for name, _, _ in columns), "json")

    def method(self, verb: str) -> str:
        return f"xend.domain.sched_{self.policy}_{verb}"


_CREDIT = Scheduler("credit", "sched-credit", ("weight", "Weight", 6), ("cap", "Cap", 4))
_CREDIT2 = Scheduler("credit2", "sched-credit2", ("weight", "Weight", 6))


def sched_credit(xm: Xm, args: list[str]) -> None:
    _schedule(xm, _CREDIT, args)


def sched_credit2(xm: Xm, args: list[str]) -> None:
    _schedule(xm, _CREDIT2, args)


def _schedule(xm: Xm, scheduler: Scheduler, args: list[str]) -> None:
    _require_policy(xm, scheduler.policy)
    try:
        options, _ = getopt(args, scheduler.short, scheduler.long)
    except GetoptError as error:
        raise UsageError(str(error), scheduler.command) from error
    given = {option.lstrip("-")[0]: value for option, value in options}
    wanted = given.get("d")
    values = [int(given[name[0]]) if name[0] in given else None for name, _, _ in scheduler.columns]
    rows = [row for row in map(DomainRow, domain_records(xm, [])) if row.matches(wanted)]
    if any(value is not None for value in values):
        if wanted is None:
            raise UsageError("No domain given.", scheduler.command)
        result = xm.call(scheduler.method("set"), wanted, *values)
        if result != 0:
            xm.error(text_of(result))
        return
    if wanted is not None and not rows:
        raise UsageError(f"Domain '{wanted}' does not exist.", scheduler.command)
    if "j" in given:
        xm.print(as_json([_share_json(xm, scheduler, row) for row in rows]))
    else:
        _show_shares(xm, scheduler, rows)


def _require_policy(xm: Xm, policy: str) -> None:
    current = "unknown"
    for item in xm.node_info()[1:]:
        if len(item) > 1 and item[0] == "xen_scheduler":
            current = item[1]
            break
    if current != policy:
        raise CommandFailed(f"Xen is running with the {current} scheduler")


def _show_shares(xm: Xm, scheduler: Scheduler, rows: list[DomainRow]) -> None:
    headings = " ".join(f"{heading:>{width}s}" for _, heading, width in scheduler.columns)
    xm.print(f"{'Name':<33s} {'ID':>4s} {headings}")
    for row in rows:
        share = _share(xm, scheduler, row)
        if share is not None:
            numbers = " ".join(f"{share[name]:{width}d}" for name, _, width in scheduler.columns)
            xm.print(f"{row.name:<32s} {row.domid:>5s} {numbers}")


def _share(xm: Xm, scheduler: Scheduler, row: DomainRow) -> dict[str, int] | None:
    """-1 for what the daemon does not tell; None when the domain has gone since it was listed."""
    try:
        answer: dict[str, Any] = xm.call(scheduler.method("get"), row.name)
    except Fault as fault:
        if fault.code == INVALID_DOMAIN_FAULT:
            return None
        raise
    names = [name for name, _, _ in scheduler.columns]
    if not all(name in answer for name in names):
        return dict.fromkeys(names, -1)
    return {name: int(answer[name]) for name in names}


def _share_json(xm: Xm, scheduler: Scheduler, row: DomainRow) -> dict[str, Any]:
    share = _share(xm, scheduler, row) or {}
    return {"name": row.name, "domid": number_or_none(row.domid), **share}
