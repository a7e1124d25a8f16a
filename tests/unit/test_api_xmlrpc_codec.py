"""The wire of the old interface: recorded answers of the original, and bad input."""

from __future__ import annotations

import ast
import time
import xmlrpc.client
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xend.api.xmlrpc.codec import (
    CannotMarshal,
    NotXmlRpc,
    dump_fault,
    dump_result,
    load_call,
    python2_repr,
    without_vcpu_avail,
)

PLAIN = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn"]))
"""Without control characters (which no XML 1.0 document may hold)."""
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**31), 2**31 - 1)
    | st.floats(allow_nan=False)
    | PLAIN,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(PLAIN, inner, max_size=4),
    max_leaves=20,
)


@given(st.lists(VALUES, max_size=4))
def test_calls_of_another_client_are_read_as_they_were_meant(params: list[Any]) -> None:
    body = xmlrpc.client.dumps(tuple(params), "a.b", allow_none=True)
    method, found = load_call(body.encode())
    assert method == "a.b"
    assert found == params


@given(st.lists(VALUES, max_size=4))
def test_answers_are_read_by_another_client(value: list[Any]) -> None:
    [found], _method = xmlrpc.client.loads(dump_result(value))
    assert found == value


@given(st.text())
def test_a_whole_string_survives_any_byte(text: str) -> None:
    """The client undoes the escapes as a Python literal does."""
    [wire], _method = xmlrpc.client.loads(dump_result(text))
    assert isinstance(wire, str) and wire.isascii() and wire.isprintable()
    literal = '"' if "'" in text and '"' not in text else "'"
    raw = ast.literal_eval(f"b{literal}{wire}{literal}")
    assert raw.decode("utf-8", "surrogateescape") == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("it's", "it's"),
        ('say "x"', 'say "x"'),
        ("'\"", "\\'\""),
        ("a\nb\tc\rd\\", "a\\nb\\tc\\rd\\\\"),
        ("\x01\x7f", "\\x01\\x7f"),
        ("ü", "\\xc3\\xbc"),
        ("\udcff", "\\xff"),
    ],
)
def test_python2_repr(text: str, expected: str) -> None:
    assert python2_repr(text) == expected


def test_control_characters_within_arrays_cannot_break_the_document() -> None:
    [found], _method = xmlrpc.client.loads(dump_result([["a\x01b\x00", "\udcff", "ü\n"]]))
    assert found == [["a?b?", "?", "ü\n"]]


def test_a_long_log_takes_no_time() -> None:
    line = "[2014-05-13 16:53:20 1234] INFO (SrvDaemon:337) it's ready\n"
    before = time.thread_time()
    dump_result(line * (1024 * 1024 // len(line)))
    assert time.thread_time() - before < 0.1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2**31, "int exceeds XML-RPC limits"),
        ([["x", -(2**31) - 1]], "int exceeds XML-RPC limits"),
        ({1: 2}, "dictionary key must be string"),
        ([object()], "cannot marshal <class 'object'> objects"),
    ],
)
def test_what_cannot_be_sent(value: Any, text: str) -> None:
    with pytest.raises(CannotMarshal) as caught:
        dump_result(value)
    assert str(caught.value) == text


def test_fault() -> None:
    with pytest.raises(xmlrpc.client.Fault) as caught:
        xmlrpc.client.loads(dump_fault(3, "a <b> & c"))
    assert (caught.value.faultCode, caught.value.faultString) == (3, "a <b> & c")


def test_vcpu_avail_is_left_out_at_any_depth() -> None:
    sxp = ["domain", ["vcpu_avail", 2**63], ["image", ["linux", ["vcpu_avail", 1], ["a", 1]]]]
    assert without_vcpu_avail(sxp) == ["domain", ["image", ["linux", ["a", 1]]]]
    assert without_vcpu_avail(["domain", ["vcpu_avail", 1, 2]]) == ["domain", ["vcpu_avail", 1, 2]]


def test_untyped_and_foreign_values() -> None:
    body = b"""<?xml version="1.0"?><methodCall><methodName> m </methodName><params>
      <param><value>bare</value></param>
      <param><value></value></param>
      <param><value><i8>9999999999</i8></value></param>
      <param><value><base64>eMO8/w==</base64></value></param>
      <param><value><dateTime.iso8601>19700101T00:00:00</dateTime.iso8601></value></param>
      </params></methodCall>"""
    assert load_call(body) == ("m", ["bare", "", 9999999999, "xü\udcff", "19700101T00:00:00"])


@pytest.mark.parametrize(
    "body",
    [
        b"<a>",
        b"<methodResponse/>",
        b"<methodCall><methodName>m</methodName><params><param><value><int></int></value>",
        b"<methodCall><methodName>m</methodName><params><param><value><boolean>2</boolean>"
        b"</value></param></params></methodCall>",
        b"<methodCall><methodName>m</methodName><params><param><value><struct><member>"
        b"<name>n</name></member></struct></value></param></params></methodCall>",
        b"<methodCall><methodName>m</methodName><params><param><value><int>"
        + b"9" * 5000
        + b"</int></value></param></params></methodCall>",
        b"<methodCall><methodName>m</methodName><params><param><value><base64>A</base64>"
        b"</value></param></params></methodCall>",
    ],
)
def test_malformed(body: bytes) -> None:
    with pytest.raises(NotXmlRpc, match="not an XML-RPC call"):
        load_call(body)


def test_entities_cannot_explode() -> None:
    lines = ["<!ENTITY a0 'ha'>"]
    lines += [f"<!ENTITY a{n} '&a{n - 1};&a{n - 1};'>" for n in range(1, 30)]
    body = f"<!DOCTYPE x [{''.join(lines)}]><methodCall><methodName>&a29;</methodName></methodCall>"
    with pytest.raises(NotXmlRpc, match="document type"):
        load_call(body.encode())


@given(st.binary(max_size=300))
def test_any_bytes_give_a_call_or_a_clear_error(body: bytes) -> None:
    try:
        load_call(b"<methodCall><methodName>m</methodName>" + body)
    except NotXmlRpc as error:
        assert str(error)
