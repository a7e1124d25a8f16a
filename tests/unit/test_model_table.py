"""The table of settings against the manual of xl, the options of xm, libxl's types, its page."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import get_args

import pytest

from xend.config import option_documents
from xend.config.xmoptions import VARIABLES
from xend.libxl.schema import _table
from xend.model.domain import DomainConfig, ShutdownAction
from xend.model.fields import Kind
from xend.model.platform import BY_NAME, PLATFORM, PlatformSetting
from xend.model.table import (
    ALIASES,
    DEVICE_LISTS,
    DOMAIN,
    DROPPED,
    names,
    split,
    table,
)

ROOT = Path(__file__).parents[2]
WORDS = [
    word
    for line in (ROOT / "tests/data/xl-4.17-options.txt").read_text().splitlines()
    if not line.startswith("#")
    for word in line.split()
]
OPTIONS = [word for word in WORDS if "." not in word and "=" not in word]
KEYS = [word for word in WORDS if "." in word and "=" not in word]
VALUES = [word for word in WORDS if "=" in word]
ROWS = list(table())


def test_the_page_is_up_to_date() -> None:
    page = (ROOT / "docs/config-options.md").read_text()
    assert page == option_documents.manual(), "run scripts/gen-docs"


def test_the_manuals_options_are_enough() -> None:
    """The manual's own number of items is about 300; what is not here is its prose."""
    assert len(WORDS) == len(set(WORDS))
    assert len(WORDS) > 300


def test_every_option_of_xl_has_a_row() -> None:
    assert not set(OPTIONS) - names("xl")


def test_every_row_of_xl_is_in_the_manual_or_known_to_its_parser() -> None:
    """These are read by xl's parser, but not in its manual."""
    beyond = {"device_model", "vncviewer", "vif2", "slice", "latency", "period", "extratime"}
    assert names("xl") - set(OPTIONS) == beyond


def test_every_option_of_xm_has_a_row() -> None:
    """A file may also set two that are no options of the command line."""
    beyond = {"maxvcpus", "xen_extended_power_mgmt"}
    assert {option.name for option in VARIABLES} | beyond == names("xm")


@pytest.mark.parametrize("word", KEYS)
def test_every_key_of_a_device_has_a_row(word: str) -> None:
    option, key = word.split(".")
    (fields,) = [each.field for each in DEVICE_LISTS if each.xl == option]
    if word == "vtpm.uuid":
        return  # every device has one
    found = {name for row in ROWS if row.group == fields for name in split(row.setting.xl)}
    assert key in found


@pytest.mark.parametrize("word", VALUES)
def test_every_value_of_a_choice_is_known(word: str) -> None:
    option, value = word.split("=")
    if option in BY_NAME:
        assert value in BY_NAME[option].setting.choices
    elif option == "on_poweroff":
        assert value in set(ShutdownAction)
    elif "." in option:
        lists, field = option.split(".")
        (device,) = [each.device for each in DEVICE_LISTS if each.xl == lists]
        assert value in get_args(device.model_fields[field].annotation)
    else:
        assert value in {"pv", "pvh", "hvm"}


def test_each_setting_has_one_row() -> None:
    counted = Counter((row.group, row.name) for row in ROWS)
    assert max(counted.values()) == 1


def test_every_field_of_the_model_is_in_the_table() -> None:
    shown = {row.name for row in ROWS if row.group == DOMAIN} | {
        *(each.field for each in DEVICE_LISTS),
        *("platform", "other", "other_devices"),
    }
    assert set(DomainConfig.model_fields) <= shown


def test_every_place_in_libxls_json_exists() -> None:
    """As the interface definitions of Xen 4.14 to 4.20 have them."""
    enums, structs = _table()
    for row in PLATFORM:
        path = row.setting.libxl
        if path is None:
            continue
        kind = "domain_config"
        for key in path.split("."):
            key = key if key not in ("hvm", "pv", "pvh") else f"type.{key}"
            if key.startswith("type."):
                kind = structs["domain_build_info"][key]
            else:
                assert key in structs[kind], path
                kind = structs[kind][key]
        if row.kind is Kind.CHOICE:
            choices = {choice.lower() for choice in enums[kind]}
            assert set(row.setting.choices) <= choices, row.name
        expected = {
            Kind.FLAG: {"defbool"},
            Kind.INT: {"int", "u32", "u64"},
            Kind.MIB: {"u64"},
            Kind.TEXTS: {"strings"},
            Kind.TEXT_OR_TEXTS: {"str"},
        }.get(row.kind)
        assert expected is None or kind in expected, row.name


def test_what_is_dropped_says_why_and_what_instead() -> None:
    assert all(each.reason and each.instead for each in DROPPED)
    assert all(each.meaning for each in ALIASES)


@pytest.mark.parametrize("row", PLATFORM, ids=lambda row: row.name)
def test_a_row_says_what_it_is(row: PlatformSetting) -> None:
    assert row.setting.note
    assert row.setting.xm or row.setting.xl or row.setting.libxl
