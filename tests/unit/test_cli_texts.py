"""Completion scripts and the manual know every command."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pexpect
import pytest

from xend.cli.table import ALIASES, BY_NAME
from xend.cli.xltable import BY_NAME as XL_BY_NAME
from xend.daemon.options import ASKING, FILE_VERBS, VERBS

CHECKOUT = Path(__file__).parents[2]
COMPLETION = CHECKOUT / "scripts/completion"


def words(pattern: str, text: str) -> set[str]:
    found = re.search(pattern, text, re.DOTALL)
    assert found
    return set(found[1].split())


BASH = COMPLETION / "xend.bash"
ZSH = COMPLETION / "_xend"
ODD = "odd $(touch pwned) name"
LISTING = f"""\
Name                                        ID   Mem VCPUs      State   Time(s)
Domain-0                                     0  1024     1     r-----      12.0
prospero                                     1   256     1     -b----       0.1
{ODD:<40s}     2   256     1     -b----       0.1
with:two:colons                              3   256     1     -b----       0.1
halted                                             256     1                 0.0
"""


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an xm, which answers, and an xl that is the same."""
    folder = tmp_path_factory.mktemp("bin")
    (folder / "listing").write_text(LISTING)
    (folder / "xm").write_text(
        "#!/bin/sh\n"
        f"[ $1 = list ] && cat {folder}/listing\n"
        "[ $1 = cpupool-list ] && printf 'Name CPUs\\nPool-0 4\\n'\n"
    )
    (folder / "xm").chmod(0o755)
    (folder / "xl").symlink_to("xm")
    return folder


def test_completions_have_every_command() -> None:
    bash, zsh = BASH.read_text(), ZSH.read_text()
    for name, table in (("xm", set(BY_NAME)), ("xl", {"help", *XL_BY_NAME})):
        assert words(rf"_{name}_commands='(.*?)'", bash) == table
        assert words(rf"_{name}_commands=\((.*?)\n\)", zsh) == table
    assert words(r"_xend_words='(.*?)'", bash) == words(r"_xend_words=\((.*?)\n\)", zsh)
    verbs = {*VERBS, *ASKING, *FILE_VERBS} - {"trace_start"}
    assert verbs <= words(r"_xend_words='(.*?)'", bash)


def test_completions_have_every_option_of_xl() -> None:
    zsh = ZSH.read_text()
    found = zsh[zsh.index("_xl_options=(") :]
    offered = {name: set(text.split()) for name, text in re.findall(r"    (\S+) '(-.*)'", found)}
    for command in XL_BY_NAME.values():
        keys = {short.split()[0] for short, _, _ in command.options if short.startswith("-")}
        keys |= {re.sub("=.*", "=", long) for _, long, _ in command.options if long}
        assert keys - {"-h", "--help"} <= offered.get(command.name, set())


COMPLETIONS = [
    ("xm blo", ["block-attach", "block-configure", "block-detach", "block-list"]),
    ("xm list --s", ["--state="]),
    ("xm domstate --j", ["--json"]),
    ("xm destroy pro", ["prospero"]),
    ("xm destroy od", [ODD]),
    ("xm start ha", ["halted"]),
    ("xm trigger prospero n", ["nmi"]),
    ("xm cpupool-destroy ", ["Pool-0"]),
    ("xm cpupool-migrate prospero P", ["Pool-0"]),
    ("xm info x", []),
    ("xl vm", ["vm-list"]),
    ("xl sched-credit2 --ra", ["--ratelimit_us="]),
    ("xl console pro", ["prospero"]),
    ("xl shutdown -", ["-a", "--all", "-F", "-w", "--wait", "--help"]),
    ("xend re", ["restart", "reload"]),
    ("xend start --hyp", ["--hypervisor="]),
    ("xend start --hypervisor s", ["sim"]),
    ("xend ado", ["adopt"]),
    ("xend adopt pro", ["prospero"]),
    ("xend import --", ["--dry-run", "--help"]),
    ("xend convert file --to s", ["sxp"]),
]


@pytest.mark.parametrize(("line", "completions"), COMPLETIONS)
def test_bash_completion(programs: Path, line: str, completions: list[str]) -> None:
    given = line.split(" ")
    function = {"xm": "_xm", "xl": "_xl_of_xend", "xend": "_xend"}[given[0]]
    script = (
        f"compopt() {{ :; }}; . {BASH}; COMP_WORDS=({' '.join(map(repr, given))}); "
        f"COMP_CWORD={len(given) - 1}; {function}; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    done = run_shell(["bash", "-c", script], programs)
    assert [shlex.split(each)[0] for each in done.splitlines() if each] == completions


def test_bash_completion_of_a_name_with_colons(programs: Path) -> None:
    """Readline takes only what is behind the last colon for the word."""
    script = (
        f"compopt() {{ :; }}; . {BASH}; COMP_WORDS=(xm destroy with : tw); COMP_CWORD=4; "
        "COMP_LINE='xm destroy with:tw'; COMP_POINT=18; _xm; echo \"${COMPREPLY[@]}\""
    )
    assert run_shell(["bash", "-c", script], programs) == "two:colons\n"


@pytest.mark.parametrize(("line", "completions"), COMPLETIONS)
def test_zsh_completion(programs: Path, line: str, completions: list[str]) -> None:
    """The function itself, with a `compadd` that shows what it would offer."""
    given = line.split(" ")
    quoted = " ".join(map(shlex.quote, given))
    script = (
        "compadd() {\n"
        "  local -a found; local each; found=()\n"
        "  while [[ $1 == -* ]]; do case $1 in -a) found=(${(P)2}); shift;; -S) shift;;\n"
        "    --) shift; break;; esac; shift; done\n"
        "  for each in $found $@; do [[ $each == $PREFIX* ]] && print -r -- $each; done }\n"
        f"words=({quoted}); CURRENT={len(given)}; PREFIX=$words[CURRENT]; service=$words[1]\n"
        f"[[ -n $PREFIX ]] || words[CURRENT]=''\n. {ZSH}; true"
    )
    assert run_shell(["zsh", "-f", "-c", script], programs).splitlines() == completions


def test_zsh_completes_at_the_prompt(programs: Path, tmp_path: Path) -> None:
    """The whole way: compinit finds the function, Tab calls it."""
    shell = pexpect.spawn(
        "zsh",
        ["-f", "-i"],
        env={"PATH": f"{programs}:/usr/bin:/bin", "TERM": "dumb", "HOME": str(tmp_path)},
        encoding="utf-8",
        timeout=20,
    )
    shell.sendline(
        f"fpath=({COMPLETION} $fpath); autoload -Uz compinit; compinit -u -D; PS1='rea''dy '"
    )
    shell.expect("ready ")
    shell.send("echo xm; xm dest\t")
    shell.expect("xm destroy ")
    shell.send("pro\t")
    shell.expect("spero ")
    shell.close(force=True)


def run_shell(argv: list[str], programs: Path) -> str:
    done = subprocess.run(
        argv,
        env={"PATH": f"{programs}:/usr/bin:/bin"},
        cwd=programs,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert not (programs / "pwned").exists(), "a domain's name was run"
    return done.stdout


def test_the_manual_names_every_command() -> None:
    text = (CHECKOUT / "docs/xm.1.md").read_text()
    named = set(re.findall(r"`([a-z0-9-]+)", text))
    assert set(BY_NAME) - {"help"} <= named
    pools = {alias for alias in ALIASES if alias.startswith("pool-")}
    assert set(ALIASES) - pools <= named
