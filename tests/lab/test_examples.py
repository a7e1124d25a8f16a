"""The examples of /etc/xen really boot: with the lab's guest in place of the files they name."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from tests.lab.conftest import domains, run
from tests.lab.guests import IMAGES, LINUX_INITRD, LINUX_KERNEL

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("xend_running", "clean_host")]

EXAMPLES = Path(__file__).parents[2] / "etc/xen"
BOOT_SECONDS = 90


def with_the_labs_guest(name: str, folder: Path) -> Path:
    """The example with this host's kernel and disk; everything else as it is."""
    text = (EXAMPLES / name).read_text()
    lines = [f'kernel = "{LINUX_KERNEL}"', f'ramdisk = "{LINUX_INITRD}"', 'extra = "console=hvc0"']
    text, kernels = re.subn(r"^(bootloader|kernel) = .*$", "\n".join(lines), text, flags=re.M)
    disk = f'disk = [ "tap:aio:{IMAGES}/data.img,xvda,r" ]'
    text, disks = re.subn(r"^disk = .*$", disk, text, flags=re.M)
    assert (kernels, disks) == (1, 1)
    path = folder / name
    path.write_text(text)
    return path


def type_of(domid: int) -> str:
    """As libxl tells it."""
    config = json.loads(run("xl", "list", "-l", str(domid)).stdout)[0]["config"]
    return str(config["c_info"]["type"])


@pytest.mark.parametrize(
    ("name", "domain", "kind"),
    [
        ("xmexample1", "ExampleDomain", "pv"),
        ("xmexample.pvh", "ExamplePVHDomain", "pvh"),
    ],
)
def test_an_example_boots_and_shuts_down(name: str, domain: str, kind: str, tmp_path: Path) -> None:
    path = with_the_labs_guest(name, tmp_path)
    checked = run("xend", "check", str(path))
    assert checked.returncode == 0, checked.stdout
    created = run("xm", "create", str(path))
    assert created.returncode == 0, created.stdout + created.stderr
    assert type_of(domains()[domain]) == kind
    deadline = time.monotonic() + BOOT_SECONDS
    # Only a guest whose kernel and userspace run takes itself down when it is asked.
    while domain in domains() and time.monotonic() < deadline:
        run("xm", "shutdown", domain)
        time.sleep(2)
    assert domain not in domains(), run("xm", "list").stdout


@pytest.mark.parametrize("target", ["xl", "sxp"])
def test_a_converted_file_makes_the_same_domain(target: str, tmp_path: Path) -> None:
    """The static file is given to the tool that it is for: xl's own, or xm -F."""
    path = with_the_labs_guest("xmexample1", tmp_path)
    converted = run("xend", "convert", str(path), "--to", target)
    assert converted.returncode == 0, converted.stderr
    static = tmp_path / f"static.{target}"
    static.write_text(converted.stdout)
    command = ["xl", "create"] if target == "xl" else ["xm", "create", "-F"]
    created = run(*command, str(static))
    assert created.returncode == 0, created.stdout + created.stderr
    listed = run("xl", "list", "-l", str(domains()["ExampleDomain"])).stdout
    assert run("xm", "destroy", "ExampleDomain").returncode == 0
    shown = json.loads(listed)[0]["config"]
    build = shown["b_info"]
    assert (build["target_memkb"], build["kernel"]) == (256 * 1024, str(LINUX_KERNEL)), build
    assert "console=hvc0" in build["cmdline"]
    assert len(shown["nics"]) == 1
    assert [disk["pdev_path"] for disk in shown["disks"]] == [f"{IMAGES}/data.img"]
