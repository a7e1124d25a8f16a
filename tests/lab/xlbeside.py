"""The distribution's `xl` and ours on the same domains, and what both say, masked where that
changes from one look to the next."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable

from tests.lab.conftest import run

REAL = "/usr/sbin/xl"
OURS = "/usr/lib/xend/bin/xl"
LOGGED = re.compile(r"^(libxl|xc|xencall|xentoollog): .*\n+", re.M)
"""What libraries log, some with an empty line behind it; of ours one line, in its own words."""

MASKS = (
    # Which CPU a vcpu is on, and whether it runs or blocks, changes from one look to the next.
    (re.compile(r"^(.{32} +\d+ +\d+) +\d+ +[r-][b-]- +\d+\.\d", re.M), r"\1 CPU"),
    (re.compile(r" [r-][b-]([p-][s-].[d-]) +\d+\.\d"), r" STATE\1 TIME"),
    (re.compile(r"\d+ days?, "), ""),
    (re.compile(r"[ \d]\d:\d\d(:\d\d)?"), "TIME"),
    (re.compile(r"^(free_memory +:) \d+$", re.M), r"\1 MIB"),
)


def masked(text: str) -> str:
    for pattern, replacement in MASKS:
        text = pattern.sub(replacement, text)
    return text


def both(*words: str) -> tuple[subprocess.CompletedProcess[str], ...]:
    return run(REAL, *words), run(OURS, *words)


def same(*words: str) -> str:
    """Standard output, which is equal, as the exit status is."""
    theirs, ours = both(*words)
    assert (masked(ours.stdout), ours.returncode) == (masked(theirs.stdout), theirs.returncode), (
        f"xl {' '.join(words)}\ntheirs: {theirs.stderr}\nours: {ours.stderr}"
    )
    return ours.stdout


def refused(*words: str) -> str:
    """The same, of a command that is wrong: what xl itself says about it, too, is equal."""
    theirs, ours = both(*words)
    expected, found = (
        (LOGGED.sub("", each.stderr), masked(each.stdout), each.returncode)
        for each in (theirs, ours)
    )
    assert found == expected, f"xl {' '.join(words)}\ntheirs: {theirs.stderr}\nours: {ours.stderr}"
    return found[0]


def by_turns(change: Callable[[str], None]) -> None:
    """The same change by their xl and by ours."""
    for program in (REAL, OURS):
        change(program)


def done(program: str, *words: str) -> str:
    ended = run(program, *words)
    assert ended.returncode == 0, (program, words, ended.stdout, ended.stderr)
    return ended.stdout
