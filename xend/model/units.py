"""Units as types, so that KiB and MiB cannot be mixed without mypy noticing."""

from __future__ import annotations

from typing import NewType

Domid = NewType("Domid", int)
KiB = NewType("KiB", int)
MiB = NewType("MiB", int)
Nanoseconds = NewType("Nanoseconds", int)

DOM0 = Domid(0)
DOM0_NAME = "Domain-0"
DOM0_UUID = "00000000-0000-0000-0000-000000000000"


def kib(mib: int) -> KiB:
    return KiB(mib * 1024)


def mib(amount: KiB) -> MiB:
    """Rounded down, as the original did."""
    return MiB(amount // 1024)
