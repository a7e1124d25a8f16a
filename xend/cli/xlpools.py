"""xl's CPU pools."""

from __future__ import annotations

from xend.cli.failures import Exit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xend.cli.xlcommand import Xl


def list_pools(xl: Xl, args: list[str]) -> None:
    flags, operands = xl.flags("cpupool-list", args, "c/cpus")
    pools = xl.call("xend.private.pools")
    if operands:
        pools = [pool for pool in pools if pool[1] == operands[0]]
        if not pools:
            xl.complain(f"Pool '{operands[0]}' does not exist")
            raise Exit(1)
    with_cpus = "c" in flags
    title = "CPU list" if with_cpus else "CPUs   Sched     Active   Domain count"
    xl.print(f"{'Name':<19s}{title}")
    for _, name, scheduler, domains, cpus in pools:
        if with_cpus:
            xl.print(f"{name:<19s}{','.join(map(str, cpus))}")
        else:
            xl.print(f"{name:<19s}{len(cpus):3d} {scheduler:>9s}       y       {domains:4d}")
