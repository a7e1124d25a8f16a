"""xl's formats, piece by piece, against what its own libraries make (yajl, printf)."""

from __future__ import annotations

import pytest

from xend.cli.xlcommand import left, number_at_start, set_text
from xend.cli.xllist import _indented
from xend.cli.xltuning import _SHIFTS

ONE = '{\n    "c_info": {\n        "name": "a/b\\nc"\n    },\n    "disks": [\n\n    ]\n}\n'
"""As yajl_gen writes it with beautify and four blanks."""
NESTED = (
    '{\n            "c_info": {\n                "name": "a/b\\nc"\n            },\n'
    '            "disks": [\n\n            ]\n        }'
)


def test_a_document_in_a_document() -> None:
    assert _indented(ONE) == NESTED


@pytest.mark.parametrize(
    ("members", "size", "text"),
    [
        ([], 4, "none"),
        ([0, 1, 2, 3], 4, "all"),
        ([0], 1, "all"),
        ([0, 1, 2, 3, 9], 4, "all"),
        ([1, 2, 3], 4, "1-3"),
        ([0, 1, 3], 4, "0-1,3"),
        ([0, 2], 4, "0,2"),
        ([3], 4, "3"),
        ([], 0, "none"),
    ],
)
def test_sets(members: list[int], size: int, text: str) -> None:
    """print_bitmap of xl_utils.c."""
    assert set_text(members, size) == text


def test_columns_count_bytes() -> None:
    assert left("né", 5) == "né  "
    assert left("ab", 5) == "ab   "
    assert left("\udcff", 3) == "\udcff  "
    assert left("too long", 3) == "too long"


@pytest.mark.parametrize(
    ("text", "number"),
    [("12", 12), ("12th", 12), (" -3x", -3), ("+7", 7), ("x", None), ("", None), ("-", None)],
)
def test_strtol(text: str, number: int | None) -> None:
    assert number_at_start(text) == number


def test_units_are_of_kib() -> None:
    assert 1 << _SHIFTS["g"] == 1024 * 1024
    assert _SHIFTS[""] == _SHIFTS["m"]
