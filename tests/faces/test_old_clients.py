"""Programs of others, as Debian ships them, against xm and the daemon on a simulated host.

test_xen_tools.py has xen-tools' other half, which makes domains.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import xml.etree.ElementTree as Xml
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faces.debian import (
    ALONE,
    FACTER,
    HIDDEN_XL,
    PERL,
    XEN_TOOLS,
    can_hide_files,
    perl_folders,
    simulated_host,
    unpacked,
)

CLIENTS = ("fusioninventory-agent", "ocsinventory-agent", "resource-agents")

CONFIG = """
name = "{name}"
memory = 64
kernel = "/proc/version"
vcpus = 2
vif = ["mac=00:16:3e:00:00:{number:02x},bridge=xenbr0"]
"""


@pytest.fixture(autouse=True)
def _loop_never_blocked() -> None:
    """The daemon's loop is in another process."""


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root below which they are."""
    return unpacked(tmp_path_factory.mktemp("packages"), [*CLIENTS, *PERL, *XEN_TOOLS, *FACTER])


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the program `xm` and configurations; `web` runs and `idle` is halted."""
    folder = tmp_path_factory.mktemp("host")
    with simulated_host(folder) as program:
        for number, name in enumerate(("web", "idle", "cluster")):
            (folder / name).write_text(CONFIG.format(name=name, number=number))
        subprocess.run([program, "create", "-q", folder / "web"], check=True)
        subprocess.run([program, "new", "-q", folder / "idle"], check=True)
        yield folder


def environment(clients: Path, host: Path, **more: str) -> dict[str, str]:
    perl = [*perl_folders(clients), clients / "usr/share/fusioninventory/lib"]
    return {
        "PATH": f"{host}/bin:/usr/bin:/bin",
        "PERL5LIB": ":".join(map(str, perl)),
        "LC_ALL": "C.UTF-8",
        "HOME": str(host),
        **more,
    }


def machines(inventory: str) -> dict[str, dict[str, str]]:
    """Those of Xen, by name."""
    start = inventory.index("<?xml")
    tree = Xml.fromstring(inventory[start : inventory.rindex("</REQUEST>") + 10])
    found = [
        {child.tag: (child.text or "").strip() for child in machine}
        for machine in tree.iter("VIRTUALMACHINES")
    ]
    return {machine["NAME"]: machine for machine in found if machine["SUBSYSTEM"] == "xm"}


def uuid_of(host: Path, name: str) -> str:
    done = subprocess.run(
        [host / "bin/xm", "list", "-l", name], capture_output=True, text=True, check=True
    )
    found = re.search(r"\(uuid ([0-9a-f-]{36})\)", done.stdout)
    assert found is not None
    return found[1]


