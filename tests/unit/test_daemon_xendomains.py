"""The script that starts and saves domains with the host, against a stand-in for xm."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts/xendomains"

FAKE_XM = """#!/bin/sh
# Domains are files in $STATE: name -> "id state".
case "$1" in
    list)
        echo 'Name                ID   Mem VCPUs      State   Time(s)'
        echo 'Domain-0             0  1024     1     r-----      1.0'
        for f in "$STATE"/*; do
            [ -f "$f" ] || continue
            read id state < "$f"
            echo "${f##*/} $id 64 1 $state 1.0"
        done
        ;;
    create)
        for file; do :; done
        name=$(sed -n 's/^name = "\\(.*\\)"$/\\1/p' "$file")
        case "$*" in
            *--dryrun*) printf '(vm\\n    (name %s)\\n    (memory 1))\\n' "$name" ;;
            *)
                echo "create $name" >> "$CALLS"
                [ -e "$STATE/../fail" ] && { echo "Error: no way" >&2; exit 1; }
                echo "7 -b----" > "$STATE/$name" ;;
        esac
        ;;
    restore)
        echo "restore ${2##*/}" >> "$CALLS"
        echo "8 -b----" > "$STATE/${2##*/}"
        ;;
    save)
        echo "save ${3##*/}" >> "$CALLS"
        [ -e "$STATE/../fail" ] && { echo "Error: disk full" >&2; exit 1; }
        printf 'Xen saved domain, xl format' > "$3"
        rm "$STATE/${3##*/}"
        ;;
    *)
        echo "$*" >> "$CALLS"
        ;;
