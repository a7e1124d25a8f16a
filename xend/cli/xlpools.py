"""xl's CPU pools."""

from __future__ import annotations

import time

from xend.cli.failures import Exit
from xend.cli.xlcommand import left, number_at_start
from xend.cli.xlsched import find_pool
from xend.cli.xltuning import cpu_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from xend.cli.xlcommand import Xl

_SCHEDULERS = {
    "unknown": 0,
    "sedf": 4,
    "credit": 5,
    "credit2": 6,
    "arinc653": 7,
    "rtds": 8,
    "null": 9,
}
"""libxl_scheduler of libxl_types.idl."""
_SPLIT_PATIENCE = 10
"""Seconds that Domain-0 has to give up virtual CPUs."""


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
            xl.print(f"{left(name, 19)}{','.join(map(str, cpus))}")
        else:
            xl.print(f"{left(name, 19)}{len(cpus):3d} {scheduler:>9s}       y       {domains:4d}")


def destroy(xl: Xl, args: list[str]) -> None:
    _, operands = xl.flags("cpupool-destroy", args, least=1)
    pool = find_pool(xl, operands[0])
    message = f"Can't destroy cpupool '{operands[0]}'"
    xl.require(message, "xend.cpu_pool.destroy", str(pool[0]))


def rename(xl: Xl, args: list[str]) -> None:
    _, operands = xl.flags("cpupool-rename", args, least=2)
    pool = find_pool(xl, operands[0])
    message = f"Can't rename cpupool '{operands[0]}'"
    xl.require(message, "xend.private.pool_rename", str(pool[0]), operands[1])


def cpu_add(xl: Xl, args: list[str]) -> None:
    """What goes wrong is told, but xl's status is 0."""
    _, operands = xl.flags("cpupool-cpu-add", args, least=2)
    cpus = cpu_map(xl, operands[1])
    pool = find_pool(xl, operands[0])
    if not _each(xl, "xend.cpu_pool.cpu_add", pool, cpus):
        xl.complain(f"some cpus may not have been added to {operands[0]}")


def cpu_remove(xl: Xl, args: list[str]) -> None:
    _, operands = xl.flags("cpupool-cpu-remove", args, least=2)
    name = operands[0]
    cpus = cpu_map(xl, operands[1])
    pool = find_pool(xl, name)
    if not _each(xl, "xend.cpu_pool.cpu_remove", pool, cpus):
        xl.complain(f"Some cpus may have not or only partially been removed from '{name}'.")
        xl.complain(
            f"If a cpu can't be added to another cpupool, add it to '{name}' again and retry."
        )


def _each(xl: Xl, method: str, pool: list[Any], cpus: set[int]) -> bool:
    """Whether it went well for every CPU."""
    done = [xl.tolerate(method, str(pool[0]), cpu) for cpu in sorted(cpus)]
    return all(done)


def migrate(xl: Xl, args: list[str]) -> None:
    _, operands = xl.flags("cpupool-migrate", args, least=2)
    word, name = operands[:2]
    domid = int(word) if word.isascii() and word.isdigit() else xl.domid_of(word)
    if domid is None or xl.row(domid) is None:
        xl.complain(f"unknown domain '{word}'")
        raise Exit(1)
    pool = find_pool(xl, name)
    if not xl.tolerate("xend.cpu_pool.migrate", domid, str(pool[0])):
        raise Exit(1)


def numa_split(xl: Xl, args: list[str]) -> None:
    """Pool 0 keeps the first CPU's node; each other node becomes a pool of its own."""
    xl.flags("cpupool-numa-split", args)
    first, *more = xl.call("xend.private.pools")
    if more:
        xl.complain("splitting not possible, already cpupools in use")
        raise Exit(1)
    nodes: dict[int, set[int]] = {}
    for cpu, (_, _, node) in enumerate(xl.call("xend.private.host", True)["cpu_topology"]):
        nodes.setdefault(node, set()).add(cpu)
    home, *others = nodes
    mine = set(first[4])
    _each(xl, "xend.cpu_pool.cpu_add", first, nodes[home] - mine)
    name = f"Pool-node{home}"
    if first[1] != name:
        xl.require("error on renaming Pool 0", "xend.private.pool_rename", "0", name)
    _shrink_dom0(xl, len(nodes[home]))
    for node in others:
        for cpu in sorted(nodes[node] & mine):
            message = "error on removing cpu from Pool 0"
            xl.require(message, "xend.cpu_pool.cpu_remove", "0", cpu)
        wanted = (f"Pool-node{node}", first[2], sorted(nodes[node]))
        xl.require("error on creating cpupool", "xend.private.pool_create", *wanted)


