"""CPU pools."""

from __future__ import annotations

from xend.cli.failures import UsageError
from xend.cli.listing import print_sxp
from xend.cli.records import as_json, text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from xend.cli.app import Xm


def start(xm: Xm, args: list[str]) -> None:
    xm.call("xend.cpu_pool.start", args[0])


def destroy(xm: Xm, args: list[str]) -> None:
    xm.call("xend.cpu_pool.destroy", args[0])


def delete(xm: Xm, args: list[str]) -> None:
    xm.call("xend.cpu_pool.delete", args[0])


def cpu_add(xm: Xm, args: list[str]) -> None:
    xm.call("xend.cpu_pool.cpu_add", args[0], args[1])


def cpu_remove(xm: Xm, args: list[str]) -> None:
    xm.call("xend.cpu_pool.cpu_remove", args[0], args[1])


def migrate(xm: Xm, args: list[str]) -> None:
    xm.call("xend.cpu_pool.migrate", args[0], args[1])


def create(xm: Xm, args: list[str]) -> int:
    from xend.cli.poolconfig import pool_config

    config = pool_config(xm, "cpupool-create", args)
    if config is not None:
        xm.call("xend.cpu_pool.create", config)
    return 0


def new(xm: Xm, args: list[str]) -> int:
    from xend.cli.poolconfig import pool_config

    config = pool_config(xm, "cpupool-new", args)
    if config is not None:
        xm.call("xend.cpu_pool.new", config)
    return 0


class PoolRow:
    """A pool as the daemon describes it: `(uuid (key value…)…)`."""

    def __init__(self, record: Any) -> None:
        known = {child[0]: child[1:] for child in record[1:] if isinstance(child, list) and child}
        self.name = text_of(_first(known, "name_label"))
        self.policy = text_of(_first(known, "sched_policy"))
        self.active = bool(int(_first(known, "activated") or 0))
        self.wanted_cpus = int(_first(known, "ncpu") or 0)
        self.cpus = known.get("host_CPU_numbers", [])
        self.domains = known.get("started_VM_names", [])

    def line(self) -> str:
        count = len(self.cpus) if self.active else self.wanted_cpus
        domains = len(self.domains) if self.active else 0
        active = "y" if self.active else "n"
        return (
            f"{self.name:<16s}   {count:>3d}  {self.policy:>8s}       {active}          {domains}"
        )

    def cpu_line(self) -> str:
        cpus = sorted(self.cpus, key=_cpu_order) if self.active else []
        return f"{self.name:<16s} {','.join(map(text_of, cpus)) or '-'}"

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "scheduler": self.policy,
            "active": self.active,
            "cpus": sorted(self.cpus, key=_cpu_order),
            "domains": self.domains,
        }


def _first(known: dict[str, list[Any]], name: str) -> Any:
    return next(iter(known.get(name, [])), None)


def _cpu_order(cpu: Any) -> tuple[int, str]:
    text = text_of(cpu)
    return (int(text) if text.isdigit() else -1, text)


def list_pools(xm: Xm, args: list[str]) -> None:
    flags, names = xm.flags("cpupool-list", args, "l:long c:cpus :json")
    if len(names) > 1:
        raise UsageError("Only one cpupool name for selection allowed", "cpupool-list")
    records = xm.call("xend.cpu_pool.list", names)
    if names and not records:
        xm.error(f"Pool '{names[0]}' does not exist.")
    if "json" in flags:
        xm.print(as_json([PoolRow(record).as_dict() for record in records]))
    elif "long" in flags:
        print_sxp(xm, records)
    elif records:
        with_cpus = "cpus" in flags
        xm.print(
            f"{'Name':<16s} CPU list"
            if with_cpus
            else "Name               CPUs   Sched     Active   Domain count"
        )
        for row in map(PoolRow, records):
            xm.print(row.cpu_line() if with_cpus else row.line())
