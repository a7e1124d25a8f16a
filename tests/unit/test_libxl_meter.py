"""How far a file has been read, while somebody else reads it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from xend.libxl import meter


def test_it_tells_how_far_the_reader_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter, "_EVERY", 0.01)
    path = tmp_path / "image"
    path.write_bytes(bytes(1000))
    told: list[tuple[int, int]] = []
    with path.open("rb", buffering=0) as stream:
        helper = os.dup(stream.fileno())
        with meter.Meter(stream.fileno(), lambda done, size: told.append((done, size))):
            for _ in range(4):
                os.read(helper, 250)
                seen = len(told)
                deadline = time.monotonic() + 5
                while len(told) < seen + 2 and time.monotonic() < deadline:
                    time.sleep(0.005)
        after = len(told)
        time.sleep(0.05)
        os.close(helper)
    assert len(told) == after
    assert {(250, 1000), (500, 1000), (750, 1000), (1000, 1000)} <= set(told)
    assert told == sorted(told)


def test_a_quick_one_tells_nothing(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.touch()
    told: list[tuple[int, int]] = []
    with (
        path.open("rb", buffering=0) as stream,
        meter.Meter(stream.fileno(), lambda done, size: told.append((done, size))),
    ):
        pass
    assert told == []
