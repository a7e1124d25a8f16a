"""xm's subcommands on a running Linux guest and real Xen; xl and XenStore say what they did.

One guest serves all tests of this file, in their order.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.conftest import domains, run
from tests.lab.terminal import Terminal
from tests.lab.verbs import (
    DATA,
    MAC,
    UUID,
    backend,
    booted,
    column,
    disk,
    eventually,
    gone,
    hypervisor_log,
    is_paused,
    loop_device,
    refusal,
    start_linux,
    store,
    vcpus,
    xl,
    xl_config,
    xl_row,
    xm,
)
from xend.config import sxp

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("xend_running")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("verbs")


@pytest.fixture(scope="module")
def lin(xend_running: None, folder: Path) -> Iterator[str]:
    """The guest; 128 of 192 MiB, two VCPUs, a disk, a network interface."""
    assert not domains()
    start_linux(
        folder,
        "lin",
        uuid=UUID,
        maxmem=192,
        vcpus=2,
        disk=[f"file:{DATA},xvda,r"],
        vif=[f"mac={MAC},bridge=xenbr0"],
    )
    yield "lin"
    run("xm", "destroy", "lin")
    left = domains()
    for domid in left.values():
        run("xl", "destroy", str(domid))
    assert not left


# -- What it looks like --------------------------------------------------------------------------


def test_list_long_has_the_original_keys_in_their_order(lin: str) -> None:
    text = xm("list", "-l", lin)
    [domain] = sxp.parse(text)
    assert isinstance(domain, list)
    names = [str(child[0]) for child in domain[1:] if isinstance(child, list)]
    before_devices = names[: names.index("device")]
    assert before_devices == [
        *("domid", "cpu_weight", "cpu_cap", "pool_name", "bootloader", "vcpus", "cpus"),
        *("on_poweroff", "description", "on_crash", "uuid", "bootloader_args", "name"),
        *("on_reboot", "maxmem", "memory", "shadow_memory", "features", "on_xend_start"),
        *("on_xend_stop", "start_time", "cpu_time", "online_vcpus", "image", "status", "state"),
        *("store_mfn", "console_mfn"),
    ]
    lines = text.splitlines()
    assert lines[:2] == ["(domain", f"    (domid {domains()[lin]})"]
    assert lines.index(f"    (name {lin})") > 1
    assert "    (status 2)" in lines
    assert f"    (uuid {UUID})" in lines
    devices = [child[1] for child in sxp.children(domain, "device") if isinstance(child, list)]
    assert [sxp.name_of(device) for device in devices] == ["vif", "vbd"]
    numbers = {
        str(child[0]): child[1]
        for child in domain[1:]
        if isinstance(child, list) and len(child) > 1
    }
    domid = domains()[lin]
    assert str(numbers["store_mfn"]) == store(f"/local/domain/{domid}/store/ring-ref")
    assert str(numbers["console_mfn"]) == store(f"/local/domain/{domid}/console/ring-ref")


def test_list_with_states_pools_and_labels(lin: str) -> None:
    assert column(xm("list", "--state=running"), "Name") == ["Domain-0", lin]
    assert column(xm("list", "--state=paused"), "Name") == []
    assert column(xm("list", "--pool=Pool-0"), "Name") == ["Domain-0", lin]
    assert column(xm("list", "--pool=nosuch"), "Name") == []
    assert xm("list", "--label").splitlines()[0].endswith("Label     ")
    assert xm("domstate", lin).strip() in ("idle", "running", "")
    assert xm("domid", lin).strip() == str(domains()[lin])
    assert xm("domname", str(domains()[lin])).strip() == lin


def test_devices_have_what_their_clients_read(lin: str) -> None:
    [network] = xm("network-list", lin).splitlines()[1:]
    assert network.split()[2] == MAC
    assert network.split()[4] == "4"
    long = xm("network-list", lin, "--long")
    for key in ("backend", "backend-id", "state", "handle", "mac", "tx-ring-ref", "rx-ring-ref"):
        assert re.search(rf"\({key} \S+\)", long), key
    assert [line.split()[0] for line in xm("block-list", lin).splitlines()] == ["Vdev", "51712"]
    long = xm("block-list", lin, "--long")
    for key in ("backend", "backend-id", "state", "virtual-device", "device-type", "ring-ref",
                "event-channel"):  # fmt: skip
        assert re.search(rf"\({key} \S+\)", long), key


def test_uptime_info_log(lin: str) -> None:
    rows = xm("uptime").splitlines()
    assert [row.split()[0] for row in rows] == ["Name", "Domain-0", lin]
    assert re.search(r"\d:\d\d:\d\d$", rows[2])
    assert re.search(r" up +\S+, lin \(\d+\)$", xm("uptime", "-s", lin).rstrip())
    info = dict(re.findall(r"^(\w+) *: (.*)$", xm("info"), re.M))
    real = dict(re.findall(r"^(\w+) *: (.*)$", xl("info"), re.M))
    for key in ("release", "machine", "nr_cpus", "nr_nodes", "cores_per_socket",
                "threads_per_core", "total_memory", "xen_major", "xen_minor", "xen_caps",
                "xen_scheduler", "xen_pagesize", "xen_commandline", "cc_compiler"):  # fmt: skip
        assert info[key] == real[key], key
    assert "cpu:    core    socket     node" in xm("info", "-n")
    assert "xend_tcp_xmlrpc_server_port_default   : 8006" in xm("info", "-c")
    assert "Xend Daemon started" in xm("log")


# -- More or less of it --------------------------------------------------------------------------


def test_memory(lin: str) -> None:
    xm("mem-set", lin, "100")
    eventually(lambda: xl_row(lin)[0] == 100)
    assert xm("list", lin).split()[-4] == "100"
    xm("mem-set", lin, "128m")
    eventually(lambda: xl_row(lin)[0] == 128)
    assert "memory_dynamic_max" in refusal("mem-set", lin, "500")
    xm("mem-max", lin, "180")
    # Xen's own limit has a little more, for the guest's page tables: xl's has, too.
    limit = int(re.findall(r"\(maxmem (\d+)\)", xm("list", "-l", lin))[0])
    assert limit == 180
    xm("mem-max", lin, "192")


def test_vcpus(lin: str) -> None:
    domid = domains()[lin]
    xm("vcpu-set", lin, "1")
    assert store(f"/local/domain/{domid}/cpu/1/availability") == "offline"
    assert "(vcpus 2)" in xm("list", "-l", lin)
    xm("vcpu-set", lin, "2")
    assert store(f"/local/domain/{domid}/cpu/1/availability") == "online"
    assert "greater than max vcpus" in refusal("vcpu-set", lin, "3")
    xm("vcpu-pin", lin, "0", "1")
    assert vcpus(lin)[0][6].split(" / ")[0].strip() == "1"
    assert xm("vcpu-list", lin).splitlines()[1].split()[-1] == "1"
    xm("vcpu-pin", lin, "all", "0")
    assert {row[6].split(" / ")[0].strip() for row in vcpus(lin)} == {"0"}
    xm("vcpu-pin", lin, "all", "all")
    assert "any cpu" in xm("vcpu-list", lin).splitlines()[1]
    assert "Cannot pin vcpu: 7" in refusal("vcpu-pin", lin, "7", "0")


def test_schedulers(lin: str) -> None:
    xm("sched-credit2", "-d", lin, "-w", "512")
    assert re.search(rf"^{lin} .* 512 ", xl("sched-credit2", "-d", lin), re.M)
    assert xm("sched-credit2", "-d", lin).split()[-1] == "512"
    assert refusal("sched-credit2", "-d", lin, "-w", "70000") == "weight is out of range"
    # As ever, the command for another scheduler than the host's refuses.
    assert refusal("sched-credit") == "Xen is running with the credit2 scheduler"
    xm("sched-credit2", "-d", lin, "-w", "256")


# -- CPU pools -----------------------------------------------------------------------------------


@pytest.fixture
def pools() -> Iterator[None]:
    """Afterwards all CPUs are in Pool-0 and nothing else is."""
    yield
    run("xl", "cpupool-migrate", "lin", "Pool-0")
    for name in column(run("xl", "cpupool-list").stdout, "Name"):
        if name != "Pool-0":
            run("xl", "cpupool-destroy", name)
    for name in ("made", "kept"):
        run("xm", "cpupool-delete", name)
        Path(f"/etc/xen/cpupool/{name}").unlink(missing_ok=True)
    run("xl", "cpupool-cpu-add", "Pool-0", "1")


@pytest.mark.usefixtures("pools")
def test_cpu_pools(lin: str) -> None:
    home = Path("/etc/xen/cpupool")
    home.mkdir(exist_ok=True)
    (home / "made").write_text('name = "made"\nsched = "credit"\ncpus = ["1"]\n')
    assert refusal("cpupool-create", "made").startswith("INSUFFICIENT_CPUS")
    xm("cpupool-cpu-remove", "Pool-0", "1")
    assert re.search(r"^free_cpus +: 1$", xm("info"), re.M)
    xm("cpupool-create", "made")
    assert re.search(r"^made +1 +credit +y +0$", xl("cpupool-list"), re.M)
    assert xm("cpupool-list").splitlines()[2].split() == ["made", "1", "credit", "y", "0"]
    assert xm("cpupool-list", "-c").splitlines()[2].split() == ["made", "1"]
    xm("cpupool-migrate", lin, "made")
    assert column(xm("list", "--pool=made"), "Name") == [lin]
    assert re.search(r"^made +1 +credit +y +1$", xl("cpupool-list"), re.M)
    assert xm("cpupool-list", "made", "-l").count(f"(started_VM_names {lin})") == 1
    assert "in use by lin" in refusal("cpupool-destroy", "made")
    # In that pool its share is the credit scheduler's.
    xm("cpupool-migrate", lin, "Pool-0")
    xm("cpupool-cpu-remove", "made", "1")
    xm("cpupool-cpu-add", "made", "1")
    xm("cpupool-destroy", "made")
    assert "made" not in xl("cpupool-list")


@pytest.mark.usefixtures("pools")
def test_a_registered_pool_is_known_after_a_restart(lin: str) -> None:
    (Path("/etc/xen/cpupool") / "kept").write_text('name = "kept"\nsched = "credit2"\ncpus = 1\n')
    xm("cpupool-new", "kept")
    assert xm("cpupool-list", "kept").splitlines()[1].split() == ["kept", "1", "credit2", "n", "0"]
    assert run("/etc/init.d/xend", "restart").returncode == 0
    xm("cpupool-cpu-remove", "Pool-0", "1")
    xm("cpupool-start", "kept")
    assert "kept" in xl("cpupool-list")
    xm("cpupool-destroy", "kept")
    assert xm("cpupool-list", "kept").splitlines()[1].split()[3] == "n"
    xm("cpupool-delete", "kept")
    assert run("xm", "cpupool-list", "kept").stderr == "Error: Pool 'kept' does not exist.\n"


# -- Devices -------------------------------------------------------------------------------------


def test_disks_come_and_go(lin: str, folder: Path) -> None:
    domid = domains()[lin]
    image = disk(2, folder / "more.img")
    loop = loop_device(disk(2, folder / "looped.img"))
    try:
        for source, params in ((f"file:{image}", str(image)), (f"phy:{loop}", loop),
                               (f"tap:aio:{image}", str(image))):  # fmt: skip
            xm("block-attach", lin, source, "xvdb", "w")
            assert backend(domid, "vbd", 51728, "params") == params
            assert backend(domid, "vbd", 51728, "mode") == "w"
            eventually(lambda: "51728  0    0     4" in xm("block-list", lin))
            assert source in xm("list", "-l", lin)
            assert "already connected" in refusal("block-attach", lin, source, "xvdb", "w")
            xm("block-detach", lin, "xvdb")
            assert backend(domid, "vbd", 51728, "params") == ""
            assert source not in xm("list", "-l", lin)
    finally:
        run("losetup", "-d", loop)
    assert refusal("block-detach", lin, "xvdb") == "Device xvdb not connected"
    assert "/no/such" in refusal("block-attach", lin, "file:/no/such.img", "xvdb", "w")
    assert [disk["vdev"] for disk in xl_config(lin)["disks"]] == ["xvda"]


def test_another_cd(lin: str, folder: Path) -> None:
    first, second = disk(1, folder / "first.iso"), disk(1, folder / "second.iso")
    xm("block-attach", lin, f"file:{first}", "xvdc:cdrom", "r")
    assert store(f"/local/domain/{domains()[lin]}/device/vbd/51744/device-type") == "cdrom"
    xm("block-configure", lin, f"file:{second}", "xvdc:cdrom", "r")
    assert backend(domains()[lin], "vbd", 51744, "params") == str(second)
    assert f"(uname file:{second})" in xm("list", "-l", lin)
    assert "Refusing to reconfigure" in refusal(
        "block-configure", lin, f"file:{second}", "xvda", "r"
    )
    xm("block-detach", lin, "xvdc")


def test_network_interfaces_come_and_go(lin: str) -> None:
    domid = domains()[lin]
    xm("network-attach", lin, "mac=00:16:3e:0a:0b:0d", "bridge=xenbr0")
    assert backend(domid, "vif", 1, "mac") == "00:16:3e:0a:0b:0d"
    assert Path(f"/sys/class/net/vif{domid}.1/master").resolve().name == "xenbr0"
    assert "in use" in refusal("network-attach", lin, "mac=00:16:3e:0a:0b:0d")
    xm("network-detach", lin, "00:16:3E:0A:0B:0D")
    assert len(xm("network-list", lin).splitlines()) == 2
    assert "not connected" in refusal("network-detach", lin, "5")
    assert "no-such-bridge" in refusal("network-attach", lin, "bridge=no-such-bridge")


def test_pci_as_far_as_libxl(lin: str) -> None:
    """The lab's host has no IOMMU, without which xl lets no device be given away: what is asked
    reaches libxl, which says so, and nothing changes."""
    assert xm("pci-list", lin) == ""
    assert run("modprobe", "xen-pciback").returncode == 0
    assert xm("pci-list-assignable-devices") == ""
    assert "is not assignable" in refusal("pci-attach", lin, "0000:00:01.1")
    assert xm("pci-list", lin) == ""
    assert "is not attached" in refusal("pci-detach", lin, "0000:00:01.1")


def test_usb_as_far_as_libxl(lin: str) -> None:
    """The lab's host has no USB: what is asked reaches libxl, which says what is missing."""
    assert xm("usb-list", lin) == ""
    assert xm("usb-list-assignable-devices") == ""
    told = refusal("usb-add", lin, "host:1.2")
    assert told == "Can't add usb device to a guest with usb disabled in configure file"
    done = run("xm", "usb-hc-create", lin, "2", "4")
    if done.returncode == 0:
        rows = xm("usb-list", lin).splitlines()
        assert rows[1].split()[3] == "USB2.0"
        assert rows[2:] == [f"port {number}: " for number in range(1, 5)]
        told = xm("usb-attach", lin, "0", "1", "9-9")
        assert told == "Invalid Busid '9-9'\n"
        assert "nothing in port 1" in refusal("usb-detach", lin, "0", "1")
        xm("usb-hc-destroy", lin, "0")
    else:  # A PV guest's controller is QEMU's, which this guest does not have.
        assert "device model required" in done.stderr, done.stderr
    assert xm("usb-list", lin) == ""
    assert refusal("usb-hc-destroy", lin, "0") == "Device 0 not connected"


