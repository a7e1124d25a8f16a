"""CPUs of an xl file: how many, where they run, and the guest's own NUMA topology."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from xend.config.xlgrammar import XlList, XlText
from xend.config.xlnumbers import span, whole
from xend.config.xlsettings import XlSettings
from xend.model.peripherals import VirtualNode

Nodes = Mapping[int, Sequence[int]]
"""CPUs of each NUMA node of a host."""

MOST_VCPUS: Final = 4096
_ANY: Final = 256
"""How many CPUs `all` stands for when some are taken away from it again; Xen leaves out those
that there are not."""
_EVERY: Final = (1 << _ANY) - 1
_MOST_CPU: Final = 4095
_MOST_BITS: Final = 1 << 18
"""CPUs in all rows together."""
_MOST_NODES: Final = 64
"""MAX_NUMNODES of Xen."""
_UINT: Final = 2**32 - 1


class CpuReader:
    """`nodes` is the host's topology, None if it is not known."""

    def __init__(self, settings: XlSettings, nodes: Nodes | None) -> None:
        self._settings = settings
        self._nodes = nodes
        self._total = 0
        self._complained = False

    def fields(self) -> dict[str, Any]:
        """Fields of the model; those of memory too if there is a NUMA topology."""
        numa, total, counted = self._vnuma()
        fields: dict[str, Any] = self._counts(counted)
        vcpus = fields["vcpus"]
        fields["affinity"] = self._affinity("cpus", vcpus)
        fields["affinity_soft"] = self._affinity("cpus_soft", vcpus)
        if numa:
            fields |= {"vnuma": numa, "maxmem": total}
        return fields

    def _counts(self, of_nodes: int | None) -> dict[str, Any]:
        """libxl brings one VCPU up if the file does not say how many."""
        settings = self._settings
        vcpus = settings.number("vcpus", 0, MOST_VCPUS) or 0
        most = settings.number("maxvcpus", 0, MOST_VCPUS) or 0
        if of_nodes is not None and most and most != of_nodes:
            settings.wrong(
                "maxvcpus",
                settings.at("maxvcpus"),
                f"maxvcpus: {most}, but the nodes of vnuma have {of_nodes} VCPUs",
                str(of_nodes),
            )
            most = of_nodes
        most = most or of_nodes or vcpus
        if vcpus > max(most, 1):
            settings.wrong(
                "vcpus", settings.at("vcpus"), f"vcpus: {vcpus} is more than maxvcpus, {most}"
            )
            vcpus = most
        online = vcpus or 1
        return {"vcpus": most or 1, "vcpus_online": online if online != (most or 1) else None}

    def _affinity(self, name: str, vcpus: int) -> tuple[tuple[int, ...], ...]:
        """One row for each VCPU; an empty row means any CPU."""
        value = self._settings.value(name)
        if value is None:
            return ()
        if isinstance(value, XlText):
            return (self._row(name, value),) * vcpus
        listed = self._settings.texts_of(name, value)
        rows = [self._row(name, item) for item in listed[:vcpus]]
        return tuple(rows + [()] * (vcpus - len(rows))) if any(rows) else ()

    def _row(self, name: str, item: XlText) -> tuple[int, ...]:
        cpus = 0
        for word in item.text.split(","):
            if not word:
                continue
            changed = self._changed(name, item, word, cpus)
            if changed is None:
                return ()
            cpus = changed
        if not cpus:
            self._settings.wrong(name, item, f"{name}: '{item.text[:40]}' leaves no CPU", "0-3,^1")
        return () if cpus & _EVERY == _EVERY else self._bits(name, item, cpus)

    def _bits(self, name: str, item: XlText, mask: int) -> tuple[int, ...]:
        self._total += mask.bit_count()
        if self._total <= _MOST_BITS:
            return tuple(bit for bit in range(mask.bit_length()) if mask >> bit & 1)
        if not self._complained:
            self._complained = True
            self._settings.wrong(
                name, item, f"{name}: this and what is before it names more than {_MOST_BITS} CPUs"
            )
        return ()

    def _changed(self, name: str, item: XlText, word: str, cpus: int) -> int | None:
        """CPUs (a bit each) with a part of a row, or without it (`^`); None if it is wrong."""
        bare = word.removeprefix("^")
        if bare in ("all", "node:all", "nodes:all") and bare == word:
            return cpus | _EVERY
        of_nodes = bare.startswith(("node:", "nodes:"))
        bounds = span(bare.partition(":")[2] if of_nodes else bare)
        if bounds is None or bounds[1] > _MOST_CPU:
            self._settings.wrong(
                name, item, f"{name}: '{word[:40]}' is no range of CPUs", "3, 0-3, ^1, all, node:0"
            )
            return None
        chosen = self._of_nodes(name, item, word, bounds) if of_nodes else _mask(bounds)
        if chosen is None:
            return None
        return cpus & ~chosen if word.startswith("^") else cpus | chosen

    def _of_nodes(self, name: str, item: XlText, word: str, bounds: tuple[int, int]) -> int | None:
        if self._nodes is None:
            self._settings.wrong(
                name,
                item,
                f"{name}: '{word[:40]}': the NUMA nodes of the host are not known here",
                "the numbers of the CPUs (xl info -n shows them)",
            )
            return None
        chosen = 0
        for node in range(bounds[0], bounds[1] + 1):
            if node not in self._nodes:
                self._no_node(name, item, node)
                return None
            for cpu in self._nodes[node]:
                chosen |= 1 << cpu
        return chosen

    def _no_node(self, name: str, item: XlText, node: int) -> None:
        expected = f"0 to {max(self._nodes or (), default=0)}"
        self._settings.wrong(name, item, f"{name}: the host has no NUMA node {node}", expected)

    def _vnuma(self) -> tuple[tuple[VirtualNode, ...], int, int | None]:
        """Nodes, their memory in KiB and the number of their VCPUs (None if there are no nodes)."""
        settings = self._settings
        if not isinstance(settings.value("vnuma"), XlList):
            settings.items("vnuma")
            return (), 0, None
        listed = settings.lists("vnuma")
        if len(listed) > _MOST_NODES:
            settings.wrong(
                "vnuma", listed[-1], f"vnuma: {len(listed)} nodes", f"at most {_MOST_NODES}"
            )
            return (), 0, None
        nodes = [self._node(each) for each in listed]
        if not nodes:
            return (), 0, None
        total = sum(node.memory for node in nodes)
        most = settings.number("maxmem", 0)
        if most is not None and most * 1024 != total:
            settings.wrong(
                "maxmem",
                settings.at("maxmem"),
                f"maxmem: {most}, but the nodes of vnuma have {total // 1024} MiB",
                str(total // 1024),
            )
        return tuple(nodes), total, sum(len(node.vcpus) for node in nodes)

    def _node(self, spec: XlList) -> VirtualNode:
        fields: dict[str, Any] = {"memory": 0}
        for item in self._settings.texts_of("vnuma", spec):
            name, equals, value = (part.strip() for part in item.text.partition("="))
            if not equals or not name or not value:
                self._settings.wrong(
                    "vnuma", item, f"vnuma: '{item.text[:40]}' is no pair", "such as pnode=0"
                )
            elif name == "pnode":
                fields["pnode"] = self._pnode(item, value)
            elif name == "size":
                fields["memory"] = (self._whole(item, value) or 0) * 1024
            elif name == "vcpus":
                fields["vcpus"] = self._vcpus(item, value)
            elif name == "vdistances":
                distances = [self._whole(item, word) for word in value.split(",") if word]
                fields["distances"] = tuple(distance or 0 for distance in distances)
            else:
                self._settings.passed_over(
                    "vnuma", item, "unknown", f"vnuma: '{name[:40]}' is nothing that a node has"
                )
        return VirtualNode(**fields)

    def _whole(self, item: XlText, word: str) -> int | None:
        number = whole(word.strip(), 10)
        if number is None or not 0 <= number <= _UINT:
            self._settings.wrong(
                "vnuma", item, f"vnuma: '{word[:40]}' is not a number", f"0 to {_UINT}"
            )
            return None
        return number

    def _pnode(self, item: XlText, value: str) -> int | None:
        number = self._whole(item, value)
        if number is not None and self._nodes is not None and number not in self._nodes:
            self._no_node("vnuma", item, number)
        return number

    def _vcpus(self, item: XlText, value: str) -> tuple[int, ...]:
        found = 0
        for word in value.split(","):
            bounds = span(word)
            if bounds is None or bounds[1] >= MOST_VCPUS:
                self._settings.wrong(
                    "vnuma", item, f"vnuma: '{word[:40]}' is no range of VCPUs", "such as 0-3"
                )
            else:
                found |= _mask(bounds)
        return self._bits("vnuma", item, found)


def _mask(bounds: tuple[int, int]) -> int:
    return (1 << bounds[1] + 1) - (1 << bounds[0])
