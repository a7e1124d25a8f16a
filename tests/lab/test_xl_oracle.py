"""The real xl of this host and xend read the same files to the same domains.

A third of the configurations; all of them with XEND_XL_ORACLE=all.  tests/unit/test_xl_oracle.py
compares all of them with what xl said when it was recorded.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.lab.conftest import run
from tests.lab.guests import TINY_KERNEL
from tests.xlcases import UUID, Answer, cases, recorded
from tests.xlcompare import NODES, differences, verdict
from tests.xloracle import ask, host
from xend.config.problems import InvalidFile
from xend.config.xlcfg import read
from xend.libxl import marshal
from xend.libxl.ctx import Context

pytestmark = pytest.mark.lab

EVERY = 1 if os.environ.get("XEND_XL_ORACLE") == "all" else 3
CASES = list(cases().values())[::EVERY]


@pytest.fixture(scope="module")
def answers() -> dict[str, Answer]:
    return ask(CASES)


def test_xend_agrees_with_this_xl(answers: dict[str, Answer]) -> None:
    assert len(answers) >= 150
    assert [said for case in CASES if (said := verdict(case, answers[case.name]))] == []


def test_the_recording_is_what_this_xl_says(answers: dict[str, Answer]) -> None:
    known = recorded()
    random = frozenset({"c_info.uuid", "b_info.type.hvm.ms_vm_genid"})
    for name, answer in answers.items():
        assert answer.complaint == known[name].complaint, name
        assert (answer.tree is None) == (known[name].tree is None), name
        if answer.tree is not None:
            assert differences(answer.tree, known[name].tree or {}, random=random) == [], name


def test_the_host_is_the_one_that_was_recorded() -> None:
    path = Path(__file__).parents[1] / "data" / "xl" / "recorded.json"
    assert json.loads(path.read_text())["host"] == host()


FILE = f"""# a file that only xl understands
type = "pv"
name = "same"
uuid = "{UUID}"
kernel = "{TINY_KERNEL}"
cmdline = "one"
cmdline += " two"
memory = 8
maxmem = 12
vcpus = 1
maxvcpus = 2
cpus = ["0", "all"]
cpu_weight = 512
cap = 50
max_grant_frames = 16
max_event_channels = 64
nomigrate = 1
cpuid = "host,sse3=0"
on_crash = "preserve"
on_watchdog = "restart"
"""


def stored() -> dict[str, Any]:
    """The configuration that libxl has completed and kept, whoever made the domain."""
    listed = json.loads(run("/usr/sbin/xl", "list", "-l", "same").stdout)
    assert len(listed) == 1, listed
    tree: dict[str, Any] = listed[0]["config"]
    tree["c_info"].pop("domid", None)
    return tree


def test_xm_and_xl_make_the_same_domain_of_a_file(
    xend_running: None, clean_host: None, tmp_path: Path
) -> None:
    """With all that libxl adds: what is left to it on one side is what the other side says."""
    path = tmp_path / "same.cfg"
    path.write_text(FILE)
    made: list[dict[str, Any]] = []
    for words in (["xm", "create", "-p"], ["/usr/sbin/xl", "create", "-p", "-q"]):
        done = run(*words, str(path))
        assert done.returncode == 0, done.stdout + done.stderr
        made.append(stored())
        assert run("/usr/sbin/xl", "destroy", "same").returncode == 0
    assert made[0]["b_info"]["sched_params"]["weight"] == 512
    assert differences(made[0], made[1]) == []


def test_libxl_drops_nothing_of_what_is_sent() -> None:
    """libxl ignores what it does not know, so what went in must come out again."""
    taken = 0
    with Context() as context:
        for case in cases().values():
            try:
                config = read(case.text, filename=case.name, nodes=NODES).config
            except InvalidFile:
                continue
            with context.config(json.dumps(marshal.domain(config))):
                taken += 1
    assert taken > 300