# -- What only asks the guest or Xen -------------------------------------------------------------


def test_sysrq_reaches_the_guest(lin: str) -> None:
    with Terminal(timeout=30) as terminal:
        terminal.type(f"xm console {lin}\n")
        time.sleep(1)
        xm("sysrq", lin, "h")
        terminal.wait_for(r"sysrq: HELP", alive=True)
        terminal.type("\x1d")
        terminal.wait_for(re.escape("dom0:~# "))
    assert "sysrq key" in refusal("sysrq", lin, "hh")


def test_triggers_and_debug_keys(lin: str) -> None:
    xm("trigger", lin, "nmi")
    assert "Invalid trigger: tea" in refusal("trigger", lin, "tea")
    xm("debug-keys", "h")
    assert "'h' pressed" in hypervisor_log()
    assert "key '" in xm("dmesg")
    assert "key '" in xm("dmesg", "-c")
    assert "key '" not in xm("dmesg")


def test_pause_and_rename(lin: str) -> None:
    xm("pause", lin)
    assert is_paused(lin)
    # As ever, "blocked" goes before "paused", and a guest that was paused in its sleep is both.
    word = "idle" if xl_row(lin)[2][1] == "b" else "paused by admin"
    assert xm("domstate", lin) == f"{word}\n"
    assert column(xm("list", "--state=paused"), "Name") == [lin]
    xm("unpause", lin)
    xm("rename", lin, "other")
    assert "other" in domains()
    assert lin not in domains()
    xm("rename", "other", lin)
    assert refusal("rename", lin, "Domain-0").startswith("VM name 'Domain-0' already exists")


