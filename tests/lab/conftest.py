"""Fixtures of the tests that run inside the lab's dom0, as root, on real Xen.

The lab is not optional: started anywhere else these tests fail and say where they belong.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

SETTLE = 60
"""Seconds that Xen may take to give back a destroyed domain's memory under emulation."""


@pytest.fixture(scope="session", autouse=True)
def _in_dom0() -> None:
    if not Path("/proc/xen/privcmd").exists() and not Path("/dev/xen/privcmd").exists():
        pytest.fail("lab tests run in a Xen dom0: use `make test`, or scripts/lab exec")


@pytest.fixture(scope="session")
def xend_running(_in_dom0: None) -> None:
    """The daemon as the init script starts it."""
    done = subprocess.run(
        ["/etc/init.d/xend", "start"], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def run(*argv: str, timeout: float = 120, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """A command as a script would run it; never raises for its status."""
    return subprocess.run(
        argv, input=stdin, capture_output=True, text=True, timeout=timeout, check=False
    )


def domains() -> dict[str, int]:
    """Name → domid by xl, so that xend is not asked about itself; dom0 left out."""
    lines = run("xl", "list").stdout.splitlines()[1:]
    rows = [re.fullmatch(r"(.*?) +(\d+) +\d+ +\d+ +\S{6} +[\d.]+", line) for line in lines]
    assert all(rows), lines
    found = {row[1]: int(row[2]) for row in rows if row}
    return {name: domid for name, domid in found.items() if domid != 0}


def free_memory() -> int:
    """MiB, by xl."""
    found = re.search(r"^free_memory\s*: (\d+)$", run("xl", "info").stdout, re.M)
    assert found is not None
    return int(found.group(1))


@pytest.fixture
def clean_host() -> Iterator[None]:
    """No domain before; afterwards no domain and as much free memory as before.

    Whatever a failed test left is destroyed, so that it fails alone."""
    assert not domains(), f"left by an earlier test: {domains()}"
    before = free_memory()
    yield
    left = domains()
    for domid in left.values():
        run("xl", "destroy", str(domid))
    deadline = time.monotonic() + SETTLE
    while (free_memory() < before or domains()) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert not left, f"the test left domains behind: {left}"
    assert free_memory() >= before, f"memory leaked: {before} MiB before, {free_memory()} after"
