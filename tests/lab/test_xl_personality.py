"""Our `xl` beside the distribution's, on the same domains: standard output byte for byte (times
masked) and exit status."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.conftest import domains, run
from tests.lab.guests import IMAGES, TINY_KERNEL, config, linux
from tests.lab.xlbeside import OURS, REAL, both, by_turns, done, same

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("xend_running")]

ODD = "odd.name_with-signs+and:colon"
FOREIGN = "made by xl, née Ünïcode"


@pytest.fixture(scope="module")
def guests(xend_running: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A zoo: paused, running, oddly named, with devices, and one of another toolstack."""
    try:
        _make_zoo(tmp_path_factory.mktemp("zoo"))
        yield
    finally:
        for domid in domains().values():
            run("xl", "destroy", str(domid))


def _make_zoo(folder: Path) -> None:
    for name in ("first", "second"):
        (folder / f"{name}.img").write_bytes(bytes(1 << 20))
    disks = [f"file:{folder}/first.img,xvda,w", f"file:{folder}/second.img,xvdb,r"]
    vif = ["mac=00:16:3e:00:00:21,bridge=xenbr0", "mac=00:16:3e:00:00:22,bridge=xenbr0"]
    _create("xm", str(config(folder, "running", vcpus=2)))
    _create("xm", str(config(folder, ODD, memory=6)))
    assert run("xm", "pause", ODD).returncode == 0
    _create("xm", str(linux(folder, "linux", disk=disks, vif=vif, memory=128)))
    foreign = folder / "foreign"
    foreign.write_text(f'name = "{FOREIGN}"\nmemory = 8\nkernel = "{TINY_KERNEL}"\nvcpus = 1\n')
    _create(REAL, "-p", str(foreign))
    _wait_for_devices()


def _create(program: str, *words: str) -> None:
    """Once more when a hotplug script was too slow for libxl, on a busy machine."""
    made = run(program, "create", *words)
    if "did not end in time" in made.stderr:
        made = run(program, "create", *words)
    assert made.returncode == 0, made.stdout + made.stderr


def _wait_for_devices() -> None:
    deadline = time.monotonic() + 60
    while run(REAL, "network-list", "linux").stdout.count(" 4 ") < 2:
        assert time.monotonic() < deadline, "the guest's interfaces did not connect"
        time.sleep(0.5)


LOOKS = [
    ["list"],
    ["list", "-v"],
    ["list", "-Z"],
    ["list", "-c"],
    ["list", "-n"],
    ["list", "-vcn"],
    ["list", "--cpupool", "running"],
    ["list", "-l"],
    ["list", "-l", "linux"],
    ["list", "--long", ODD],
    ["list", FOREIGN],
    ["list", "0"],
    ["vm-list"],
    ["claims"],
    ["vcpu-list"],
    ["vcpu-list", "linux", "0"],
    ["info"],
    ["info", "-n"],
    ["info", "nr_cpus"],
    ["info", "xen_"],
    ["info", "free"],
    ["info", "nosuch"],
    ["info", "virt"],
    ["domid", "linux"],
    ["domid", FOREIGN],
    ["domname", "0"],
    ["uptime"],
    ["uptime", "linux", "running"],
    ["uptime", "-s"],
    ["sched-credit"],
    ["sched-credit2"],
    ["sched-credit2", "-d", "linux"],
    ["sched-credit2", "-s"],
    ["sched-credit2", "-p", "Pool-0"],
    ["sched-credit2", "-p", "0", "-s"],
    ["sched-credit", "-d", "linux"],
    ["sched-credit", "-s"],
    ["cpupool-list"],
    ["cpupool-list", "-c"],
    ["cpupool-list", "Pool-0"],
    ["block-list", "linux"],
    ["block-list", "linux", "running"],
    ["network-list", "linux"],
    ["network-list", "running", "linux"],
    ["dmesg"],
    ["-N", "vcpu-pin", "linux", "0", "0-1,^1"],
    ["-N", "vcpu-pin", "linux", "0", "all", "0"],
    ["-v", "domid", "linux"],
    ["vm-l"],
]


@pytest.mark.parametrize("words", LOOKS, ids=" ".join)
def test_looks(guests: None, words: list[str]) -> None:
    same(*words)


