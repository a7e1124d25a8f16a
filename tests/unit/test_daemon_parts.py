"""The parts of the daemon that need no process."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import stat
import sys
from pathlib import Path

import pytest

from xend.daemon import commandline, heartbeat, warm
from xend.daemon.heartbeat import Heartbeat
from xend.daemon.logs import Log, without_passwords
from xend.daemon.notify import Notifier
from xend.daemon.options import Options, UsageError, parse
from xend.daemon.pidfile import AlreadyRunning, PidFile, holder
from xend.daemon.warm import WarmProcess
from xend.errors import ConfigError


@pytest.mark.parametrize(
    ("line", "clean"),
    [
        ("(vncpasswd 'secret')", "(vncpasswd XXXXXXXX)"),
        ("(vncpasswd secret)(vnc 1)", "(vncpasswd XXXXXXXX)(vnc 1)"),
        ("['vncpasswd', 'secret']", "['vncpasswd', XXXXXXXX]"),
        ('{"vncpasswd": "se\'cret"}', '{"vncpasswd": XXXXXXXX}'),
        ("vncpasswd='secret', x=1", "vncpasswd=XXXXXXXX, x=1"),
        ("nothing to hide", "nothing to hide"),
    ],
)
def test_passwords_stay_out_of_the_log(line: str, clean: str) -> None:
    assert without_passwords(line) == clean


@pytest.fixture
def restored_logging() -> object:
    root = logging.getLogger()
    before = root.handlers[:], root.level, logging.getLogger("xend").level
    yield
    root.handlers, root.level = before[0], before[1]
    logging.getLogger("xend").setLevel(before[2])


def test_log_file_and_its_rotation(
    tmp_path: Path, restored_logging: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xend.daemon.logs.MAX_BYTES", 1000)
    path = tmp_path / "log" / "xend.log"
    log = Log()
    log.start(path, "DEBUG", stderr=False)
    logger = logging.getLogger("xend.test")
    for number in range(100):
        logger.debug("line %d of (vncpasswd '%s') and \udcff", number, "secret")
    log.close()
    names = sorted(each.name for each in path.parent.iterdir())
    assert names == ["xend.log"] + [f"xend.log.{n}" for n in range(1, 6)]
    for each in path.parent.iterdir():
        assert each.stat().st_size <= 1000
        assert stat.S_IMODE(each.stat().st_mode) == 0o640
        assert "secret" not in each.read_text()
    last = path.read_text().splitlines()[-1]
    form = rf"\[[-\d]+ [:\d]+ {os.getpid()}\] DEBUG \(test_daemon_parts:\d+\) line 99 of .*"
    assert re.fullmatch(form, last)


def test_log_levels(tmp_path: Path, restored_logging: None) -> None:
    path = tmp_path / "xend.log"
    log = Log()
    log.start(path, "WARNING", stderr=False)
    logging.getLogger("xend.test").info("unheard")
    log.set_level("TRACE")
    logging.getLogger("xend.test").info("heard")
    log.close()
    assert "unheard" not in path.read_text() and "heard" in path.read_text()


def test_log_that_cannot_be_written(tmp_path: Path, restored_logging: None) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="--log-file"):
        Log().start(tmp_path / "file" / "xend.log", "DEBUG", stderr=False)


def test_pid_file(tmp_path: Path) -> None:
    path = tmp_path / "xend.pid"
    assert holder(path) is None
    mine = PidFile(path)
    mine.take()
    assert holder(path) == os.getpid()
    with pytest.raises(AlreadyRunning, match=f"pid {os.getpid()}"):
        PidFile(path).take()
    mine.release()
    assert not path.exists() and holder(path) is None


def test_pid_file_of_the_dead(tmp_path: Path) -> None:
    path = tmp_path / "xend.pid"
    path.write_text("1\n")  # a process that lives, but is not the daemon
    assert holder(path) is None
    mine = PidFile(path)
    mine.take()
    assert path.read_text() == f"{os.getpid()}\n"
    mine.release()


def test_pid_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="pid file"):
        PidFile(tmp_path / "no" / "xend.pid").take()


def test_options() -> None:
    options = parse(["start", "--run-dir", "r", "--state-dir=s", "--hypervisor", "sim"], {})
    assert options.verb == "start" and options.hypervisor == "sim"
    assert options.run_dir == Path("r").absolute() and options.private
    assert options.pid_file == Path("r/xend.pid").absolute()
    assert parse(options.arguments(), {}) == Options(
        hypervisor="sim", run_dir=options.run_dir, state_dir=options.state_dir
    )
    assert parse([], {"XEND_CONFIG": "/x"}).config == Path("/x")
    assert parse(["--config=/y"], {"XEND_CONFIG": "/x"}).config == Path("/y")
    assert str(parse([], {}).pid_file) == "/var/run/xend.pid"


@pytest.mark.parametrize("argv", [["fly"], ["start", "stop"], ["--config"], ["--status-fd=x"]])
def test_options_that_are_none(argv: list[str]) -> None:
    with pytest.raises(UsageError):
        parse(argv, {})


def test_only_root_runs_the_hosts_daemon(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for argv in (["start"], ["status"], ["start", "--run-dir=/tmp/x"]):
        assert commandline.main(argv) == 1
        assert "must be run as root" in capsys.readouterr().err


def test_notifier_cleans_the_environment(tmp_path: Path) -> None:
    environ = {"NOTIFY_SOCKET": str(tmp_path / "nobody"), "WATCHDOG_USEC": "2000000"}
    notifier = Notifier(environ)
    assert environ == {}
    assert notifier.watchdog_seconds == 1.0
    notifier.ready()  # nobody listens: no error
    assert Notifier({"WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"}).watchdog_seconds is None


async def test_heartbeat_measures_the_loop(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import time

    monkeypatch.setattr(heartbeat, "WORTH_A_LINE", 0.1)
    beats: list[int] = []
    beat = Heartbeat(lambda: beats.append(1), 0.05)
    beat.start()
    await asyncio.sleep(0.12)
    assert len(beats) >= 2
    time.sleep(0.3)  # noqa: ASYNC251  (this is the fault to be noticed)
    await asyncio.sleep(0.1)
    await beat.close()
    assert beat.longest > 0.1
    assert "held up" in caplog.text


async def test_warm_process_is_started_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm, "FIRST_DELAY", 0.01)
    monkeypatch.setattr(warm, "LONGEST_DELAY", 0.02)
    trace = tmp_path / "trace"
    program = f"open({str(trace)!r}, 'a').write('x')"
    process = WarmProcess([sys.executable, "-I", "-S", "-c", program], tmp_path / "s")
    process.start()
    for _ in range(500):
        if trace.exists() and len(trace.read_text()) >= 3:
            break
        await asyncio.sleep(0.01)
    await process.close()
    assert len(trace.read_text()) >= 3
    assert process.pid is None


async def test_warm_process_that_cannot_be_started(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    process = WarmProcess(["/no/such/program"], tmp_path / "s")
    process.start()
    await asyncio.sleep(0.05)
    await process.close()
    assert "No such file" in caplog.text


async def test_warm_process_is_ended_with_us(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm, "PATIENCE", 0.3)
    program = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    process = WarmProcess([sys.executable, "-I", "-S", "-c", program], tmp_path / "s")
    process.start()
    await asyncio.sleep(0.5)  # so that it ignores SIGTERM by now
    pid = process.pid
    assert pid is not None
    await process.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
