"""The real xl of this host and xend read the same files to the same domains.

A third of the configurations; all of them with XEND_XL_ORACLE=all.  tests/unit/test_xl_oracle.py
compares all of them with what xl said when it was recorded.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.xlcases import Answer, cases, recorded
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
