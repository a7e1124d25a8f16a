"""Completion scripts and the manual know every command."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from xend.cli.table import ALIASES, BY_NAME

CHECKOUT = Path(__file__).parents[2]
COMPLETION = CHECKOUT / "scripts/completion"


def words(pattern: str, text: str) -> set[str]:
    found = re.search(pattern, text, re.DOTALL)
    assert found
    return set(found[1].split())


def test_bash_completion_has_every_command() -> None:
    text = (COMPLETION / "xm.bash").read_text()
    assert words(r"_xm_commands='(.*?)'", text) == set(BY_NAME)


def test_zsh_completion_has_every_command() -> None:
    text = (COMPLETION / "_xm").read_text()
    assert words(r"_xm_commands=\((.*?)\n\)", text) == set(BY_NAME)
    options = re.findall(r"^    ([a-z0-9-]+) '-", text, re.MULTILINE)
    assert options
    assert set(options) <= set(BY_NAME)


@pytest.mark.parametrize(
    ("line", "completions"),
    [
        ("xm blo", ["block-attach", "block-configure", "block-detach", "block-list"]),
        ("xm list --s", ["--state="]),
        ("xm destroy pro", ["prospero"]),
        ("xm trigger prospero n", ["nmi"]),
        ("xm cpupool-destroy ", ["Pool-0"]),
        ("xm info x", []),
    ],
)
def test_bash_completion(tmp_path: Path, line: str, completions: list[str]) -> None:
    program = tmp_path / "xm"
    program.write_text(
        "#!/bin/sh\n"
        "[ $1 = list ] && printf 'Name ID\\nDomain-0 0\\nprospero 1\\n'\n"
        "[ $1 = cpupool-list ] && printf 'Name CPUs\\nPool-0 4\\n'\n"
    )
    program.chmod(0o755)
    given = line.split(" ")
    script = (
        f"compopt() {{ :; }}; . {COMPLETION}/xm.bash; COMP_WORDS=({' '.join(map(repr, given))}); "
        f"COMP_CWORD={len(given) - 1}; _xm; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    done = subprocess.run(
        ["bash", "-c", script],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert done.stdout.split() == completions


def test_the_manual_names_every_command() -> None:
    text = (CHECKOUT / "docs/xm.1.md").read_text()
    named = set(re.findall(r"`([a-z0-9-]+)", text))
    assert set(BY_NAME) - {"help"} <= named
    pools = {alias for alias in ALIASES if alias.startswith("pool-")}
    assert set(ALIASES) - pools <= named
