"""`xm create -n` against recorded runs of the original.

Compared: exit code, standard output and standard error, byte for byte.  Help is compared by its
first line, since the descriptions are our own words.
"""

from __future__ import annotations

import io
import os
import posixpath
from pathlib import Path
from typing import Any

import pytest

from tests import recorded
from xend.config import sxp, xmcreate, xmoptions, xmvm

CASES = recorded.cases("dryrun")

REAL_OPEN = os.open
LSSCSI = """#!/bin/sh
echo "[0:0:0:0]    disk    ATA      ONE              2.5+  /dev/sda   /dev/sg0"
echo "[0:0:1:0]    disk    ATA      TWO              2.5+  /dev/sdb   /dev/sg1"
echo "[1:0:0:0]    tape    HP       TAPE             2.5+  /dev/st0   /dev/sg2"
"""
"""The devices of the host on which the recordings were made."""


class Host:
    """A file system of its own for one case; absolute names lie under `root`."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.root = root
        for module in (xmcreate, xmvm):
            patch.setattr(module, "Path", self.path)
        patch.setattr("os.open", self.open)

    def path(self, *parts: str) -> Path:
        return Path(f"{self.root}{posixpath.join(*parts)}")

    def open(self, name: str | Path, flags: int) -> int:
        path = name if isinstance(name, Path) else self.path("/", name)
        return REAL_OPEN(path, flags)

    def put(self, name: str, content: bytes) -> None:
        path = self.path("/", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def image_files(case: dict[str, Any]) -> list[str]:
    """The kernels and the like that a recorded success shows to have been there."""
    _, paren, text = recorded.blob(case["stdout"]).partition("(vm")
    if not paren:
        return []
    image = sxp.child_value(sxp.parse_one("(vm" + text), "image")
    names = [sxp.child_value(image, key) for key in ("kernel", "ramdisk", "loader")]
    return [name for name in names if isinstance(name, str) and name.startswith("/")]


def run(name: str, case: dict[str, Any], host: Host) -> tuple[object, str, str]:
    for path in [*case["files_present"], *image_files(case)]:
        host.put(path, b"")
    for path, text in (case["extra_files"] or {}).items():
        host.put(path, text.encode())
    config = recorded.folder() / "dryrun" / f"{name}.cfg"
    if config.exists():
        host.put(case["config_path"], config.read_bytes())
    programs = host.root / "programs"
    programs.mkdir()
    (programs / "lsscsi").write_text(LSSCSI)
    (programs / "lsscsi").chmod(0o755)
    out, err = io.StringIO(), io.StringIO()
    result = xmcreate.prepare(
        case["argv"][2:],
        command="new" if case["argv"][1] == "new" else "create",
        env={"PATH": f"{programs}:/usr/bin:/bin", "HOME": "/root", **case["env"]},
        cwd=case["cwd"],
        stdout=out,
        stderr=err,
    )
    return result, out.getvalue(), err.getvalue()


OF_XL = frozenset({"ex-xlexample.hvm-4.2.0-branched"})
"""Files of xl, which xm took for its own: it read the device of a disk as its mode, and no domain
could be started.  They are read as files of xl."""


def is_help(text: str) -> bool:
    return "Usage: xm" in text or text.startswith("\nValues:")


if CASES:

    @pytest.mark.parametrize("name", CASES)
    def test_as_the_original(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        case = CASES[name]
        if "--help" in case["argv"]:
            # answered before the command is run
            assert xmoptions.help_text("create").startswith(recorded.blob(case["stdout"])[:48])
            return
        result, out, err = run(name, case, Host(tmp_path, monkeypatch))
        if name in OF_XL:
            assert (result, err) == (0, "")
            assert "xvda" in out
            assert "(mode xvda)" not in out
            return
        assert result == case["exit"]
        if case["stderr_is_traceback"]:
            assert err.startswith("Error: ")
            return
        expected = recorded.blob(case["stdout"])
        if is_help(expected):
            assert out.splitlines()[:2] == expected.splitlines()[:2]
        else:
            assert out == expected
        assert err == recorded.blob(case["stderr"])
