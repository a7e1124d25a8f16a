"""Our `xl` beside the distribution's: what it says on standard error, and the programs that it puts
on the terminal."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.conftest import domains, run
from tests.lab.guests import config, linux
from tests.lab.terminal import PROMPT, Ended, Terminal, Unexpected
from tests.lab.xlbeside import OURS, REAL, by_turns, done, refused, same

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("xend_running")]

NAME = "tiny"
TALKER = "talker"
ESCAPE = "\x1d"
"""CTRL-]"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("words")


@pytest.fixture(scope="module")
def guest(xend_running: None, folder: Path) -> Iterator[str]:
    """Paravirtualised, with one VCPU and no device."""
    assert not domains()
    made = run("xm", "create", "-q", str(config(folder, NAME, maxmem=16, memory=8)))
    assert made.returncode == 0, made.stderr
    yield NAME
    for domid in domains().values():
        run("xl", "destroy", str(domid))


REFUSED = [
    ["mem-max", "nosuch", "64"],
    ["mem-max", "9999", "64"],
    ["mem-max", NAME, "lots"],
    ["mem-max", NAME, "64xx"],
    ["mem-max", NAME, "0x40"],
    ["mem-max", NAME, "6.5"],
    ["mem-max", NAME, "64 "],
    ["mem-max", NAME, "2"],
    ["mem-max", NAME, "2m"],
    ["mem-set", NAME, "0x8"],
    ["mem-set", NAME, "-"],
    ["mem-set", NAME, "500"],
    ["vcpu-pin", NAME, "x", "0"],
    ["vcpu-pin", NAME, "-1", "0"],
    ["vcpu-pin", NAME, "0", "x"],
    ["vcpu-pin", NAME, "0", "0-x"],
    ["vcpu-pin", NAME, "0", "1-0"],
    ["vcpu-pin", NAME, "0", "^all"],
    ["vcpu-pin", NAME, "0", "5"],
    ["vcpu-pin", NAME, "0", "500"],
    ["vcpu-pin", NAME, "0", "-", "x"],
    ["vcpu-pin", NAME, "17", "0"],
    ["vcpu-pin", NAME, "17", "-", "0"],
    ["vcpu-pin", NAME, "all", "5"],
    ["vcpu-pin", "-f", NAME, "all", "0"],
    ["vcpu-pin", "nosuch", "0", "0"],
    ["vcpu-pin", "9999", "0", "0"],
    ["vcpu-pin", "9999", "0", "-", "0"],
    ["vcpu-pin", "9999", "all", "0"],
    ["vcpu-pin", "9999", "all", "-", "0"],
    ["vcpu-set", NAME, "x"],
    ["vcpu-set", NAME, "-1"],
    ["vcpu-set", NAME, "0"],
    ["vcpu-set", NAME, "2"],
    ["vcpu-set", NAME, "900"],
    ["vcpu-set", "-i", "9999", "1"],
    ["vcpu-set", "9999", "1"],
    ["sched-credit2", "-w", "5"],
    ["sched-credit2", "-d", NAME, "-w", "0"],
    ["sched-credit2", "-d", NAME, "-w", "70000"],
    ["sched-credit2", "-d", NAME, "-c", "101"],
    ["button-press", NAME, "power"],
    ["button-press", NAME, "sleep"],
    ["button-press", NAME, "tea"],
    ["button-press", "nosuch", "power"],
    ["button-press", "9999", "power"],
    ["trigger", NAME, "power"],
    ["trigger", NAME, "reset"],
    ["trigger", NAME, "init"],
    ["trigger", NAME, "Sleep"],
    ["trigger", NAME, "unknown"],
    ["trigger", NAME, "tea"],
    ["trigger", NAME, "nmi", "99"],
    ["trigger", NAME, "sleep", "x"],
    ["trigger", "9999", "nmi"],
    ["trigger", "nosuch", "nmi"],
    ["sysrq", "nosuch", "h"],
    ["console", "nosuch"],
    ["console", "9999"],
    ["console", "-t", "tea", NAME],
    ["destroy", "nosuch"],
    ["destroy", "9999"],
    ["destroy", "0"],
    ["shutdown", "9999"],
    ["reboot", "9999"],
    ["dump-core", "9999", "/tmp/x"],
    ["rename", "9999", "x"],
    ["pause", "9999"],
    ["unpause", "9999"],
    ["domid", "nosuch"],
    ["domname", "9999"],
    ["block-detach", NAME, "xvdz"],
    ["network-detach", NAME, "7"],
    ["cd-insert", NAME, "hdc", "/nosuch.iso"],
]


@pytest.mark.parametrize("words", REFUSED, ids=" ".join)
def test_refusals(guest: str, words: list[str]) -> None:
    """In xl's words and with its exit status, which is 0 for some; nothing changes."""
    before = done(REAL, "list", "-l", guest)
    refused(*words)
    assert done(REAL, "list", "-l", guest) == before


def test_memory_at_most(guest: str) -> None:
    def change(program: str) -> None:
        for word in ("12", "12288k", "12m", "+12", " 12"):
            assert done(program, "mem-max", guest, word) == ""
            same("list", "-l", guest)
        assert done(program, "mem-max", guest, "16") == ""

    by_turns(change)


@pytest.fixture(scope="module")
def talker(guest: str, folder: Path) -> str:
    """A Linux with a shell on its console."""
    made = run("xm", "create", "-q", str(linux(folder, TALKER)))
    assert made.returncode == 0, made.stderr
    return TALKER


@pytest.mark.parametrize("program", [REAL, OURS])
@pytest.mark.parametrize("options", ["", "-t pv -n 0 "])
def test_the_console_is_left_by_its_key(talker: str, program: str, options: str) -> None:
    with Terminal(timeout=60) as terminal:
        terminal.type(f"{program} console {options}{talker}\n")
        _answered(terminal)
        terminal.type(ESCAPE)
        terminal.wait_for(re.escape(PROMPT))
        assert terminal.status() == 0
    assert talker in domains()


def _answered(terminal: Terminal) -> None:
    """The guest's shell has; what is typed before the terminal is the guest's is lost."""
    deadline = time.monotonic() + 90
    while True:
        terminal.type("echo $((6*7))ok\r")
        try:
            terminal.wait_for("42ok", timeout=5, alive=True)
        except Ended:
            raise
        except Unexpected:
            assert time.monotonic() < deadline, "the guest's shell does not answer"
        else:
            return


@pytest.mark.parametrize("program", [REAL, OURS])
def test_top_is_left_by_q(guest: str, program: str) -> None:
    with Terminal(timeout=60) as terminal:
        terminal.type(f"{program} top\n")
        terminal.wait_for(rf"\b{guest}\b", alive=True)
        terminal.type("q")
        terminal.wait_for(re.escape(PROMPT))
        assert terminal.status() == 0
