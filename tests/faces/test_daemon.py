"""The daemon's life as a process: verbs, signals, sudden death, systemd."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import xmlrpc.client
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faces.daemonprocess import DaemonProcess, eventually, free_port

VM = ["vm", ["name", "prospero"], ["memory", 64], ["vcpus", 1],
      ["image", ["linux", ["kernel", "/boot/vmlinuz"]]]]  # fmt: skip


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DaemonProcess]:
    process = DaemonProcess(tmp_path)
    yield process
    if process.running:
        os.kill(process.pid, signal.SIGKILL)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_start_status_stop(daemon: DaemonProcess) -> None:
    daemon("status", expect=3)
    assert daemon("start").stdout == ""
    daemon("status")
    assert daemon.names() == ["Domain-0"]
    pid = daemon.pid
    assert daemon("start").stdout == ""  # already there: a success
    assert daemon.pid == pid
    for name in ("xmlrpc.sock", "rest.sock", "cli.sock"):
        assert stat.S_IMODE((daemon.run_dir / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(daemon.run_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE(daemon.log.stat().st_mode) == 0o640
    daemon("stop")
    daemon("status", expect=3)
    assert not alive(pid)
    assert list(daemon.run_dir.iterdir()) == []
    daemon("stop")  # nothing to stop: a success


def test_it_is_detached_from_its_starter(daemon: DaemonProcess) -> None:
    daemon("start")
    assert os.getsid(daemon.pid) == daemon.pid
    assert Path(f"/proc/{daemon.pid}/cwd").readlink() == Path("/")
    assert Path(f"/proc/{daemon.pid}/fd/0").readlink() == Path("/dev/null")
    daemon("stop")


def test_restart_is_another_process(daemon: DaemonProcess) -> None:
    daemon("restart")
    pid = daemon.pid
    daemon("restart")
    assert daemon.pid != pid
    assert daemon.names() == ["Domain-0"]
    daemon("stop")


def test_kill_9_and_start_again(daemon: DaemonProcess) -> None:
    daemon("start")
    pid = daemon.pid
    eventually(lambda: children(pid))  # the warm command line
    family = children(pid)
    daemon.call("xend.domain.create", VM)
    os.kill(pid, signal.SIGKILL)  # in the moment in which the answer has come
    eventually(lambda: not alive(pid))
    daemon("status", expect=3)
    eventually(lambda: not any(map(alive, family)))
    daemon("start")
    # The simulated host died with the daemon, so what the journal owned is gone; it says so.
    assert daemon.names() == ["Domain-0"]
    with sqlite3.connect(daemon.state_dir / "history.db") as database:
        jobs = [json.loads(record) for (record,) in database.execute("select record from jobs")]
    assert [(job["kind"], job["status"]) for job in jobs] == [("create", "done")]
    daemon("stop")


def test_only_one_at_a_time(daemon: DaemonProcess) -> None:
    command = [*daemon.command, "start"]
    starters = [subprocess.Popen(command, env=daemon.environment) for _ in range(4)]
    assert [starter.wait() for starter in starters] == [0, 0, 0, 0]
    assert daemon.names() == ["Domain-0"]
    done = daemon("--foreground", expect=1)
    assert f"already running (pid {daemon.pid})" in done.stderr
    daemon("stop")


def test_the_warm_command_line_comes_back(daemon: DaemonProcess) -> None:
    daemon("start")
    socket_file = daemon.run_dir / "warm.sock"
    eventually(socket_file.exists)
    [warm] = children(daemon.pid)
    os.kill(warm, signal.SIGKILL)
    eventually(lambda: children(daemon.pid) not in ([], [warm]))
    daemon("stop")
    assert not socket_file.exists()


def test_log_lines_have_the_original_form(daemon: DaemonProcess) -> None:
    daemon("start")
    pid = daemon.pid
    daemon("stop")
    lines = daemon.log.read_text().splitlines()
    form = re.compile(rf"\[\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d {pid}\] (INFO|DEBUG) \(\w+:\d+\) .+")
    assert lines and all(map(form.fullmatch, lines))
    assert any(line.endswith("Xend Daemon started") for line in lines)


def test_the_log_is_served(daemon: DaemonProcess) -> None:
    daemon("start")
    assert "Xend Daemon started" in daemon.call("xend.node.log")
    daemon("stop")


def test_reload_opens_and_closes_listeners(daemon: DaemonProcess) -> None:
    port = free_port()
    daemon("start")
    pid, inode = daemon.pid, (daemon.run_dir / "xmlrpc.sock").stat().st_ino
    daemon.config.write_text(
        f"(xend-tcp-xmlrpc-server yes)\n(xend-tcp-xmlrpc-server-port {port})\n"
    )
    daemon("reload")
    with xmlrpc.client.ServerProxy(f"http://127.0.0.1:{port}") as tcp:
        assert answers(port)
        assert tcp.xend.domains_with_state(False, "all", 0) == ["Domain-0"]
    assert (daemon.run_dir / "xmlrpc.sock").stat().st_ino == inode
    daemon.config.write_text("")
    daemon("reload")
    assert not answers(port)
    assert daemon.names() == ["Domain-0"]
    assert daemon.pid == pid
    daemon("stop")


def answers(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def test_reload_with_a_mistake_changes_nothing(daemon: DaemonProcess) -> None:
    daemon("start")
    daemon.config.write_text("(xend-tcp-xmlrpc-server yes\n")
    assert str(daemon.config) in daemon("reload", expect=1).stderr
    assert "not reloaded" not in daemon.log.read_text()
    os.kill(daemon.pid, signal.SIGHUP)
    eventually(lambda: "not reloaded" in daemon.log.read_text())
    assert daemon.names() == ["Domain-0"]
    daemon("stop")


def test_reload_of_nothing(daemon: DaemonProcess) -> None:
    assert "not running" in daemon("reload", expect=1).stderr


def test_a_mistake_in_the_configuration_is_shown_at_start(daemon: DaemonProcess) -> None:
    daemon.config.write_text("(xend-http-server no)\n(xend-port (\n")
    done = daemon("start", expect=1)
    assert str(daemon.config) in done.stderr or "unexpected EOF" in done.stderr
    daemon("status", expect=3)


def test_a_socket_in_use_is_shown_at_start(daemon: DaemonProcess) -> None:
    daemon.run_dir.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(daemon.run_dir / "xmlrpc.sock"))
        other.listen(1)
        done = daemon("start", expect=1)
    assert "another process answers" in done.stderr


def test_a_log_that_cannot_be_written(daemon: DaemonProcess) -> None:
    done = daemon("start", "--log-file=/proc/nowhere/xend.log", expect=1)
    assert "/proc/nowhere" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_hypervisor(daemon: DaemonProcess) -> None:
    for words in (["--foreground"], ["start"]):
        done = daemon(*words, "--hypervisor=xen", expect=1)
        assert "No Xen hypervisor" in done.stderr
        assert "--hypervisor sim" in done.stderr
        assert "Traceback" not in done.stderr


def test_usage(daemon: DaemonProcess) -> None:
    assert "usage: xend {start|stop|reload|restart}" in daemon(expect=1).stderr
    assert daemon("fly", expect=1).stderr == "not an option: fly\n"
    assert "--run-dir" in daemon("--help").stdout
    assert "needs a value" in daemon("start", "--log-file", expect=1).stderr
    assert "must be one of" in daemon("start", "--hypervisor=kvm", expect=1).stderr


# -- systemd ---------------------------------------------------------------------------------------


def test_systemd_is_told(daemon: DaemonProcess, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as inbox:
        inbox.bind(str(tmp_path / "notify"))
        inbox.settimeout(20)
        process = subprocess.Popen(
            [*daemon.command, "--foreground"],
            env={
                **daemon.environment,
                "NOTIFY_SOCKET": str(tmp_path / "notify"),
                "WATCHDOG_USEC": "400000",
            },
            stderr=subprocess.PIPE,
        )

        def until(text: str) -> None:
            for _ in range(100):
                if inbox.recv(4096).decode().startswith(text):
                    return
            pytest.fail(f"never heard {text}")

        until("READY=1")
        until("WATCHDOG=1")
        until("WATCHDOG=1")
        process.send_signal(signal.SIGHUP)
        until("RELOADING=1\nMONOTONIC_USEC=")
        until("READY=1")
        process.send_signal(signal.SIGTERM)
        until("STOPPING=1")
        _out, error = process.communicate(timeout=20)
    assert process.returncode == 0
    assert b"Xend Daemon started" in error


ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_sockets_from_systemd(daemon: DaemonProcess) -> None:
    daemon.run_dir.mkdir(mode=0o700)
    path = daemon.run_dir / "xmlrpc.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(5)
        command = [*daemon.command, "--foreground"]
        process = subprocess.Popen(
            [sys.executable, "-c", ACTIVATE, str(listener.fileno()), *command],
            pass_fds=[listener.fileno()],
            env={**daemon.environment, "LISTEN_FDS": "1"},
            stderr=subprocess.DEVNULL,
        )
        assert daemon.names() == ["Domain-0"]  # waits in the backlog until it serves
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert path.exists()  # it is systemd's


def test_without_a_history_it_serves_and_says_so(daemon: DaemonProcess) -> None:
    (daemon.state_dir / "history.db").mkdir(parents=True)
    daemon("start")
    assert daemon.names() == ["Domain-0"]
    assert "events and jobs are only in memory: The journal" in daemon.log.read_text()
    daemon("stop")


def test_without_a_journal_it_does_not_start_and_says_why(daemon: DaemonProcess) -> None:
    """What was begun could not be finished or undone after a crash."""
    (daemon.state_dir / "xend.db").mkdir(parents=True)
    refused = daemon("start", expect=1)
    assert refused.stderr.startswith(f"xend: The journal {daemon.state_dir}/xend.db cannot be used")
    daemon("status", expect=3)
