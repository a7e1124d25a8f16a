"""The benchmarks' own parts, which nobody would notice being wrong."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.bench.bench_verbs import cpu_seconds, keep_asking
from tests.bench.measure import Report, Row, interleaved, timed, together
from tests.bench.timeline import Run, stages

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


def test_a_trace_has_the_stages_of_all_processes(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    program = "from xend.trace import mark; mark('one', 'web'); mark('two')"
    began = time.monotonic_ns() // 1000
    for _ in range(2):
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "XEND_TRACE": str(trace)},
            check=True,
        )
    ended = time.monotonic_ns() // 1000
    found = stages(trace.read_text())
    assert [stage.what for stage in found] == ["one web", "two", "one web", "two"]
    assert began < found[0].at <= found[1].at < found[2].at < ended
    assert found[0].process == found[1].process != found[2].process


def test_a_timeline_tells_what_came_after_the_end() -> None:
    run = Run(
        1000, 3000, stages("2500 7 job begins create\n1500 8 request xend.x\n3500 7 later \n")
    )
    assert run.text().splitlines() == [
        "     0.5    +0.5        8 request xend.x",
        "     1.5    +1.0        7 job begins create",
        "     2.5    +1.0 *      7 later",
    ]
