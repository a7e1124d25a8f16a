"""Lists of CPUs: `0-3,5,^1`."""

from __future__ import annotations

from typing import Final

from xend.config import sxp
from xend.config.sxpvalues import invalid, text
from xend.errors import ConfigError
from xend.model.domain import MAX_AFFINITY

MAX_CPU: Final = 4095
_SHOWN: Final = 200
_MOST_WORK: Final = 1 << 20


def parse_cpus(spec: str) -> tuple[int, ...]:
    """The CPUs of a list in which a range adds and `^` takes away, from left to right; each once.

    Raises ValueError, whose text is the original's.
    """
    found: dict[int, None] = {}
    spent = 0
    for part in spec.split(",") if spec else []:
        if "-" in part:
            first, last = _two(part)
            if last - first > MAX_CPU or last > MAX_CPU:
                raise ValueError(f"{part}: more than {MAX_CPU} CPUs")
            spent += last - first
            if spent > _MOST_WORK:
                raise ValueError("more CPUs than any host has")
            found.update(dict.fromkeys(range(first, last + 1)))
        elif part.startswith("^"):
            found.pop(int(part[1:]), None)
        else:
            found[int(part)] = None
    return tuple(found)


def _two(part: str) -> tuple[int, int]:
    ends = part.split("-")
    if len(ends) > 2:
        raise ValueError("too many values to unpack")
    return int(ends[0]), int(ends[1])


def parse_affinity(cpus: sxp.Value, vcpus: int) -> tuple[tuple[int, ...], ...]:
    """The CPUs of each VCPU: one list for all of them, or a list of lists."""
    try:
        if isinstance(cpus, list):
            found = tuple(_one(item) for item in cpus)
        else:
            found = (parse_cpus(text(cpus, "cpus")),) * vcpus
    except ConfigError:
        raise
    except ValueError as error:
        shown = str(cpus) if isinstance(cpus, (str, int)) else sxp.show(cpus)
        invalid(
            f"cpus = {shown[:_SHOWN]}: {error}",
            field="cpus",
            value=cpus,
            expected="CPUs such as 0-3,5,^1",
        )
    if len(found) != vcpus:
        invalid(
            "vcpus and the item number of cpus are not same",
            field="cpus",
            value=sxp.show(cpus),
            expected=f"one item for each of {vcpus} vcpus",
        )
    if sum([len(one) for one in found]) > MAX_AFFINITY:
        invalid(
            f"cpus: more than {MAX_AFFINITY} CPUs for all vcpus together",
            field="cpus",
            value=sxp.show(cpus)[:_SHOWN],
        )
    if any(cpu < 0 or cpu > MAX_CPU for one in set(found) for cpu in one):
        invalid(f"cpus: CPUs are numbered 0 to {MAX_CPU}", field="cpus", value=sxp.show(cpus))
    return found if any(found) else ()


def _one(item: sxp.Value) -> tuple[int, ...]:
    if isinstance(item, list):
        return tuple(int(text(cpu, "cpus")) for cpu in item)
    return parse_cpus(text(item, "cpus"))
