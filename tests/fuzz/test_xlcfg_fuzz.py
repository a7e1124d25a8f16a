"""Files of xl that are made up, or cut and mended from right ones: a domain, or an error that
says where; never a crash.  What is taken is also something that libxl's schema and SXP can hold.
"""

from __future__ import annotations

import time

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.xlcases import cases
from xend.config import sxp
from xend.config.dialectmarks import told
from xend.config.problems import InvalidFile, Report
from xend.config.vmencode import encode_vm
from xend.config.vmsxp import decode_vm
from xend.config.xlcfg import NAMES, read
from xend.config.xlgrammar import XlList, XlText, parse
from xend.config.xlwrite import spelled
from xend.errors import ConfigError, UnsupportedFeature
from xend.libxl import marshal

TEXTS = [case.text for case in cases().values()]
PIECES = ["=", "+=", "[", "]", ",", ";", "'", '"', "\\", "\n", "#", ":", "@", "0x", "-1", "\0", "é"]
QUIET = settings(deadline=None, suppress_health_check=list(HealthCheck))


def survives(text: str) -> None:
    """CPU seconds are those of a loaded machine's slowest core."""
    told(text)
    started = time.process_time()
    try:
        config = read(text, filename="F").config
    except InvalidFile as error:
        assert error.problems
        assert all(each.line >= 1 and each.column >= 1 for each in error.problems)
        return
    finally:
        assert time.process_time() - started < 1
    try:
        marshal.domain(config)
    except (ConfigError, UnsupportedFeature) as error:
        assert str(error)
    assert decode_vm(sxp.parse_one(sxp.show(encode_vm(config)))) == config


@QUIET
@given(st.text(max_size=300))
def test_any_text(text: str) -> None:
    survives(text)


@QUIET
@given(
    st.sampled_from(TEXTS),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 12), st.sampled_from(PIECES))),
)
def test_files_that_are_cut_and_mended(text: str, edits: list[tuple[int, int, str]]) -> None:
    for place, length, piece in edits:
        place %= len(text) + 1
        text = text[:place] + piece + text[place + length :]
    survives(text)


VALUES = st.recursive(
    st.one_of(st.text(max_size=30), st.integers(0, 2**40)),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=8,
)


@QUIET
@given(st.dictionaries(st.sampled_from(sorted(NAMES)), VALUES, max_size=6))
def test_any_value_of_any_setting(given_values: dict[str, object]) -> None:
    lines = [f"{name} = {spelled(value)}" for name, value in given_values.items()]
    survives("name = 'a'\nkernel = '/k'\nmemory = 64\n" + "\n".join(lines) + "\n")


def plain(value: XlText | XlList) -> object:
    if isinstance(value, XlText):
        return value.text
    return [plain(item) for item in value.items]


def as_texts(value: object) -> object:
    return [as_texts(each) for each in value] if isinstance(value, list) else str(value)


@QUIET
@given(VALUES)
def test_what_is_spelled_is_read_back(value: object) -> None:
    report = Report("F")
    found = parse(f"x = {spelled(value)}\n", report)
    if "\0" not in str(value):
        report.check()
        assert plain(found["x"].value) == as_texts(value)
