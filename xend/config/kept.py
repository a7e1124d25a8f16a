"""Which of the settings that a model only keeps (`DomainConfig.other`) an SXP can show.

They may come from REST, where anything goes; what does not have the form that old clients know is
not shown to them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from xend.config.sxpkeys import KEPT


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _is_mask(value: object) -> bool:
    return isinstance(value, int) and value > 0


def _is_pairs(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(key, str) and isinstance(item, str) for key, item in value.items()
    )


def _is_leaves(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(leaf, str) and _is_pairs(registers) for leaf, registers in value.items()
    )


_KINDS: Final[dict[str, Callable[[object], bool]]] = {
    "int": _is_int,
    "flag": lambda value: isinstance(value, bool),
    "text": _is_text,
}
_FORMS: Final[dict[str, Callable[[object], bool]]] = {
    **{name: _KINDS[kind] for name, kind in KEPT.items()},
    "image_type": _is_text,
    "pci_uuid": _is_text,
    "vcpu_avail": _is_mask,
    "notes": _is_pairs,
    "vcpus_params": _is_pairs,
    "other_config": _is_pairs,
    "tools_version": _is_pairs,
    "cpuid": _is_leaves,
    "cpuid_check": _is_leaves,
}


def showable(other: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that have a form old clients know."""
    return {name: value for name, value in other.items() if name in _FORMS and _FORMS[name](value)}