ERRORS = [
    ["list", "nosuch"],
    ["list", "9999"],
    ["list", "-l", "9999"],
    ["domid", "nosuch"],
    ["domid", "0"],
    ["domname", "9999"],
    ["domname", "x"],
    ["domname", "12x"],
    ["uptime", "nosuch"],
    ["uptime", "9999"],
    ["vcpu-list", "nosuch"],
    ["vcpu-list", "9999"],
    ["block-list", "nosuch"],
    ["block-list", "9999"],
    ["network-list", "nosuch"],
    ["network-list", "9999"],
    ["pause", "nosuch"],
    ["pause", "9999"],
    ["unpause", "9999"],
    ["destroy", "nosuch"],
    ["destroy", "9999"],
    ["destroy", "0"],
    ["shutdown", "nosuch"],
    ["shutdown", "9999"],
    ["shutdown"],
    ["reboot"],
    ["reboot", "9999"],
    ["rename", "nosuch", "x"],
    ["rename", "9999", "x"],
    ["rename", "linux", "running"],
    ["trigger", "linux", "bang"],
    ["trigger", "9999", "nmi"],
    ["sysrq", "9999", "h"],
    ["mem-set", "linux", "lots"],
    ["mem-set", "linux", "4000000m"],
    ["mem-set", "9999", "64"],
    ["mem-max", "linux", "64xx"],
    ["mem-max", "9999", "64"],
    ["vcpu-set", "linux", "x"],
    ["vcpu-set", "linux", "900"],
    ["vcpu-set", "9999", "1"],
    ["vcpu-pin", "linux", "x", "0"],
    ["vcpu-pin", "linux", "0", "0-x"],
    ["vcpu-pin", "linux", "0", "^all"],
    ["vcpu-pin", "9999", "0", "0"],
    ["vcpu-pin", "9999", "all", "0"],
    ["vcpu-pin", "linux", "17", "0"],
    ["sched-credit2", "-d", "nosuch"],
    ["sched-credit2", "-d", "9999"],
    ["sched-credit2", "-w", "5"],
    ["sched-credit2", "-d", "linux", "-p", "Pool-0"],
    ["sched-credit2", "-d", "linux", "-w", "70000"],
    ["sched-credit2", "-p", "nosuch"],
    ["sched-credit", "-t", "5"],
    ["cpupool-list", "nosuch"],
    ["cpupool-destroy", "nosuch"],
    ["cpupool-migrate", "linux", "nosuch"],
    ["cpupool-migrate", "nosuch", "Pool-0"],
    ["cpupool-cpu-add", "nosuch", "0"],
    ["cpupool-cpu-remove", "Pool-0", "x"],
    ["block-detach", "linux", "xvdz"],
    ["block-detach", "nosuch", "xvda"],
    ["network-detach", "linux", "7"],
    ["network-detach", "linux", "00:16:3e:00:00:99"],
    ["block-attach", "nosuch", "phy:/dev/null,xvdq,r"],
    ["network-attach", "nosuch"],
    ["network-attach", "linux", "mac=nonsense"],
    ["cd-insert", "linux", "hdc", "/nosuch.iso"],
    ["save", "nosuch", "/tmp/x"],
    ["save", "linux", "/nosuch/folder/x"],
    ["save", "9999", "/tmp/x"],
    ["restore", "/nosuch/file"],
    ["restore", "/etc/passwd"],
    ["dump-core", "nosuch", "/tmp/x"],
    ["dump-core", "9999", "/tmp/x"],
    ["create", "/nosuch/file"],
    ["create"],
    ["create", "/etc/passwd"],
    ["console", "nosuch"],
    ["console", "-t", "bad", "linux"],
    ["list", "-x"],
    ["list", "--bogus"],
    ["list", "--lo", "9999"],
    ["nosuch"],
    ["-N", "list"],
    ["-Q", "list"],
    ["v"],
]


@pytest.mark.parametrize("words", ERRORS, ids=" ".join)
def test_errors(guests: None, words: list[str]) -> None:
    same(*words)


HELPED = [
    ["pause"],
    ["rename", "a"],
    ["mem-set", "a"],
    ["domid"],
    ["list", "a", "b"],
    ["list", "-h"],
]


@pytest.mark.parametrize("words", HELPED, ids=" ".join)
def test_wrong_calls_show_the_usage(guests: None, words: list[str]) -> None:
    """The texts of help are our own: only the usage line and the exit status are compared."""
    theirs, ours = both(*words)
    assert ours.returncode == theirs.returncode
    assert ours.stdout.splitlines()[:1] == theirs.stdout.splitlines()[:1]
    assert ours.stderr == theirs.stderr


def test_changes(guests: None) -> None:
    """What one does, both show."""

    def change(program: str) -> None:
        assert done(program, "unpause", ODD) == ""
        same("list", ODD)
        assert done(program, "pause", ODD) == ""
        assert same("list", ODD).split()[-2] in ("--p---", "-bp---")
        assert done(program, "rename", ODD, "short") == ""
        assert same("domid", "short")
        assert done(program, "rename", "short", ODD) == ""
        assert done(program, "vcpu-pin", "running", "0", "0", "all") == ""
        same("vcpu-list", "running")
        assert done(program, "vcpu-pin", "running", "all", "all", "0") == ""
        same("vcpu-list", "running")
        assert done(program, "vcpu-set", "running", "1") == ""
        assert done(program, "vcpu-set", "running", "2") == ""
        assert done(program, "mem-set", "linux", "120000k") == ""
        assert done(program, "sched-credit2", "-d", "linux", "-w", "512", "-c", "40") == ""
        assert same("sched-credit2", "-d", "linux").split()[-2:] == ["512", "40"]
        assert done(program, "sched-credit2", "-d", "linux", "-w", "256", "-c", "0") == ""
        assert done(program, "sched-credit2", "-s", "-r", "2000") == ""
        same("sched-credit2", "-s")
        assert done(program, "sched-credit2", "-s", "-r", "1000") == ""
        assert done(program, "trigger", "linux", "sleep") == ""
        assert done(program, "sysrq", "linux", "h") == ""
        assert done(program, "debug-keys", "h") == ""

    by_turns(change)


