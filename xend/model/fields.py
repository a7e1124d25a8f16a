"""One row per setting: what each face calls it, and in which unit.

The row sits on the field itself (``Annotated[int, Setting(...)]``), so that a setting cannot be
added to the model and forgotten in the table.  `rows()` is what codecs, documentation and tests
read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import BaseModel


@dataclass(frozen=True, slots=True)
class Setting:
    """Names of one setting; None where that face has no such setting.

    `unit` is the unit in the faces (the model itself always holds KiB for memory);
    `libxl` is a dotted path in libxl's JSON of a `libxl_domain_config`.
    """

    xm: str | None = None
    xl: str | None = None
    sxp: str | None = None
    xenapi: str | None = None
    libxl: str | None = None
    unit: str | None = None
    note: str = ""


def rows(model: type[BaseModel]) -> Iterator[tuple[str, Setting]]:
    """(field name, row) of each field of `model` that has a row."""
    for name, field in model.model_fields.items():
        for extra in field.metadata:
            if isinstance(extra, Setting):
                yield name, extra
