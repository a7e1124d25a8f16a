"""xm against recorded runs of the original, as the plain command line and as the warm one.

Without the recordings, or where no host can be made up for them (that takes root and a mount
namespace), there are no tests here.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys

import pytest

from tests import recorded
from tests.faces.xmreplay import CHECKOUT, ONLY_PLAIN

DIFFERENT = {
    "cpupool-new-04": "a file that is not there was reported as an unset variable of the program",
}
"""Cases in which ours is meant to differ, and what was wrong."""

CASES = recorded.cases("commands")
ALONE = ["unshare", "--mount", "--propagation", "private"]


@pytest.fixture(autouse=True)
def _loop_never_blocked() -> None:
    """No event loop runs here; looking for one takes longer than these tests."""


def can_make_hosts() -> bool:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    return subprocess.run([*ALONE, "true"], check=False, capture_output=True).returncode == 0


@functools.cache
def results(mode: str) -> dict[str, list[str]]:
    """Differences of all cases, from one run."""
    done = subprocess.run(
        [*ALONE, sys.executable, "-m", "tests.faces.xmreplay", mode],
        env={
            **os.environ,
            "PYTHONPATH": str(CHECKOUT),
            "PYTHONWARNINGS": "ignore",
        },
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        check=True,
    )
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


if CASES and can_make_hosts():

    @pytest.mark.parametrize("name", sorted(CASES))
    def test_plain(name: str) -> None:
        differences = results("plain")[name]
        assert bool(differences) == (name in DIFFERENT), differences

    @pytest.mark.parametrize("name", sorted(set(CASES) - ONLY_PLAIN))
    def test_warm(name: str) -> None:
        differences = results("warm")[name]
        assert bool(differences) == (name in DIFFERENT), differences
