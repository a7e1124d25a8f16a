"""The Tab key at a bash and a zsh prompt, with xm and a daemon on a simulated host behind it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from tests.faces.debian import simulated_host
from tests.faces.xmreplay import CHECKOUT

SCRIPTS = CHECKOUT / "scripts/completion"
CONFIG = "name = {name!r}\nmemory = 64\nkernel = '/proc/version'\n"
SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], f". {SCRIPTS}/xend.bash"),
    "zsh": (
        ["zsh", "-f", "-i"],
        f"fpath=({SCRIPTS} $fpath); autoload -Uz compinit; compinit -u -D",
    ),
}


@pytest.fixture(autouse=True)
def _loop_never_blocked() -> None:
    """The daemon's loop is in another process."""


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder with xm; `prospero` runs, `miranda` does not."""
    folder = tmp_path_factory.mktemp("host")
    with simulated_host(folder) as program:
        for verb, name in (("create", "prospero"), ("new", "miranda")):
            config = folder / name
            config.write_text(CONFIG.format(name=name))
            subprocess.run([program, verb, "-q", config], check=True)
        yield program.parent


@pytest.fixture(params=SHELLS)
def prompt(
    request: pytest.FixtureRequest, programs: Path, tmp_path: Path
) -> Iterator[pexpect.spawn[str]]:
    argv, loading = SHELLS[request.param]
    shell = pexpect.spawn(
        argv[0],
        argv[1:],
        env={
            "PATH": f"{programs}:/usr/bin:/bin",
            "TERM": "dumb",
            "HOME": str(tmp_path),
            "INPUTRC": "/dev/null",
        },
        cwd=str(tmp_path),
        encoding="utf-8",
        timeout=30,
    )
    shell.sendline(f"{loading}; PS1='rea''dy '")
    shell.expect("ready ")
    yield shell
    shell.close(force=True)


def test_names_of_domains(prompt: pexpect.spawn[str]) -> None:
    for typed, rest in (("xm destroy pro", "spero "), ("xm start mir", "anda ")):
        prompt.send(f"{typed}\t")
        prompt.expect_exact(typed + rest)
        prompt.sendcontrol("u")


def test_a_verb_then_a_name_then_running_it(prompt: pexpect.spawn[str]) -> None:
    prompt.send("xm domi\t")
    prompt.expect_exact("xm domid ")
    prompt.send("prosp\t")
    prompt.expect_exact("ero ")
    prompt.send("\r")
    prompt.expect(r"\n1\r\n")