def _shrink_dom0(xl: Xl, most: int) -> None:
    """To as many virtual CPUs as there are CPUs for it."""
    dom0 = xl.row(0)
    if dom0 is None or dom0.vcpus <= most:
        return
    message = "error on removing vcpus for Domain-0"
    xl.require(message, "xend.domain.setVCpuCount", 0, most)
    for _ in range(_SPLIT_PATIENCE):
        if any(row.domid == 0 and row.vcpus <= most for row in xl.look()):
            return
        time.sleep(1)
    xl.complain("failed to offline vcpus")
    raise Exit(1)


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
    xl.print(f"number of cpus: {wanted.count}")
    if not xl.dry_run and "n" not in given:
        words = (wanted.name, wanted.scheduler, sorted(wanted.cpus))
        if not xl.tolerate("xend.private.pool_create", *words):
            xl.complain("error on creating cpupool")
            return wanted.failed
    return 0


class _Wanted:
    """A pool as xlcpupool.cfg(5) describes it; Exit when it cannot be."""

    def __init__(self, xl: Xl, settings: dict[str, Any], file: str | None) -> None:
        self._xl = xl
        self.failed = 1
        """Exit status: that of xl, where the number of the host's scheduler has got into it."""
        host = xl.call("xend.private.host", True)
        pools = xl.call("xend.private.pools")
        name = settings.get("name") or (file or "").rpartition("/")[2]
        self.name = str(name) or self._refuse("Missing cpupool name!")
        if any(pool[1] == self.name for pool in pools):
            self._refuse(f'Pool name "{self.name}" already exists')
        self.scheduler = str(settings.get("sched", host["xen_scheduler"])).lower()
        if self.scheduler not in _SCHEDULERS:
            self._refuse("Unknown scheduler")
        if "sched" not in settings:
            self.failed = _SCHEDULERS[self.scheduler]
        taken = {cpu for pool in pools for cpu in pool[4]}
        self._free = set(range(len(host["cpu_topology"]))) - taken
        cpus = self._cpus(settings, host["cpu_topology"])
        self.count = len(cpus)
        """As xl counts: one that is named twice is two."""
        self.cpus = set(cpus)

    def _cpus(self, settings: dict[str, Any], topology: list[list[int]]) -> list[int]:
        if isinstance(nodes := settings.get("nodes"), list):
            wanted = [number_at_start(node) or 0 for node in nodes]
            found = [cpu for node in wanted for cpu, at in enumerate(topology) if at[2] == node]
            return [cpu for cpu in found if cpu in self._free] or self._refuse("no free cpu found")
        listed = settings.get("cpus", [])
        if isinstance(listed, str):
            cpus = self._range(listed)
        else:
            cpus = [number_at_start(cpu) or 0 for cpu in listed]
        for cpu in cpus:
            if cpu not in self._free:
                self._refuse(f"cpu {cpu} illegal or not free")
        return cpus

    def _range(self, text: str) -> list[int]:
        try:
            return sorted(cpu_map(self._xl, text))
        except Exit as end:
            raise Exit(self.failed) from end

    def _refuse(self, message: str) -> NoReturn:
        self._xl.complain(message)
        raise Exit(self.failed)


def _read(xl: Xl, file: str | None) -> str:
    if file is None:
        return ""
    try:
        with open(file, encoding="utf-8", errors="surrogateescape") as opened:
            return opened.read()
    except OSError as error:
        xl.complain(f"Failed to read config file: {file}: {error.strerror}")
        raise Exit(1) from error
