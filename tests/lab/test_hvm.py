"""xm and both xl on a fully virtualised guest: what only a device model can do.

The guest is a boot sector that halts: no driver of its own, nothing that answers.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.conftest import domains, run
from tests.lab.verbs import disk, refusal, store, xl_config, xm

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("xend_running")]

REAL = "/usr/sbin/xl"
OURS = "/usr/lib/xend/bin/xl"
HALT = b"\xf4\xeb\xfd"
"""hlt; jmp to it"""
BOOTABLE = b"\x55\xaa"
"""At the end of the first sector."""
CONFIG = """
name = "hvm"
builder = "hvm"
memory = 64
boot = "c"
usb = 1
vnc = 1
vnclisten = "127.0.0.1"
disk = ["file:{folder}/disk.img,hda,w", "file:{folder}/first.iso,hdc:cdrom,r"]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hvm")
    image = disk(2, folder / "disk.img")
    with image.open("r+b") as file:
        file.write(HALT)
        file.seek(510)
        file.write(BOOTABLE)
    for name in ("first", "second"):
        disk(1, folder / f"{name}.iso")
    return folder


@pytest.fixture(scope="module")
def hvm(xend_running: None, folder: Path) -> Iterator[str]:
    assert not domains()
    (folder / "hvm").write_text(CONFIG.format(folder=folder))
    xm("create", "-q", str(folder / "hvm"), timeout=300)
    yield "hvm"
    run("xm", "destroy", "hvm")
    for domid in domains().values():
        run("xl", "destroy", str(domid))


def medium(name: str) -> str:
    """What libxl says is in its drive."""
    [drive] = [each for each in xl_config(name)["disks"] if each["vdev"] == "hdc"]
    return str(drive.get("pdev_path", ""))


def shows(name: str, path: str) -> None:
    """Ours follows whoever changed it within a second, or two under emulation."""
    wanted = [path] if path else []
    deadline = time.monotonic() + 2
    while re.findall(r"\(uname file:(\S+\.iso)\)", long := xm("list", "-l", name)) != wanted:
        assert time.monotonic() < deadline, long


def test_it_is_listed_as_one(hvm: str, folder: Path) -> None:
    assert xl_config(hvm)["c_info"]["type"] == "hvm"
    long = xm("list", "-l", hvm)
    for line in ("(hvm", "(loader /usr/lib/xen/boot/hvmloader)", "(boot c)", "(usb 1)", "(vnc 1)",
                 "(dev hdc:cdrom)", f"(uname file:{folder}/first.iso)"):  # fmt: skip
        assert line in long, long
    assert [row.split()[0] for row in xm("block-list", hvm).splitlines()[1:]] == ["768", "5632"]


def test_its_medium_is_changed_by_each_of_the_three(hvm: str, folder: Path) -> None:
    first, second = f"{folder}/first.iso", f"{folder}/second.iso"
    xm("block-configure", hvm, f"file:{second}", "hdc:cdrom", "r")
    assert medium(hvm) == second
    assert f"(uname file:{second})" in xm("list", "-l", hvm)
    for program in (REAL, OURS):
        said = []
        for words, now in (
            (["cd-eject", hvm, "hdc"], ""),
            (["cd-insert", hvm, "hdc", first], first),
            (["cd-insert", hvm, "hdc", second], second),
        ):
            done = run(program, *words)
            assert (done.returncode, done.stdout) == (0, ""), (program, words, done.stderr)
            assert medium(hvm) == now, (program, words)
            shows(hvm, now)
            said.append(run(REAL, "block-list", hvm).stdout)
            assert run(OURS, "block-list", hvm).stdout == said[-1]
    for words in (["cd-insert", hvm, "hdq", first], ["cd-eject", hvm, "hda"]):
        theirs, ours = run(REAL, *words), run(OURS, *words)
        assert (ours.returncode != 0, ours.stdout) == (theirs.returncode != 0, theirs.stdout)
    assert "Refusing to reconfigure" in refusal("block-configure", hvm, f"file:{first}", "hda", "r")


def test_buttons_and_triggers(hvm: str) -> None:
    xm("trigger", hvm, "power")
    xm("trigger", hvm, "NMI")
    assert "not in suspended state" in refusal("trigger", hvm, "s3resume")
    # Xen itself has no such trigger.
    assert "not implemented" in refusal("trigger", hvm, "reset")
    for words in (
        ["button-press", hvm, "power"],
        ["button-press", hvm, "sleep"],
        ["button-press", hvm, "tea"],
        ["trigger", hvm, "reset"],
        ["trigger", hvm, "s3resume"],
    ):
        theirs, ours = run(REAL, *words), run(OURS, *words)
        assert (ours.returncode, ours.stdout) == (theirs.returncode, theirs.stdout), words


def test_usb_devices_of_its_device_model(hvm: str) -> None:
    """The lab's host has none to give."""
    for command in ("usb-add", "usb-del"):
        assert "no USB device host:1.2" in refusal(command, hvm, "host:1.2")
        assert "expected host:BUS.ADDRESS" in refusal(command, hvm, "tablet")


def test_its_display(hvm: str, folder: Path) -> None:
    """A viewer is told where its device model really listens."""
    viewer = folder / "vncviewer"
    viewer.write_text('#!/bin/sh\necho viewer "$@"\n')
    viewer.chmod(0o755)
    port = int(store(f"/local/domain/{domains()[hvm]}/console/vnc-port"))
    done = run("env", f"PATH={folder}:{os.environ['PATH']}", "xm", "vncviewer", hvm)
    assert done.stdout == f"viewer localhost:{port - 5900}\n"


def test_save_and_restore(hvm: str, folder: Path) -> None:
    """With the state of its device model, and what is in its drive."""
    path = folder / "saved"
    before = domains()[hvm]
    xm("save", hvm, str(path), timeout=300)
    assert hvm not in domains()
    xm("restore", str(path), timeout=300)
    path.unlink()
    assert domains()[hvm] > before
    assert medium(hvm) == f"{folder}/second.iso"
    xm("destroy", hvm)
    assert hvm not in domains()
