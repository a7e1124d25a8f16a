"""Recorded answers of the original server, byte for byte."""

from __future__ import annotations

import ast
from typing import Any

import pytest

from tests import recorded
from xend.api.xmlrpc.codec import CannotMarshal, NotXmlRpc, dump_fault, dump_result, load_call
from xend.api.xmlrpc.faults import fault_of

ALL = recorded.cases("xmlrpc").values()
CASES = [case for case in ALL if case["kind"] == "xmlrpc-responses" and not case["xenapi"]]
REQUESTS = [case for case in ALL if case["kind"] == "xmlrpc-requests" and "request" in case]

DIFFERENT_ON_PURPOSE = {
    "list str ctrl": "the original's document cannot be parsed by anybody",
    "list latin1": "the original's document cannot be parsed by anybody",
    "unicode": "there is one kind of text here; the stray quote came from the other",
    "unicode ascii": "there is one kind of text here; the stray quote came from the other",
    "datetime": "no old method answers with a time",
    "binary": "no old method answers with bytes",
    "object": "the original named a type of its own",
}


def value_of(case: dict[str, Any]) -> Any:
    """A Python 2 literal; its text is bytes, kept as surrogates where they are not UTF-8."""
    text = case["value_repr"]
    value = ast.literal_eval(text[:-1] if text.endswith("L") else text)
    return recorded.from_latin1(value)


def is_literal(case: dict[str, Any]) -> bool:
    return not case["label"].startswith("raise") and case["label"] not in DIFFERENT_ON_PURPOSE


def named(cases: list[dict[str, Any]], key: str) -> list[Any]:
    return [pytest.param(case, id=case[key]) for case in cases]


if ALL:

    @pytest.mark.parametrize("case", named([c for c in CASES if is_literal(c)], "label"))
    def test_answer(case: dict[str, Any]) -> None:
        try:
            body = dump_result(value_of(case))
        except CannotMarshal as error:
            body = dump_fault(*fault_of(error))
        assert body == case["response"].encode("latin-1")

    @pytest.mark.parametrize("case", named([c for c in CASES if "client_fault" in c], "label"))
    def test_fault(case: dict[str, Any]) -> None:
        code, text = case["client_fault"]
        assert dump_fault(code, text) == case["response"].encode("latin-1")

    @pytest.mark.parametrize("case", named(REQUESTS, "params_repr"))
    def test_request_of_the_original_client(case: dict[str, Any]) -> None:
        body = case["request"].encode("latin-1")
        if "\\xff" in case["params_repr"]:  # not UTF-8: the original could not read it either
            with pytest.raises(NotXmlRpc):
                load_call(body)
            return
        method, params = load_call(body)
        expected = [
            list(value) if isinstance(value, tuple) else recorded.from_latin1(value)
            for value in ast.literal_eval(
                case["params_repr"].replace("u'caf\\xe9'", "'caf\\xc3\\xa9'")
            )
        ]
        assert (method, params) == (case["method"], expected)
