"""Our `xl` beside the distribution's: CPU pools, and the schedulers in them.

Each change is made by both, one after the other, and what it has made is shown by both.  The lab's
host has two CPUs, one NUMA node, and credit2 as its scheduler.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.conftest import domains, run
from tests.lab.guests import config
from tests.lab.verbs import column
from tests.lab.xlbeside import REAL, by_turns, done, refused, same

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("xend_running")]

NAME = "mover"
HOME = "Pool-0"


@pytest.fixture(scope="module")
def mover(xend_running: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A domain that runs, with one VCPU."""
    assert not domains()
    made = run("xm", "create", "-q", str(config(tmp_path_factory.mktemp("pools"), NAME)))
    assert made.returncode == 0, made.stderr
    yield NAME
    for domid in domains().values():
        run("xl", "destroy", str(domid))


@pytest.fixture
def pools(mover: str) -> Iterator[None]:
    """Afterwards there is Pool-0 alone, with all CPUs."""
    yield
    run(REAL, "cpupool-rename", "0", HOME)
    for name in _pools():
        for domain in domains():
            run(REAL, "cpupool-migrate", domain, HOME)
        if name != HOME:
            run(REAL, "cpupool-destroy", name)
    run(REAL, "cpupool-cpu-add", HOME, "0-1")
    assert _pools() == [HOME]


def _pools() -> list[str]:
    return column(run(REAL, "cpupool-list").stdout, "Name")


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "pool.cfg"
    path.write_text('name = "made"\nsched = "credit"\ncpus = ["1"]\n')
    return str(path)


REFUSED = [
    ["cpupool-list", "nosuch"],
    ["cpupool-list", "0"],
    ["cpupool-destroy", "nosuch"],
    ["cpupool-destroy", HOME],
    ["cpupool-destroy", "4000"],
    ["cpupool-rename", "nosuch", "other"],
    ["cpupool-rename", "4000", "other"],
    ["cpupool-migrate", "nosuch", HOME],
    ["cpupool-migrate", "9999", HOME],
    ["cpupool-migrate", NAME, "nosuch"],
    ["cpupool-migrate", NAME, "4000"],
    ["cpupool-cpu-add", "nosuch", "0"],
    ["cpupool-cpu-add", HOME, "x"],
    ["cpupool-cpu-add", HOME, "0"],
    ["cpupool-cpu-add", HOME, "all"],
    ["cpupool-cpu-add", HOME, "7"],
    ["cpupool-cpu-add", HOME, "node:0"],
    ["cpupool-cpu-remove", "nosuch", "0"],
    ["cpupool-cpu-remove", HOME, "x"],
    ["cpupool-cpu-remove", HOME, "^all"],
    ["cpupool-cpu-remove", HOME, "7"],
    ["cpupool-create"],
    ["cpupool-create", "/nosuch/file"],
    ["cpupool-create", f'name="{HOME}"'],
    ["cpupool-create", 'name="x"', 'sched="tea"'],
    ["cpupool-create", 'name="x"', 'cpus="0"'],
    ["cpupool-create", 'name="x"', 'cpus=["1"]'],
    ["cpupool-create", 'name="x"', 'cpus="0-x"'],
    ["cpupool-create", 'name="x"', 'cpus="5"'],
    ["cpupool-create", 'name="x"', 'sched="credit"', 'cpus=["0", "1"]'],
    ["cpupool-create", 'name="x"', 'sched="credit"', 'cpus="0-x"'],
    ["cpupool-create", 'name="x"', 'nodes=["0"]'],
    ["cpupool-create", 'name="x"', 'sched="credit"', 'nodes=["7"]'],
    ["sched-credit2", "-p", "nosuch"],
    ["sched-credit2", "-p", "4000", "-s"],
    ["sched-credit", "-p", "nosuch", "-s"],
    ["sched-credit", "-p", HOME],
    ["sched-credit", "-s"],
    ["sched-credit", "-s", "-t", "20"],
    ["sched-credit", "-d", NAME],
    ["sched-credit", "-d", NAME, "-w", "300"],
    ["sched-credit", "-d", NAME, "-p", HOME],
    ["sched-credit2", "-d", "9999", "-w", "300"],
]


@pytest.mark.parametrize("words", REFUSED, ids=" ".join)
def test_refusals(mover: str, words: list[str]) -> None:
    """In xl's words, and with its exit status, which is 0 for a CPU that does not come or go."""
    refused(*words)
    assert done(REAL, "cpupool-list", "-c").split()[-1] == "0,1"


