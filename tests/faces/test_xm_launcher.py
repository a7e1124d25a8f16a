"""The launcher and the warm process behind it: whatever happens, as the plain command line.

Each test of `xm` runs twice: through the launcher, and as plain Python.
"""

from __future__ import annotations

import os
import pty
import signal
import socket
import stat
import subprocess
import tempfile
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faces.xmdaemon import (
    Commands,
    FakeDaemon,
    Refusal,
    WarmSide,
    build_launcher,
    domain,
    plain_argv,
    program,
    wait_until,
)

Asked = tuple["subprocess.Popen[str]", socket.socket]
"""A launcher that has sent its request, and where that came."""
CONFIG = 'name = "web"\nmemory = 64\nkernel = "/proc/version"\n'


@pytest.fixture(autouse=True)
def _loop_never_blocked() -> None:
    """No event loop runs here."""


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("launcher") / "xm"
    build_launcher(path)
    return path


@pytest.fixture(scope="module")
def libc_launcher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("launcher") / "xm"
    build_launcher(path, with_libc=True)
    return path


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    path = tmp_path / "run"
    path.mkdir()
    return path


@pytest.fixture
def daemon(run_dir: Path) -> Iterator[FakeDaemon]:
    def one(name: Any, _full: int = 0) -> list[Any]:
        if str(name) in ("1", "web"):
            return domain(1, "web")
        raise Refusal(3, str(name))

    daemon = FakeDaemon(
        run_dir,
        xend__domain=one,
        xend__domains_with_state=lambda *_: [domain(0, "Domain-0", "r-----"), domain(1, "web")],
        xend__domain__create=lambda _config: domain(1, "web"),
    )
    yield daemon
    daemon.close()


@pytest.fixture
def warm(run_dir: Path, daemon: FakeDaemon, launcher: Path) -> Iterator[WarmSide]:
    side = WarmSide(run_dir, launcher)
    yield side
    side.close()


def environment(run_dir: Path, tmp_path: Path) -> dict[str, str]:
    return {"XEND_RUN_DIR": str(run_dir), "PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": "/"}


@pytest.fixture
def warm_xm(warm: WarmSide, run_dir: Path, tmp_path: Path) -> Commands:
    return Commands([str(warm.launcher)], environment(run_dir, tmp_path), tmp_path)


@pytest.fixture(params=["warm", "warm-libc", "plain"])
def xm(request: pytest.FixtureRequest, run_dir: Path, tmp_path: Path) -> Commands:
    if request.param != "plain":
        commands: Commands = request.getfixturevalue("warm_xm")
        if request.param == "warm-libc":
            commands.argv = [str(request.getfixturevalue("libc_launcher"))]
        return commands
    request.getfixturevalue("daemon")
    return Commands(plain_argv(), environment(run_dir, tmp_path), tmp_path)


def test_output_and_status(xm: Commands) -> None:
    listed = xm.run("list")
    assert listed.returncode == 0
    assert listed.stdout.splitlines()[2].split() == ["web", "1", "256", "1", "-b----", "12.2"]
    missing = xm.run("domid", "nosuch")
    assert (missing.returncode, missing.stdout) == (3, "")
    assert missing.stderr == "Error: Domain 'nosuch' does not exist.\n"
    assert xm.run().returncode == 1
    assert xm.run("help").returncode == 0


def test_one_worker_runs_many_commands(warm_xm: Commands, warm: WarmSide) -> None:
    before = warm.workers()
    for _ in range(20):
        assert warm_xm.run("domid", "web").stdout == "1\n"
    assert warm.workers() == before


def test_words_and_bytes_arrive_as_they_are(xm: Commands, daemon: FakeDaemon) -> None:
    xm.run("rename", "web", "a b\n'c'", env={**xm.env, "LC_ALL": "C"})
    subprocess.run([*xm.argv, "rename", "", b"\xff\xfe"], env=xm.env, check=False)
    renames = [params for method, params in daemon.calls if method == "xend.domain.setName"]
    assert renames == [["web", "a b\n'c'"], ["", "\udcff\udcfe"]]


def test_bytes_that_are_not_text_are_printed_as_they_came(xm: Commands, daemon: FakeDaemon) -> None:
    daemon.methods["xend.domain"] = lambda *_: domain(1, "\udcff")
    process = subprocess.run(
        [*xm.argv, "domname", "1"], env={**xm.env, "LC_ALL": "C"}, capture_output=True, check=True
    )
    assert process.stdout == b"\xff\n"


