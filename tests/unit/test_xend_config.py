"""xend-config.sxp: what is read, what is refused and how, and that its documents are current."""

from __future__ import annotations

from pathlib import Path

import pytest

from xend.config import xend_documents
from xend.config.xend_config import check, load
from xend.config.xend_options import OPTIONS, Kind
from xend.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "xend-config.sxp"
    path.write_text(text)
    return path


def test_a_missing_file_means_defaults_and_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "none"
    config = load(path)
    assert config.flag("xend-unix-xmlrpc-server") is True
    assert config.number("xend-port") == 8000
    assert config.text("vif-script") == "vif-bridge"
    assert config.entries("xen-api-server") == [["unix"]]
    assert config.warnings == (f"Config file does not exist: {path}",)


@pytest.mark.parametrize("word", ["yes", "Y", "1", "ON", "true", "t"])
def test_yes(tmp_path: Path, word: str) -> None:
    assert load(written(tmp_path, f"(xend-http-server {word})")).flag("xend-http-server")


@pytest.mark.parametrize("word", ["no", "N", "0", "off", "False", "f"])
def test_no(tmp_path: Path, word: str) -> None:
    text = f"(xend-unix-xmlrpc-server {word})"
    assert not load(written(tmp_path, text)).flag("xend-unix-xmlrpc-server")


@pytest.mark.parametrize(
    ("text", "name", "kind", "value"),
    [
        ("# one\n(xend-http-server maybe)\n", "xend-http-server", "bool", "maybe"),
        ("\n(xend-port http)\n", "xend-port", "int", "http"),
        ("#(xend-port 1)\n(xend-port (8000))\n", "xend-port", "int", "(8000)"),
    ],
)
def test_a_wrong_value_names_file_line_option_and_value(
    tmp_path: Path, text: str, name: str, kind: str, value: str
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value) == (f"invalid xend config {name}: expected {kind}: {value} ({path}:2)")
    assert caught.value.fields["line"] == 2
    assert caught.value.fields["field"] == name


def test_all_problems_in_one_go(tmp_path: Path) -> None:
    _, problems = check("(xend-port x)\n(console-limit y)\n", tmp_path / "f")
    assert [problem.fields["field"] for problem in problems] == ["xend-port", "console-limit"]


def test_an_unknown_option_is_named_with_what_it_resembles(tmp_path: Path) -> None:
    config = load(written(tmp_path, "\n(xend-htpp-server yes)\n"))
    assert len(config.warnings) == 1
    assert ":2: unknown option xend-htpp-server is ignored" in config.warnings[0]
    assert "did you mean xend-http-server?" in config.warnings[0]


def test_an_option_without_effect_is_said_to_be(tmp_path: Path) -> None:
    config = load(written(tmp_path, "(total_available_memory 4)"))
    assert "has no effect" in config.warnings[0]


def test_ballooning_follows_from_the_minimum(tmp_path: Path) -> None:
    assert not load(written(tmp_path, "(dom0-min-mem 0)")).flag("enable-dom0-ballooning")
    assert load(written(tmp_path, "(dom0-min-mem 196)")).flag("enable-dom0-ballooning")
    text = "(dom0-min-mem 196)(enable-dom0-ballooning no)"
    assert not load(written(tmp_path, text)).flag("enable-dom0-ballooning")


def test_a_broken_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        load(written(tmp_path, "(xend-port 8000"))


def test_every_default_is_of_its_kind() -> None:
    kinds = {Kind.BOOL: bool, Kind.INT: int, Kind.STR: str, Kind.LIST: list}
    for option in OPTIONS:
        assert option.default is None or type(option.default) is kinds[option.kind], option.name


def test_the_manual_page_is_current() -> None:
    assert (ROOT / "docs/xend-config.sxp.5.md").read_text() == xend_documents.manual()


def test_the_example_is_current_and_says_nothing_but_defaults(tmp_path: Path) -> None:
    text = (ROOT / "etc/xen/xend-config.sxp").read_text()
    assert text == xend_documents.example()
    uncommented = text.replace("\n#(", "\n(")
    config, problems = check(uncommented, tmp_path / "example")
    assert problems == []
    assert config.warnings == ()
    for option in OPTIONS:
        if option.kind is Kind.INT:
            assert config.number(option.name) == option.default
