"""Domains that start and are saved with the host, by the script itself, on real Xen.

The end of the host and its next start are the script's `stop`, a stop of xend, and both again: what
a domain is in between is only on disk, as over a reboot of dom0.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.conftest import domains, run
from tests.lab.guests import config, linux

pytestmark = pytest.mark.lab

SCRIPT = Path(__file__).parents[2] / "scripts/xendomains"
DEFAULT = Path("/etc/default/xendomains")
SYSCONFIG = Path("/etc/sysconfig/xendomains")
CONSOLES = Path("/var/log/xen/console")
AUTO, OTHER = "auto-linux", "auto-other"
READY = "linux guest ready"


class Service:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.auto = folder / "auto"
        self.save = folder / "save"
        self.auto.mkdir()

    def set(self, path: Path = DEFAULT, **options: str) -> None:
        values = {
            "XENDOMAINS_AUTO": self.auto,
            "XENDOMAINS_SAVE": self.save,
            "XENDOMAINS_CREATE_USLEEP": "",
            "XENDOMAINS_SHUTDOWN_ALL": "",
            "XENDOMAINS_STOP_MAXWAIT": "120",
            **{f"XENDOMAINS_{name}": value for name, value in options.items()},
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f'{name}="{value}"\n' for name, value in values.items()))

    def __call__(self, verb: str, expect: int = 0) -> str:
        done = subprocess.run(
            [SCRIPT, verb], capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == expect, f"{verb}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def saved(self) -> list[str]:
        return sorted(path.name for path in self.save.glob("*"))


@pytest.fixture
def service(xend_running: None, clean_host: None, tmp_path: Path) -> Iterator[Service]:
    before = {path: path.read_bytes() for path in (DEFAULT, SYSCONFIG) if path.exists()}
    for path in before:
        path.unlink()
    service = Service(tmp_path)
    service.set()
    for log in CONSOLES.glob("guest-auto-*"):
        log.unlink()
    yield service
    for path in (DEFAULT, SYSCONFIG):
        path.unlink(missing_ok=True)
    for path, text in before.items():
        path.write_bytes(text)
    for name in domains():
        if name.startswith("auto-"):
            run("xm", "destroy", name)
    Path("/var/lock/xendomains").unlink(missing_ok=True)


def _boots(name: str) -> int:
    log = CONSOLES / f"guest-{name}.log"
    return log.read_text(errors="replace").count(READY) if log.exists() else 0


def _until_booted(name: str) -> None:
    deadline = time.monotonic() + 90
    while not _boots(name):
        assert time.monotonic() < deadline, f"{name} does not boot"
        time.sleep(0.3)
    time.sleep(2)  # Its init goes on to the shell.


def test_over_the_end_of_the_host(service: Service) -> None:
    """The automatic one is saved and comes back as it was; one made by hand is left alone."""
    elsewhere = service.folder / "elsewhere"
    elsewhere.mkdir()
    (service.auto / AUTO).symlink_to(linux(elsewhere, AUTO, memory=128))
    assert "is not running" in service("status", expect=3)
    assert f"Starting {AUTO}" in service("start")
    assert "lockfile exists" in service("start")
    service("status")
    run("xm", "create", "-q", str(config(elsewhere, OTHER)))
    _until_booted(AUTO)
    uuid = run("xm", "list", "-l", AUTO).stdout
    said = service("stop")
    assert f"{OTHER}: skipped" in said and "saving" in said
    assert service.saved() == [AUTO]
    assert set(domains()) == {OTHER}

    run("/etc/init.d/xend", "stop")
    run("/etc/init.d/xend", "start")
    assert "is saved, not restored" in service("status", expect=3)
    said = service("start")
    assert f"Restoring {AUTO}" in said and f"Skipping {AUTO}" in said
    assert service.saved() == []
    assert set(domains()) == {AUTO, OTHER}
    assert _uuid(uuid) == _uuid(run("xm", "list", "-l", AUTO).stdout)
    service("status")
    time.sleep(3)
    assert _boots(AUTO) == 1, "it was booted again, not restored"


def _uuid(listing: str) -> str:
    found = re.search(r"\(uuid ([0-9a-f-]{36})\)", listing)
    assert found, listing
    return found[1]


def test_sysconfig_and_shutdown_of_all(service: Service) -> None:
    """Not saved but shut down, whoever made it."""
    DEFAULT.unlink()
    service.set(SYSCONFIG, SAVE="", AUTO_ONLY="false", SHUTDOWN="", SHUTDOWN_ALL="--all --wait")
    elsewhere = service.folder / "elsewhere"
    elsewhere.mkdir()
    service("start")
    run("xm", "create", "-q", str(linux(elsewhere, OTHER, memory=128)))
    _until_booted(OTHER)
    service("stop")
    assert domains() == {}
    assert not Path("/var/lock/xendomains").exists()


def test_a_guest_that_does_not_answer_does_not_hold_up_the_host(service: Service) -> None:
    service.set(SAVE="", STOP_MAXWAIT="3")
    (service.auto / OTHER).symlink_to(config(service.folder, OTHER))
    service("start")
    began = time.monotonic()
    assert "An error occurred while shutting down" in service("stop", expect=1)
    assert time.monotonic() - began < 60
    assert set(domains()) == {OTHER}
