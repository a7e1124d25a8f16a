"""What went into libxl must come out of it again.

libxl's JSON parser ignores keys that it does not know and values of another type, and reports
success.  So after parsing, the binding asks for the JSON back and compares.  libxl leaves out
what equals its default; all those defaults are false, 0, empty, or the name of an enum's first
value, which `marshal` never writes.

Imported by worker processes: keep it light.
"""

from __future__ import annotations

from typing import Any


class Dropped(Exception):
    """libxl lost or changed a value; `path` is where, e.g. `b_info.kernel`."""

    def __init__(self, path: str, given: Any, got: Any) -> None:
        self.path = path
        self.given = given
        self.got = got
        super().__init__(f"libxl did not take {path}={given!r} (it has {got!r})")


def check(given: Any, back: Any, path: str = "") -> None:
    """Raises Dropped for the first value of `given` that is not in `back`."""
    if isinstance(given, dict):
        kept = back if isinstance(back, dict) else {}
        if back is not None and kept is not back:
            raise Dropped(path, given, back)
        for key, value in given.items():
            check(value, kept.get(key), f"{path}.{key}" if path else key)
    elif isinstance(given, list):
        kept_list = [] if back is None else back
        if not isinstance(kept_list, list) or len(kept_list) != len(given):
            raise Dropped(path, given, back)
        for number, value in enumerate(given):
            check(value, kept_list[number], f"{path}[{number}]")
    elif back is None:
        if given:
            raise Dropped(path, given, back)
    elif not _same(given, back):
        raise Dropped(path, given, back)


def _same(given: Any, back: Any) -> bool:
    if isinstance(given, str) and isinstance(back, str):
        return given.lower() == back.lower()  # MAC addresses, UUIDs and enums change case
    return bool(given == back)