def test_relative_names_are_those_of_the_caller(
    xm: Commands, daemon: FakeDaemon, tmp_path: Path
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    assert xm.run("save", "web", "web.chk", cwd=folder).returncode == 0
    assert daemon.calls[-1] == ("xend.domain.save", ["web", f"{folder}/web.chk", False])


def test_environment_is_the_callers(xm: Commands) -> None:
    done = xm.run("list", env={**xm.env, "XM_SERVER": "httpu:///nosuch/socket"})
    assert done.stderr == (
        "Error: Unable to connect to xend: No such file or directory. Is xend running?\n"
    )
    assert done.returncode == 1


def test_without_standard_descriptors(xm: Commands) -> None:
    for closed in ("<&-", ">&-", "<&- >&- 2>&-"):
        shell = f"{' '.join(map(repr, xm.argv))} domid web {closed}"
        done = subprocess.run(["sh", "-c", shell], env=xm.env, check=False, capture_output=True)
        assert done.returncode == 0, closed


def test_closed_pipe_ends_it_quietly(xm: Commands) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = xm.run("list", stdout=writing)
    os.close(writing)
    assert done.returncode == -signal.SIGPIPE
    assert done.stderr == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_signals_end_it(xm: Commands, daemon: FakeDaemon, number: signal.Signals) -> None:
    called, over = threading.Event(), threading.Event()

    def hang(*_: object) -> None:
        called.set()
        over.wait(10)

    daemon.methods["xend.domain.shutdown"] = hang
    process = xm.start("shutdown", "web")
    assert called.wait(10)
    process.send_signal(number)
    assert process.communicate(timeout=10) == ("", "")
    assert process.returncode == -number
    over.set()


@pytest.fixture(params=["launcher", "libc_launcher"])
def asked(request: pytest.FixtureRequest, run_dir: Path, tmp_path: Path) -> Iterator[Asked]:
    path = request.getfixturevalue(request.param)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(run_dir / "warm.sock"))
        listener.listen()
        process = Commands([str(path)], environment(run_dir, tmp_path), tmp_path).start("list")
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(10)
            assert connection.recv(1 << 16)
            yield process, connection
        assert process.communicate(timeout=10) == ("", "")
        assert process.returncode == -signal.SIGTERM


def test_a_signal_before_the_command_is_at_work(asked: Asked) -> None:
    """The request is taken back."""
    process, connection = asked
    process.send_signal(signal.SIGTERM)
    while connection.recv(1 << 16):
        pass
    with pytest.raises(BrokenPipeError):
        connection.sendall(b"H\0\0\0\1")


def test_a_signal_when_the_command_has_just_begun(asked: Asked) -> None:
    """It gets there as soon as the launcher has learnt where."""
    process, connection = asked
    with subprocess.Popen(["sleep", "60"]) as worker:
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        process.send_signal(signal.SIGTERM)
        connection.sendall(b"H" + worker.pid.to_bytes(4, "big"))
        process.send_signal(signal.SIGCONT)
        assert worker.wait(10) == -signal.SIGTERM


def test_a_killed_worker_is_replaced(warm_xm: Commands, warm: WarmSide, daemon: FakeDaemon) -> None:
    over = threading.Event()
    daemon.methods["xend.domain.destroy"] = lambda _name: over.wait(10) and None
    before = set(warm.workers())
    process = warm_xm.start("destroy", "web")
    wait_until(lambda: "xend.domain.destroy" in daemon.called())
    for worker in before:
        os.kill(worker, signal.SIGKILL)
    assert (
        process.communicate(timeout=10)[1] == "Error: the process that ran this command has died.\n"
    )
    assert process.returncode == 1
    over.set()
    wait_until(lambda: len(set(warm.workers()) - before) >= 2)
    assert warm_xm.run("domid", "web").stdout == "1\n"


def test_stop_and_go_on(xm: Commands, daemon: FakeDaemon) -> None:
    over = threading.Event()
    daemon.methods["xend.domain.destroy"] = lambda _name: over.wait(10) and None
    process = xm.start("destroy", "web", start_new_session=False, process_group=0)
    wait_until(lambda: "xend.domain.destroy" in daemon.called())
    process.send_signal(signal.SIGTSTP)
    wait_until(lambda: os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOHANG) is not None)
    over.set()
    process.send_signal(signal.SIGCONT)
    assert process.communicate(timeout=10) == ("", "")
    assert process.returncode == 0


