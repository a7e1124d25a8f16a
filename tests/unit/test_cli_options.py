"""What help says of a subcommand's options is what the subcommand takes, under both names.

No daemon is asked: an option that there is not is refused before."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.faces.xmdaemon import Run
from xend.cli.command import Command
from xend.cli.main import run_xm
from xend.cli.table import COMMANDS as XM
from xend.cli.xl import run_xl
from xend.cli.xltable import COMMANDS as XL

_KEY = re.compile(r"(?P<name>--?[A-Za-z][\w-]*)(?P<value>[ =\[].*)?")
_UNKNOWN = re.compile(r"not supported\.|not recognized|requires argument")
_MOST_OPERANDS = 4


def options(commands: tuple[Command, ...]) -> list[tuple[str, list[str]]]:
    """(subcommand, the option as it is typed)."""
    found = []
    for command in commands:
        for key in [key for short, long, _ in command.options for key in (short, long)]:
            match = _KEY.fullmatch(key)
            if match is None or command.doer.startswith("dropped."):
                continue
            name, value = match["name"], match["value"]
            long = name.startswith("--")
            words = [name] if not value else [f"{name}=1"] if long else [name, "1"]
            found.append((command.name, words))
    return found


def name_of(case: tuple[str, list[str]]) -> str:
    return " ".join((case[0], *case[1]))


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"XEND_RUN_DIR": str(tmp_path), "XM_CONFIG_FILE": "", "HOME": "/", "PATH": "/nosuch"}


def complaint(run: Run, command: str, words: list[str]) -> str:
    """With as many operands as it wants."""
    err = ""
    for count in range(_MOST_OPERANDS):
        _, _, err = run(command, *words, *["0"] * count)
        if "requires" not in err or "requires argument" in err:
            return err
    raise AssertionError(f"{command} wants more than {_MOST_OPERANDS} operands: {err}")


@pytest.mark.parametrize("case", options(XM), ids=name_of)
def test_xm(case: tuple[str, list[str]], env: dict[str, str], tmp_path: Path) -> None:
    assert not _UNKNOWN.search(complaint(Run(tmp_path, env, run_xm), *case))


@pytest.mark.parametrize("case", options(XL), ids=name_of)
def test_xl(case: tuple[str, list[str]], env: dict[str, str], tmp_path: Path) -> None:
    assert not _UNKNOWN.search(complaint(Run(tmp_path, env, run_xl), *case))


def test_what_there_is_not(env: dict[str, str], tmp_path: Path) -> None:
    """The test sees it."""
    assert _UNKNOWN.search(complaint(Run(tmp_path, env, run_xm), "list", ["--nosuch"]))
    assert _UNKNOWN.search(complaint(Run(tmp_path, env, run_xl), "list", ["--nosuch"]))
