"""The command line as xl, against the whole daemon over a simulated host."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faces.xmdaemon import Commands, Run, build_launcher, wait_until
from tests.faces.xmreplay import CHECKOUT
from xend.cli.xl import run_xl

CONFIG = """
name = "web"
memory = 64
vcpus = 2
kernel = "/proc/version"
vif = ["mac=00:16:3e:00:00:05,bridge=xenbr0"]
"""


@pytest.fixture(autouse=True)
def _loop_never_blocked() -> None:
    """The daemon's loop is in another process."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("xend")
    (folder / "web").write_text(CONFIG)
    (folder / "bin").mkdir()
    build_launcher(folder / "bin/xm")
    (folder / "bin/xl").symlink_to("xm")
    return folder


@pytest.fixture(scope="module")
def xend(folder: Path) -> Iterator[None]:
    def verb(name: str) -> None:
        subprocess.run(
            [
                *(sys.executable, "-m", "xend", name, "--hypervisor", "sim"),
                *("--config", "/nosuch", "--run-dir", folder / "run"),
                *("--state-dir", folder / "state"),
            ],
            cwd=CHECKOUT,
            check=True,
        )

    verb("start")
    wait_until((folder / "run/warm.sock").exists)
    yield
    verb("stop")


@pytest.fixture(params=["short", "xmlrpc"])
def env(request: pytest.FixtureRequest, xend: None, folder: Path) -> dict[str, str]:
    env = {"XEND_RUN_DIR": str(folder / "run"), "XM_CONFIG_FILE": "/nosuch", "HOME": "/"}
    return env | ({"XM_TRANSPORT": "xmlrpc"} if request.param == "xmlrpc" else {})


@pytest.fixture
def xl(env: dict[str, str], tmp_path: Path) -> Run:
    return Run(tmp_path, env, run_xl)


@pytest.fixture
def web(env: dict[str, str], folder: Path, tmp_path: Path) -> Iterator[str]:
    """Id of a domain that runs."""
    xm = Run(tmp_path, env)
    assert xm("create", str(folder / "web"))[0] == 0
    yield xm("domid", "web")[1].strip()
    xm("destroy", "web")


def test_list(xl: Run, web: str) -> None:
    status, out, err = xl("list")
    assert (status, err) == (0, "")
    head, dom0, line = out.splitlines()
    assert head == "Name                                        ID   Mem VCPUs\tState\tTime(s)"
    assert dom0.startswith("Domain-0                                     0 ")
    assert re.fullmatch(
        rf"web {' ' * 36} {web:>5s}    64     2     [r-][b-]----  +\d+\.\d", line
    ), line
    assert xl("list", "web")[1].splitlines()[1].startswith("web ")
    assert xl("list", web)[1].splitlines()[1].startswith("web ")
    assert xl("list", "-c", "web")[1].splitlines()[1].endswith("          Pool-0")
    assert xl("list", "-n", "web")[1].splitlines()[1].endswith(" all")
    verbose = xl("list", "-v", "web")[1].splitlines()
    assert verbose[0].endswith("   UUID                            Reason-Code\tSecurity Label")
    assert re.search(r" [0-9a-f]{8}-\S{27}        -                -$", verbose[1])


def test_list_long(xl: Run, web: str) -> None:
    status, out, _ = xl("list", "-l")
    found = json.loads(out)
    assert status == 0
    assert [each["domid"] for each in found] == [0, int(web)]
    assert found[1]["config"]["c_info"]["name"] == "web"
    assert out.startswith(
        '[\n    {\n        "domid": 0,\n        "config": {\n            "c_info"'
    )
    assert out.endswith("        }\n    }\n]\n\n")


def test_look_ups(xl: Run, web: str) -> None:
    assert xl("domid", "web") == (0, f"{web}\n", "")
    assert xl("domname", web) == (0, "web\n", "")
    assert xl("domname", f"{web}th") == (0, "web\n", "")
    vms = xl("vm-list")[1].splitlines()
    assert vms[0] == "UUID                                  ID    name"
    assert re.fullmatch(rf"\S{{36}}  {web}    web {{27}}", vms[2])
    vcpus = xl("vcpu-list", "web")[1].splitlines()
    assert vcpus[0].endswith("State   Time(s) Affinity (Hard / Soft)")
    assert len(vcpus) == 3
    assert vcpus[1].endswith("  all / all")
    uptime = xl("uptime", "web")[1].splitlines()
    assert uptime[0] == "Name                                ID Uptime"
    assert re.fullmatch(rf"web {{31}}{web:>4s}  0:00:\d\d", uptime[1])
    assert re.fullmatch(r" \d\d:\d\d:\d\d up  0:00, web \(\d+\)\n", xl("uptime", "-s", "web")[1])


