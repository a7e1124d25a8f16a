"""The daemon as a process of its own, in a folder of its own, over a simulated host."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import xmlrpc.client
from pathlib import Path
from typing import Any

from tests.faces.unixrpc import UnixTransport

ROOT = Path(__file__).parents[2]


class DaemonProcess:
    def __init__(self, folder: Path) -> None:
        self.run_dir = folder / "run"
        self.state_dir = folder / "state"
        self.config = folder / "xend-config.sxp"
        self.config.write_text("")
        self.pid_file = self.run_dir / "xend.pid"
        self.log = self.state_dir / "xend.log"

    @property
    def options(self) -> list[str]:
        return [
            f"--run-dir={self.run_dir}",
            f"--state-dir={self.state_dir}",
            f"--config={self.config}",
        ]

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-m", "xend", "--hypervisor=sim", *self.options]

    @property
    def environment(self) -> dict[str, str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("LISTEN_", "NOTIFY_"))}
        return {**clean, "PYTHONPATH": str(ROOT)}

    def __call__(self, *words: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*self.command, *words],
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=60,
            check=False,
        )
        assert done.returncode == expect, done.stderr
        return done

    @property
    def pid(self) -> int:
        return int(self.pid_file.read_text())

    @property
    def running(self) -> bool:
        try:
            os.kill(self.pid, 0)
        except (FileNotFoundError, ProcessLookupError):
            return False
        return True

    def call(self, method: str, *params: Any) -> Any:
        transport = UnixTransport(self.run_dir / "xmlrpc.sock")
        proxy = xmlrpc.client.ServerProxy("http://localhost", transport, allow_none=True)
        with proxy:
            return getattr(proxy, method)(*params)

    def names(self) -> Any:
        return self.call("xend.domains_with_state", False, "all", 0)


def eventually(check: Any, seconds: float = 10.0) -> None:
    """Fails when `check()` does not become true."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
