"""The bench of the parsers runs, and nothing has become slow by an order of magnitude."""

from __future__ import annotations

import re

import pytest

from tests.bench import bench_config

SLACK = 5
"""A machine that runs other tests beside this one."""


def test_reading_is_fast_enough(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench_config.main(["--seconds", "0.1", "--domains", "100"]) == 0
    told = capsys.readouterr().out
    found = [float(line[34:].split()[0]) for line in told.splitlines()[1:5]]
    assert len(found) == 4
    assert max(found) < bench_config.AIM_FILE_MS * SLACK
    managed = re.search(r"managed domains from disk: ([0-9.]+) s", told)
    assert managed is not None
    assert float(managed.group(1)) < bench_config.AIM_MANAGED_S / 10 * SLACK
