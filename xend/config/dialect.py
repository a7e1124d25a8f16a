"""Reading a domain file in whichever language it is written.

The language is told by its marks (`dialectmarks`); a file that has marks of both and that xm
cannot read is xl's if xl can.
"""

from __future__ import annotations

import io
import posixpath
from collections.abc import Callable
from dataclasses import dataclass, replace
from uuid import UUID, uuid4

from xend.config import sxp, xlcfg
from xend.config.dialectmarks import Dialect, could_be_xl, told
from xend.config.domainsxp import decode_managed
from xend.config.problems import Note
from xend.config.vmsxp import decode_vm
from xend.config.xlcpus import Nodes
from xend.errors import ConfigError
from xend.model.domain import DomainConfig


@dataclass(frozen=True, slots=True)
class DomainFile:
    """A domain, the language of its file, and what there is to say of the file."""

    dialect: Dialect
    config: DomainConfig
    notes: tuple[Note, ...] = ()


def read_domain_file(
    text: str,
    *,
    filename: str,
    dialect: Dialect | None = None,
    strict: bool = False,
    nodes: Nodes | None = None,
    new_uuid: Callable[[], UUID] = uuid4,
) -> DomainFile:
    """The domain that a file describes.  Raises ConfigError; InvalidFile for a file of xl.

    Of an xm file what it prints is in the notes; its environment is empty, and `filename` is
    what its relative names are taken from.  For the other parameters see `xlcfg.read`.
    """
    dialect = dialect or told(text)
    if dialect == "xl":
        return _read_xl(text, filename, strict, nodes, new_uuid)
    if dialect == "sxp":
        return DomainFile("sxp", _from_sxp(text, filename))
    if dialect == "json":
        return DomainFile("json", _from_json(text, filename))
    try:
        return _read_xm(text, filename)
    except ConfigError as error:
        other = None if dialect == "xm" else _instead(text, filename)
        if other is None:
            raise
        instead = Note(1, 1, "", "computed", f"read as a file of xl, since xm says: {error}")
        return replace(other, notes=(instead, *other.notes))


def _instead(text: str, filename: str) -> DomainFile | None:
    """What xl makes of a file that xm cannot read; None if that is nothing either."""
    if not could_be_xl(text):
        return None
    try:
        return _read_xl(text, filename, False, None, uuid4)
    except ConfigError:
        return None


def _read_xl(
    text: str, filename: str, strict: bool, nodes: Nodes | None, new_uuid: Callable[[], UUID]
) -> DomainFile:
    result = xlcfg.read(text, filename=filename, strict=strict, nodes=nodes, new_uuid=new_uuid)
    return DomainFile("xl", result.config, result.notes)


def _from_sxp(text: str, filename: str) -> DomainConfig:
    """`(vm …)` as xm sends it, or `(domain …)` as config.sxp and `xm list -l` have it."""
    tree = sxp.parse_one(text, file=filename)
    return decode_managed(text) if sxp.name_of(tree) == "domain" else decode_vm(tree)


def _from_json(text: str, filename: str) -> DomainConfig:
    """The model's own JSON, as the REST face shows it."""
    import json

    from pydantic import ValidationError

    try:
        return DomainConfig.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        line, column = 1, 1
        try:
            json.loads(text)
        except json.JSONDecodeError as broken:
            line, column = broken.lineno, broken.colno
        except RecursionError:
            pass  # pydantic's own words say so
        raise ConfigError(
            f"{filename}:{line}:{column}: {field + ': ' if field else ''}{first['msg']}",
            file=filename,
            line=line,
            column=column,
            field=field,
            expected=str(first["msg"]),
        ) from None


def _read_xm(text: str, filename: str) -> DomainFile:
    said = io.StringIO()
    tree = _xm_tree(text, filename, said)
    lines = [line for line in said.getvalue().splitlines() if line]
    notes = tuple(Note(1, 1, "", "computed", f"the file says: {line}") for line in lines)
    return DomainFile("xm", decode_vm(sxp.parse_one(sxp.show(tree))), notes)


def _xm_tree(text: str, filename: str, said: io.StringIO) -> object:
    """The `(vm …)` that xm would send."""
    from xend.config.xmfile import Run, load
    from xend.config.xmlimits import ExitRequested
    from xend.config.xmoptions import COMMAND_LINE
    from xend.config.xmsource import Source
    from xend.config.xmvm import make_vm

    cwd = posixpath.dirname(posixpath.abspath(filename))
    values = dict(COMMAND_LINE.parse([filename]).values)
    argv = ["xm", "create", filename]
    run = Run(stdout=said, stderr=said, env={}, cwd=cwd, argv=argv, variables={})
    try:
        values |= load(filename, run, Source.of_content(text, filename))
    except ExitRequested as leave:
        raise ConfigError(
            f"{filename} ends by itself: exit {leave.code} {leave.text}", file=filename
        ) from leave
    values["name"] = values.get("name") or posixpath.basename(filename)
    return make_vm(values, {}, cwd, lambda warning: print(warning, file=said))
