"""`ports.PoolRepository`: registered CPU pools in cpu_pool.xml, in the original's layout.

    <cpu_pools>
      <cpu_pool uuid="…">
        <name_label type="string">…</name_label>
        <proposed_CPUs type="list"><item uuid="0"/>…</proposed_CPUs>
        <other_config type="dict"><item key="…" value="…"/>…</other_config>
        …
    </cpu_pools>

Text is surrounded by white space.  (xend-state-path of xend-config.sxp(5); the original called an
item's value `uuid` whatever it was.)
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import UUID
from xml.parsers import expat

from xend.errors import OperationFailed
from xend.model.pools import PoolConfig
from xend.store.disk import DiskThreads
from xend.store.hostfiles import sync

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

log = logging.getLogger("xend.pools")

FILE: Final = "cpu_pool.xml"


class PoolFile:
    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE
        self._threads = DiskThreads("xend-pools")
        self._unreadable = False

    async def close(self) -> None:
        await self._threads.close()

    async def load(self) -> Sequence[PoolConfig]:
        return await self._threads.run(self._load)

    async def save(self, pools: Sequence[PoolConfig]) -> None:
        await self._threads.run(self._save, pools)

    def _load(self) -> list[PoolConfig]:
        try:
            text = self._path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            log.error("%s: %s; the CPU pools in it are not known", self._path, error.strerror)
            return []
        try:
            return decode(text)
        except (expat.ExpatError, ValueError, SyntaxError) as error:
            log.error("%s is left alone: %s", self._path, error)
            self._unreadable = True
            return []

    def _save(self, pools: Sequence[PoolConfig]) -> None:
        fresh = self._path.with_name(f".{FILE}.new")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with fresh.open("wb") as file:
                file.write(encode(pools))
                file.flush()
                os.fsync(file.fileno())
            if self._unreadable:
                self._path.replace(self._path.with_suffix(".unreadable"))
                self._unreadable = False
            fresh.replace(self._path)
            sync(self._path.parent)
        except OSError as error:
            with suppress(OSError):
                fresh.unlink()
            raise OperationFailed(
                f"Failed to save CPU pools to {self._path}: {error.strerror}", stage="save"
            ) from error


def encode(pools: Sequence[PoolConfig]) -> bytes:
    from xml.etree import ElementTree

    root = ElementTree.Element("cpu_pools")
    for pool in pools:
        node = ElementTree.SubElement(root, "cpu_pool", uuid=str(pool.uuid))
        for name, kind, text in (
            ("name_label", "string", pool.name),
            ("name_description", "string", pool.description),
            ("sched_policy", "string", pool.scheduler),
            ("ncpu", "int", str(pool.ncpu)),
            ("auto_power_on", "bool", str(int(pool.auto_power_on))),
        ):
            ElementTree.SubElement(node, name, type=kind).text = text
        cpus = ElementTree.SubElement(node, "proposed_CPUs", type="list")
        for cpu in pool.cpus:
            ElementTree.SubElement(cpus, "item", uuid=str(cpu))
        other = ElementTree.SubElement(node, "other_config", type="dict")
        for key, value in pool.other.items():
            ElementTree.SubElement(other, "item", key=key, value=value)
    ElementTree.indent(root, "\t")
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))


def decode(text: bytes) -> list[PoolConfig]:
    """ValueError, SyntaxError (of ElementTree) or ExpatError say what is wrong."""
    from xml.etree import ElementTree

    _refuse_doctype(text)
    return [_pool(node) for node in ElementTree.fromstring(text).findall("cpu_pool")]


def _refuse_doctype(text: bytes) -> None:
    """Entities can be made to explode; the original never wrote any."""

    def doctype(*_what: object) -> None:
        raise ValueError("a document type is not allowed")

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = doctype
    parser.Parse(text, True)


def _pool(node: Element) -> PoolConfig:
    cpus = [int(item.get("uuid", "")) for item in node.findall("proposed_CPUs/item")]
    return PoolConfig(
        uuid=UUID(node.get("uuid", "")),
        name=_text(node, "name_label"),
        description=_text(node, "name_description"),
        scheduler=_text(node, "sched_policy"),
        ncpu=int(_text(node, "ncpu") or 1),
        cpus=tuple(cpus),
        auto_power_on=_text(node, "auto_power_on") in ("1", "True"),
        other={
            item.get("key", ""): item.get("value", "") for item in node.findall("other_config/item")
        },
    )


def _text(node: Element, name: str) -> str:
    return (node.findtext(name) or "").strip()
