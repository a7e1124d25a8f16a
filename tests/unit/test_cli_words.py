"""Words of a command line: options, names of commands, counts of arguments, help."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faces.xmdaemon import Run
from xend.cli.command import Command
from xend.cli.getopts import GetoptError, getopt, gnu_getopt
from xend.cli.help import wrap
from xend.cli.table import ALIASES, BY_NAME, COMMANDS, COMMON, find


@pytest.fixture
def xm(tmp_path: Path) -> Iterator[Run]:
    """Without a daemon."""
    yield Run(tmp_path, {"XEND_RUN_DIR": str(tmp_path), "XM_CONFIG_FILE": "/nosuch"})


@pytest.mark.parametrize(
    ("args", "options", "operands"),
    [
        (["-a", "x", "-b1"], [("-a", ""), ("-b", "1")], ["x"]),
        (["-ab", "v", "x"], [("-a", ""), ("-b", "v")], ["x"]),
        (["x", "--long", "--val=1", "--val", "2"], [("--long", ""), ("--val", "1"), ("--val", "2")]
         , ["x"]),
        (["--lo"], [("--long", "")], []),
        (["--", "-a"], [], ["-a"]),
        (["-"], [], ["-"]),
        (["--val="], [("--val", "")], []),
    ],
)  # fmt: skip
def test_options_anywhere(
    args: list[str], options: list[tuple[str, str]], operands: list[str]
) -> None:
    assert gnu_getopt(args, "ab:", ("long", "val=")) == (options, operands)


def test_options_up_to_the_first_operand() -> None:
    assert getopt(["-a", "x", "-a"], "a") == ([("-a", "")], ["x", "-a"])
    assert getopt(["-a", "--", "-a"], "a") == ([("-a", "")], ["-a"])


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["-z"], "option -z not recognized"),
        (["-b"], "option -b requires argument"),
        (["--bogus"], "option --bogus not recognized"),
        (["--val"], "option --val requires argument"),
        (["--long=1"], "option --long must not have an argument"),
        (["--l"], "option --l not a unique prefix"),
        (["-:"], "option -: not recognized"),
    ],
)
def test_wrong_options(args: list[str], message: str) -> None:
    with pytest.raises(GetoptError) as error:
        gnu_getopt(args, "ab:", ("long", "label", "val="))
    assert str(error.value) == message


def test_every_command_is_there() -> None:
    assert len(COMMANDS) == len(BY_NAME) == 103
    assert len(ALIASES) == 15
    assert set(ALIASES.values()) <= set(BY_NAME)
    assert set(COMMON) <= set(BY_NAME)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_has_its_function(command: Command) -> None:
    assert callable(command.load())


def test_prefixes() -> None:
    assert find("list") is BY_NAME["list"]
    assert find("li") is BY_NAME["list"]
    assert find("l") is None
    assert find("blo") is None  # several
    assert find("ballo") is None  # an alias has no prefixes
    assert find("hel") is None


COUNTED = [command for command in COMMANDS if command.counts and not command.plain]


@pytest.mark.parametrize("command", COUNTED, ids=lambda command: command.name)
def test_wrong_number_of_words(xm: Run, command: Command) -> None:
    assert command.counts is not None
    low, high = command.counts
    wanted = f"{low}" if low == high else f"between {low} and {high}"
    for count in ([low - 1] if low else []) + [high + 1]:
        status, out, err = xm(command.name, *["x"] * count)
        assert err == f"Error: 'xm {command.name}' requires {wanted} arguments.\n\n"
        assert out.startswith(f"Usage: xm {command.name} {command.usage}\n")
        assert status == 1


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_help_of_every_command(xm: Run, command: Command) -> None:
    status, out, err = xm(command.name, "--help")
    assert (status, err) == (1, "")
    if command.summary is None:
        assert out.startswith("Usage: xm <subcommand> [args]\n")
    else:
        assert out.startswith(f"Usage: xm {command.name} {command.usage}\n\n{command.summary}\n")
    for short, long, _ in command.options:
        keys = ", ".join(key for key in (short, long) if key)
        assert f"\n  {keys:<30s} " in out


def test_help_texts(xm: Run) -> None:
    status, short, _ = xm()
    assert status == 1
    listed = [line for line in short.splitlines() if line[:1] == " " and line[1:2] != " "]
    assert [line.split()[0] for line in listed] == list(COMMON)
    for words in (["help"], ["help", "x"], ["--help"], ["-h"]):
        status, full, err = xm(*words)
        assert (status, err) == (0, "")
        assert full.startswith("Usage: xm <subcommand> [args]\n")
        assert " usb-list-assignable-devices " in full
    assert xm("help", "--help")[:2] == (1, "Usage: xm help \n\nPrint this text.\n")
    assert xm("li", "-h")[1].startswith("Usage: xm list ")
    assert xm("balloon", "-h")[1] == short


def test_unknown_command(xm: Run) -> None:
    status, out, err = xm("nosuch")
    assert (status, err) == (1, "Error: Subcommand nosuch not found!\n")
    assert out == xm()[1]


def test_old_names(xm: Run) -> None:
    _, _, err = xm("vbd-detach")
    assert err == "Error: Subcommand vbd-detach not found!\n"
    _, out, err = xm("vif-list")
    assert err == "Command vif-list is deprecated.  Please use xm network-list instead.\n"
    assert out.startswith("No domain parameter given\nUsage: xm network-list ")


DROPPED = [command for command in COMMANDS if command.doer.startswith("dropped.")]


@pytest.mark.parametrize("command", DROPPED, ids=lambda command: command.name)
def test_what_xen_has_dropped(xm: Run, command: Command) -> None:
    """It says so, by name, with what to use instead."""
    status, out, err = xm(command.name, "x")
    assert out == ""
    if command.name == "event-monitor":
        assert status == 0
        return
    assert status == 1
    assert "Use instead: " in err or "only supported by Xen-API" in err


def test_wrapped_lines() -> None:
    assert wrap("short", 43) == ["short"]
    assert wrap("Do not print an error message if the domain does not exist", 43) == [
        "Do not print an error message if the",
        "domain does not exist",
    ]
    assert all(len(line) < 43 for line in wrap("word " * 40, 43))


def test_a_dry_run_needs_no_daemon(xm: Run, tmp_path: Path) -> None:
    """Neither of a file of xm nor of one of xl, whose mistakes are told, too."""
    path = tmp_path / "a.cfg"
    path.write_text("name = 'a'\ntype = 'pvh'\nkernel = '/k'\nvif = ['bridge=b']\n")
    status, out, err = xm("create", "-q", "-n", str(path))
    assert (status, err) == (0, "")
    assert "(image (pvh (kernel /k)" in out
    path.write_text("name = 'a'\ntype = 'pvh'\nkernel = '/k'\nvif = ['mac=b']\n")
    status, out, err = xm("create", "-q", "-n", str(path))
    assert (status, out) == (1, "")
    assert f"{path}:4:8: vif: mac: 'b' is no MAC address" in err


def test_no_daemon(xm: Run) -> None:
    status, out, err = xm("list")
    assert (status, out) == (1, "")
    if os.geteuid() == 0:
        assert err == (
            "Error: Unable to connect to xend: No such file or directory. Is xend running?\n"
        )
    else:
        assert err == "Error: Most commands need root access. Please try again as root.\n"
