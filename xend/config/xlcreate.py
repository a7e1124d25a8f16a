"""`xm create` and `xm new` of a file of xl."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from xend.config import sxp, xlcfg
from xend.config.vmencode import encode_vm
from xend.config.xlwrite import assignment


def tree_of_xl(
    text: str, path: str, given: Mapping[str, object], warn: Callable[[str], None]
) -> list[sxp.Value]:
    """The `(vm …)` to be sent.  `given` is what the command line sets: as if it stood at the end
    of the file, which is how xl has it."""
    lines = [assignment(name, value) for name, value in given.items()]
    found = xlcfg.read("\n".join([text, *lines, ""]), filename=path)
    for note in found.notes:
        if note.kind in ("ignored", "unknown"):
            warn(note.sentence(path))
    return encode_vm(found.config)
