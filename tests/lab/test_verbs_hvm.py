"""xm's subcommands for a fully virtualised guest: CD media, USB and the viewer are QEMU's here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.conftest import domains, run
from tests.lab.verbs import backend, disk, eventually, refusal, store, xl, xl_row, xm

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("xend_running")]

BOOT_SECTOR = b"\xfb\xf4\xeb\xfc".ljust(510, b"\0") + b"\x55\xaa"
"""sti; hlt; and again: it idles and answers nothing."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hvm")


@pytest.fixture(scope="module")
def hvm(xend_running: None, folder: Path) -> Iterator[str]:
    assert not domains()
    with disk(1, folder / "hd.img").open("r+b") as file:
        file.write(BOOT_SECTOR)
    disk(1, folder / "first.iso")
    config = folder / "hvm"
    config.write_text(
        f"""
name = "hvm"
builder = "hvm"
memory = 32
vcpus = 1
boot = "c"
vnc = 1
vncpasswd = "secret"
usb = 1
acpi = 1
disk = ["file:{folder}/hd.img,hda,w", "file:{folder}/first.iso,hdc:cdrom,r"]
"""
    )
    xm("create", "-q", str(config))
    yield "hvm"
    run("xm", "destroy", "hvm")
    for domid in domains().values():
        run("xl", "destroy", str(domid))


def test_another_cd(hvm: str, folder: Path) -> None:
    """QEMU is told, and the drive stays where it is."""
    domid = domains()[hvm]
    second = disk(1, folder / "second.iso")
    assert "first.iso" in xl("qemu-monitor-command", hvm, "info block")
    xm("block-configure", hvm, f"file:{second}", "hdc:cdrom", "r")
    assert "second.iso" in xl("qemu-monitor-command", hvm, "info block")
    assert backend(domid, "vbd", 5632, "params").endswith("second.iso")
    assert f"(uname file:{second})" in xm("list", "-l", hvm)
    assert "Refusing to reconfigure" in refusal(
        "block-configure", hvm, f"file:{second}", "hda", "w"
    )


def test_usb_of_the_device_model(hvm: str) -> None:
    """The host has no USB device; a controller can come and go."""
    assert "This host has no USB device host:1.2" in refusal("usb-add", hvm, "host:1.2")
    assert "is not a USB device" in refusal("usb-add", hvm, "tea")
    assert "number of ports" in refusal("usb-hc-create", hvm, "2", "99").lower()
    xm("usb-hc-create", hvm, "2", "6")
    rows = xm("usb-list", hvm).splitlines()
    assert rows[1].split()[3] == "USB2.0"
    assert rows[2:] == [f"port {number}: " for number in range(1, 7)]
    xm("usb-hc-destroy", hvm, "0")
    assert xm("usb-list", hvm) == ""


def test_its_viewer(hvm: str, folder: Path) -> None:
    viewer = folder / "vncviewer"
    viewer.write_text('#!/bin/sh\necho viewer "$@"\n')
    viewer.chmod(0o755)
    port = int(eventually(lambda: store(f"/local/domain/{domains()[hvm]}/console/vnc-port")))
    done = run("env", f"PATH={folder}:{os.environ['PATH']}", "xm", "vncviewer", hvm)
    assert done.stdout.startswith("viewer ")
    assert done.stdout.rstrip().endswith(f":{port - 5900}")
    assert "secret" not in xm("log")


def test_a_guest_without_drivers_is_asked_by_acpi(hvm: str) -> None:
    """It does not listen; nothing breaks, and it can be reset and destroyed."""
    xm("shutdown", hvm)
    xm("trigger", hvm, "power")
    before = domains()[hvm]
    xm("reset", hvm)
    assert domains()[hvm] != before
    xm("pause", hvm)
    assert xl_row(hvm)[2] == "--p---"
    xm("destroy", hvm)
    assert hvm not in domains()