def test_dump_core(lin: str, folder: Path) -> None:
    core = folder / "core"
    assert xm("dump-core", lin, str(core)) == f"Dumping core of domain: {lin} ...\n"
    assert core.read_bytes()[:4] == b"\x7fELF"
    assert core.stat().st_size > 100 * 1024 * 1024
    core.unlink()
    assert not is_paused(lin)
    xm("dump-core", "-L", lin)
    [made] = Path("/var/xen/dump").rglob("*.core")
    assert lin in made.name
    made.unlink()
    assert "/no/such" in refusal("dump-core", lin, "/no/such/core")


def test_top_and_the_viewer(lin: str, folder: Path) -> None:
    with Terminal(timeout=30) as terminal:
        terminal.type("xm top\n")
        terminal.wait_for(r"lin", alive=True)
        terminal.type("q")
        terminal.wait_for(re.escape("dom0:~# "))
    viewer = folder / "vncviewer"
    viewer.write_text('#!/bin/sh\necho viewer "$@"\n')
    viewer.chmod(0o755)
    domid = domains()[lin]
    run("xenstore-write", f"/local/domain/{domid}/console/vnc-port", "5907")
    done = run("env", f"PATH={folder}:{os.environ['PATH']}", "xm", "vncviewer", lin)
    run("xenstore-rm", f"/local/domain/{domid}/console/vnc-port")
    assert "viewer" in done.stdout, done.stderr
    assert ":7" in done.stdout


