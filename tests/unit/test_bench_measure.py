"""The benchmarks' own parts, which nobody would notice being wrong."""

from __future__ import annotations

import os
import sys

import pytest

from tests.bench.bench_verbs import cpu_seconds, keep_asking
from tests.bench.measure import Report, Row, interleaved, timed, together

TRUE = "/bin/true"
SLEEP = ["/bin/sleep", "0.2"]


def test_a_row_says_whether_its_aim_was_met(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report()
    report.add(Row("fast", 10, 100, 0.2))
    report.add(Row("slow", 21, 100, 0.2))
    report.add(Row("free", 21, 100))
    _, fast, slow, free = capsys.readouterr().out.splitlines()
    assert fast.split() == ["fast", "10.0", "100.0", "0.10", "aim", "0.20", "met"]
    assert slow.endswith("MISSED")
    assert free.split()[-1] == "0.21"
    assert report.plain()[1] == ["slow", 21, 100, 0.2]


def test_medians_are_of_the_rounds_after_the_first() -> None:
    first, second = iter([1000.0, 1, 2, 9]), iter([0.0, 5, 5, 5])
    assert interleaved(3, lambda: next(first), lambda: next(second)) == [2, 5]


def test_several_at_once_take_as_long_as_the_longest() -> None:
    assert 200 <= together([SLEEP] * 4) < 790


def test_a_program_that_fails_is_no_measurement() -> None:
    with pytest.raises(RuntimeError, match="ended with 1"):
        timed("/bin/false")


def test_asking_keeps_to_its_rate() -> None:
    assert 5 <= keep_asking([TRUE], seconds=0.5, rate=20) <= 11


def test_cpu_seconds_include_children_that_ended() -> None:
    before = cpu_seconds(os.getpid())
    timed(sys.executable, "-c", "sum(range(10**7))")
    assert cpu_seconds(os.getpid()) - before >= 0.05
