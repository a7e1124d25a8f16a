"""xm against the whole daemon over a simulated host: by the short way, by XML-RPC, warm."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faces.xmdaemon import Commands, Run, build_launcher, plain_argv, wait_until
from tests.faces.xmreplay import CHECKOUT

CONFIG = """
name = "web"
memory = 64
kernel = "/proc/version"
vif = ["mac=00:16:3e:00:00:05,bridge=xenbr0"]
"""

Xend = Callable[..., None]


@pytest.fixture(autouse=True)
def _loop_never_blocked() -> None:
    """The daemon's loop is in another process."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("xend")
    (folder / "web").write_text(CONFIG)
    build_launcher(folder / "xm")
    return folder


@pytest.fixture(scope="module")
def xend(folder: Path) -> Iterator[Xend]:
    """The daemon's verbs; it runs."""

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
    wait_until((folder / "run/warm.sock").exists)
    yield verb
    verb("stop")


@pytest.fixture(params=["short", "xmlrpc"])
def xm(request: pytest.FixtureRequest, xend: Xend, folder: Path, tmp_path: Path) -> Run:
    env = {"XEND_RUN_DIR": str(folder / "run"), "XM_CONFIG_FILE": "/nosuch", "HOME": "/"}
    if request.param == "xmlrpc":
        env["XM_TRANSPORT"] = "xmlrpc"
    return Run(tmp_path, env)


@pytest.fixture
def web(xm: Run, folder: Path) -> Iterator[str]:
    """A domain that runs."""
    status, out, err = xm("create", str(folder / "web"))
    assert (status, err) == (0, "")
    assert out.startswith(f'Using config file "{folder}/web".\nStarted domain web (id=')
    yield "web"
    xm("destroy", "web")


def test_its_life(xm: Run, web: str) -> None:
    assert xm("domstate", web)[1] == "idle\n"
    assert xm("pause", web) == (0, "", "")
    assert xm("domstate", web)[1] == "paused by admin\n"
    assert xm("unpause", web) == (0, "", "")
    assert xm("rename", web, "other") == (0, "", "")
    assert xm("rename", "other", web) == (0, "", "")
    assert xm("reboot", "-w", web)[1] == "Domain web rebooted\nAll domains rebooted\n"
    assert xm("shutdown", "-w", web)[1] == "Domain web terminated\nAll domains terminated\n"
    assert xm("domid", web) == (3, "", "Error: Domain 'web' does not exist.\n")