def test_info(xl: Run) -> None:
    parts = [line.partition(":") for line in xl("info")[1].splitlines()]
    lines = {key.rstrip(): value for key, _, value in parts}
    assert list(lines)[:5] == ["host", "release", "version", "machine", "nr_cpus"]
    assert list(lines)[-1] == "xend_config_format"
    assert lines["xen_version"] == " 4.17.0-simulated"
    assert xl("info", "nr_cpus") == (0, lines["nr_cpus"].strip() + "\n", "")
    numa = xl("info", "-n")[1].splitlines()
    assert "cpu:    core    socket     node" in numa
    assert "node:    memsize    memfree    distances" in numa


def test_tuning(xl: Run, web: str) -> None:
    assert xl("mem-set", "web", "40960k") == (0, "", "")
    assert xl("list", "web")[1].splitlines()[1].split()[2] == "40"
    assert xl("mem-set", "web", "4x") == (1, "", "invalid memory size: 4x\n")
    assert xl("mem-max", "web", "64") == (0, "", "")
    assert xl("vcpu-set", "web", "1") == (0, "", "")
    assert xl("vcpu-pin", "web", "all", "0-1,^1", "2") == (0, "", "")
    assert xl("vcpu-list", "web")[1].splitlines()[1].endswith("  0 / 2")
    assert xl("vcpu-pin", web, "1", "-", "all") == (0, "", "")
    assert xl("vcpu-list", "web")[1].splitlines()[2].endswith("  0 / all")
    assert xl("-N", "vcpu-pin", "web", "0", "0,2") == (0, "cpumap: 0,2\n", "")
    assert xl("vcpu-pin", "web", "x", "0")[0] == 1
    status, out, _ = xl("vcpu-set", "web", "100")
    assert (status, out) == (1, "")


def test_schedulers(xl: Run, web: str) -> None:
    lines = xl("sched-credit2")[1].splitlines()
    assert lines[0] == "Cpupool Pool-0: ratelimit=1000us"
    assert lines[1] == "Name                                ID Weight  Cap"
    assert lines[3] == f"web {' ' * 29} {web:>4s}    256    0"
    assert xl("sched-credit2", "-d", "web", "-w", "512", "-c", "50") == (0, "", "")
    assert xl("sched-credit2", "--domain=web")[1].splitlines()[1].endswith("    512   50")
    assert xl("sched-credit2", "-s", "-r", "2000") == (0, "", "")
    assert xl("sched-credit2", "-s")[1] == "Cpupool Pool-0: ratelimit=2000us\n"
    assert xl("sched-credit2", "-s", "-r", "1000") == (0, "", "")
    assert xl("sched-credit") == (0, "", "")
    assert xl("sched-credit2", "-w", "1") == (1, "", "Must specify a domain.\n")


def test_life(xl: Run, web: str) -> None:
    assert xl("pause", "web") == (0, "", "")
    assert xl("list", "web")[1].splitlines()[1].split()[4] == "--p---"
    assert xl("unpause", "web") == (0, "", "")
    assert xl("rename", "web", "other") == (0, "", "")
    assert xl("rename", "other", "web") == (0, "", "")
    assert xl("trigger", "web", "nmi") == (0, "", "")
    assert xl("sysrq", "web", "h") == (0, "", "")
    status, out, err = xl("shutdown", "-w", "web")
    assert (status, out) == (0, "")
    assert err.startswith(f"Shutting down domain {web}\nWaiting for 1 domains\nDomain {web} has ")


def test_devices(xl: Run, web: str) -> None:
    lines = xl("network-list", "web")[1].splitlines()
    heading = "Idx BE Mac Addr.         handle state evt-ch   tx-/rx-ring-ref BE-path"
    assert lines[0] == heading + " " * 23
    assert lines[1].startswith("0   0  00:16:3e:00:00:05     0 ")
    assert xl("block-list", "web")[1].splitlines()[1:] == []
    assert xl("network-detach", "web", "7") == (1, "", "Unknown device 7.\n")
    assert xl("network-detach", "web", "00:16:3E:00:00:05") == (0, "", "")
    assert len(xl("network-list", "web")[1].splitlines()) == 1


