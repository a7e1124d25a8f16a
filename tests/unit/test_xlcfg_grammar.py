"""The grammar of xl files, and numbers as C reads them."""

from __future__ import annotations

import pytest

from xend.config.problems import InvalidFile, Report
from xend.config.xlgrammar import XlList, XlSetting, XlText, parse
from xend.config.xlnumbers import atoi, span, strtol, whole
from xend.config.xlwrite import assignment


def parsed(text: str) -> dict[str, XlSetting]:
    report = Report("F")
    found = parse(text, report)
    report.check()
    return found


def test_a_value_knows_where_it_stands() -> None:
    found = parsed("a = 1\n  b = [ 'x',\n\t[ 2 ] ]; c = \"y\"\n")
    assert found["a"] == XlSetting("a", XlText("1", 1, 5), False, 1, 1)
    inner = XlList((XlText("2", 3, 4),), 3, 2)
    assert found["b"].value == XlList((XlText("x", 2, 9), inner), 2, 7)
    assert found["c"].value == XlText("y", 3, 15)


def test_what_is_added_keeps_the_places_of_its_parts() -> None:
    found = parsed("a = [1]\na += [2]\nb = 'x'\nb += 'y'\nc += 'z'\n")
    assert found["a"].value == XlList((XlText("1", 1, 6), XlText("2", 2, 7)), 2, 6)
    assert (found["b"].value, found["b"].added) == (XlText("xy", 4, 6), True)
    assert found["c"].value == XlText("z", 5, 6)


def test_reading_goes_on_after_a_mistake() -> None:
    report = Report("F")
    found = parse("a = \nb = [ 1, , 2,\n 3 ]\nc = 3\n= 4\nd = 5\n", report)
    assert list(found) == ["c", "d"]
    with pytest.raises(InvalidFile) as caught:
        report.check()
    assert [(each.line, each.column) for each in caught.value.problems] == [(1, 5), (2, 10), (5, 1)]


@pytest.mark.parametrize(
    ("text", "base", "expected"),
    [
        ("64", 0, (64, "")),
        (" +64M", 0, (64, "M")),
        ("-1", 0, (-1, "")),
        ("0x40", 0, (64, "")),
        ("0X4g", 0, (4, "g")),
        ("0x", 0, (0, "x")),
        ("0100", 0, (64, "")),
        ("08", 0, (0, "8")),
        ("010", 10, (10, "")),
        ("ff", 16, (255, "")),
        ("0xff", 16, (255, "")),
        ("", 0, None),
        ("x", 0, None),
        ("-", 0, None),
        ("é", 0, None),
    ],
)
def test_numbers_are_those_of_strtol(
    text: str, base: int, expected: tuple[int, str] | None
) -> None:
    assert strtol(text, base) == expected


def test_whole_numbers_and_ranges() -> None:
    assert (whole("0x10"), whole("1 "), whole("1" * 30), whole("9" * 5000)) == (
        16,
        None,
        None,
        None,
    )
    assert (atoi("12abc"), atoi("abc"), atoi("")) == (12, 0, 0)
    assert (span("3"), span("3-7"), span("7-3"), span("3-"), span("-3"), span("1x")) == (
        *((3, 3), (3, 7), None, None, None, None),
    )


def test_values_are_spelled() -> None:
    assert assignment("a", 5) == "a = 5"
    assert assignment("a", -5) == 'a = "-5"'
    assert assignment("a", ['x"y', 2, [3]]) == "a = ['x\"y', 2, [3]]"
    assert assignment("a", "b\n\\") == 'a = "b\\n\\\\"'