def test_many_at_once(xm: Commands, daemon: FakeDaemon) -> None:
    barrier = threading.Barrier(12)
    daemon.methods["xend.domain.pause"] = lambda _name: barrier.wait(20) and None
    processes = [xm.start("pause", "web") for _ in range(12)]
    assert [process.communicate(timeout=20) for process in processes] == [("", "")] * 12
    assert {process.returncode for process in processes} == {0}


def test_console_becomes_the_program(xm: Commands, tmp_path: Path) -> None:
    with program(tmp_path, "xenconsole", 'echo "$@ $$"; exit 7'):
        process = xm.start("console", "web")
        out, _ = process.communicate(timeout=10)
    assert out == f"1 --num 0 {process.pid}\n"
    assert process.returncode == 7


def test_create_with_console(xm: Commands, daemon: FakeDaemon, tmp_path: Path) -> None:
    """The console is attached while the domain is still being made."""
    (tmp_path / "web").write_text(CONFIG)
    attached = tmp_path / "attached"
    daemon.methods["xend.domain.waitForDevices"] = lambda _name: wait_until(attached.exists)
    with program(tmp_path, "xenconsole", f'echo "console $@"; touch {attached}; read line'):
        process = xm.start("create", "-c", "web", stdin=subprocess.PIPE)
        wait_until(lambda: "xend.domain.unpause" in daemon.called())
        out, err = process.communicate("\n", timeout=10)
    assert err == ""
    assert process.returncode == 0
    lines = out.splitlines()
    assert lines[:2] == ['Using config file "./web".', "console 1 --num 0"]
    assert lines[2] == "Started domain web (id=1)"


def test_create_with_console_that_fails(xm: Commands, daemon: FakeDaemon, tmp_path: Path) -> None:
    """The console is taken down before the error is told."""
    (tmp_path / "web").write_text(CONFIG)
    attached = tmp_path / "attached"

    def fail(_name: str) -> None:
        wait_until(attached.exists)
        raise Refusal(2, "Device 0 (vif) could not be connected.")

    daemon.methods["xend.domain.waitForDevices"] = fail
    with program(
        tmp_path,
        "xenconsole",
        f"trap 'echo gone; exit 0' TERM; touch {attached}; while :; do sleep 0.05; done",
    ):
        done = xm.run("create", "-c", "web")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "gone"
    assert done.stderr == "Error: Device 0 (vif) could not be connected.\n"
    assert daemon.called()[-1] == "xend.domain.destroy"


def test_a_terminal_that_was_raw_is_set_back(
    xm: Commands, daemon: FakeDaemon, tmp_path: Path
) -> None:
    (tmp_path / "web").write_text(CONFIG)
    attached = tmp_path / "attached"

    def fail(_name: str) -> None:
        wait_until(attached.exists)
        raise Refusal(2, "No.")

    daemon.methods["xend.domain.waitForDevices"] = fail
    controller, terminal = pty.openpty()
    before = termios.tcgetattr(terminal)
    with program(tmp_path, "xenconsole", f"stty raw; touch {attached}; exec sleep 30"):
        process = xm.start("create", "-c", "web", stdin=terminal, stdout=terminal)
        assert process.communicate(timeout=20)[1] == "Error: No.\n"
    assert termios.tcgetattr(terminal) == before
    os.close(controller)
    os.close(terminal)


def test_create_with_console_that_comes_too_early(xm: Commands, tmp_path: Path) -> None:
    """xenconsole fails while the console has no tty yet: it is tried again."""
    (tmp_path / "web").write_text(CONFIG)
    tries = tmp_path / "tries"
    script = f"echo x >>{tries}; [ $(wc -l <{tries}) -lt 3 ] && exit 2; echo attached"
    with program(tmp_path, "xenconsole", script):
        done = xm.run("create", "-c", "web")
    assert (done.returncode, done.stderr) == (0, "")
    assert "attached" in done.stdout


def test_a_terminal_stays_the_callers(xm: Commands, tmp_path: Path) -> None:
    controller, terminal = pty.openpty()
    with program(tmp_path, "xenconsole", "[ -t 0 ] && [ -t 1 ] && echo on a terminal"):
        process = xm.start("console", "1", stdin=terminal, stdout=terminal, stderr=terminal)
        assert process.wait(10) == 0
    assert os.read(controller, 100) == b"on a terminal\r\n"
    os.close(controller)
    os.close(terminal)