def test_save_and_restore(xl: Run, web: str, tmp_path: Path) -> None:
    path = tmp_path / "saved"
    assert xl("save", "-p", "web", str(path))[0] == 0
    assert xl("list", "web")[1].splitlines()[1].split()[4] == "--p---"
    assert xl("unpause", "web")[0] == 0
    assert xl("save", "web", str(path))[0] == 0
    assert xl("domid", "web")[0] == 1
    assert xl("restore", "-p", str(path))[:2] == (0, "")
    assert xl("list", "web")[1].splitlines()[1].split()[4] == "--p---"


@pytest.mark.parametrize(
    ("words", "status", "err"),
    [
        (["list", "nosuch"], 1, "nosuch is an invalid domain identifier (rc=-6)\n"),
        (["list", "9999"], 1, "Error: Domain '9999' does not exist.\n"),
        (["pause", "9999"], 0, "libxl: error: "),
        (["destroy", "0"], 1, "Not destroying domain 0; use -f to force.\n"),
        (["destroy", "9999"], 1, "libxl: error: "),
        (["domid", "nosuch"], 1, "Can't get domid of domain name 'nosuch', maybe this"),
        (["domname", "x"], 1, "Invalid domain id.\n\n"),
        (["domid", "0"], 1, "Can't get domid of domain name '0', maybe this"),
        (["domname", "9999"], 1, "Can't get domain name of domain id '9999', maybe"),
        (["domname", "99999999999"], 1, "Can't get domain name of domain id '1215752191', maybe"),
        (["list", "-x"], 2, "option `x' not supported.\n"),
        (["list", "--bogus"], 2, "option `--bogus' not supported.\n"),
        (["pause"], 2, "'xl pause' requires at least 1 argument.\n\n"),
        (["rename", "a"], 2, "'xl rename' requires at least 2 arguments.\n\n"),
        (["shutdown"], 1, "You must specify -a or a domain id.\n\n"),
        (["trigger", "0", "bang"], 1, 'Invalid trigger "bang"\n'),
        (["sysrq", "0", "long"], 1, "Invalid sysrq.\n\n"),
        (["nosuch"], 1, "command not implemented\n"),
        (["-N", "list"], 1, "command does not implement -N (dryrun) option\n"),
        (["-x", "list"], 1, "xl: invalid option -- 'x'\nunknown global option\n"),
        (["migrate", "a", "b"], 1, "xl: xend does not do migrate; the distribution's xl does"),
        (["sched-credit2", "-p", "nosuch"], 1, "unknown cpupool 'nosuch'\n"),
    ],
)
def test_errors(xl: Run, words: list[str], status: int, err: str) -> None:
    found = xl(*words)
    assert found[0] == status
    assert found[2].startswith(err)


def test_help(xl: Run) -> None:
    status, out, err = xl("help")
    assert (status, err) == (0, "")
    assert out.startswith(
        "Usage xl [-vfNtT] <subcommand> [args]\n\nxl full list of subcommands:\n\n"
    )
    assert xl() == (1, out, "")
    assert xl("list", "-h")[:2] == xl("help", "list")[:2]
    assert xl("help", "shutdown")[1].startswith(
        "Usage: xl [-vtTf] shutdown [options] <-a|Domain>\n"
    )
    assert xl("help", "nosuch") == (0, 'command "nosuch" not implemented\n', "")


def test_the_launcher_called_as_xl(xend: None, folder: Path) -> None:
    """The warm process dispatches on the program's name; so does the plain command line."""
    base = {"PATH": f"{folder}/bin:{os.environ['PATH']}", "HOME": "/"}
    for run_dir, status in ((folder / "run", 0), (folder / "nosuch", 1)):
        env = {**base, "XEND_RUN_DIR": str(run_dir), "PYTHONPATH": str(CHECKOUT)}
        for program in ("xl", str(folder / "bin/xl")):
            run = Commands([program], env, folder).run("list", executable=str(folder / "bin/xl"))
            assert run.returncode == status, run
            assert run.stdout.startswith("Name    " if status == 0 else "")


XL_CONFIG = """
name = "by-xl"
type = "pv"
memory = 48
maxmem = 64
vcpus = 2
kernel = "/proc/version"
vif = ["mac=00:16:3e:00:00:07,bridge=xenbr0"]
nosuchsetting = 1
"""


@pytest.fixture
def config(folder: Path) -> str:
    path = folder / "by-xl.cfg"
    path.write_text(XL_CONFIG)
    return str(path)