def test_shell_serve_help(lin: str) -> None:
    done = run("xm", "shell", stdin=f"domid {lin}\nnosuch\nexit\n")
    assert f"{domains()[lin]}\n" in done.stdout
    assert "*** Unknown command: nosuch\n" in done.stdout
    request = (
        "<?xml version='1.0'?><methodCall><methodName>xend.domains</methodName><params><param>"
        "<value><int>0</int></value></param></params></methodCall>"
    )
    head = f"POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: {len(request)}\r\n\r\n"
    # As ever it ends with its input, answered or not: so that stays open for a moment.
    done = run("sh", "-c", "(cat; sleep 3) | xm serve", stdin=head + request)
    assert "200 OK" in done.stdout
    assert f"<string>{lin}</string>" in done.stdout
    assert "Usage: xm" in xm("help", status=0)
    assert "cpupool-create" in xm("help")


# -- To disk and back: the guest is another domain afterwards ------------------------------------


def test_save_and_restore_here_and_with_xl(lin: str, folder: Path) -> None:
    path = folder / "lin.save"
    xm("save", lin, str(path))
    assert lin not in domains()
    _refused_when_cut_off(path)
    xl("restore", "-p", str(path))
    assert is_paused(lin)
    assert xl_config(lin)["c_info"]["uuid"] == UUID
    xl("destroy", lin)
    gone(lin)
    xm("restore", str(path))
    domid = domains()[lin]
    eventually(lambda: store(f"/local/domain/{domid}/device/vif/0/state") == "4")
    assert xm("network-list", lin).splitlines()[1].split()[2] == MAC
    xm("save", "-c", lin, str(path))
    assert domains()[lin] == domid, "a checkpoint leaves it where it is"
    eventually(lambda: not is_paused(lin))
    xl("save", lin, str(path))
    gone(lin)
    xm("restore", "-p", str(path))
    assert is_paused(lin)
    xm("unpause", lin)
    path.unlink()