def test_fusioninventory(clients: Path, host: Path) -> None:
    """It tells halted domains by the number of columns, and leaves Domain-0 out."""
    done = subprocess.run(
        [
            *("perl", clients / "usr/bin/fusioninventory-inventory"),
            "--no-category=software,process,environment,local_user,local_group,user,printer",
        ],
        env=environment(clients, host),
        cwd="/",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = machines(done.stdout)
    assert set(found) == {"web", "idle"}
    assert found["web"]["STATUS"] == "blocked"
    assert found["idle"]["STATUS"] == "off"
    assert found["idle"]["MEMORY"] == "64"
    for name in ("web", "idle"):
        assert found[name]["VCPU"] == "2"
        assert found[name]["UUID"] == uuid_of(host, name)


def test_ocs_inventory(clients: Path, host: Path) -> None:
    done = subprocess.run(
        ["perl", clients / "usr/bin/ocsinventory-agent", "--stdout", "--nosoftware"],
        env=environment(clients, host),
        cwd="/",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    found = machines(done.stdout)
    assert set(found) == {"Domain-0", "web", "idle"}, done.stderr
    assert (found["web"]["STATUS"], found["web"]["VCPU"]) == ("blocked", "2")
    assert found["idle"]["STATUS"] == "off"
    assert found["web"]["UUID"] == uuid_of(host, "web")


def test_xen_tools_spares_a_guest_that_runs(clients: Path, host: Path, tmp_path: Path) -> None:
    """It asks `xm list NAME`, and deletes the image of a name that is not in the answer."""
    for name in ("web", "nobody"):
        (tmp_path / "domains" / name).mkdir(parents=True)
        done = subprocess.run(
            [
                *("perl", clients / "usr/bin/xen-delete-image"),
                *("--dir", tmp_path, "--hostname", name),
            ],
            env=environment(clients, host),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        skipped = f"Skipping xen guest '{name}' - it appears to be running.\n"
        assert (skipped in done.stdout) == (name == "web")
    assert [entry.name for entry in (tmp_path / "domains").iterdir()] == ["web"]


if can_hide_files():
    RUNNING, NOT_RUNNING = 0, 7  # OCF_SUCCESS, OCF_NOT_RUNNING

    def test_pacemakers_agent(clients: Path, host: Path) -> None:
        """Start, monitor, stop, and each of them a second time."""
        ocf = clients / "usr/lib/ocf"
        env = environment(
            clients,
            host,
            OCF_ROOT=str(ocf),
            OCF_RESOURCE_INSTANCE="cluster",
            OCF_RESKEY_xmfile=str(host / "cluster"),
            OCF_RESKEY_name="cluster",
            OCF_RESKEY_CRM_meta_timeout="60000",
            HA_RSCTMP=str(host / "rsctmp"),
        )

        def agent(action: str) -> int:
            done = subprocess.run(
                [*ALONE, "sh", "-c", f"{HIDDEN_XL}; exec {ocf}/resource.d/heartbeat/Xen {action}"],
                env=env,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert "xl" not in done.stderr, done.stderr
            return done.returncode

        assert agent("validate-all") == 0
        assert agent("monitor") == NOT_RUNNING
        assert agent("start") == 0
        assert agent("monitor") == RUNNING
        assert agent("status") == RUNNING
        assert agent("start") == 0
        assert agent("stop") == 0
        assert agent("monitor") == NOT_RUNNING
        assert agent("stop") == 0

    def test_facter(clients: Path, host: Path, tmp_path: Path) -> None:
        """It takes /dev/xen/evtchn for the sign of dom0, and runs /usr/sbin/xm."""
        gems = clients / "usr/share/rubygems-integration/all/gems"
        libraries = clients / "usr/lib" / f"{os.uname().machine}-linux-gnu"
        ruby = [
            *gems.glob("*/lib"),
            *(clients / "usr/lib/ruby" / part for part in ("vendor_ruby", "3.1.0")),
            *(libraries / "ruby" / part for part in ("3.1.0", "vendor_ruby/3.1.0")),
        ]
        devices = tmp_path / "dev"
        (devices / "xen").mkdir(parents=True)
        (devices / "xen/evtchn").touch()
        for name in ("null", "urandom"):
            (devices / name).touch()
        dom0 = (
            f"for device in null urandom; do mount --bind /dev/$device {devices}/$device; done; "
            f"mount --rbind {devices} /dev; mount --bind {host}/bin /usr/sbin; exec "
        )
        facter = f"{clients}/usr/bin/ruby3.1 --disable-gems {clients}/usr/bin/facter --json"
        done = subprocess.run(
            [*ALONE, "sh", "-c", f"{dom0}{facter} xen xendomains"],
            env=environment(
                clients,
                host,
                RUBYLIB=":".join(map(str, ruby)),
                LD_LIBRARY_PATH=str(libraries),
            ),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        facts = json.loads(done.stdout)
        assert sorted(facts["xen"]["domains"]) == ["idle", "web"], done.stderr
        assert sorted(facts["xendomains"].split(",")) == ["idle", "web"]
