"""What reading an old config.sxp changed: for people who move a host's domains.

The text is compared with what would be written in its place, child by child, so that nothing can
be lost without being named.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from xend.config import sxp
from xend.config.domainsxp import encode_managed
from xend.model.domain import DomainConfig

_OBSERVED: Final = frozenset(
    {
        *("domid", "state", "status", "start_time", "cpu_time", "up_time", "online_vcpus"),
        *("store_mfn", "console_mfn", "VCPUs_live", "shadow_memory", "resident_on"),
        *("tools_version", "image/notes"),
    }
)
"""What xend saw of the domain when it wrote the file; no configuration."""
_EMPTY: Final = frozenset({"", "()"})


def changes(text: str, config: DomainConfig) -> tuple[str, ...]:
    """`NAME: 'old' is now 'new'` or `NAME: 'old' is not kept`; `config` is what `text` says."""
    old = _leaves(sxp.parse_one(text))
    new = _leaves(sxp.parse_one(encode_managed(config)))
    found: list[str] = []
    for name, value in old.items():
        if _is_observed(name) or value in _EMPTY or new.get(name) == value:
            continue
        if name in new:
            found.append(f"{name}: '{value}' is now '{new[name]}'")
        elif name.split("/")[0] == "xend":
            continue  # The present ways have room for it.
        else:
            found.append(f"{name}: '{value}' is not kept")
    return tuple(found)


def _is_observed(name: str) -> bool:
    return any(name == seen or name.startswith(f"{seen}/") for seen in _OBSERVED)


def _leaves(tree: sxp.Value) -> dict[str, str]:
    found: dict[str, str] = {}
    if isinstance(tree, list):
        _collect(tree[1:], "", found)
    return found


def _collect(children: list[sxp.Value], above: str, found: dict[str, str]) -> None:
    """Children of the same name are numbered: the second `device/vbd` is `device/vbd.2`."""
    seen: Counter[str] = Counter()
    for child in children:
        if not isinstance(child, list) or not child:
            continue
        if isinstance(child[0], list):  # A list of pairs, without a name of its own.
            _collect(child, above, found)
            continue
        name = f"{above}{child[0]}"
        if name == "device" and len(child) > 1 and isinstance(child[1], list) and child[1]:
            kind = child[1]
            name, child = f"device/{kind[0]}", kind
        seen[name] += 1
        if seen[name] > 1:
            name = f"{name}.{seen[name]}"
        if any(isinstance(item, list) and item for item in child[1:]):
            _collect(child[1:], f"{name}/", found)
        else:
            found[name] = " ".join("()" if item == [] else str(item) for item in child[1:])
