"""`xm … --json`: the shapes that xm(1) promises, over the whole daemon on a simulated host."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faces.xmdaemon import Run, wait_until
from tests.faces.xmreplay import CHECKOUT

MANUAL = CHECKOUT / "docs/xm.1.md"
CONFIG = """
name = "web"
memory = 64
kernel = "/proc/version"
disk = ["file:/proc/version,xvda,r"]
vif = ["mac=00:16:3e:00:00:05,bridge=xenbr0"]
"""


@pytest.fixture(autouse=True)
def _loop_never_blocked() -> None:
    """The daemon's loop is in another process."""


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A daemon with a running, a paused and a halted domain."""
    folder = tmp_path_factory.mktemp("xend")

    def verb(name: str) -> None:
        subprocess.run(
            [
                *(sys.executable, "-m", "xend", name, "--hypervisor", "sim"),
                *("--config", "/nosuch", "--run-dir", folder / "run"),
                *("--state-dir", folder / "state"),
            ],
            cwd=CHECKOUT,
            check=True,
        )

    verb("start")
    wait_until((folder / "run/cli.sock").exists)
    env = {"XEND_RUN_DIR": str(folder / "run"), "XM_CONFIG_FILE": "/nosuch", "HOME": "/"}
    xm = Run(folder, env)
    (folder / "web").write_text(CONFIG)
    assert xm("create", str(folder / "web"))[0] == 0
    for command, name in (("create", "held"), ("new", "idle")):
        (folder / name).write_text(f'name = "{name}"\nmemory = 64\nkernel = "/proc/version"\n')
        assert xm(command, str(folder / name))[0] == 0
    assert xm("pause", "held")[0] == 0
    yield env
    verb("stop")


@pytest.fixture
def xm(env: dict[str, str], tmp_path: Path) -> Run:
    return Run(tmp_path, env)


def documented(command: str) -> list[str]:
    """The keys of the objects that the manual shows, in order."""
    [keys] = [row[2] for row in ROWS if f"`{command}`" in row[0]]
    return keys.partition("`")[2].partition("`")[0].split()


JSON_SECTION = MANUAL.read_text().partition("\n## JSON\n")[2].partition("\n## ")[0]
ROWS = [line.strip("| ").split(" | ") for line in JSON_SECTION.splitlines() if line[:3] == "| `"]


def shape(xm: Run, *words: str) -> Any:
    status, out, err = xm(*words, "--json")
    assert (status, err) == (0, "")
    assert "\x1b" not in out
    found = json.loads(out)
    assert out == json.dumps(found, indent=2, ensure_ascii=False) + "\n"
    return found


@pytest.mark.parametrize(
    "words",
    [["list"], ["uptime"], ["vcpu-list"], ["sched-credit2"], ["cpupool-list"]],
    ids=" ".join,
)
def test_listings(xm: Run, words: list[str]) -> None:
    rows = shape(xm, *words)
    assert rows
    for row in rows:
        assert list(row) == documented(words[0])


def test_what_is_not_known_is_null(xm: Run) -> None:
    rows = {row["name"]: row for row in shape(xm, "list")}
    assert (rows["idle"]["domid"], rows["idle"]["state"]) == (None, None)
    assert rows["held"]["state"] == "--p---"
    assert {type(value) for value in rows["web"].values()} == {str, int, float}


def test_states(xm: Run) -> None:
    assert list(shape(xm, "domstate", "web")) == documented("domstate")
    assert shape(xm, "domstate", "held")["state"] == "paused by admin"
    assert shape(xm, "domstate", "idle") == {"name": "idle", "domid": None, "state": "shutoff"}


def test_devices(xm: Run) -> None:
    [disk] = shape(xm, "block-list", "web")
    [vif] = shape(xm, "network-list", "web")
    for device in (disk, vif):
        assert next(iter(device)) == documented("block-list")[0] == "index"
        assert device["backend-id"] == "0"
    assert shape(xm, "pci-list", "web") == []
    assert shape(xm, "usb-list", "web") == []


def test_the_host(xm: Run) -> None:
    info = shape(xm, "info")
    assert isinstance(info["nr_cpus"], int)
    names = [line.partition(":")[0].rstrip() for line in xm("info")[1].splitlines()]
    assert list(info) == names


def test_errors_are_those_without_it(xm: Run) -> None:
    for words in (["domstate", "nosuch"], ["block-list", "nosuch"], ["uptime", "nosuch"]):
        assert xm(*words, "--json") == xm(*words)


def test_the_manual_names_every_listing(xm: Run) -> None:
    """Whatever has --json in its help is in the table."""
    promised = {name for row in ROWS for name in re.findall(r"`([a-z0-9-]+)", row[0])}
    every = re.findall(r"^ ([a-z0-9-]+) ", xm("help")[1], re.MULTILINE)
    assert promised == {name for name in every if "--json" in xm(name, "--help")[1]}
