"""One row per setting: what each face calls it, its kind, unit and default.

The row of a field sits on the field itself (``Annotated[int, Setting(...)]``), so that a setting
cannot be added to the model and forgotten in the table; the rows of `DomainConfig.platform` are in
`xend.model.platform`.  Codecs, `xend check` and docs/config-options.md read these rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel


class Kind(StrEnum):
    """What a setting holds, and how libxl's JSON spells it."""

    FLAG = "boolean"
    """0 or 1; left out where nobody said anything.  A `defbool` in libxl."""
    INT = "number"
    MIB = "MiB"
    """A number of MiB; KiB in libxl (a `MemKB`)."""
    TEXT = "text"
    TEXTS = "list of texts"
    TEXT_OR_TEXTS = "text or list of texts"
    CHOICE = "choice"
    """One of `choices`, or its number."""
    SPECIAL = "special"
    """A codec of its own."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Names of one setting; None where that face has no such setting.

    `unit` is the unit in the faces (the model itself holds memory in KiB).  `libxl` is where it
    goes in libxl's JSON: of a domain's setting a path from the top, whose `hvm.`, `pv.` or `pvh.`
    stands for that type's part of `b_info`; of a device's a key of its own object.
    `xm_default` and `xl_default` are what leaving it out means in these files.
    """

    xm: str | None = None
    xl: str | None = None
    sxp: str | None = None
    xenapi: str | None = None
    libxl: str | None = None
    unit: str | None = None
    note: str = ""
    kind: Kind | None = None
    choices: tuple[str, ...] = ()
    low: int | None = None
    high: int | None = None
    xm_default: str = ""
    xl_default: str = ""


def rows(model: type[BaseModel]) -> Iterator[tuple[str, Setting]]:
    """(field name, row) of each field of `model` that has a row."""
    for name, field in model.model_fields.items():
        for extra in field.metadata:
            if isinstance(extra, Setting):
                yield name, extra
