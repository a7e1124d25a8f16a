"""Bad xl files: every mistake in one error, with its place, in time."""

from __future__ import annotations

import time

import pytest

from tests.xlcases import UUID
from xend.config.problems import MOST_PROBLEMS, InvalidFile
from xend.config.xlcfg import read
from xend.errors import ConfigError

GOOD = f'name = "a"\nuuid = "{UUID}"\nkernel = "/k"\nmemory = 64\n'
PLENTY = 1.0
"""Seconds of the processor that a refusal may take."""


def refused(text: str) -> InvalidFile:
    started = time.process_time()
    with pytest.raises(InvalidFile) as caught:
        read(text, filename="vm.cfg")
    assert time.process_time() - started < PLENTY
    return caught.value


def test_every_mistake_is_named_with_its_place() -> None:
    error = refused(
        GOOD
        + 'vcpus = "two"\n'
        + "disk = ['/dev/vg/a,raw,xvda,rw', '/dev/vg/b,vmdk,xvdb,rw']\n"
        + "vif = [ 'mac=00:16:3e' ]\n"
        + 'on_crash = "explode"\n'
        + "localtime = True\n"
    )
    found = [(each.line, each.column, each.field) for each in error.problems]
    assert found == [
        (5, 9, "vcpus"),
        (6, 34, "disk"),
        (7, 9, "vif"),
        (8, 12, "on_crash"),
        (9, 13, ""),
    ]
    assert [line.split(": ")[0] for line in str(error).splitlines()] == [
        f"vm.cfg:{line}:{column}" for line, column, _ in found
    ]
    assert "expected raw, qcow, qcow2, vhd, empty, qed" in str(error)


def test_the_error_has_the_fields_of_the_first_mistake() -> None:
    error = refused(GOOD + 'memory = "64M"\n')
    assert isinstance(error, ConfigError)
    assert error.fields == {
        "file": "vm.cfg",
        "line": 5,
        "column": 10,
        "field": "memory",
        "value": "64M",
        "expected": "such as 64 or 0x40",
    }


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("memory = True", "Python"),
        ("memory = -1", "quotes"),
        ("disk = ('a')", "[ ]"),
        ("cmdline = 'a", "does not end"),
        ("memory = 64\r", "carriage return"),
        ("memory = 0", "memory"),
        ("memory = 1.5", "NAME = VALUE"),
        ("memory = 99999999999999999999", "too large"),
        ("memory = 64 maxmem = 128", "end of the line"),
        ("vif = [ 'a'\n'b' ]", "list begins in line 5"),
        ("maxmem = 32", "at most 32"),
        ("name = 'a b'", "Invalid VM Name"),
        ("tsc_mode = 'natve'", "did you mean 'native'?"),
        ("vif = ['rate=10']", "10Mb/s"),
        ("disk = ['/a,raw,xvda,rw', '/b,raw,xvda,rw']", "xvda"),
        ("disk = ['vdev=xvda,targt=/a']", "target="),
        ("cmdline = '\\x41'", "\\x"),
        ("vif = [[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]", "deep"),
    ],
)
def test_a_mistake_is_explained(line: str, words: str) -> None:
    assert words in str(refused(GOOD + line + "\n"))


@pytest.mark.parametrize(
    "text",
    [
        "[" * 10_000,
        "x = " + "[" * 10_000,
        ("x = [\n" * 40_000)[: 1 << 18],
        "x = '" + "\\" * 200_000,
        "'" * 200_000,
        ("1 " * 200_000)[: 1 << 18],
        "vif = [" + "'a'," * 60_000,
        "\0" * 200_000,
        "name = 'x'\n" * 100 + "a" * 10_000_000,
        "disk = ['" + "a:" * 100_000 + "']",
        "disk = ['" + "," * 200_000 + "']",
        "cpus = '0-4095," + "0-4095," * 20_000 + "'",
        "vnuma = [" + "['vcpus=0-4094','size=1']," * 5_000 + "]",
        "cpuid = 'host," + "sse3=0," * 20_000 + "x'",
        "memory = '" + "9" * 200_000 + "'",
        "irqs = [" + "'" + "9" * 200_000 + "']",
        "name = '\udcff'",
    ],
    ids=range(17),
)
def test_a_bomb_is_refused_in_time(text: str) -> None:
    error = refused(text)
    assert len(error.problems) <= MOST_PROBLEMS
    assert len(str(error)) < 100_000


def test_a_name_that_xl_does_not_know_is_mentioned_or_with_strict_a_mistake() -> None:
    text = GOOD + "memroy = 32\n"
    result = read(text, filename="vm.cfg")
    assert [(note.line, note.kind, note.message) for note in result.notes] == [
        (5, "unknown", "'memroy' is no setting of xl; did you mean 'memory'?")
    ]
    with pytest.raises(InvalidFile) as caught:
        read(text, filename="vm.cfg", strict=True)
    assert "did you mean 'memory'?" in str(caught.value)


def test_bytes_that_are_no_utf8_are_named_with_their_place() -> None:
    error = refused(GOOD + "cmdline = 'a\udc80'\n")
    assert (error.problems[0].line, error.problems[0].column) == (5, 13)
    assert "UTF-8" in str(error)
