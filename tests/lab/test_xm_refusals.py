"""What xm refuses, on real Xen and a small paravirtualised guest: the words, the exit status, and
that nothing has changed and the daemon still answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.conftest import domains, run
from tests.lab.guests import config
from tests.lab.verbs import refusal, xl, xm
from xend.cli.table import COMMANDS

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("xend_running")]

NAME = "tiny"
ONLY_XEN_API = "This function is only supported by Xen-API"
GONE = sorted(row.name for row in COMMANDS if row.doer.startswith("dropped."))
WORDS = {
    "addlabel": ["red", "dom", f"/etc/xen/{NAME}"],
    "dry-run": [f"/etc/xen/{NAME}"],
    "dumppolicy": [],
    "event-monitor": [],
    "getenforce": [],
    "getlabel": ["dom", f"/etc/xen/{NAME}"],
    "getpolicy": ["--dumpxml"],
    "labels": ["type=dom"],
    "network-new": ["net"],
    "network2-attach": [NAME, "bridge=xenbr0"],
    "network2-detach": [NAME, "0"],
    "network2-list": [NAME, "--long"],
    "resetpolicy": [],
    "resources": [],
    "rmlabel": ["dom", f"/etc/xen/{NAME}"],
    "sched-sedf": [NAME, "-p", "100", "-s", "50"],
    "setenforce": ["1"],
    "setpolicy": ["ACM", "policy"],
    "tmem-freeable": [],
    "tmem-list": ["-l", "-a"],
    "tmem-set": [NAME, "weight=5"],
    "tmem-shared-auth": [NAME, "--uuid=5e1f0e1f-0000-4000-8000-000000000005", "--auth=1"],
    "vnet-list": ["-l"],
}
"""How each was called; the others take one name."""


@pytest.fixture(scope="module")
def tiny(xend_running: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    assert not domains()
    path = config(tmp_path_factory.mktemp("refusals"), NAME, memory=8, maxmem=16)
    xm("create", "-q", str(path))
    yield NAME
    run("xm", "destroy", NAME)
    for domid in domains().values():
        run("xl", "destroy", str(domid))


@pytest.mark.parametrize("command", GONE)
def test_what_xen_no_longer_has(tiny: str, command: str) -> None:
    """It is named, with since when or why, and with what to use instead."""
    before = xl("list", "-l", tiny)
    done = run("xm", command, *WORDS.get(command, [NAME]))
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    if command == "event-monitor":  # As ever.
        assert (done.returncode, line[:7]) == (0, "Error: ")
    elif done.returncode == 1 and line.endswith(ONLY_XEN_API):
        assert command in ("network-new", "network-del", "network-show")
    else:
        assert done.returncode == 1
        assert re.fullmatch(r"Error: .+ is not available: .+\. Use instead: .+", line), line
    assert xm("domid", tiny).strip() == str(domains()[tiny])
    assert xl("list", "-l", tiny) == before


REFUSED = [
    (["mem-max", NAME, "2"], 1, "memory_static_max must be greater"),
    (["mem-max", NAME, "0"], 1, "memory_static_max must be greater than zero"),
    (["mem-max", NAME, "-5"], 1, "memory_static_max must be greater than zero"),
    (["mem-max", NAME, "lots"], 1, "Invalid argument."),
    (["mem-max", "nosuch", "64"], 3, "Domain 'nosuch' does not exist."),
    (["mem-max", NAME], 1, "'xm mem-max' requires 2 arguments."),
    (["mem-set", NAME, "0x10"], 1, "Invalid argument."),
    (["vcpu-pin", NAME, "0", "99"], 1, "Cannot pin vcpu: 0 to cpu: [99] - there is no such CPU"),
    (["vcpu-pin", NAME, "1", "0"], 1, "Cannot pin vcpu: 1 to cpu: [0] - there is no such vcpu"),
    (["vcpu-pin", NAME, "x", "0"], 1, "Cannot pin vcpu: x to cpu: [0]"),
    (["vcpu-pin", NAME, "0", "x"], 1, "Invalid argument."),
    (["vcpu-pin", NAME, "0", "0,^0"], 1, "Cannot pin vcpu: 0 to cpu: []"),
    (["vcpu-pin", "nosuch", "0", "0"], 3, "Domain 'nosuch' does not exist."),
    (["vcpu-set", NAME, "2"], 1, "Cannot set vcpus greater than max vcpus on running domain"),
    (["vcpu-set", NAME, "0"], 1, "Zero or less VCPUs is invalid"),
    (["sched-credit", "-d", NAME, "-w", "300"], 1, "Xen is running with the credit2 scheduler"),
    (["sched-credit2", "-w", "300"], 1, "No domain given."),
    (["trigger", NAME, "power"], 1, "power"),
    (["trigger", NAME, "nmi", "99"], 1, "nmi"),
    (["trigger", NAME, "init"], 1, "init"),
    (["trigger", NAME, "tea"], 1, "Invalid trigger: tea"),
    (["trigger", "nosuch", "nmi"], 3, "Domain 'nosuch' does not exist."),
    (["cpupool-destroy", "Pool-0"], 1, "POOL_BAD_STATE"),
    (["cpupool-cpu-add", "Pool-0", "0"], 1, "CPU 0 belongs to the pool Pool-0"),
    (["cpupool-cpu-remove", "Pool-0", "99"], 1, "CPU unknown"),
    (["cpupool-migrate", NAME, "nosuch"], 1, "unknown pool nosuch"),
    (["cpupool-migrate", "Domain-0", "Pool-0"], 1, "could not move Domain-0"),
    (["scsi-list", "nosuch"], 3, "Domain 'nosuch' does not exist."),
    (["scsi-attach", NAME, "99:0:0:0", "0:0:0:0"], 1, "Cannot find device '99:0:0:0'"),
    (["scsi-attach", NAME, "0:0:0:0", "sda"], 1, "Invalid argument: sda"),
    (["scsi-detach", NAME, "0:0:0:0"], 1, "xm block-attach DOM phy:/dev/sdX"),
    (["scsi-detach", NAME, "sda"], 1, "Invalid argument: sda"),
    (["scsi-detach", NAME], 1, "'xm scsi-detach' requires 2 arguments."),
    (["usb-add", NAME, "host:1.2"], 1, "with usb disabled in configure file"),
    (["usb-del", NAME, "host:1.2"], 1, "with usb disabled in configure file"),
    (["usb-del", "nosuch", "host:1.2"], 3, "Domain 'nosuch' does not exist."),
    (["usb-detach", NAME, "0", "1"], 1, "Device 0 not connected"),
    (["usb-hc-create", NAME, "9", "4"], 1, "Invalid version of USB: 9"),
    (["usb-hc-create", NAME, "2", "99"], 1, "Invalid number of ports: 99"),
    (["usb-hc-destroy", NAME, "0"], 1, "Device 0 not connected"),
    (["usb-hc-destroy", NAME, "x"], 1, "Invalid devid: 'x' is not a number"),
    (["usb-list", "nosuch"], 3, "Domain 'nosuch' does not exist."),
]


@pytest.mark.parametrize(
    ("words", "status", "text"), REFUSED, ids=[" ".join(words) for words, _, _ in REFUSED]
)
def test_refusals(tiny: str, words: list[str], status: int, text: str) -> None:
    before = xl("list", "-l", tiny)
    assert text in refusal(*words, status=status)
    assert xl("list", "-l", tiny) == before


def test_lists_of_what_it_has_not(tiny: str) -> None:
    for command in ("scsi-list", "usb-list", "pci-list", "block-list", "network-list"):
        assert xm(command, tiny) == ""
    for command in ("scsi-list", "block-list", "network-list"):
        assert xm(command, tiny, "--long") == ""
        assert xm(command, tiny, "--json") == "[]\n"


def test_a_port_of_no_controller(tiny: str) -> None:
    """Told on standard output, with exit status 0: as ever."""
    assert xm("usb-attach", tiny, "0", "1", "1-1") == (
        f"Cannot find device '0' in domain '{tiny}'\n"
    )


def test_a_share_in_a_pool_of_another_scheduler(tiny: str, tmp_path: Path) -> None:
    """xm's command is that of the host's scheduler; what it sets is that of the pool's."""
    path = tmp_path / "pool"
    path.write_text('name = "made"\nsched = "credit"\ncpus = ["1"]\n')
    try:
        xm("cpupool-cpu-remove", "Pool-0", "1")
        xm("cpupool-create", "-f", str(path))
        xm("cpupool-migrate", tiny, "made")
        xm("sched-credit2", "-d", tiny, "-w", "300")
        assert xl("sched-credit", "-d", tiny).split()[-2:] == ["300", "0"]
        assert xm("sched-credit2", "-d", tiny).split()[-1] == "300"
    finally:
        run("xl", "cpupool-migrate", tiny, "Pool-0")
        run("xl", "cpupool-destroy", "made")
        run("xl", "cpupool-cpu-add", "Pool-0", "1")