def test_hot_plug(guests: None) -> None:
    def change(program: str) -> None:
        disk = f"{IMAGES}/data.img,raw,xvdc,r"
        assert done(program, "block-attach", "linux", disk) == ""
        assert same("block-list", "linux").count("51744") >= 1
        assert done(program, "block-detach", "linux", "xvdc") == ""
        same("block-list", "linux")
        mac = "mac=00:16:3e:00:00:23"
        assert done(program, "network-attach", "linux", mac, "bridge=xenbr0") == ""
        assert "00:16:3e:00:00:23" in same("network-list", "linux")
        assert done(program, "network-detach", "linux", "00:16:3e:00:00:23") == ""
        same("network-list", "linux")

    by_turns(change)


XL_FILE = """
name = "planned"
type = "pv"
kernel = "{kernel}"
memory = 64
maxmem = 96
vcpus = 2
maxvcpus = 3
cpus = "0"
on_crash = "preserve"
disk = ["{folder}/first.img,raw,xvda,w", "format=raw,vdev=xvdb,access=r,target={folder}/second.img"]
vif = ["mac=00:16:3e:00:00:31,bridge=xenbr0", "ip=10.0.0.9,mac=00:16:3e:00:00:32,rate=1MB/s"]
"""


@pytest.fixture
def xl_file(tmp_path: Path) -> Path:
    for name in ("first", "second"):
        (tmp_path / f"{name}.img").write_bytes(bytes(1 << 20))
    path = tmp_path / "planned.cfg"
    path.write_text(XL_FILE.format(kernel=TINY_KERNEL, folder=tmp_path))
    return path


def test_dry_runs(guests: None, xl_file: Path) -> None:
    """What xl would have libxl do, as libxl writes it; the uuid is made up each time."""
    for words in (["create", "-n"], ["-N", "create", "vcpus=1"], ["create", "-q", "--dryrun"]):
        texts = [
            re.sub(r'"uuid": "[^"]*"', "UUID", ended.stdout) for ended in both(*words, str(xl_file))
        ]
        assert texts[1] == texts[0]
    assert same("-N", "block-attach", "linux", f"{IMAGES}/data.img,raw,xvdc,r")
    assert same("-N", "network-attach", "linux", "mac=00:16:3e:00:00:33", "bridge=xenbr0")


def test_create(guests: None, xl_file: Path) -> None:
    """The domain that ours makes of a file is the one that theirs makes of it."""
    shown = []
    for program in (REAL, OURS):
        assert done(program, "create", "-p", str(xl_file), 'name="made"', "memory=8") == ""
        listed = same("list", "made").splitlines()[1].split()
        shown.append([listed[0], *listed[2:5]])
        same("vcpu-list", "made")
        same("network-list", "made")
        same("block-list", "made")
        theirs, ours = both("create", "-q", str(xl_file), 'name="made"')
        assert ours.returncode == theirs.returncode != 0
        assert done(program, "destroy", "made") == ""
    assert shown[0] == shown[1]


def test_save_and_restore(guests: None, tmp_path: Path) -> None:
    """What one has saved the other brings back."""
    path = str(tmp_path / "saved")
    assert done(OURS, "save", "-p", "linux", path) == ""
    assert same("list", "linux").split()[-2][2] == "p"
    assert done(REAL, "unpause", "linux") == ""
    for saver, restorer in ((OURS, REAL), (REAL, OURS)):
        assert done(saver, "save", "linux", path) == ""
        assert run(REAL, "domid", "linux").returncode == 1
        assert done(restorer, "restore", "-p", path) == ""
        assert same("list", "linux").split()[-2][2] == "p"
        assert done(restorer, "unpause", "linux") == ""


def test_dump_core(guests: None, tmp_path: Path) -> None:
    assert done(OURS, "dump-core", "linux", str(tmp_path / "core")) == ""
    assert (tmp_path / "core").read_bytes()[:4] == b"\x7fELF"


def test_shutdown(guests: None) -> None:
    before = done(OURS, "domid", "linux")
    assert done(OURS, "reboot", "-w", "linux") == ""
    deadline = time.monotonic() + 60
    while run(OURS, "domid", "linux").stdout in ("", before):
        assert time.monotonic() < deadline, "it does not come back"
        time.sleep(0.5)
    assert same("domid", "linux")
    _wait_for_devices()
    assert done(OURS, "shutdown", "-ww", "linux") == ""
    assert run(OURS, "domid", "linux").returncode == run(REAL, "domid", "linux").returncode == 1
    assert done(OURS, "destroy", "running") == ""
    assert run(REAL, "domid", "running").returncode == 1
