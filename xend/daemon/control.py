"""start, stop, restart, reload and status: from the outside, in as few imports as can be."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from xend.daemon import systemd
from xend.daemon.options import ALREADY_RUNNING, READY, Options
from xend.daemon.pidfile import holder
from xend.errors import ConfigError

NOT_RUNNING: Final = 3
"""Exit code of `status`, as LSB has it."""
STOP_SECONDS: Final = 60.0
RELOAD_SECONDS: Final = 30.0


def start(options: Options) -> int:
    """0 when it serves, also when it already did; 1 with the daemon's own error."""
    if holder(options.pid_file) is not None:
        return 0
    if options.plain and systemd.looks_after_it():
        return systemd.start()
    reader, writer = os.pipe()
    try:
        process = _spawn(options, writer)
    finally:
        os.close(writer)
    with open(reader, "rb") as pipe:
        text = pipe.read().decode(errors="replace").strip()  # it closes it when it is ready
    if text in (READY, ALREADY_RUNNING):
        return 0
    print(text or _silent_death(process, options), file=sys.stderr)
    return 1


def _spawn(options: Options, status_fd: int) -> subprocess.Popen[bytes]:
    """A process of its own session, started by exec: no half of this one lives on in it."""
    with _open_debug_log(options) as output:
        return subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-m",
                "xend",
                "--foreground",
                f"--status-fd={status_fd}",
                *options.arguments(),
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            pass_fds=[status_fd],
            start_new_session=True,
        )


def _debug_log(options: Options) -> Path:
    """Where what bypasses the log goes: crashes, and the fault handler's stacks."""
    if options.log_file is not None:
        folder = options.log_file.parent
    elif options.private:
        folder = options.state_dir
    else:
        folder = Path("/var/log/xen")
    return folder / "xend-debug.log"


def _open_debug_log(options: Options) -> IO[bytes]:
    path = _debug_log(options)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("ab")
    except OSError as error:
        raise ConfigError(
            f"cannot write {path}: {error.strerror}. Name another folder with --log-file",
            field="logfile",
            value=str(path),
        ) from error


def _silent_death(process: subprocess.Popen[bytes], options: Options) -> str:
    status = process.wait()
    return f"xend: the daemon ended with status {status}; see {_debug_log(options)}"


def stop(options: Options) -> int:
    """0 when it does not run (any more)."""
    deadline = time.monotonic() + STOP_SECONDS
    pid = holder(options.pid_file)
    with _following(pid) as process:
        if pid:
            _signal(pid, signal.SIGTERM)
        while holder(options.pid_file) is not None:
            if time.monotonic() > deadline:
                print(f"xend: pid {pid} does not end after {STOP_SECONDS:g} s", file=sys.stderr)
                return 1
            time.sleep(0.05)
        if process is not None:  # It lets go of the file a moment before it has ended.
            select.select([process], [], [], max(0.0, deadline - time.monotonic()))
    return 0


@contextlib.contextmanager
def _following(pid: int | None) -> Iterator[int | None]:
    """A file descriptor that can be read when that process has ended; None when it has."""
    try:
        process = os.pidfd_open(pid) if pid else None
    except OSError:
        process = None
    try:
        yield process
    finally:
        if process is not None:
            os.close(process)


def restart(options: Options) -> int:
    with _announced(options.run_dir / "restarting"):
        return stop(options) or start(options)


@contextlib.contextmanager
def _announced(marker: Path) -> Iterator[None]:
    """While the file is there, a command line that finds no daemon waits for it a little."""
    with contextlib.suppress(OSError):
        marker.touch()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            marker.unlink()


def reload(options: Options) -> int:
    """0 when it goes by the configuration of now.  A mistake in that is a ConfigError, and changes
    nothing."""
    from xend.daemon.settings import load

    pid = holder(options.pid_file)
    if not pid:
        print("xend: not running", file=sys.stderr)
        return 1
    load(options)
    before = _last_read(options)
    _signal(pid, signal.SIGHUP)
    deadline = time.monotonic() + RELOAD_SECONDS
    while _last_read(options) == before:
        if holder(options.pid_file) != pid:
            print(f"xend: pid {pid} ended before it had read its configuration", file=sys.stderr)
            return 1
        if time.monotonic() > deadline:
            print(
                f"xend: pid {pid} has not read its configuration in {RELOAD_SECONDS:g} s",
                file=sys.stderr,
            )
            return 1
        time.sleep(0.02)
    return 0


def _last_read(options: Options) -> int | None:
    """Time of the pid file, which the daemon touches when it has read its configuration again."""
    try:
        return options.pid_file.stat().st_mtime_ns
    except OSError:
        return None


def status(options: Options) -> int:
    return NOT_RUNNING if holder(options.pid_file) is None else 0


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has just ended
        os.kill(pid, number)
