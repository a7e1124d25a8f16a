"""`xm create` and `xm new` of a file of xl."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from xend.config import sxp, xlcfg
from xend.config.vmencode import encode_vm
from xend.config.xlcpus import Nodes
from xend.config.xlwrite import assignment

_NODES: Final = re.compile(r"\bnodes?:")


def tree_of_xl(
    text: str,
    path: str,
    given: Mapping[str, object],
    warn: Callable[[str], None],
    nodes: Callable[[], Nodes] | None = None,
) -> list[sxp.Value]:
    """The `(vm …)` to be sent.  `given` is what the command line sets: as if it stood at the end
    of the file, which is how xl has it.  `nodes` is asked only if the file names NUMA nodes."""
    whole = "\n".join([text, *(assignment(name, value) for name, value in given.items()), ""])
    topology = nodes() if nodes is not None and _NODES.search(whole) else None
    found = xlcfg.read(whole, filename=path, nodes=topology)
    for note in found.notes:
        if note.kind in ("ignored", "unknown"):
            warn(note.sentence(path))
    return encode_vm(found.config)
