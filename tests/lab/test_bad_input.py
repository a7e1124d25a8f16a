"""What can be wrong with a create, on real Xen: each gets one clear message with the cause, the
original's exit code, and leaves no domain and no memory behind (`clean_host` checks the last)."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.conftest import domains, free_memory, run
from tests.lab.guests import IMAGES, config, linux

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("xend_running", "clean_host")]

TRACEBACK = "Traceback (most recent call last)"


def create(path: Path | str) -> subprocess.CompletedProcess[str]:
    return run("xm", "create", str(path))


def complaint(done: subprocess.CompletedProcess[str], *, status: int = 1) -> str:
    """The one error message: stderr, with the exit code checked and no traceback anywhere."""
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    assert TRACEBACK not in done.stdout + done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1, done.stderr
    return done.stderr


def test_missing_file(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere"
    assert str(missing) in complaint(create(missing))


def test_syntax_error(tmp_path: Path) -> None:
    path = tmp_path / "broken"
    path.write_text('name = "broken"\nmemory = [\nvcpus = 1\n')
    message = complaint(create(path))
    assert str(path) in message
    assert "line" in message


def test_missing_kernel(tmp_path: Path) -> None:
    path = config(tmp_path, "nokernel", kernel="/boot/no-such-kernel")
    assert 'Cannot find kernel "/boot/no-such-kernel"' in complaint(create(path))


def test_disk_that_does_not_exist(tmp_path: Path) -> None:
    path = config(tmp_path, "nodisk", disk=["tap:aio:/var/lib/xen/images/no-such.img,xvda,w"])
    assert "/var/lib/xen/images/no-such.img" in complaint(create(path))


@pytest.fixture
def first(tmp_path: Path) -> Iterator[Path]:
    """A running domain that the next one collides with."""
    path = config(
        tmp_path,
        "first",
        uuid="11111111-2222-4333-8444-555555555555",
        vif=["mac=00:16:3e:00:00:01,bridge=xenbr0"],
    )
    done = create(path)
    assert done.returncode == 0, done.stdout + done.stderr
    yield path
    assert "first" in domains(), "the running domain was disturbed"
    run("xm", "destroy", "first")


def test_duplicate_name(tmp_path: Path, first: Path) -> None:
    domid = domains()["first"]
    message = complaint(create(config(tmp_path, "first")))
    assert message == f"Error: Domain 'first' already exists with ID '{domid}'\n"


def test_duplicate_mac(tmp_path: Path, first: Path) -> None:
    second = config(tmp_path, "second", vif=["mac=00:16:3E:00:00:01,bridge=xenbr0"])
    message = complaint(create(second)).lower()
    assert "00:16:3e:00:00:01" in message
    assert "first" in message


def test_duplicate_uuid(tmp_path: Path, first: Path) -> None:
    second = config(tmp_path, "second", uuid="11111111-2222-4333-8444-555555555555")
    message = complaint(create(second))
    assert "11111111-2222-4333-8444-555555555555" in message
    assert "first" in message


def test_too_little_free_memory(tmp_path: Path) -> None:
    wanted = free_memory() + 512
    message = complaint(create(config(tmp_path, "greedy", memory=wanted)))
    found = re.search(r"I need (\d+) KiB but only have (\d+)", message)
    assert found is not None, message
    needed, available = (int(number) for number in found.groups())
    assert needed >= wanted * 1024
    assert abs(available - (wanted - 512) * 1024) < 64 * 1024


def test_unknown_bridge(tmp_path: Path) -> None:
    path = config(tmp_path, "nobridge", vif=["bridge=no-such-br"])
    assert "no-such-br" in complaint(create(path))


def test_hotplug_script_failure(tmp_path: Path) -> None:
    script = Path("/etc/xen/scripts/vif-that-fails")
    script.write_text("#!/bin/sh\necho 'the cable is unplugged' >&2\nexit 3\n")
    script.chmod(0o755)
    try:
        path = config(tmp_path, "badscript", vif=[f"bridge=xenbr0,script={script}"])
        message = complaint(create(path))
    finally:
        script.unlink()
    assert "vif-that-fails" in message
    assert "the cable is unplugged" in message


def test_a_disk_that_another_guest_writes_to(tmp_path: Path) -> None:
    """Debian's hotplug script would take it, and the file system on it would not last."""
    disk = f"file:{IMAGES}/data.img,xvda,w"
    done = create(config(tmp_path, "writer", disk=[disk]))
    assert done.returncode == 0, done.stdout + done.stderr
    message = complaint(create(config(tmp_path, "second", disk=[disk])))
    assert f"{IMAGES}/data.img is in use by domain 'writer'" in message
    assert set(domains()) == {"writer"}
    assert run("xm", "destroy", "writer").returncode == 0


def test_pygrub_that_finds_no_kernel(tmp_path: Path) -> None:
    path = config(
        tmp_path,
        "nogrub",
        memory=64,
        kernel=None,
        bootloader="/usr/bin/pygrub",
        disk=[f"tap:aio:{IMAGES}/nokernel.img,xvda,w"],
    )
    message = complaint(create(path))
    assert "pygrub" in message
    assert "Unable to find partition containing kernel" in message, "pygrub's own words"


def test_daemon_not_running(tmp_path: Path) -> None:
    assert run("/etc/init.d/xend", "stop").returncode == 0
    try:
        message = complaint(run("xm", "list"))
        assert "Unable to connect to xend" in message
        assert "Is xend running?" in message
        assert "Unable to connect to xend" in complaint(create(config(tmp_path, "lonely")))
    finally:
        assert run("/etc/init.d/xend", "start").returncode == 0


def test_socket_without_permission() -> None:
    done = run("su", "-s", "/bin/sh", "nobody", "-c", "xm list")
    assert "Most commands need root access" in complaint(done)


def test_xenstored_that_does_not_answer(tmp_path: Path) -> None:
    """xenstored cannot be restarted under Xen, so it is frozen rather than killed."""
    (pid,) = (int(p) for p in run("pidof", "xenstored", "oxenstored").stdout.split())
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        listed = run("xm", "list")
        assert listed.returncode == 0, listed.stderr
        assert time.monotonic() - began < 5, "a listing waits for nobody"
        message = complaint(create(config(tmp_path, "waiting")))
        assert "xenstored" in message
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("left_over", [False, True], ids=["no socket", "a socket of nobody"])
def test_xenstored_not_running(tmp_path: Path, left_over: bool) -> None:
    """A daemon that starts on such a host: in a mount namespace the socket is not there."""
    bind = (
        "python3 -c \"import socket; socket.socket(socket.AF_UNIX).bind('/run/xenstored/socket')\";"
        if left_over
        else ""
    )
    start = f"xend start --run-dir {tmp_path}/run --state-dir {tmp_path}/state"
    before = domains()
    done = run(
        *("unshare", "--mount", "--propagation", "private", "sh", "-c"),
        f"mount -t tmpfs none /run/xenstored; {bind} {start}",
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert TRACEBACK not in done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("xend: ")
    assert "xenstored" in line
    assert "started" in line or "Start it" in line, "what to do about it"
    assert domains() == before
    assert (
        run(
            "xend", "status", "--run-dir", f"{tmp_path}/run", "--state-dir", f"{tmp_path}/state"
        ).returncode
        == 3
    )


def test_a_guest_still_works_after_all_that(tmp_path: Path) -> None:
    done = create(linux(tmp_path, "healthy"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert run("xm", "destroy", "healthy").returncode == 0
