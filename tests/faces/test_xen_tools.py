"""Debian's xen-tools make a domain, as they are: xen-create-image writes its disk and its file
under /etc/xen, xm reads that file and starts the domain.

The installation that it copies is a few folders and a program that does nothing: whether a Debian
system fits into an image is not the question.  What it writes is compared with
tests/data/xen-tools/, from which the lab's test starts a real domain.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faces.debian import (
    ALONE,
    HIDDEN_XL,
    XEN_TOOLS,
    can_hide_files,
    perl_folders,
    simulated_host,
    unpacked,
)
from xend.config import sxp

WRITTEN = Path(__file__).parents[1] / "data/xen-tools/prospero.cfg"
KERNELS = "/var/lib/xen/images"
"""Where the lab's dom0 has them."""
MAC = "--mac=00:16:3E:00:00:77"
DATE = re.compile(r"(?m)^(# by xen-tools) .*$")


@pytest.fixture(autouse=True)
def _loop_never_blocked() -> None:
    """The daemon's loop is in another process."""


def small_system(folder: Path) -> Path:
    """Just enough for xen-create-image to take it for an installation."""
    for name in ("bin", "dev", "etc/ssh", "etc/apt", "etc/default", "etc/network", "proc", "root"):
        (folder / name).mkdir(parents=True)
    subprocess.run(
        ["cc", "-static", "-Os", "-s", "-x", "c", "-", "-o", folder / "bin/ls"],
        input="int main(void) { return 0; }\n",
        text=True,
        check=True,
    )
    (folder / "bin/cp").hardlink_to(folder / "bin/ls")
    (folder / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (folder / "etc/shadow").write_text("root:*:1:0:99999:7:::\n")
    (folder / "etc/inittab").write_text("")
    return folder


class Dom0:
    """A mount namespace that has xen-tools installed, and an empty /etc/xen; as long as it is
    open."""

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder = folder
        self._root = root
        (folder / "etc/xen").mkdir(parents=True)
        above = f"{folder}/etc:{root}/etc:/etc"
        mounts = [
            f"mount -t overlay overlay -o lowerdir={above} /etc",
            f"mount --bind {folder}/etc/xen /etc/xen",
            f"mount -t overlay overlay -o lowerdir={root}/usr:/usr /usr",
            *(f"mount -t tmpfs {place} /{place}" for place in ("var/log", "var/lib", "srv")),
            f"mkdir -p {KERNELS}",
            f"touch {KERNELS}/vmlinux {KERNELS}/initrd.img",
            HIDDEN_XL,
            "echo ready",
            "exec cat",
        ]
        self._holder = subprocess.Popen(
            [*ALONE, "sh", "-ec", "\n".join(mounts)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "ready\n"
        self.inside = ("nsenter", "--target", str(self._holder.pid), "--mount")

    def close(self) -> None:
        self._holder.communicate()

    def run(self, *argv: str) -> str:
        done = subprocess.run(
            [*self.inside, *argv],
            env={
                "PATH": f"{self.folder}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "PERL5LIB": ":".join(map(str, perl_folders(self._root))),
                "LC_ALL": "C.UTF-8",
                "HOME": str(self.folder),
            },
            cwd="/",
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def create_image(self, name: str, system: Path, *more: str) -> str:
        return self.run(
            "xen-create-image",
            *(f"--hostname={name}", "--install-method=copy", f"--install-source={system}"),
            *("--dir=/srv", "--size=24M", "--swap=8M", "--fs=ext3", "--memory=96M"),
            *("--dhcp", "--bridge=xenbr0", "--genpass=0", "--nohosts"),
            *(f"--kernel={KERNELS}/vmlinux", f"--initrd={KERNELS}/initrd.img"),
            *more,
        )

    def file(self, name: str) -> str:
        return (self.folder / "etc/xen" / name).read_text()


if can_hide_files():

    @pytest.fixture(scope="module")
    def dom0(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dom0]:
        folder = tmp_path_factory.mktemp("dom0")
        found = Dom0(folder, unpacked(tmp_path_factory.mktemp("packages"), XEN_TOOLS))
        try:
            with simulated_host(folder, found.inside):
                yield found
        finally:
            found.close()

    @pytest.fixture(scope="module")
    def system(tmp_path_factory: pytest.TempPathFactory) -> Path:
        return small_system(tmp_path_factory.mktemp("system"))

    def disks(domain: sxp.Value) -> list[str]:
        return [
            " ".join(str(sxp.child_value(device, key)) for key in ("uname", "dev", "mode"))
            for entry in sxp.children(domain, "device")
            for device in sxp.children(entry, "vbd")
        ]

    def test_create_image_then_create(dom0: Dom0, system: Path) -> None:
        dom0.create_image("prospero", system, "--dist=jessie", MAC)
        written = dom0.file("prospero.cfg")
        assert DATE.sub(r"\1", written) == DATE.sub(r"\1", WRITTEN.read_text())
        text = dom0.run("xm", "create", "-n", "prospero.cfg")
        said, _, rest = text.partition("\n")
        assert said == 'Using config file "/etc/xen/prospero.cfg".'
        [planned] = sxp.parse(rest)
        assert disks(planned) == [
            "file:/srv/domains/prospero/disk.img xvda2 w",
            "file:/srv/domains/prospero/swap.img xvda1 w",
        ]
        dom0.run("xm", "create", "prospero.cfg")
        [running] = sxp.parse(dom0.run("xm", "list", "-l", "prospero"))
        assert disks(running) == [
            "file:/srv/domains/prospero/disk.img xvda2:disk w",
            "file:/srv/domains/prospero/swap.img xvda1:disk w",
        ]
        dom0.run("xen-delete-image", "--dir=/srv", "--hostname=prospero")
        dom0.run("test", "-e", "/srv/domains/prospero/disk.img")  # It runs: it was spared.
        dom0.run("xm", "destroy", "prospero")
        dom0.run("xen-delete-image", "--dir=/srv", "--hostname=prospero")
        dom0.run("test", "!", "-e", "/srv/domains/prospero/disk.img")

    def test_create_image_starts_it(dom0: Dom0, system: Path) -> None:
        """By itself, with `xm create FILE`."""
        said = dom0.create_image("caliban", system, "--dist=jessie", "--boot")
        assert "Started new Xen guest: caliban [/etc/xen/caliban.cfg]" in said
        assert re.search(r"(?m)^caliban +\d+ ", dom0.run("xm", "list"))

    def test_stray_line_of_a_template(dom0: Dom0, system: Path) -> None:
        """With `--nopygrub` its template leaves a line `0` where the kernel should be: a statement
        of Python, and no mistake to the original xm."""
        dom0.create_image("ariel", system, "--dist=jessie", "--nopygrub")
        assert "\n0\n" in dom0.file("ariel.cfg")
        assert "(name ariel)" in dom0.run("xm", "create", "-n", "ariel.cfg")
