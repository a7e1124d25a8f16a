"""Every subcommand with every kind of wrong argument, against the daemon on a simulated host.

Each must end with one of the original's exit statuses, say what is wrong in one line, and never
show a traceback, whichever way the command line takes to the daemon.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faces.xmdaemon import Commands, Run, plain_argv, wait_until
from tests.faces.xmreplay import CHECKOUT
from xend.cli import server
from xend.cli.main import main
from xend.cli.table import ALIASES, COMMANDS

GUEST = """
name = "{name}"
memory = 64
kernel = "/proc/version"
vcpus = 2
disk = ["phy:/dev/{name},xvda,w", "file:/srv/{name}.iso,xvdc:cdrom,r"]
vif = ["mac=00:16:3e:00:00:{number:02x},bridge=xenbr0"]
"""

D = "{domain}"
"""Where a case has its domain."""

CALLS: dict[str, list[str]] = {
    "block-attach": [D, "phy:/dev/x", "xvdb", "w"],
    "block-configure": [D, "file:/srv/y.iso", "xvdc:cdrom", "r"],
    "block-detach": [D, "xvda"],
    "block-list": [D],
    "console": [D],
    "cpupool-cpu-add": ["Pool-0", "1"],
    "cpupool-cpu-remove": ["Pool-0", "1"],
    "cpupool-create": ["pool"],
    "cpupool-delete": ["Pool-0"],
    "cpupool-destroy": ["Pool-0"],
    "cpupool-list": [],
    "cpupool-migrate": [D, "Pool-0"],
    "cpupool-new": ["pool"],
    "cpupool-start": ["Pool-0"],
    "create": ["web"],
    "debug-keys": ["h"],
    "delete": [D],
    "destroy": [D],
    "dmesg": [],
    "domid": [D],
    "domname": [D],
    "domstate": [D],
    "dump-core": [D, "/nowhere/core"],
    "info": [],
    "list": [D],
    "log": [],
    "mem-max": [D, "64"],
    "mem-set": [D, "64"],
    "migrate": [D, "host"],
    "network-attach": [D, "bridge=xenbr0"],
    "network-detach": [D, "0"],
    "network-list": [D],
    "new": ["web"],
    "pause": [D],
    "pci-attach": [D, "00:03.0"],
    "pci-detach": [D, "00:03.0"],
    "pci-list": [D],
    "pci-list-assignable-devices": [],
    "reboot": [D],
    "rename": [D, "other"],
    "reset": [D],
    "restore": ["/nowhere/x.save"],
    "resume": [D],
    "save": [D, "/nowhere/x.save"],
    "sched-credit": ["-d", D],
    "sched-credit2": ["-d", D],
    "scsi-attach": [D, "0:0:0:0", "0:0:0:0"],
    "scsi-detach": [D, "0:0:0:0"],
    "scsi-list": [D],
    "shutdown": [D],
    "start": [D],
    "suspend": [D],
    "sysrq": [D, "h"],
    "top": [],
    "trigger": [D, "nmi"],
    "unpause": [D],
    "uptime": [D],
    "usb-add": [D, "host:1.2"],
    "usb-attach": [D, "0", "1", "1-1"],
    "usb-del": [D, "host:1.2"],
    "usb-detach": [D, "0", "1"],
    "usb-hc-create": [D, "2", "4"],
    "usb-hc-destroy": [D, "0"],
    "usb-list": [D],
    "usb-list-assignable-devices": [],
    "vcpu-list": [D],
    "vcpu-pin": [D, "0", "0"],
    "vcpu-set": [D, "1"],
    "vncviewer": [D],
}
"""How each command that does something is called rightly."""

QUIET = ["event-monitor"]
"""Says that it is not there, and always exited with 0."""
DROPPED = sorted(
    row.name for row in COMMANDS if row.doer.startswith("dropped.") and row.name not in QUIET
)
ELSEWHERE = ["help", "shell", "serve"]
"""Take no arguments that could be wrong, and talk themselves."""
WITH_DOMAIN = sorted(name for name, words in CALLS.items() if D in words)
STATUSES = (1, 2, 3, 255)


def test_the_table_has_every_command() -> None:
    names = {row.name for row in COMMANDS}
    assert names == {*CALLS, *DROPPED, *QUIET, *ELSEWHERE}
    assert set(ALIASES.values()) <= names


@pytest.fixture(autouse=True)
def _loop_never_blocked() -> None:
    """The daemon's loop is in another process."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    for number, name in enumerate(("web", "idle")):
        (folder / name).write_text(GUEST.format(name=name, number=number))
    (folder / "pool").write_text('name = "pool"\nncpu = 1\n')
    return folder


