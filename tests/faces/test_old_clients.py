"""Programs of others, as Debian ships them, against xm and the daemon on a simulated host.

The packages are fetched and unpacked into a scratch folder; nothing is installed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as Xml
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faces.xmdaemon import wait_until
from tests.faces.xmreplay import CHECKOUT

PERL = (
    *("libuniversal-require-perl", "libfile-which-perl", "libxml-treepp-perl", "libnet-ip-perl"),
    *("libtext-template-perl", "libwww-perl", "liburi-perl", "libhttp-message-perl"),
    *("libhttp-date-perl", "libencode-locale-perl", "liblwp-mediatypes-perl", "libtry-tiny-perl"),
    *("libhtml-parser-perl", "libhttp-daemon-perl", "libio-html-perl", "libclone-perl"),
    *("libtimedate-perl", "libnet-http-perl", "libparse-edid-perl", "libxml-simple-perl"),
    *("libxml-sax-perl", "libxml-sax-base-perl", "libxml-namespacesupport-perl"),
    *("libproc-daemon-perl", "libproc-processtable-perl", "libio-socket-ssl-perl"),
    *("libnet-ssleay-perl", "liblwp-protocol-https-perl", "perl-openssl-defaults"),
    *("libconfig-inifiles-perl", "libdata-validate-domain-perl", "libdata-validate-ip-perl"),
    *("libdata-validate-uri-perl", "libnetaddr-ip-perl", "libnet-domain-tld-perl"),
    *("libnet-ipv6addr-perl", "libnet-netmask-perl", "libfile-slurp-perl", "liblog-message-perl"),
    *("liblog-message-simple-perl", "libsort-versions-perl", "libterm-ui-perl"),
)
CLIENTS = ("fusioninventory-agent", "ocsinventory-agent", "resource-agents", "xen-tools")

CONFIG = """
name = "{name}"
memory = 64
kernel = "/proc/version"
vcpus = 2
vif = ["mac=00:16:3e:00:00:{number:02x},bridge=xenbr0"]
"""
ALONE = ["unshare", "--mount", "--propagation", "private"]
HIDDEN_XL = "for xl in /usr/sbin/xl /sbin/xl; do [ ! -e $xl ] || mount --bind /dev/null $xl; done"
"""The agent takes xl where there is one."""


@pytest.fixture(autouse=True)
def _loop_never_blocked() -> None:
    """The daemon's loop is in another process."""


def download(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["apt-get", "download", "-q", *CLIENTS, *PERL],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root below which they are."""
    if shutil.which("apt-get") is None:
        pytest.fail("these tests run Debian's packages: they need apt-get and dpkg-deb")
    folder = tmp_path_factory.mktemp("packages")
    done = download(folder)
    if done.returncode != 0:  # The lists may be missing, or name versions that are gone.
        subprocess.run(["apt-get", "update", "-q"], capture_output=True, check=False)
        done = download(folder)
    if done.returncode != 0:
        pytest.fail(f"apt-get cannot fetch the clients:\n{done.stdout}{done.stderr}")
    root = folder / "root"
    for package in sorted(folder.glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", package, root], check=True)
    return root


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the program `xm` and configurations; `web` runs and `idle` is halted."""
    folder = tmp_path_factory.mktemp("host")
    run_dir = folder / "run"
    options = [
        *("--hypervisor", "sim", "--config", "/nosuch"),
        *("--run-dir", str(run_dir), "--state-dir", str(folder / "state")),
    ]
    subprocess.run([sys.executable, "-m", "xend", "start", *options], cwd=CHECKOUT, check=True)
    wait_until((run_dir / "cli.sock").exists)
    (folder / "bin").mkdir()
    program = folder / "bin/xm"
    program.write_text(
        f"#!/bin/sh\nXEND_RUN_DIR={run_dir} XM_CONFIG_FILE=/nosuch PYTHONPATH={CHECKOUT} "
        f'exec {sys.executable} -m xend.cli "$@"\n'
    )
    program.chmod(0o755)
    for number, name in enumerate(("web", "idle", "cluster")):
        (folder / name).write_text(CONFIG.format(name=name, number=number))
    subprocess.run([program, "create", "-q", folder / "web"], check=True)
    subprocess.run([program, "new", "-q", folder / "idle"], check=True)
    yield folder
    subprocess.run([sys.executable, "-m", "xend", "stop", *options], cwd=CHECKOUT, check=True)


def environment(clients: Path, host: Path, **more: str) -> dict[str, str]:
    machine = os.uname().machine
    perl = [
        clients / "usr/share/perl5",
        *clients.glob(f"usr/lib/{machine}-linux-gnu/perl5/*"),
        clients / "usr/share/fusioninventory/lib",
    ]
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


def can_hide_files() -> bool:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    return subprocess.run([*ALONE, "true"], check=False, capture_output=True).returncode == 0


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
