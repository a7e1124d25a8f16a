"""What `xm create` sends of a file of xl, and what it says of it."""

from __future__ import annotations

from typing import Any

from xend.config import sxp, xlcfg
from xend.config.problems import InvalidFile
from xend.config.vmencode import encode_vm
from xend.config.xlcpus import Nodes


def request_of(text: str, filename: str, nodes: Nodes | None = None) -> dict[str, Any]:
    """`{vm, notes, problems}`: the `(vm …)` as it is sent, and sentences.  With problems there is
    nothing else."""
    try:
        found = xlcfg.read(text, filename=filename, nodes=nodes)
    except InvalidFile as error:
        return {"vm": [], "notes": [], "problems": str(error).splitlines()}
    notes = [each.sentence(filename) for each in found.notes if each.kind in ("ignored", "unknown")]
    return {"vm": sxp.wire(encode_vm(found.config)), "notes": notes, "problems": []}
