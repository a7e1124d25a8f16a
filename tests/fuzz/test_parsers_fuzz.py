"""Every parser on texts that are cut and mended from right ones, and on those made to hurt."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import MOST_MEMORY, NASTY, ROOT, TARGETS, corpus, survives

PIECES = [
    *(b"(", b")", b"[", b"]", b"{", b"'", b'"', b",", b"=", b"\n", b"\\", b"\0", b"\xff"),
    *(b"1", b"-1", b"0x", b"99999999999", b" ", b"#", b":", b"%s", b"import os\n", b"*"),
]
EDITS = st.lists(
    st.tuples(st.integers(0, 3000), st.integers(0, 20), st.sampled_from(PIECES)), max_size=6
)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_texts_that_are_cut_and_mended(name: str, data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(sorted(corpus(name))) | st.binary(max_size=200))
    for place, length, piece in data.draw(EDITS):
        at = place % (len(text) + 1)
        text = text[:at] + piece + text[at + length :]
    started = time.process_time()
    survives(name, text)
    assert time.process_time() - started < 2


SCRIPT = r"""
import re, sys, time
from tests.fuzz.targets import NASTY, corpus, survives
name = sys.argv[1]
for data in [*corpus(name), *NASTY]:
    started = time.process_time()
    survives(name, data)
    took = time.process_time() - started
    assert took < 3, (took, data[:60])
with open("/proc/self/status") as status:
    print(re.search(r"VmHWM:\s+(\d+) kB", status.read())[1])
"""


@pytest.mark.parametrize("name", TARGETS)
def test_texts_that_were_made_to_hurt_take_little_memory(name: str) -> None:
    """In a process of its own, so that the peak is this parser's.  Not ru_maxrss, which begins with
    that of the process that forked (setmax_mm_hiwater_rss in fs/exec.c)."""
    assert NASTY
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, name],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) * 1024 < MOST_MEMORY