def test_falls_back_when_nothing_listens(
    launcher: Path, daemon: FakeDaemon, run_dir: Path, tmp_path: Path
) -> None:
    xm = Commands([str(launcher)], environment(run_dir, tmp_path), tmp_path)
    assert xm.run("domid", "web").stdout == "1\n"
    (run_dir / "warm.sock").touch()
    assert xm.run("domid", "web").stdout == "1\n"


def test_a_look_that_takes_long_is_shown_once(warm_xm: Commands, daemon: FakeDaemon) -> None:
    """The launcher looks for itself then; the worker's answer comes too late for anybody."""
    slow = iter([threading.Event(), threading.Event()])

    def wait(*_: object) -> list[Any]:
        next(slow).wait(3)
        return domain(1, "web")

    daemon.methods["xend.domain"] = wait
    assert warm_xm.run("domid", "web").stdout == "1\n"
    assert len(daemon.calls) == 2


def test_a_look_that_is_taken_up_late_is_shown_once(
    warm_xm: Commands, warm: WarmSide, daemon: FakeDaemon
) -> None:
    """On a busy host the launcher may have waited for long before the worker knows of it."""
    slow = iter([0.9])

    def wait(*_: object) -> list[Any]:
        time.sleep(next(slow, 0))
        return domain(1, "web")

    daemon.methods["xend.domain"] = wait
    for worker in warm.workers():
        os.kill(worker, signal.SIGSTOP)
    process = warm_xm.start("domid", "web")
    time.sleep(1.5)
    for worker in warm.workers():
        os.kill(worker, signal.SIGCONT)
    assert process.communicate(timeout=20) == ("1\n", "")
    wait_until(lambda: len(daemon.calls) == 2)


def test_much_output_into_a_slow_pipe(xm: Commands, daemon: FakeDaemon) -> None:
    """A launcher that hears nothing for long must not print it all again."""
    text = "".join(f"line {number}\n" for number in range(40_000))
    daemon.methods["xend.node.log"] = lambda: text
    process = xm.start("log")
    assert process.stdout is not None
    time.sleep(2.5)
    out, err = process.communicate(timeout=10)
    assert (out, err) == (text + "\n", "")


@pytest.mark.parametrize("closes", [True, False])
def test_falls_back_when_nobody_answers(
    launcher: Path, daemon: FakeDaemon, run_dir: Path, tmp_path: Path, closes: bool
) -> None:
    """And the command is run once, though the server may come to life later."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(run_dir / "warm.sock"))
        listener.listen(1)
        xm = Commands([str(launcher)], environment(run_dir, tmp_path), tmp_path)
        # No pipes: the connection in the queue holds descriptors that were sent to it.
        process = xm.start("destroy", "web", stdout=None, stderr=None)
        if closes:
            listener.accept()[0].close()
        assert process.wait(20) == 0
    assert daemon.called() == ["xend.domain.destroy"]


def test_another_user_falls_back(warm: WarmSide, run_dir: Path) -> None:
    """The socket belongs to its user alone."""
    assert stat.S_IMODE((run_dir / "warm.sock").stat().st_mode) == 0o600
    if os.geteuid() != 0:
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        build_launcher(folder / "xm", python="/bin/echo")
        done = subprocess.run(
            [folder / "xm", "list"],
            env={"XEND_RUN_DIR": str(run_dir)},
            user=65534,
            capture_output=True,
            text=True,
            check=True,
            cwd="/",
        )
    assert done.stdout.startswith("-I -c ")


def test_the_warm_side_ends_with_its_parent(run_dir: Path, daemon: FakeDaemon) -> None:
    from tests.faces.xmreplay import CHECKOUT

    script = f"python3 -m xend.cli.warm --socket {run_dir}/warm.sock >&2 & echo $!; "
    script += f"while [ ! -e {run_dir}/warm.sock ]; do sleep 0.02; done; sleep 0.3"
    done = subprocess.run(
        ["sh", "-c", script],
        env={"PYTHONPATH": str(CHECKOUT), "PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        check=True,
    )
    pid = int(done.stdout)
    wait_until(lambda: not Path(f"/proc/{pid}").exists())
    wait_until(lambda: not any(b"warm.sock" in line for line in processes(str(run_dir))))


def processes(word: str) -> list[bytes]:
    """Command lines that hold the word."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if word.encode() in line:
                found.append(line)
    return found