@pytest.mark.usefixtures("pools")
def test_life_of_a_pool(mover: str, file: str) -> None:
    printed = []

    def change(program: str) -> None:
        assert done(program, "cpupool-cpu-remove", HOME, "1") == ""
        _shown()
        assert same("info", "free_cpus") == "1\n"
        same("cpupool-create", "-n", file)
        same("-N", "cpupool-create", file)
        same("cpupool-create", "-n", 'name="twice"', 'cpus=["1", "1"]')
        same("cpupool-create", "-n", "-f", file, 'name="other"', 'sched="CREDIT2"', 'nodes=["0"]')
        printed.append(done(program, "cpupool-create", file))
        _shown("made")
        refused("cpupool-create", file)
        assert done(program, "cpupool-migrate", mover, "made") == ""
        assert same("list", "-c", mover).split()[-1] == "made"
        _shown("made")
        refused("cpupool-destroy", "made")
        refused("cpupool-cpu-remove", "made", "1")
        refused("cpupool-cpu-add", "made", "0")
        assert done(program, "vcpu-pin", mover, "0", "1") == ""
        same("vcpu-list", mover)
        assert done(program, "vcpu-pin", mover, "0", "all") == ""
        assert done(program, "cpupool-rename", "made", "renamed") == ""
        _shown("renamed")
        assert same("list", "-c", mover).split()[-1] == "renamed"
        assert done(program, "cpupool-migrate", mover, HOME) == ""
        assert done(program, "cpupool-cpu-remove", "renamed", "1") == ""
        _shown("renamed")
        refused("cpupool-migrate", mover, "renamed")  # It has no CPU now.
        assert done(program, "cpupool-cpu-add", "renamed", "1") == ""
        assert done(program, "cpupool-destroy", "renamed") == ""
        _shown()
        assert done(program, "cpupool-cpu-add", HOME, "1") == ""
        _shown()

    by_turns(change)
    assert printed[0] == printed[1]


def _shown(*names: str) -> None:
    same("cpupool-list")
    same("cpupool-list", "-c")
    for name in names:
        same("cpupool-list", name)
        same("cpupool-list", "--cpus", name)


@pytest.mark.usefixtures("pools")
def test_the_schedulers_of_a_pool(mover: str, file: str) -> None:
    """A domain's share is of the scheduler of the pool that it is in."""
    assert done(REAL, "cpupool-cpu-remove", HOME, "1") == ""
    done(REAL, "cpupool-create", file)
    assert done(REAL, "cpupool-migrate", mover, "made") == ""

    def change(program: str) -> None:
        assert done(program, "sched-credit", "-d", mover, "-w", "512", "-c", "40") == ""
        assert same("sched-credit", "-d", mover).split()[-2:] == ["512", "40"]
        assert done(program, "sched-credit", "-d", mover, "-w", "256", "-c", "0") == ""
        assert done(program, "sched-credit", "-p", "made", "-s", "-t", "20", "-r", "2000") == ""
        assert "tslice=20ms ratelimit=2000us" in same("sched-credit", "-p", "made", "-s")
        assert done(program, "sched-credit", "-p", "made", "-s", "-t", "30", "-r", "1000") == ""
        for words in (
            ["sched-credit"],
            ["sched-credit", "-p", "made"],
            ["sched-credit", "-p", HOME],
            ["sched-credit2"],
            ["sched-credit2", "-p", "made"],
        ):
            same(*words)
        refused("sched-credit2", "-p", "made", "-s")
        refused("sched-credit2", "-d", mover)
        refused("sched-credit2", "-d", mover, "-w", "300")
        refused("sched-credit", "-d", mover, "-w", "70000")
        refused("sched-credit", "-p", "made", "-s", "-t", "5000")

    by_turns(change)


@pytest.mark.usefixtures("pools")
def test_split_by_nodes(mover: str) -> None:
    """One node: one pool, with another name."""

    def change(program: str) -> None:
        assert done(program, "cpupool-numa-split") == ""
        assert same("cpupool-list", "Pool-node0").count("\n") == 2
        assert same("list", "-c", mover).split()[-1] == "Pool-node0"
        assert done(program, "cpupool-rename", "0", HOME) == ""
        _shown(HOME)

    by_turns(change)
