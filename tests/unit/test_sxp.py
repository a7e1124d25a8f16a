"""S-expressions: what is written is read back; what cannot be read is named with its place."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xend.config import sxp
from xend.errors import ConfigError

TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"]))
BYTES = st.binary().map(lambda data: data.decode("utf-8", "surrogateescape"))
TREES = st.recursive(TEXTS | BYTES, lambda inner: st.lists(inner, max_size=4), max_leaves=20)


@given(TREES)
def test_what_is_shown_reads_back(tree: sxp.Value) -> None:
    assert sxp.parse(sxp.show(tree)) == [tree]
    assert sxp.parse(sxp.show(tree, "http")) == [tree]


@given(TREES, st.integers(min_value=10, max_value=120))
def test_what_is_laid_out_reads_back(tree: sxp.Value, width: int) -> None:
    text = sxp.pretty(tree, width)
    assert text.endswith("\n")
    assert sxp.parse(text) == [tree]


@given(TREES)
def test_the_http_style_has_no_double_quote_around_a_value(tree: sxp.Value) -> None:
    """A reader that knows only '…' and skips what a backslash precedes must find the end."""
    text, inside, position = sxp.show(tree, "http"), False, 0
    while position < len(text):
        if text[position] == "\\":
            position += 1
        elif text[position] == "'":
            inside = not inside
        elif text[position] == '"':
            assert inside
        position += 1
    assert not inside


@given(st.text(alphabet="ab ()'\"\\x04n#{}[];\n\t\x04é", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        sxp.parse(text)
    except ConfigError as error:
        assert error.fields["line"] >= 1
        assert error.fields["column"] >= 1


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("it's", '"it\'s"'),
        ('say "it\'s"', "'say \"it\\'s\"'"),
        ("", "''"),
        (sxp.Long(5), "'5'"),
        (0.1, "0.1"),
        (12.0, "12.0"),
        (None, "'None'"),
        (True, "True"),
        ("é", "'\\xc3\\xa9'"),
    ],
)
def test_values_look_as_in_python_2(value: object, shown: str) -> None:
    assert sxp.show(value) == shown


def test_quoting_over_http() -> None:
    assert sxp.show(["args", "root='/dev/xvda1' ro"], "http") == "(args 'root=\\'/dev/xvda1\\' ro')"


@pytest.mark.parametrize(
    ("text", "message", "line", "column"),
    [
        ("(a\n  (b c", "unexpected EOF", 2, 7),
        ("(a 'b", "unexpected EOF", 1, 6),
        ("(a))", "syntax error: )", 1, 4),
        ("(a\n é)", "invalid character: code 195", 2, 2),
        ("(a '\\xz')", "invalid hex escape", 1, 5),
        ("(a '\\777')", "invalid octal escape: out of range 777", 1, 5),
    ],
)
def test_mistakes_are_placed(text: str, message: str, line: int, column: int) -> None:
    with pytest.raises(ConfigError) as caught:
        sxp.parse(text, file="config.sxp")
    assert message in str(caught.value)
    fields = caught.value.fields
    assert (fields["file"], fields["line"], fields["column"]) == ("config.sxp", line, column)


HOSTILE = {
    "open lists": "(" * 10_000,
    "deep lists": "(" * 10_000 + ")" * 10_000,
    "backslashes": "'" + "\\" * 500_001,
    "long": "a " * 1_000_000,
    "quotes": "'" * 9999,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_are_refused_at_once(name: str) -> None:
    started = time.monotonic()
    with pytest.raises(ConfigError):
        sxp.parse(HOSTILE[name])
    assert time.monotonic() - started < 2


def test_a_list_in_itself_is_not_shown_for_ever() -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(ConfigError, match="nested deeper"):
        sxp.show(endless)


def test_looking_things_up() -> None:
    tree = sxp.parse_one("(vm (@ (id 7)) (name a) (device (vbd)) (device (vif)) flag)")
    assert sxp.child_value(tree, "name") == "a"
    assert sxp.child_value(tree, "none", "default") == "default"
    assert sxp.children(tree, "device") == [["device", ["vbd"]], ["device", ["vif"]]]
    assert sxp.child(tree, "flag") is None
    assert sxp.attribute(tree, "id") == "7"


def test_what_is_sent_has_plain_types_only() -> None:
    tree = ["a", (1, sxp.Long(2)), {"k": {"r": "v"}}, None, 1.5]
    assert sxp.wire(tree) == ["a", [1, 2], [["k", [["r", "v"]]]], None, 1.5]
    sent = sxp.wire(sxp.Long(2))
    assert type(sent) is int