esac
"""


class Host:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.save = folder / "save"
        self.auto = folder / "auto"
        self.calls = folder / "calls"
        self.options = folder / "etc/default/xendomains"
        self.lock = folder / "var/lock/xendomains"
        for each in (self.state, self.save, self.auto, self.options.parent):
            each.mkdir(parents=True)
        privcmd = folder / "proc/xen/privcmd"
        privcmd.parent.mkdir(parents=True)
        privcmd.touch()
        self.set()
        xm = folder / "bin/xm"
        xm.parent.mkdir()
        xm.write_text(FAKE_XM)
        xm.chmod(0o755)

    def set(self, *lines: str) -> None:
        own = [f"XENDOMAINS_SAVE={self.save}", f"XENDOMAINS_AUTO={self.auto}"]
        self.options.write_text("\n".join([*own, "XENDOMAINS_CREATE_USLEEP=", *lines]) + "\n")

    def domain(self, name: str, state: str = "-b----") -> None:
        (self.state / name).write_text(f"7 {state}\n")

    def autostart(self, name: str) -> None:
        (self.auto / f"{name}.cfg").write_text(f'name = "{name}"\n')

    def __call__(self, verb: str, expect: int = 0) -> str:
        done = subprocess.run(
            ["sh", str(SCRIPT), verb],
            env={
                "XENDOMAINS_PATH": f"{self.folder / 'bin'}:/usr/bin:/bin",
                "XENDOMAINS_ROOT": str(self.folder),
                "STATE": str(self.state),
                "CALLS": str(self.calls),
            },
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stdout + done.stderr

    def asked(self) -> list[str]:
        return self.calls.read_text().splitlines() if self.calls.exists() else []


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_start_creates_what_does_not_run_yet(host: Host) -> None:
    host.autostart("ariel")
    host.autostart("caliban")
    host.domain("caliban")
    assert "Skipping caliban" in host("start")
    assert host.asked() == ["create ariel"]
    assert host.lock.exists()
    assert "lockfile exists" in host("start")
    assert host.asked() == ["create ariel"]


def test_start_restores_saved_domains_first(host: Host) -> None:
    (host.save / "old").write_bytes(b"LinuxGuestRecord" + bytes(20))
    (host.save / "new").write_bytes(b"Xen saved domain, xl format\n \0 \r")
    (host.save / "half").write_bytes(b"something else")
    host.autostart("new")
    host("start")
    assert host.asked() == ["restore new", "restore old"]
    assert [each.name for each in host.save.iterdir()] == ["half"]


def test_a_failure_is_shown_and_the_next_one_still_tried(host: Host) -> None:
    (host.folder / "fail").touch()
    host.autostart("ariel")
    host.autostart("caliban")
    text = host("start", expect=1)
    assert text.count("Error: no way") == 2


def test_stop_saves_only_the_automatic_ones(host: Host) -> None:
    host.autostart("ariel")
    host.domain("ariel")
    host.domain("caliban")
    host("start")
    assert "caliban: skipped" in host("stop")
    assert host.asked() == ["save ariel", "shutdown --all --wait"]
    assert (host.save / "ariel").exists() and not host.lock.exists()


def test_stop_of_all(host: Host) -> None:
    host.set("XENDOMAINS_AUTO_ONLY=false")
    host.domain("ariel")
    host.domain("caliban")
    host("stop")
    assert host.asked() == ["save ariel", "save caliban"]


def test_what_cannot_be_saved_is_shut_down(host: Host) -> None:
    host.set("XENDOMAINS_AUTO_ONLY=false", "XENDOMAINS_SHUTDOWN_ALL=")
    (host.folder / "fail").touch()
    host.domain("ariel")
    assert "disk full" in host("stop", expect=1)
    assert host.asked() == ["save ariel", "shutdown --wait 7"]


def test_migration_comes_before_saving(host: Host) -> None:
    host.set(
        "XENDOMAINS_AUTO_ONLY=false",
        'XENDOMAINS_MIGRATE="host2 --live"',
        'XENDOMAINS_SYSRQ="s u"',
        "XENDOMAINS_USLEEP=1",
        "XENDOMAINS_SHUTDOWN_ALL=",
    )
    host.domain("ariel")
    host("stop")
    assert host.asked() == ["sysrq 7 s", "sysrq 7 u", "migrate 7 host2 --live"]


def test_a_dying_domain_is_left_alone(host: Host) -> None:
    host.set("XENDOMAINS_AUTO_ONLY=false", "XENDOMAINS_SHUTDOWN_ALL=")
    host.domain("ariel", "-----d")
    assert "already dying" in host("stop")
    assert host.asked() == []


def test_status(host: Host) -> None:
    host("status")
    host.autostart("ariel")
    assert "ariel is not running" in host("status", expect=3)
    host.domain("ariel")
    host("status")


def test_status_of_a_domain_that_was_not_restored(host: Host) -> None:
    (host.save / "ariel").write_bytes(b"Xen saved domain, xl format\n \0 \r")
    assert "ariel is saved, not restored" in host("status", expect=3)


def test_links_of_the_autostart_folder_are_followed(host: Host) -> None:
    """It may hold links to configurations elsewhere; one that leads nowhere is no domain."""
    elsewhere = host.folder / "ariel.cfg"
    elsewhere.write_text('name = "ariel"\n')
    (host.auto / "10-ariel").symlink_to(elsewhere)
    (host.auto / "20-gone").symlink_to(host.folder / "nowhere")
    host("start")
    assert host.asked() == ["create ariel"]


def test_sysconfig_is_preferred(host: Host) -> None:
    """Where both are there, as on hosts that came from SuSE or Red Hat."""
    sysconfig = host.folder / "etc/sysconfig/xendomains"
    sysconfig.parent.mkdir()
    sysconfig.write_text(host.options.read_text() + "XENDOMAINS_RESTORE=false\n")
    (host.save / "ariel").write_bytes(b"Xen saved domain, xl format\n \0 \r")
    host("start")
    assert host.asked() == []


def test_the_shipped_settings_are_those_that_the_script_has_anyway(host: Host) -> None:
    shipped = (SCRIPT.parents[1] / "etc/default/xendomains").read_text()
    names = set(re.findall(r"^(XENDOMAINS_\w+)=", shipped, re.M))
    built_in = SCRIPT.read_text().split("read_options")[0]
    assert names == set(re.findall(r"^(XENDOMAINS_\w+)=", built_in, re.M))
    printing = 'set | grep "^XENDOMAINS_[A-Z_]*=" | grep -v "_ROOT\\|_PATH" | sort'
    values = [
        subprocess.run(
            ["sh", "-c", f"{text}\n{printing}"], capture_output=True, text=True, check=True
        ).stdout
        for text in (shipped, built_in)
    ]
    assert values[0] == values[1]


def test_nothing_to_do_without_xen_or_its_tools(host: Host) -> None:
    (host.folder / "bin/xm").unlink()
    host("start")
    (host.folder / "proc/xen/privcmd").unlink()
    host("start")


def test_missing_configuration(host: Host) -> None:
    host.options.unlink()
    assert "no configuration" in host("start", expect=6)
    host("stop")


def test_usage(host: Host) -> None:
    assert host("fly", expect=3).startswith("Usage: ")