def test_create(xl: Run, config: str) -> None:
    status, out, err = xl("create", config, "memory=40", 'name="other"')
    assert (status, out) == (0, "")
    assert err.startswith(f"Parsing config from {config}\n{config}:9:1: ")
    assert xl("list", "other")[1].splitlines()[1].split()[2:5] == ["40", "2", "-b----"]
    assert "00:16:3e:00:00:07" in xl("network-list", "other")[1]
    status, out, err = xl("create", "-q", config, "name='other'")
    assert (status, out) == (3, "")
    assert "already exists" in err
    assert xl("destroy", "other")[:2] == (0, "")
    assert xl("create", "-p", "-f", config)[:2] == (0, "")
    assert xl("list", "by-xl")[1].splitlines()[1].split()[4] == "--p---"
    assert xl("destroy", "by-xl")[0] == 0


def test_dry_runs(xl: Run, config: str) -> None:
    for words in (["create", "-n", config], ["-N", "create", config]):
        status, out, _ = xl(*words)
        assert status == 0
        assert json.loads(out)["c_info"]["name"] == "by-xl"
    assert xl("domid", "by-xl")[0] == 1
    status, out, _ = xl("-N", "block-attach", "0", "/dev/null,raw,xvdq,r")
    assert (status, out[:7]) == (0, "disk: {")
    assert xl("-N", "network-attach", "0", "bridge=br7")[1].startswith("vif: {")


def test_files_that_are_wrong(xl: Run, folder: Path) -> None:
    path = folder / "wrong.cfg"
    path.write_text("memory = [")
    status, out, err = xl("create", str(path))
    assert (status, out) == (1, "")
    assert f"{path}:1:" in err
    assert xl("create", "/nosuch/file") == (
        3,
        "",
        "Failed to read config file: /nosuch/file: No such file or directory\n",
    )
    assert xl("create") == (6, "", "Config file not specified and none in save file\n")
    assert xl("create", str(path), "one", "two")[0] == 2


def test_attaching(xl: Run, web: str) -> None:
    assert xl("network-attach", "web", "mac=00:16:3e:00:00:08", "bridge=xenbr0") == (0, "", "")
    assert "00:16:3e:00:00:08" in xl("network-list", "web")[1]
    assert xl("network-attach", "web", "mac=nonsense")[0] == 1
    assert xl("block-attach", "web", "/proc/version,raw", "xvdc,r") == (0, "", "")
    assert xl("block-list", "web")[1].splitlines()[1].startswith("51744 0   ")
    assert xl("block-detach", "web", "xvdz") == (1, "", "Error: Device xvdz not connected.\n")
    assert xl("block-detach", "web", "xvdc") == (0, "", "")


def test_cpu_pools(xl: Run, web: str, folder: Path) -> None:
    assert xl("cpupool-list")[1].splitlines() == [
        "Name               CPUs   Sched     Active   Domain count",
        "Pool-0               4   credit2       y          2",
    ]
    assert xl("cpupool-list", "-c", "Pool-0")[1].splitlines()[1] == "Pool-0             0,1,2,3"
    assert xl("cpupool-cpu-remove", "Pool-0", "2-3") == (0, "", "")
    file = folder / "second"
    file.write_text('name = "two"\ncpus = ["3"]\n')
    shown = f'Using config file "{file}"\ncpupool name:   two\nscheduler:      credit2\n'
    shown += "number of cpus: 1\n"
    assert xl("cpupool-create", "-n", str(file)) == (0, shown, "")
    assert xl("cpupool-list", "two")[0] == 1
    assert xl("cpupool-create", str(file)) == (0, shown, "")
    assert xl("cpupool-create", str(file))[::2] == (1, 'Pool name "two" already exists\n')
    # As with xl: the number of the scheduler that nobody has named is the exit status.
    assert xl("cpupool-create", 'name="b"', 'cpus="3"')[::2] == (6, "cpu 3 illegal or not free\n")
    named = ('name="b"', 'sched="Credit"')
    assert xl("cpupool-create", *named, 'cpus="3"')[::2] == (1, "cpu 3 illegal or not free\n")
    twice = xl("cpupool-create", "-n", *named, 'cpus=["2", "2"]')[1].splitlines()
    assert twice[2:] == ["scheduler:      credit", "number of cpus: 2"]
    # libxl's sets of CPUs are of whole bytes: the host has four.
    assert xl("cpupool-create", *named, 'cpus="2-9,^3"')[2] == "cpu 4 illegal or not free\n"
    assert xl("cpupool-migrate", "web", "two") == (0, "", "")
    assert xl("list", "-c", "web")[1].splitlines()[1].endswith("             two")
    assert xl("cpupool-migrate", "web", "Pool-0") == (0, "", "")
    assert xl("cpupool-cpu-add", "two", "2") == (0, "", "")
    assert xl("cpupool-list", "-c", "two")[1].splitlines()[1].endswith("2,3")
    some = "some cpus may not have been added to two\n"
    status, out, err = xl("cpupool-cpu-add", "two", "2")
    assert (status, out, err.endswith(some)) == (0, "", True)
    status, out, err = xl("cpupool-cpu-remove", "two", "1")
    assert (status, out) == (0, "")
    assert "Some cpus may have not or only partially been removed from 'two'.\n" in err
    assert xl("cpupool-destroy", "two") == (0, "", "")
    status, out, err = xl("cpupool-cpu-add", "Pool-0", "all")
    assert (status, out) == (0, "")
    assert err.endswith("some cpus may not have been added to Pool-0\n")
    assert xl("cpupool-list", "-c")[1].splitlines()[1].endswith(" 0,1,2,3")


