"""Migration on real Xen.  The lab has one host, so guests migrate to where they are, which takes
the same way: two workers, a TCP connection, two domains with one uuid, and one of them too many."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from tests.lab.conftest import domains, run
from tests.lab.verbs import booted, eventually, refusal, start_linux, store, xm

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("xend_running", "clean_host")]

CONFIG = Path("/etc/xen/xend-config.sxp")
PID_FILE = Path("/var/run/xend.pid")
TICKING = "n=0; while :; do n=$((n+1)); echo tick $n; sleep 1; done"
TOOK = "Migration of {} took {:.1f} s"


def reload(options: str) -> None:
    """Returns when it is in effect."""
    CONFIG.write_text(options)
    done = run("/etc/init.d/xend", "reload")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(autouse=True)
def server(xend_running: None) -> Iterator[str]:
    """The options of a relocation server that lets this host in."""
    before = CONFIG.read_text() if CONFIG.exists() else None
    ours = "(xend-relocation-server yes)\n(xend-relocation-address localhost)\n"
    reload(f"{before or ''}\n{ours}(xend-relocation-hosts-allow '^localhost')\n")
    yield f"{before or ''}\n{ours}"
    reload(before or "")
    if before is None:
        CONFIG.unlink()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def console(name: str) -> pexpect.spawn[str]:
    return pexpect.spawn("xm", ["console", name], encoding="utf-8", timeout=60)


def start_ticking(name: str) -> None:
    with console(name) as child:
        child.sendline("")
        child.expect("# ")
        child.sendline(TICKING)
        child.expect("tick 2\r")


def tick(name: str) -> int:
    """What its loop counts now: the second one that comes, since the ring keeps old ones."""
    with console(name) as child:
        child.expect(r"tick \d+\r")
        time.sleep(2.5)
        seen = child.read_nonblocking(65536, timeout=5)
        while not re.search(r"tick \d+\r", seen):
            seen += child.read_nonblocking(65536, timeout=10)
        return max(map(int, re.findall(r"tick (\d+)\r", seen)))


def still_runs(name: str, before: int) -> int:
    """It is there once, under its name, and counts on; the count."""
    assert list(domains()) == [name], run("xl", "list").stdout
    now = tick(name)
    assert now > before
    return now


def migrate(name: str, *options: str) -> int:
    """Its new domid."""
    old = domains()[name]
    began = time.monotonic()
    xm("migrate", *options, name, "localhost", timeout=240)
    print(TOOK.format(name, time.monotonic() - began))
    found = domains()
    assert list(found) == [name] and found[name] > old
    assert store(f"/local/domain/{found[name]}/name") == name
    assert not store(f"/local/domain/{old}/name")
    return found[name]


def test_a_pvh_guest_goes_on_counting_after_a_live_migration(folder: Path) -> None:
    xm("create", "-q", str(_pvh(folder)))
    booted(domains()["pvh"])
    start_ticking("pvh")
    before = tick("pvh")
    migrate("pvh", "--live")
    still_runs("pvh", before)
    xm("shutdown", "-w", "pvh")
    eventually(lambda: not domains())


def _pvh(folder: Path) -> Path:
    from tests.lab.guests import linux

    return linux(folder, "pvh", type="pvh")


def test_a_pv_guest_and_everything_that_can_go_wrong(folder: Path, server: str) -> None:
    start_linux(folder, "lin")
    start_ticking("lin")
    count = tick("lin")
    domid = domains()["lin"]
    assert refusal("migrate", "-p", "1", "lin", "localhost").startswith("can't connect: ")
    reload(f"{server}(xend-relocation-hosts-allow '^nobody$')\n")
    assert "does not match xend-relocation-hosts-allow there (from localhost)" in refusal(
        "migrate", "lin", "localhost"
    )
    assert domains() == {"lin": domid}
    reload(f"{server}(xend-relocation-hosts-allow '^localhost')\n")
    count = still_runs("lin", count)

    migrate("lin")
    count = still_runs("lin", count)
    migrate("lin")
    count = still_runs("lin", count)

    _killed_on_the_way("lin", _kill_a_worker)
    assert store(f"/local/domain/{domains()['lin']}/name") == "lin"
    count = still_runs("lin", count)
    _killed_on_the_way("lin", _kill_the_daemon)
    still_runs("lin", count)
    xm("destroy", "lin")


def _killed_on_the_way(name: str, kill: object) -> None:
    """Whatever xm says then: one guest is left, and it runs."""
    daemon = int(PID_FILE.read_text())
    before = _children(daemon)
    assert callable(kill)
    with subprocess.Popen(
        ["xm", "migrate", name, "localhost"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as going:
        eventually(lambda: any("migrating-" in each for each in domains()), 30)
        kill(daemon, before)
        out, _ = going.communicate(timeout=120)
    print(out.decode())
    assert b"Traceback" not in out
    eventually(lambda: list(domains()) == [name] and _runs(name), 90)


def _runs(name: str) -> bool:
    state = run("xl", "list", name).stdout.split()[-2]
    return state in ("-b----", "r-----", "------")


def _children(pid: int) -> set[int]:
    return {int(each) for each in run("pgrep", "-P", str(pid)).stdout.split()}


def _kill_a_worker(daemon: int, before: set[int]) -> None:
    """The one that receives is the last that was started."""
    new = eventually(lambda: len(found := _children(daemon) - before) > 1 and found, 30)
    os.kill(max(new), signal.SIGKILL)


def _kill_the_daemon(daemon: int, _before: set[int]) -> None:
    time.sleep(0.7)
    os.kill(daemon, signal.SIGKILL)
    done = run("/etc/init.d/xend", "start")
    assert done.returncode == 0, done.stdout + done.stderr