@pytest.fixture(scope="module")
def xend(folder: Path) -> Iterator[Callable[[str], None]]:
    """The daemon, with the running domain `web` and the halted `idle`."""

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
    wait_until((folder / "run/cli.sock").exists)
    run = Run(folder, environment(folder))
    assert run("create", str(folder / "web"))[0] == 0
    assert run("new", str(folder / "idle"))[0] == 0
    yield verb
    verb("stop")


def environment(folder: Path) -> dict[str, str]:
    return {
        "XEND_RUN_DIR": str(folder / "run"),
        "XM_CONFIG_FILE": "/nosuch",
        "HOME": "/",
        "PATH": "/nowhere",
    }


@pytest.fixture(params=["short", "xmlrpc"])
def xm(
    request: pytest.FixtureRequest,
    xend: Callable[[str], None],
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    monkeypatch.chdir(folder)
    env = environment(folder)
    if request.param == "xmlrpc":
        env["XM_TRANSPORT"] = "xmlrpc"
    return Run(tmp_path, env)


def complaint(result: tuple[int, str, str], *, statuses: tuple[int, ...] = STATUSES) -> str:
    """What it said is wrong: of stderr the first line, of a few old commands that of stdout."""
    status, out, err = result
    assert "Traceback" not in out + err, err
    assert "Unexpected error" not in out + err, out
    assert "is not understood" not in err, err
    assert status in statuses, (status, out, err)
    said = [line for line in (err or out).splitlines() if line]
    assert said, "it failed and said nothing"
    return said[0]


@pytest.mark.parametrize("name", sorted(name for name in CALLS if CALLS[name]))
def test_missing(xm: Run, name: str) -> None:
    """One argument after the other is left out; what is left may be a call of its own."""
    words = [word.format(domain="nosuch") for word in CALLS[name]]
    for count in range(len(words)):
        status, out, err = xm(name, *words[:count])
        assert "Traceback" not in out + err
        if status:
            complaint((status, out, err))
        else:
            assert name in ("list", "uptime", "vcpu-list", "sched-credit", "sched-credit2"), err


@pytest.mark.parametrize("name", sorted(CALLS))
def test_too_many(xm: Run, name: str) -> None:
    words = [word.format(domain="nosuch") for word in CALLS[name]]
    status, out, err = xm(name, *words, *["more"] * 12)
    if status == 0:
        # These take any number of words, and always did.
        assert name in ("cpupool-list", "dmesg", "info"), (out, err)
    else:
        complaint((status, out, err))


@pytest.mark.parametrize("name", sorted(CALLS))
def test_an_option_that_is_none(xm: Run, name: str) -> None:
    words = [word.format(domain="nosuch") for word in CALLS[name]]
    complaint(xm(name, "--no-such-option", *words))


@pytest.mark.parametrize("name", WITH_DOMAIN)
@pytest.mark.parametrize("who", ["nosuch", "4711", "", "a b", "-1", "\udcff", "x" * 300])
def test_a_domain_that_is_not_there(xm: Run, name: str, who: str) -> None:
    words = [word.format(domain=who) for word in CALLS[name]]
    status, out, err = xm(name, *words)
    if who == "" and name in ("sched-credit2",):
        assert (status, err) == (0, "")  # The id of every halted domain is empty.
        return
    told = complaint((status, out, err))
    if who == "nosuch" and status == 3:
        assert told == "Error: Domain 'nosuch' does not exist."


NEEDS_A_RUNNING_ONE = (
    *("block-list", "console", "dump-core", "pause", "reset", "save", "shutdown", "suspend"),
    *("sysrq", "trigger", "unpause", "usb-add", "usb-del", "usb-hc-create", "usb-hc-destroy"),
    *("reboot", "resume", "vncviewer", "usb-attach", "usb-detach", "migrate"),
)


@pytest.mark.parametrize("name", sorted(set(NEEDS_A_RUNNING_ONE) - {"block-list"}))
def test_a_domain_that_does_not_run(xm: Run, name: str) -> None:
    words = [word.format(domain="idle") for word in CALLS[name]]
    status, out, err = xm(name, *words)
    if name == "usb-attach":
        assert (status, out) == (0, "Cannot find device '0' in domain 'idle'\n")
    else:
        complaint((status, out, err))


WRONG = [
    *(["mem-set", "web", value] for value in ("x", "", "-5", "0", "1e3", "99999999999", "12q")),
    *(["mem-max", "web", value] for value in ("x", "", "-5", "0", "99999999999")),
    *(["vcpu-set", "web", value] for value in ("x", "", "0", "-1", "3", "99999999999")),
    *(["vcpu-pin", "web", vcpu, "0"] for vcpu in ("x", "", "-1", "7")),
    *(["vcpu-pin", "web", "0", cpus] for cpus in ("x", "1-", "-1", "99999999999", "^0")),
    *(["sched-credit2", "-d", "web", "-w", value] for value in ("x", "0", "-1", "65536", "")),
    *(["cpupool-cpu-add", "Pool-0", value] for value in ("x", "-1", "9999", "0")),
    *(["cpupool-cpu-remove", "Pool-0", value] for value in ("x", "-1", "9999")),
    *(["cpupool-migrate", "web", value] for value in ("nosuch", "", "99")),
    ["cpupool-destroy", "Pool-0"],
    ["cpupool-create", "/nosuch/pool"],
    *(["trigger", "web", value] for value in ("tea", "")),
    ["trigger", "web", "nmi", "x"],
    *(["sysrq", "web", value] for value in ("", "hh", "\udcff")),
    *(["debug-keys", value] for value in ("", "\n", "\udcff")),
    *(["rename", "web", value] for value in ("", "a b", "Domain-0", "idle", "a/b")),
    *(["block-attach", "web", back, "xvdb", "w"] for back in ("tap:tea:/x", "tap:")),
    *(["block-attach", "web", "phy:/dev/x", front, "w"] for front in ("", "tea", "xvda")),
    *(["block-attach", "web", "phy:/dev/x", "xvdb", mode] for mode in ("x", "rrr")),
    *(["block-detach", "web", which] for which in ("xvdz", "", "-1", "99999999999")),
    ["block-configure", "web", "phy:/dev/x", "xvda", "w"],
    ["block-configure", "web", "phy:/dev/x", "xvdz:cdrom", "r"],
    *(["network-attach", "web", word] for word in ("tea", "tea=1", "mac=x", "mac=", "rate=x")),
    ["network-attach", "web", "mac=00:16:3e:00:00:00"],
    *(["network-detach", "web", which] for which in ("9", "x", "00:16:3e:ff:ff:ff", "-1")),
    *(["pci-attach", "web", address] for address in ("x", "", "zz:00.0", "00:00.9", "0:0:0:0:0")),
    *(["pci-detach", "web", address] for address in ("x", "00:1f.0")),
    *(["usb-hc-create", "web", "2", value] for value in ("x", "-1", "0", "99")),
    *(["usb-hc-create", "web", value, "2"] for value in ("x", "-1")),
    *(["usb-hc-destroy", "web", value] for value in ("x", "-1", "9")),
    *(["usb-detach", "web", device, "1"] for device in ("x", "-1", "9")),
    ["usb-add", "web", "tea"],
    *(["scsi-attach", "web", "0:0:0:0", address] for address in ("x", "0:0:0:0")),
    ["migrate", "web", "host", "-p", "x"],
    ["save", "web", "/nowhere/x.save"],
    ["restore", "/nowhere/x.save"],
    ["restore", "/proc/version"],
    ["dump-core", "-C", "-R", "web"],
    ["dump-core", "web", "/nowhere/core"],
    ["create", "/nosuch/file"],
    ["create", "/proc/version"],
    ["create", "web"],
    ["new", "web"],
    ["start", "web"],
    ["delete", "web"],
    ["resume", "idle"],
    ["destroy", "0"],
    ["pause", "0"],
    ["save", "0", "/tmp/x.save"],
    ["shutdown", "0"],
    ["mem-set", "0", "0"],
    ["list", "--no-such"],
    ["cpupool-list", "a", "b"],
    ["help", "--no-such-option-is-minded"],
]


def label(words: list[str]) -> str:
    return " ".join(words).encode("unicode_escape").decode()


@pytest.mark.parametrize("words", WRONG, ids=label)
def test_wrong(xm: Run, words: list[str]) -> None:
    if words[0] == "help":
        assert xm(*words)[0] in (0, 1)
        return
    complaint(xm(*words))


@pytest.mark.parametrize("name", DROPPED)
def test_what_xen_no_longer_has(xm: Run, name: str) -> None:
    """It says what is gone and exits with 1, whatever it is given."""
    for words in ([], ["web"], ["a", "b", "c"]):
        status, out, err = xm(name, *words)
        assert status == 1
        assert "Traceback" not in out + err
        assert out + err


def test_everything_is_as_before(xm: Run) -> None:
    """After all that: the same domains in the same states."""
    rows = {line.split()[0]: line.split() for line in xm("list")[1].splitlines()[1:]}
    assert set(rows) == {"Domain-0", "web", "idle"}
    assert rows["web"][3:5] == ["2", "-b----"]
    assert xm("pci-list", "web") == (0, "", "")


# -- No daemon, no rights, nobody who listens -----------------------------------------------------


@pytest.mark.parametrize("name", sorted(set(CALLS) - {"top", "create", "new"}))
def test_no_daemon(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pool").write_text('name = "pool"\n')
    env = {"XEND_RUN_DIR": str(tmp_path / "run"), "HOME": "/", "PATH": "/nowhere"}
    words = [word.format(domain="web") for word in CALLS[name]]
    local = ("pci-list-assignable-devices", "usb-list-assignable-devices", "scsi-attach", "save")
    status, out, err = Run(tmp_path, env)(name, *words)
    assert "Traceback" not in out + err
    if name in (*local, "restore"):
        return  # They find something else to complain of before they call anybody.
    assert (status, err) == (
        1,
        "Error: Unable to connect to xend: No such file or directory. Is xend running?\n",
    )


if os.geteuid() == 0:  # Only root can become somebody else.

    @pytest.mark.parametrize("name", ["list", "pause", "info", "log", "cpupool-list"])
    def test_not_root(xend: Callable[[str], None], folder: Path, name: str) -> None:
        """The sockets are root's; another user is told so.

        In a fork, since that user may not read the Python that runs the tests."""
        words = [word.format(domain="web") for word in CALLS[name]]
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            pid = os.fork()
            if pid == 0:
                os.dup2(out.fileno(), 1)
                os.dup2(err.fileno(), 2)
                os.environ.update(environment(folder))
                os.setegid(65534)
                os.seteuid(65534)
                main(["xm", name, *words])
            _, ended = os.waitpid(pid, 0)
            err.seek(0)
            said = err.read().decode()
        assert os.waitstatus_to_exitcode(ended) == 1
        assert said == "Error: Most commands need root access. Please try again as root.\n"


@pytest.mark.parametrize("name", ["list", "info", "vcpu-list", "log", "help"])
def test_output_that_nobody_reads(xend: Callable[[str], None], folder: Path, name: str) -> None:
    """As other commands it ends by SIGPIPE, or says nothing and fails; quietly in any case."""
    commands = Commands(plain_argv(), environment(folder), folder)
    read, write = os.pipe()
    os.close(read)
    process = commands.start(name, stdout=write)
    os.close(write)
    _, err = process.communicate(timeout=30)
    assert "Traceback" not in err
    assert process.returncode in (-signal.SIGPIPE, 128 + signal.SIGPIPE, 0, 1)
    assert err == ""


def test_a_daemon_that_does_not_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client waits and tries again for a moment, and then says so."""
    monkeypatch.setattr(server, "RESTART_PATIENCE", 0.5)
    run = tmp_path / "run"
    run.mkdir()
    (run / "restarting").touch()
    status, _, err = Run(tmp_path, {"XEND_RUN_DIR": str(run), "HOME": "/"})("list")
    assert status == 1
    assert err.startswith("Error: Unable to connect to xend: ")
    assert "It is being restarted and was not back after" in err
