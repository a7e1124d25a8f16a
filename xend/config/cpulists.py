"""Lists of CPUs: `0-3,5,^1`."""

from __future__ import annotations

from typing import Final

from xend.config import sxp
from xend.config.sxpvalues import invalid, text
from xend.errors import ConfigError

MAX_CPU: Final = 4095


def parse_cpus(spec: str) -> tuple[int, ...]:
    """The CPUs of a list in which a range adds and `^` takes away, from left to right.

    Raises ValueError, whose text is the original's.
    """
    found: list[int] = []
    for part in spec.split(",") if spec else []:
        if "-" in part:
            first, last = _two(part)
            if last - first > MAX_CPU:
                raise ValueError(f"{part}: more than {MAX_CPU} CPUs")
            found.extend(range(first, last + 1))
        elif part.startswith("^"):
            away = int(part[1:])
            found = [cpu for cpu in found if cpu != away]
        else:
            found.append(int(part))
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
        invalid(
            f"cpus = {cpus if isinstance(cpus, (str, int)) else sxp.show(cpus)}: {error}",
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
    if any(cpu < 0 or cpu > MAX_CPU for one in found for cpu in one):
        invalid(f"cpus: CPUs are numbered 0 to {MAX_CPU}", field="cpus", value=sxp.show(cpus))
    return found if any(found) else ()


def _one(item: sxp.Value) -> tuple[int, ...]:
    if isinstance(item, list):
        return tuple(int(text(cpu, "cpus")) for cpu in item)
    return parse_cpus(text(item, "cpus"))