def test_pools_are_renamed(xl: Run, web: str, env: dict[str, str], tmp_path: Path) -> None:
    xm = Run(tmp_path, env)
    assert xl("cpupool-cpu-remove", "Pool-0", "3") == (0, "", "")
    assert xl("cpupool-create", 'name="old"', 'cpus="3"')[0] == 0
    assert xl("cpupool-migrate", "web", "old") == (0, "", "")
    assert xl("cpupool-rename", "old", "new") == (0, "", "")
    assert [line.split()[0] for line in xl("cpupool-list")[1].splitlines()] == [
        *("Name", "Pool-0", "new")
    ]
    assert xl("list", "-c", "web")[1].splitlines()[1].endswith("             new")
    # Its configuration has the new name, too: it starts there again.
    assert xm("reset", "web")[0] == 0
    assert xl("list", "-c", "web")[1].splitlines()[1].endswith("             new")
    assert xl("cpupool-rename", "old", "x")[::2] == (1, "unknown cpupool 'old'\n")
    status, out, err = xl("cpupool-rename", "new", "Pool-0")
    assert (status, out) == (1, "")
    assert err.endswith("Can't rename cpupool 'new'\n")
    assert xl("cpupool-numa-split")[::2] == (
        *(1, "splitting not possible, already cpupools in use\n"),
    )
    assert xl("cpupool-migrate", "web", "0") == (0, "", "")
    assert xl("cpupool-destroy", "new") == (0, "", "")
    # One node: its pool takes all CPUs back, and gets its name.
    assert xl("cpupool-numa-split") == (0, "", "")
    assert xl("cpupool-list", "-c", "Pool-node0")[1].splitlines()[1].endswith(" 0,1,2,3")
    assert xl("cpupool-rename", "0", "Pool-0") == (0, "", "")


def test_a_share_is_that_of_the_pool_s_scheduler(xl: Run, web: str) -> None:
    failed = (1, "", "libxl_domain_sched_params_set failed.\n")
    assert xl("sched-credit", "-d", "web", "-w", "300") == failed
    assert xl("sched-credit2", "-d", "9999", "-w", "300") == failed
    status, out, err = xl("sched-credit", "-s", "-t", "20")
    assert (status, out) == (1, "")
    assert err.endswith("libxl_sched_credit_params_get failed.\n")
    status, out, err = xl("sched-credit", "-s")
    assert (status, out) == (0, "Cpupool Pool-0: [sched params unavailable]\n")
    assert err.endswith("libxl_sched_credit_params_get failed.\n")


def test_numbers_are_read_as_c_does(xl: Run, web: str) -> None:
    for word in ("0x10", "64xx", "lots", "6.5", "64 ", "-", "+"):
        assert xl("mem-max", "web", word) == (1, "", f"invalid memory size: {word}\n")
    for word in (" 64", "+64m", "65536k", "67108864B"):
        assert xl("mem-set", "web", word) == (0, "", ""), word
    assert xl("vcpu-pin", "9999", "all", "-", "0")[2] == "libxl_list_vcpu failed.\n"
    assert xl("vcpu-pin", "9999", "0", "0")[2] == "Could not get domain info\n"
    assert xl("vcpu-set", "-i", "9999", "1")[2] == "Domain 9999 does not exist.\n"