def test_listings(xm: Run, web: str) -> None:
    status, out, err = xm("list")
    assert (status, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == ["Name", "Domain-0", "web"]
    assert out.splitlines()[2].split()[2:5] == ["64", "1", "-b----"]
    long = xm("list", "-l", web)[1].splitlines()
    assert long[0] == "(domain"
    assert long.index("    (name web)") > long.index(f"    (domid {xm('domid', web)[1].strip()})")
    assert json.loads(xm("list", "--json", web)[1])[0]["name"] == "web"
    assert len(xm("vcpu-list", web)[1].splitlines()) == 2
    assert "00:16:3e:00:00:05" in xm("network-list", web)[1]
    assert xm("block-list", web) == (0, "", "")
    assert xm("uptime", web)[1].splitlines()[1].startswith("web ")
    assert "nr_cpus                : " in xm("info")[1]


@pytest.mark.parametrize("state", ["all", "halted", "paused", "running", "nosuch"])
def test_both_ways_list_the_same(xend: Xend, folder: Path, tmp_path: Path, state: str) -> None:
    """The short way brings only the columns: of running, paused and halted ones alike."""
    env = {"XEND_RUN_DIR": str(folder / "run"), "XM_CONFIG_FILE": "/nosuch", "HOME": "/"}
    short, long = Run(tmp_path, env), Run(tmp_path, env | {"XM_TRANSPORT": "xmlrpc"})
    (folder / "halted").write_text(CONFIG.replace("web", "halted").replace(":05", ":06"))
    assert short("new", str(folder / "halted"))[0] == 0
    assert short("create", "-p", str(folder / "web"))[0] == 0
    try:
        listed = [list_without_times(xm("list", f"--state={state}")) for xm in (short, long)]
    finally:
        short("destroy", "web")
        short("delete", "halted")
    assert listed[0] == listed[1]
    shown = {"all": 4, "halted": 2, "paused": 2, "running": 2, "nosuch": 1}
    assert len(listed[0]) == shown[state], listed[0]


def list_without_times(ended: tuple[int, str, str]) -> list[str]:
    status, out, err = ended
    assert (status, err) == (0, "")
    return [line[:69] for line in out.splitlines()]


XL_CONFIG = """
type = "pvh"
name = "modern"
memory = 64
kernel = "/proc/version"
cmdline = "quiet"
cpus = "node:0"
disk = ["format=raw, vdev=xvda, access=ro, target=/proc/version"]
usbctrl = ["type=qusb,ports=4"]
"""


def test_a_file_of_xl(xm: Run, folder: Path) -> None:
    """Nothing of it is lost between the command line and the daemon."""
    (folder / "modern").write_text(XL_CONFIG)
    assert xm("create", "-q", str(folder / "modern")) == (0, "", "")
    long = xm("list", "-l", "modern")[1]
    assert "(uname file:/proc/version)" in long
    (listed,) = json.loads(xm("list", "--json", "modern")[1])
    assert listed["name"] == "modern"
    assert xm("destroy", "modern")[0] == 0
    (folder / "modern").write_text(XL_CONFIG + "on_crash = 'x'\nmaxmem = 32\n")
    status, _, err = xm("create", "-q", str(folder / "modern"))
    assert (status, len(err.splitlines())) == (1, 2)
    assert "modern:4:1: memory: 64 MiB, but at most 32 (maxmem)" in err
    assert "modern:10:12: on_crash: 'x' is none of its values" in err


@pytest.mark.parametrize(
    "words",
    [
        ["nosuch"],
        ["destroy", "nosuch"],
        ["pause", "nosuch"],
        ["list", "nosuch"],
        ["console", "nosuch"],
        ["mem-set", "nosuch", "1"],
        ["sched-credit"],
        ["create", "/nosuch/file"],
        ["network-attach", "nosuch"],
    ],
)
def test_refusals(xm: Run, words: list[str]) -> None:
    status, _, err = xm(*words)
    assert status in (1, 3)
    assert err.startswith("Error: ")
    assert len(err.splitlines()) == 1


def test_the_launcher_and_the_plain_command_line(xend: Xend, folder: Path) -> None:
    env = {"XEND_RUN_DIR": str(folder / "run"), "PATH": os.environ["PATH"], "HOME": "/"}
    runs = [
        Commands(argv, env, folder).run("create", "web")
        for argv in ([str(folder / "xm")], plain_argv())
    ]
    assert [run.returncode for run in runs] == [0, 1]
    assert runs[0].stdout.splitlines()[1].startswith("Started domain web (id=")
    assert "'web'" in runs[1].stderr
    assert Commands([str(folder / "xm")], env, folder).run("destroy", "web").returncode == 0


def test_a_restart_goes_unnoticed(xend: Xend, folder: Path) -> None:
    """Commands that meet no daemon wait for the one that comes."""
    env = {"XEND_RUN_DIR": str(folder / "run"), "PATH": os.environ["PATH"], "HOME": "/"}
    restart = threading.Thread(target=xend, args=("restart",))
    restart.start()
    commands = Commands([str(folder / "xm")], env, folder)
    runs = []
    while restart.is_alive():
        runs.append(commands.run("domid", "Domain-0"))
    restart.join()
    assert {(run.returncode, run.stdout, run.stderr) for run in runs} == {(0, "0\n", "")}
