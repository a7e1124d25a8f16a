"""The file that Debian's xen-create-image wrote, as it is, starts a real domain.

tests/faces/test_xen_tools.py runs the program and proves that this is still what it writes.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.lab.conftest import domains, run
from tests.lab.verbs import booted, disk, eventually, gone, store, xl_config, xl_row, xm

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("xend_running", "clean_host")]

WRITTEN = Path(__file__).parents[1] / "data/xen-tools/prospero.cfg"
CONNECTED = "4"
"""XenbusStateConnected of xen/include/public/io/xenbus.h."""


def images(folder: Path) -> None:
    """The disk and the swap area that the file names."""
    folder.mkdir(parents=True)
    subprocess.run(["mke2fs", "-q", "-t", "ext3", disk(24, folder / "disk.img")], check=True)
    subprocess.run(["mkswap", "-q", disk(8, folder / "swap.img")], check=True)


def connected(domid: int, kind: str) -> dict[str, str]:
    """Device numbers to states, as the backends have them."""
    backends = f"/local/domain/0/backend/{kind}/{domid}"
    names = run("xenstore-list", backends).stdout.split()
    return {name: store(f"{backends}/{name}/state") for name in names}


def test_its_file_starts_a_domain() -> None:
    images(Path("/srv/domains/prospero"))
    try:
        assert xm("create", str(WRITTEN)).splitlines() == [
            f'Using config file "{WRITTEN}".',
            f"Started domain prospero (id={domains()['prospero']})",
        ]
        domid = domains()["prospero"]
        assert xl_row("prospero")[:2] == (96, 1)
        booted(domid)
        eventually(lambda: connected(domid, "vbd") == {"51713": CONNECTED, "51714": CONNECTED})
        eventually(lambda: connected(domid, "vif") == {"0": CONNECTED})
        mac = store(f"/local/domain/0/backend/vif/{domid}/0/mac")
        assert mac.lower() == "00:16:3e:00:00:77"
        build = xl_config("prospero")["b_info"]
        words = build["cmdline"]
        assert "root=/dev/xvda2 ro" in words, build
        assert "elevator=noop" in words, build
        xm("shutdown", "prospero")
        gone("prospero")
        eventually(lambda: "/srv/domains" not in run("losetup", "-a").stdout)
    finally:
        run("xm", "destroy", "prospero")
        run("rm", "-rf", "/srv/domains")
