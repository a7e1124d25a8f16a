"""The short form of `make fuzz-rest`: the whole description, a few requests of each operation."""

from __future__ import annotations

from pathlib import Path

from tests.fuzz.rest_schema import fuzz


def test_the_interface_is_as_described(tmp_path: Path) -> None:
    found = fuzz(tmp_path, seconds=25, examples=3, phases="examples,coverage", seed=1)
    assert found.complaints(requests=150) == [], found.text
