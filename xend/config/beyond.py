"""What the original's dialect cannot say: a child `(xend (disks '[…]') …)`, each field as JSON.

It stands at the end of a config.sxp, and of a `(vm …)` made from a file that is not xm's.  An old
xend, and every old client, ignores it.
"""

from __future__ import annotations

import json
from typing import Any, Final

from xend.config import sxp
from xend.config.modelbuild import build_config
from xend.config.sxpvalues import invalid
from xend.model.domain import DomainConfig

NAME: Final = "xend"


def encode_beyond(config: DomainConfig, again: DomainConfig) -> list[sxp.Value]:
    """`again` is what is read back without it; found so, nothing can be forgotten."""
    lost = [
        name for name in DomainConfig.model_fields if getattr(again, name) != getattr(config, name)
    ]
    if not lost:
        return []
    values = config.model_dump(mode="json", include=set(lost))
    values |= config.model_dump(mode="json", include=set(lost), exclude_unset=True)
    fields: list[sxp.Value] = [[name, json.dumps(values[name])] for name in lost]
    return [[NAME, *fields]]


def apply_beyond(config: DomainConfig, tree: sxp.Value) -> DomainConfig:
    """Raises ConfigError for what is no JSON, or not what the field may hold."""
    texts = {
        str(child[0]): str(child[1])
        for child in sxp.children(sxp.child(tree, NAME) or [])
        if isinstance(child, list) and len(child) == 2
    }
    known = {name: text for name, text in texts.items() if name in DomainConfig.model_fields}
    if not known:
        return config
    try:
        values: dict[str, Any] = {name: json.loads(text) for name, text in known.items()}
    except (ValueError, RecursionError) as error:
        invalid(f"{NAME}: {error}", field=NAME, expected="JSON, as xend wrote it")
    needed = {"name": config.name, "uuid": config.uuid, "memory": config.memory}
    found = build_config(needed | {"maxmem": config.maxmem} | values)
    return config.model_copy(update={name: getattr(found, name) for name in values})
