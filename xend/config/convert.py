"""A file as a static one of another kind; a remark for each thing that was not copied as it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from xend.config import sxp
from xend.config.anyfile import AnyFile
from xend.config.checkxm import NOBODY, nameless
from xend.config.vmencode import encode_vm
from xend.config.xltext import XlText
from xend.model.domain import DomainConfig
from xend.model.table import DROPPED, names, split, table

Target = Literal["xl", "sxp", "json"]
TARGETS: Final[tuple[Target, ...]] = ("xl", "sxp", "json")

_WIDTH: Final = 90


@dataclass(frozen=True, slots=True)
class Converted:
    """`remarks` are those that the text has no place for: JSON has no comments."""

    text: str
    remarks: tuple[str, ...] = ()


def convert(file: AnyFile, target: Target) -> Converted:
    """Of a file without problems.  What it does not say (uuid, MAC) is left unsaid."""
    config = file.config
    assert config is not None, "a file with problems has no configuration"
    shown = " ".join(file.path.split())
    head = [f"Made by xend convert from {shown} (a file of {file.dialect})."]
    comments = _computed(file)
    for note in file.notes:
        _remark(comments, note.field, f"line {note.line}: {note.message}")
    if target == "xl":
        return _to_xl(file, config, head, comments)
    remarks = [text for texts in comments.values() for text in texts]
    if target == "sxp":
        tree = _without_nobody(sxp.parse_one(sxp.show(encode_vm(config, nameless()))))
        lines = "".join(f"# {line}\n" for line in [*head, *remarks])
        return Converted(lines + sxp.pretty(tree))
    always = config.model_dump(mode="json", include={"name", "uuid", "type", "memory"})
    said = config.model_dump(mode="json", exclude_defaults=True)
    document = _without_nobody(always | said)
    return Converted(json.dumps(document, indent=2) + "\n", tuple(remarks))


def _to_xl(
    file: AnyFile, config: DomainConfig, head: list[str], comments: dict[str, list[str]]
) -> Converted:
    if file.dialect == "xl":
        return Converted(XlText(config).text(comments, head))
    written = XlText(config)
    there = {name for name, _ in written.lines}
    moved: dict[str, list[str]] = {}
    for name, texts in comments.items():
        for text in texts:
            _remark(moved, _name_in_xl(name, there), text)
    if file.dialect == "xm":
        _replaced(file, there, moved)
    for name, reason in written.lost:
        if file.places is not None and name in names("xm") and not file.places.is_set(name):
            continue  # a default of xm
        _remark(moved, f"lost {name}", f"NOT TAKEN OVER: {reason}")
    return Converted(written.text(moved, head))


def _computed(file: AnyFile) -> dict[str, list[str]]:
    """By option of an xm file: where its value came out of a program."""
    comments: dict[str, list[str]] = {}
    if file.places is not None:
        for name in sorted(names("xm")):
            source = file.places.computed(name)
            if source:
                line, _ = file.places.place(name)
                _remark(comments, name, f"{name} was computed (line {line}): {source[:_WIDTH]}")
    return comments


def _replaced(file: AnyFile, there: set[str], comments: dict[str, list[str]]) -> None:
    """Options that xl calls otherwise, or has no more."""
    assert file.places is not None
    dropped = {each.name: each for each in DROPPED if each.face == "xm"}
    for name in sorted(names("xm")):
        line, _ = file.places.place(name)
        if not file.places.is_set(name) or name in there:
            continue
        if name in dropped:
            each = dropped[name]
            _remark(comments, name, f"{name} (line {line}): {each.reason}; instead: {each.instead}")
            continue
        new = _name_in_xl(name, there)
        if new != name:
            _remark(comments, new, f"was {name} (line {line})")
    for name in ("disk", "vif", "vfb"):
        if name in there and file.places.is_set(name):
            line, _ = file.places.place(name)
            _remark(comments, name, f"was {name} in xm's form (line {line})")


def _name_in_xl(name: str, there: set[str]) -> str:
    """The option that now says what `name` said, if there is one in the file."""
    if name in there:
        return name
    for row in table():
        if name in split(row.setting.xm):
            for new in split(row.setting.xl):
                if new in there:
                    return new
    return name


def _remark(comments: dict[str, list[str]], name: str, text: str) -> None:
    texts = comments.setdefault(name, [])
    shown = " ".join(text.split())
    if shown not in texts:
        texts.append(shown)


def _without_nobody(tree: Any) -> Any:
    """Without the uuids and MACs that stand for none, in SXP or JSON."""
    nobody = str(NOBODY)
    if isinstance(tree, list):
        return [
            _without_nobody(item)
            for item in tree
            if item not in (["uuid", nobody], ["mac", ""], ["pci_uuid", nobody])
        ]
    if isinstance(tree, Mapping):
        return {
            key: _without_nobody(value)
            for key, value in tree.items()
            if (key, value) not in (("uuid", nobody), ("mac", ""), ("pci_uuid", nobody))
        }
    return tree
