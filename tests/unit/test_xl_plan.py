"""`xl create -n`: libxl's configuration as xl itself would have it, by what a real xl 4.17 said of
the same files (tests/data/xl)."""

from __future__ import annotations

from typing import Any

from tests.xlcases import cases, recorded
from tests.xlcompare import NODES
from xend.config.problems import InvalidFile
from xend.config.xlcfg import read
from xend.config.xldevice import plain_settings
from xend.libxl import marshal
from xend.libxl.inspector import as_xl

MADE_UP = ("uuid", "ms_vm_genid")
DEFAULTS: tuple[Any, ...] = (0, "", "none", [], {})
"""libxl writes down no field that has its default."""


def leaves(tree: Any, at: str = "") -> set[tuple[str, str]]:
    if isinstance(tree, dict):
        return {leaf for key, value in tree.items() for leaf in leaves(value, f"{at}.{key}")}
    if isinstance(tree, list) and tree:
        return {leaf for value in tree for leaf in leaves(value, f"{at}[]")}
    if tree in DEFAULTS or any(word in at for word in MADE_UP):
        return set()
    return {(at, str(tree))}


def test_five_of_six_files_are_planned_to_the_letter() -> None:
    """The rest differ in what xend decides and xl leaves to libxl: the backend of a disk, `all`
    CPUs but some, the screens of paravirtualised guests."""
    answers = recorded()
    differing, compared = [], 0
    for name, case in cases().items():
        tree = answers[name].tree
        if tree is None:
            continue
        try:
            config = read(case.text, filename=name, nodes=NODES).config
        except InvalidFile:
            continue
        compared += 1
        planned = as_xl(marshal.domain(config), plain_settings(case.text, name))
        if leaves(planned) != leaves(tree):
            differing.append(name)
    assert compared > 300
    assert len(differing) < compared / 6, differing
