"""Programs that Debian ships, fetched and unpacked into a scratch folder, and a daemon on a
simulated host for them.  Nothing is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
)
XEN_TOOLS = (
    *("xen-tools", "libconfig-inifiles-perl", "libdata-validate-domain-perl"),
    *("libdata-validate-ip-perl", "libdata-validate-uri-perl", "libnetaddr-ip-perl"),
    *("libnet-domain-tld-perl", "libnet-ipv6addr-perl", "libnet-netmask-perl"),
    *("libfile-slurp-perl", "liblog-message-perl", "liblog-message-simple-perl"),
    *("libsort-versions-perl", "libterm-ui-perl", "libfile-which-perl", "libtext-template-perl"),
)
FACTER = ("facter", "ruby3.1", "libruby3.1", "ruby-hocon", "ruby-thor")

ALONE = ("unshare", "--mount", "--propagation", "private")
"""In front of a command: what it mounts, nobody else sees."""
HIDDEN_XL = "for xl in /usr/sbin/xl /sbin/xl; do [ ! -e $xl ] || mount --bind /dev/null $xl; done"
"""For programs that take xl where there is one."""


def unpacked(folder: Path, packages: Sequence[str]) -> Path:
    """The root below which they are."""
    if shutil.which("apt-get") is None:
        pytest.fail("these tests run Debian's packages: they need apt-get and dpkg-deb")
    done = _download(folder, packages)
    if done.returncode != 0:  # The lists may be missing, or name versions that are gone.
        subprocess.run(["apt-get", "update", "-q"], capture_output=True, check=False)
        done = _download(folder, packages)
    if done.returncode != 0:
        pytest.fail(f"apt-get cannot fetch the clients:\n{done.stdout}{done.stderr}")
    root = folder / "root"
    for package in sorted(folder.glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", package, root], check=True)
    return root


def _download(folder: Path, packages: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["apt-get", "download", "-q", *dict.fromkeys(packages)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def perl_folders(root: Path) -> list[Path]:
    machine = os.uname().machine
    return [root / "usr/share/perl5", *root.glob(f"usr/lib/{machine}-linux-gnu/perl5/*")]


@contextmanager
def simulated_host(folder: Path, inside: Sequence[str] = ()) -> Iterator[Path]:
    """The program `xm` of a daemon whose host is simulated.  `inside` stands in front of the
    daemon's command, when it is to run in another namespace."""
    run_dir = folder / "run"
    xend = [*inside, sys.executable, "-m", "xend"]
    options = [
        *("--hypervisor", "sim", "--config", "/nosuch"),
        *("--run-dir", str(run_dir), "--state-dir", str(folder / "state")),
    ]
    here = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    subprocess.run([*xend, "start", *options], env=here, check=True)
    try:
        wait_until((run_dir / "cli.sock").exists)
        (folder / "bin").mkdir()
        program = folder / "bin/xm"
        program.write_text(
            f"#!/bin/sh\nXEND_RUN_DIR={run_dir} XM_CONFIG_FILE=/nosuch PYTHONPATH={CHECKOUT} "
            f'exec {sys.executable} -m xend.cli "$@"\n'
        )
        program.chmod(0o755)
        yield program
    finally:
        subprocess.run([*xend, "stop", *options], env=here, check=True)


def can_hide_files() -> bool:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    return subprocess.run([*ALONE, "true"], check=False, capture_output=True).returncode == 0