def _refused_when_cut_off(path: Path) -> None:
    """Wherever it ends, but for its very last byte, which libxl does not miss: no domain is left,
    and no worker died of it."""
    cut = path.with_name("cut.save")
    stream = path.read_bytes().index(b"LibxlFmt")
    for size in (stream, stream + 8, stream + 16, stream + 4096, path.stat().st_size - 4096):
        with path.open("rb") as whole:
            cut.write_bytes(whole.read(size))
        told = refusal("restore", str(cut))
        assert "died" not in told and "Traceback" not in told, (size, told)
        assert "lin" not in domains(), (size, told)
    cut.unlink()


def test_what_cannot_be_restored(lin: str, folder: Path) -> None:
    old = folder / "old.save"
    old.write_bytes(b"LinuxGuestRecord" + (300).to_bytes(4, "big") + b"(domain (domid 7))" * 40)
    told = refusal("restore", str(old))
    assert "Xen 4.4 or older" in told
    assert f"tail -c +21 {old} | head -c 300 > domain.sxp; xm create -F domain.sxp" in told
    assert refusal("restore", str(folder / "missing")).startswith("xm restore: Unable to read file")
    assert refusal("save", lin, "/no/such/folder/x").startswith("xm save: Unable to create file")
    cut = folder / "cut.save"
    cut.write_bytes(b"Xen saved domain, xl format\n \0 \r")
    assert "not a valid guest state file" in refusal("restore", str(cut))
    assert set(domains()) == {lin}


