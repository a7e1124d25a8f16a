"""A domain as REST's JSON, with every mistake of it in one go, each at its place."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from pydantic import ValidationError

from xend.config.checkxm import NOBODY
from xend.config.problems import Report, suggestion
from xend.errors import ConfigError
from xend.model.domain import DomainConfig

_TOKEN: Final = re.compile(r'"((?:[^"\\]|\\.)*)"|[{}\[\],:]|[^\s{}\[\],:"]+')

Path = tuple[str | int, ...]


def read_json(text: str, report: Report) -> DomainConfig:
    """Raises InvalidFile, or ConfigError where it is no JSON at all."""
    try:
        document: Any = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(error.msg, line=error.lineno, column=error.colno) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"JSON: {error}") from error
    places, twice = _places(text)
    for path in twice:
        name = str(path[-1])
        report.problem(*_place(text, places[path]), f"{name}: there are two of it", field=name)
    if isinstance(document, dict):
        document.setdefault("uuid", str(NOBODY))
    try:
        config = DomainConfig.model_validate(document)
    except ValidationError as error:
        for each in error.errors(include_url=False, include_context=False):
            if report.full:
                report.problem(0, 0, "")  # only counted
            else:
                _tell(text, places, each, report)
        report.check()
        raise AssertionError("a problem was reported") from error
    report.check()
    return config


def _tell(text: str, places: dict[Path, int], error: Any, report: Report) -> None:
    loc: Path = tuple(error["loc"])
    field = ".".join(str(part) for part in loc)
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        message = "there is no such field" + suggestion(str(loc[-1]), DomainConfig.model_fields)
    known = loc
    while known and known not in places:
        known = known[:-1]
    line, column = _place(text, places.get(known, 0))
    value = error.get("input")
    shown = "" if isinstance(value, (dict, list)) else str(value)
    report.problem(
        line, column, f"{field}: {message}" if field else message, field=field, text=shown
    )


def _place(text: str, at: int) -> tuple[int, int]:
    return text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)


def _places(text: str) -> tuple[dict[Path, int], list[Path]]:
    """Where each value stands, by the names and numbers that lead to it; and keys given twice.
    `text` is known to be JSON."""
    places: dict[Path, int] = {}
    twice: list[Path] = []
    path: list[str | int] = []
    in_object: list[bool] = []
    expects_key = False
    for match in _TOKEN.finditer(text):
        token = match.group()
        if token in "]}":
            in_object.pop()
            path.pop()
            expects_key = False
        elif token == ",":
            expects_key = in_object[-1]
            if not expects_key:
                last = path[-1]
                path[-1] = last + 1 if isinstance(last, int) else 0
        elif token == ":":
            expects_key = False
        elif expects_key:
            path[-1] = json.loads(token)
            if tuple(path) in places:
                twice.append(tuple(path))
        else:
            places[tuple(path)] = match.start()
            if token in "[{":
                in_object.append(token == "{")
                path.append(0)
                expects_key = token == "{"
    return places, twice
