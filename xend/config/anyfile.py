"""A domain's file of any kind, with every mistake and remark, for `xend check` and `convert`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from xend.config import sxp
from xend.config.checkxm import check_xm, nameless, tell
from xend.config.dialectmarks import Dialect, told
from xend.config.problems import InvalidFile, Note, Problem, Report
from xend.config.vmsxp import Decoder
from xend.config.xlcfg import read as read_xl
from xend.config.xmplaces import Places
from xend.config.xmsource import MAX_FILE
from xend.errors import ConfigError
from xend.model.domain import DomainConfig

DIALECTS: Final[tuple[Dialect, ...]] = ("xm", "xl", "sxp", "json")


@dataclass(frozen=True, slots=True)
class AnyFile:
    """What is in a file; `config` is None if there are problems."""

    path: str
    dialect: Dialect
    config: DomainConfig | None = None
    problems: tuple[Problem, ...] = ()
    notes: tuple[Note, ...] = ()
    places: Places | None = None
    """Of a file of xm."""


def read_any(
    path: str, *, dialect: Dialect | None = None, cwd: str, env: Mapping[str, str]
) -> AnyFile:
    """Nothing is raised: a file that cannot be read is a problem of line 1."""
    report = Report(path, strict=True)
    try:
        text = _text(path, cwd)
        kind = dialect or dialect_of(text)
    except ConfigError as error:
        tell(report, error, (1, 1))
        return _wrong(path, dialect or "xm", report)
    if kind == "xm":
        checked = check_xm(path, cwd=cwd, env=dict(env), report=report)
        if checked.config is None:
            return _wrong(path, kind, report, checked.notes)
        return AnyFile(path, kind, checked.config, (), checked.notes, checked.places)
    try:
        if kind == "xl":
            result = read_xl(text, filename=path, strict=True, new_uuid=nameless().new_uuid)
            return AnyFile(path, kind, result.config, (), result.notes)
        config = _read_json(text) if kind == "json" else _read_sxp(text, path)
        return AnyFile(path, kind, config)
    except InvalidFile as error:
        return AnyFile(path, kind, None, error.problems)
    except ConfigError as error:
        tell(report, error, _place_in(text, error))
        return _wrong(path, kind, report)


def dialect_of(text: str) -> Dialect:
    """By the first character that is no comment's, else as `xm create` tells it."""
    start = text.lstrip("\ufeff \t\r\n")
    while start.startswith("#"):
        start = start.partition("\n")[2].lstrip()
    if start.startswith("("):
        return "sxp"
    if start.startswith("{"):
        return "json"
    if start.startswith("<"):
        raise ConfigError(
            "an XML file: these are for the Xen-API only", expected="a file of xm or xl, or SXP"
        )
    return told(text) or "xm"


def _text(path: str, cwd: str) -> str:
    """Bytes that are no UTF-8 come as lone surrogates.  Only regular files, of bearable size."""
    place = Path(cwd, path)
    try:
        if not place.is_file() and place.exists():
            raise ConfigError(f"{path} is not a regular file", expected="a file")
        with open(os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as opened:
            data = opened.read(MAX_FILE + 1)
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror}", expected="a file that can be read"
        ) from error
    if len(data) > MAX_FILE:
        raise ConfigError(
            f"{path} is too large: at most {MAX_FILE} bytes are read",
            expected=f"at most {MAX_FILE} bytes",
        )
    return data.decode("utf-8", "surrogateescape")


def _read_sxp(text: str, path: str) -> DomainConfig:
    """`(vm …)`, as `xm create -n` prints it, or a managed domain's `(domain …)`."""
    tree = sxp.parse_one(text, file=path)
    return Decoder(tree, nameless(), fresh=sxp.name_of(tree) == "vm").config()


def _read_json(text: str) -> DomainConfig:
    """REST's."""
    try:
        document: Any = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(error.msg, line=error.lineno, column=error.colno) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"JSON: {error}") from error
    if isinstance(document, dict):
        document.setdefault("uuid", str(nameless().new_uuid()))
    try:
        return DomainConfig.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"{field}: {first['msg']}", field=field, value=first.get("input")
        ) from error


def _place_in(text: str, error: ConfigError) -> tuple[int, int]:
    """Where an SXP or JSON text has the field's name, and after it the value."""
    field = str(error.fields.get("field") or "").partition(".")[0]
    start = max(text.find(f"({field} "), text.find(f'"{field}"')) if field else -1
    if start < 0:
        return 1, 1
    value = str(error.fields.get("value") or "")
    found = text.find(value, start) if value else -1
    start = found if found >= 0 else start
    return text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start)


def _wrong(path: str, dialect: Dialect, report: Report, notes: tuple[Note, ...] = ()) -> AnyFile:
    try:
        report.check()
    except InvalidFile as error:
        return AnyFile(path, dialect, None, error.problems, notes)
    return AnyFile(path, dialect, None, (), notes)