def test_reset_makes_a_new_domain_of_the_same_configuration(lin: str) -> None:
    before = domains()[lin]
    xm("reset", lin)
    assert domains()[lin] != before
    assert xl_config(lin)["c_info"]["uuid"] == UUID
    booted(domains()[lin])


def test_reboot_and_shutdown_by_the_guest(lin: str) -> None:
    before = domains()[lin]
    assert xm("reboot", "-w", lin) == f"Domain {lin} rebooted\nAll domains rebooted\n"
    assert domains()[lin] != before
    booted(domains()[lin])
    assert xm("shutdown", "-w", lin) == f"Domain {lin} terminated\nAll domains terminated\n"
    assert lin not in domains()
    assert refusal("domid", lin, status=3) == f"Domain '{lin}' does not exist."


# -- Managed domains -----------------------------------------------------------------------------


def test_suspend_and_resume(lin: str, folder: Path) -> None:
    xm("new", "-q", str(folder / "lin"))
    try:
        assert xm("list", lin).splitlines()[1].split() == [lin, "128", "2", "0.0"]
        assert xm("domstate", lin) == "shutoff\n"
        assert refusal("console", lin) == f"Domain '{lin}' is not started"
        xm("start", lin)
        booted(domains()[lin])
        xm("suspend", lin)
        gone(lin)
        assert Path(f"/var/lib/xend/domains/{UUID}/checkpoint.chk").stat().st_size > 10**6
        xm("resume", "-p", lin)
        assert is_paused(lin)
        assert refusal("resume", lin).startswith("Error occurred when resuming: ")
        assert refusal("delete", lin) == "Domain is not halted."
    finally:
        run("xm", "destroy", lin)
        run("xm", "delete", lin)
    assert refusal("start", lin, status=3) == f"Domain '{lin}' does not exist."
