"""xl's CPU pools."""

from __future__ import annotations

from xend.cli.failures import Exit
from xend.cli.xlcommand import number_at_start
from xend.cli.xlsched import find_pool
from xend.cli.xltuning import cpu_set

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from xend.cli.xlcommand import Xl

_SCHEDULERS = ("unknown", "sedf", "credit", "credit2", "arinc653", "rtds", "null")
"""libxl_scheduler of libxl_types.idl."""


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


def destroy(xl: Xl, args: list[str]) -> None:
    _, operands = xl.flags("cpupool-destroy", args, least=1)
    pool = find_pool(xl, operands[0])
    xl.require(f"Can't destroy cpupool '{operands[0]}'", "xend.cpu_pool.destroy", pool[1])


def cpu_add(xl: Xl, args: list[str]) -> None:
    """What goes wrong is told, but xl's status is 0."""
    _, operands = xl.flags("cpupool-cpu-add", args, least=2)
    cpus = cpu_set(xl, operands[1])
    pool = find_pool(xl, operands[0])
    if not _each(xl, "xend.cpu_pool.cpu_add", pool[1], cpus - set(pool[4])):
        xl.complain(f"some cpus may not have been added to {operands[0]}")


def cpu_remove(xl: Xl, args: list[str]) -> None:
    _, operands = xl.flags("cpupool-cpu-remove", args, least=2)
    name = operands[0]
    cpus = cpu_set(xl, operands[1])
    pool = find_pool(xl, name)
    if not _each(xl, "xend.cpu_pool.cpu_remove", pool[1], cpus & set(pool[4])):
        xl.complain(f"Some cpus may not have or only partially been removed from '{name}'.")
        xl.complain(
            f"If a cpu can't be added to another cpupool, add it to '{name}' again and retry."
        )


def _each(xl: Xl, method: str, pool: str, cpus: set[int]) -> bool:
    """Whether it went well for every CPU."""
    done = [xl.tolerate(method, pool, cpu) for cpu in sorted(cpus)]
    return all(done)


def migrate(xl: Xl, args: list[str]) -> None:
    _, operands = xl.flags("cpupool-migrate", args, least=2)
    word, name = operands[:2]
    domid = int(word) if word.isascii() and word.isdigit() else xl.domid_of(word)
    if domid is None or xl.row(domid) is None:
        xl.complain(f"unknown domain '{word}'")
        raise Exit(1)
    pool = find_pool(xl, name)
    xl.require("the domain was not moved", "xend.cpu_pool.migrate", domid, pool[1])


def create(xl: Xl, args: list[str]) -> int:
    options, operands = xl.options("cpupool-create", args, "n/dryrun f:/defconfig")
    given = dict(options)
    file = given.get("f")
    settings = []
    for word in operands:
        if "=" in word:
            settings.append(word)
        elif file is None:
            file = word
        else:
            xl.help("cpupool-create")
            return 1
    text = _read(xl, file) + "".join(f"\n{word}" for word in settings) + "\n"
    source = file or "command line"
    wanted = _Wanted(xl, xl.call("xend.private.settings", text, source), file)
    xl.print(f'Using config file "{source}"')
    xl.print(f"cpupool name:   {wanted.name}")
    xl.print(f"scheduler:      {wanted.scheduler}")
    xl.print(f"number of cpus: {len(wanted.cpus)}")
    if not xl.dry_run and "n" not in given:
        words = (wanted.name, wanted.scheduler, sorted(wanted.cpus))
        xl.require("error on creating cpupool", "xend.private.pool_create", *words)
    return 0


class _Wanted:
    """A pool as xlcpupool.cfg(5) describes it; Exit when it cannot be."""

    def __init__(self, xl: Xl, settings: dict[str, Any], file: str | None) -> None:
        self._xl = xl
        host = xl.call("xend.private.host", True)
        pools = xl.call("xend.private.pools")
        name = settings.get("name") or (file or "").rpartition("/")[2]
        self.name = str(name) or self._refuse("Missing cpupool name!")
        if any(pool[1] == self.name for pool in pools):
            self._refuse(f'Pool name "{self.name}" already exists')
        self.scheduler = str(settings.get("sched", host["xen_scheduler"]))
        if self.scheduler not in _SCHEDULERS:
            self._refuse("Unknown scheduler")
        taken = {cpu for pool in pools for cpu in pool[4]}
        self._free = set(range(len(host["cpu_topology"]))) - taken
        self.cpus = self._cpus(settings, host["cpu_topology"])

    def _cpus(self, settings: dict[str, Any], topology: list[list[int]]) -> set[int]:
        if isinstance(nodes := settings.get("nodes"), list):
            wanted = {number_at_start(node) or 0 for node in nodes}
            found = {cpu for cpu, (_, _, node) in enumerate(topology) if node in wanted}
            return found & self._free or self._refuse("no free cpu found")
        listed = settings.get("cpus", [])
        if isinstance(listed, str):
            cpus = cpu_set(self._xl, listed)
        else:
            cpus = {number_at_start(cpu) or 0 for cpu in listed}
        for cpu in sorted(cpus - self._free):
            self._refuse(f"cpu {cpu} illegal or not free")
        return cpus

    def _refuse(self, message: str) -> NoReturn:
        self._xl.complain(message)
        raise Exit(1)


def _read(xl: Xl, file: str | None) -> str:
    if file is None:
        return ""
    try:
        with open(file, encoding="utf-8", errors="surrogateescape") as opened:
            return opened.read()
    except OSError as error:
        xl.complain(f"Failed to read config file: {file}: {error.strerror}")
        raise Exit(1) from error
