"""A daemon for tests of the command line: its short way (cli.sock), answered by a function."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.faces.xmreplay import CHECKOUT, build_launcher
from xend.cli.app import Xm
from xend.cli.main import run_xm
from xend.cli.records import DomainRow, child_value
from xend.cli.streams import ErrorStream, Stream
from xend.cli.terminal import LocalTerminal

Method = Callable[..., Any]
LAUNCH = "xend.private.launch"
LISTING = "xend.private.listing"
WHO = "xend.private.who"


class Refusal(Exception):
    """Answered as a fault."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text


class FakeDaemon:
    """Methods by name; one that is not there answers nothing (null).  Notes the calls."""

    def __init__(self, run_dir: Path, **methods: Method) -> None:
        self.methods: dict[str, Method] = {
            name.replace("__", "."): method for name, method in methods.items()
        }
        self.calls: list[tuple[str, list[Any]]] = []
        self.socket = run_dir / "cli.sock"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.socket))
        self._listener.listen(64)
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def _start(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def called(self) -> list[str]:
        return [method for method, _ in self.calls]

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as frames, contextlib.suppress(OSError):
            while len(head := frames.read(4)) == 4:
                request = json.loads(frames.read(int.from_bytes(head, "big")))
                data = json.dumps(self._answer(request), separators=(",", ":")).encode()
                connection.sendall(len(data).to_bytes(4, "big") + data)

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        method, params = request["method"], request["params"]
        try:
            if method == LAUNCH:
                result = self._launch(*params)
            elif method == LISTING:
                result = self._listing(*params)
            elif method == WHO:
                record = self._do("xend.domain", params)
                result = [child_value(record, "name"), child_value(record, "domid")]
            else:
                result = self._do(method, params)
        except Refusal as refusal:
            return {"id": request["id"], "fault": [refusal.code, refusal.text]}
        return {"id": request["id"], "result": result}

    def _do(self, method: str, params: list[Any]) -> Any:
        self.calls.append((method, params))
        function = self.methods.get(method)
        return function(*params) if function else None

    def _launch(self, config: list[Any], paused: bool) -> list[Any]:
        """What our own daemon does in one job, as the three calls that others make."""
        record = self._do("xend.domain.create", [config])
        name, domid = child_value(record, "name"), int(child_value(record, "domid"))
        try:
            self._do("xend.domain.waitForDevices", [name])
            if not paused:
                self._do("xend.domain.unpause", [name])
        except Refusal:
            self._do("xend.domain.destroy", [name])
            raise
        return [name, domid]

    def _listing(self, state: str) -> list[list[Any]]:
        """The columns of what the old call tells."""
        rows = [DomainRow(r) for r in self._do("xend.domains_with_state", [True, state, 0])]
        return [
            [row.name, row.domid or None, row.memory, row.vcpus, row.state, row.cpu_time]
            for row in rows
        ]

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.socket.unlink(missing_ok=True)
        for thread in self._threads:
            thread.join(5)


def domain(domid: int | None, name: str, state: str = "-b----") -> list[Any]:
    """A record with what listings need."""
    running = [["domid", domid]] if domid is not None else []
    at_work = [["online_vcpus", 1], ["state", state]] if domid is not None else []
    return [
        "domain",
        *running,
        ["vcpus", 1],
        ["uuid", f"00000000-0000-4000-8000-{domid or 0:012d}"],
        ["name", name],
        ["memory", 256],
        ["cpu_time", 12.25],
        *at_work,
    ]


class WarmSide:
    """A warm process with its launcher."""

    def __init__(self, run_dir: Path, launcher: Path) -> None:
        self.run_dir = run_dir
        self.launcher = launcher
        self.process = subprocess.Popen(
            [sys.executable, "-m", "xend.cli.warm", "--socket", run_dir / "warm.sock"],
            env={"PYTHONPATH": str(CHECKOUT), "PATH": os.environ["PATH"]},
        )
        wait_until((run_dir / "warm.sock").exists)
        wait_until(lambda: len(self.workers()) >= 2)

    def workers(self) -> list[int]:
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def close(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


class Commands:
    """How a test runs xm: its environment, and the program."""

    def __init__(self, argv: list[str], env: dict[str, str], folder: Path) -> None:
        self.argv = argv
        self.env = env
        self.folder = folder

    def start(self, *args: str, **options: Any) -> subprocess.Popen[str]:
        settings: dict[str, Any] = {
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "stdin": subprocess.DEVNULL,
            "text": True,
            "env": self.env,
            "cwd": self.folder,
        }
        return subprocess.Popen([*self.argv, *args], **(settings | options))

    def run(self, *args: str, **options: Any) -> subprocess.CompletedProcess[str]:
        process = self.start(*args, **options)
        out, err = process.communicate(timeout=30)
        return subprocess.CompletedProcess(args, process.returncode, out, err)


class Run:
    """xm (or another personality) in this process, its output in files."""

    def __init__(
        self,
        folder: Path,
        env: dict[str, str],
        personality: Callable[[Xm, list[str]], int] = run_xm,
    ) -> None:
        self._personality = personality
        self._paths = [folder / "out", folder / "err"]
        self._env = env

    def __call__(self, *args: str) -> tuple[int, str, str]:
        fds = [os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC) for path in self._paths]
        out = Stream(fds[0])
        xm = Xm(out, ErrorStream(fds[1], out), self._env, LocalTerminal(out))
        status = self._personality(xm, list(args))
        xm.server.disconnect()
        out.flush()
        for fd in fds:
            os.close(fd)
        texts = [path.read_bytes().decode("utf-8", "surrogateescape") for path in self._paths]
        return status, *texts  # type: ignore[return-value]


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Fails when it does not become true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


@contextlib.contextmanager
def program(folder: Path, name: str, text: str) -> Iterator[Path]:
    """A shell script on the path of the commands."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    yield path


def plain_argv() -> list[str]:
    """The command line without its launcher, as the launcher would start it."""
    start = f"import sys; sys.path.append('{CHECKOUT}')"
    start += "; from xend.cli.main import main_of_launcher; main_of_launcher()"
    return [sys.executable, "-I", "-c", start, "xm"]


__all__ = [
    "Commands",
    "FakeDaemon",
    "Refusal",
    "Run",
    "WarmSide",
    "build_launcher",
    "domain",
    "plain_argv",
    "program",
    "wait_until",
]
