"""schemathesis over the whole OpenAPI document, against a running daemon on the simulator.

    python -m tests.fuzz.rest_schema [--seconds N] [--requests N] [--phases …]

It ends with an error when a check of schemathesis failed (all are on), when an answer was a 5xx or
broke its schema, when the daemon logged a traceback or ended, or when fewer requests were made than
demanded.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.faces.daemonprocess import DaemonProcess, eventually, free_port
from xend.client import Client, calls

HOOKS = Path(__file__).with_name("rest_schema_hooks.py")
CONFIG = Path(__file__).with_name("schemathesis.toml")
STREAMS = ("/v1/events",)
"""An answer without an end: the stream has tests of its own."""
_PREPARED = {
    "name": "prospero",
    "memory": 65536,
    "kernel": "/boot/vmlinuz",
    "disks": [{"vdev": "xvdb", "path": "/srv/prospero.img", "scheme": "file"}],
    "vifs": [{}],
}


class Fuzzed:
    """What schemathesis found."""

    def __init__(self, text: str, status: int, log: str) -> None:
        self.text = text
        self.status = status
        found = re.search(r"(\d+) generated", text)
        self.requests = int(found[1]) if found else 0
        self.tracebacks = log.count("Traceback")

    def complaints(self, requests: int) -> list[str]:
        found = []
        if self.status:
            found.append(f"schemathesis ended with {self.status}")
        if self.requests < requests:
            found.append(f"only {self.requests} of {requests} requests were made")
        if self.tracebacks:
            found.append(f"{self.tracebacks} tracebacks in the daemon's log")
        return found


def fuzz(folder: Path, *, seconds: int, examples: int, phases: str, seed: int) -> Fuzzed:
    """Starts a daemon in `folder`, with something in it to ask about, and ends it."""
    daemon = DaemonProcess(folder)
    port = free_port()
    daemon.config.write_text(
        f"(xend-rest-tcp-server yes) (xend-rest-tcp-port {port}) (xend-rest-tls no)\n"
    )
    daemon("start")
    try:
        token = _prepare(daemon)
        done = subprocess.run(
            _command(f"http://127.0.0.1:{port}", token, seconds, examples, phases, seed),
            capture_output=True,
            text=True,
            env={
                **os.environ,
                "SCHEMATHESIS_HOOKS": str(HOOKS),
                "XEND_FUZZ_TOKEN": token.split("_")[1],
                "COLUMNS": "200",
            },
            cwd=folder,
            check=False,
        )
        alive = daemon.running
    finally:
        daemon("stop")
    assert alive, "the daemon ended"
    return Fuzzed(done.stdout + done.stderr, done.returncode, daemon.log.read_text())


def _prepare(daemon: DaemonProcess) -> str:
    """A token; and a domain that runs, one that does not, and an operation of each."""
    with Client(f"unix:{daemon.run_dir / 'rest.sock'}") as xend:
        eventually(lambda: xend.response(calls.healthz()).status_code == 200)
        xend(calls.create(_PREPARED, wait=10))
        xend(calls.create({**_PREPARED, "name": "ariel"}, define=True, wait=10))
        xend(calls.make_token("unused", "viewer"))
        return xend(calls.make_token("fuzz", "admin"))["token"]


def _command(
    url: str, token: str, seconds: int, examples: int, phases: str, seed: int
) -> list[str]:
    options = [
        *("--header", f"Authorization: Bearer {token}"),
        *("--checks", "all", "--phases", phases, "--seed", str(seed)),
        *("--max-examples", str(examples), "--max-time", str(seconds)),
        *("--workers", "1", "--request-timeout", "30", "--no-color", "--continue-on-failure"),
        *("--suppress-health-check", "all"),
    ]
    for path in STREAMS:
        options += ["--exclude-path", path]
    program = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run"]
    return [*program, f"{url}/v1/openapi.json", "--url", url, *options]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=420)
    parser.add_argument("--requests", type=int, default=10_000, help="at least so many")
    parser.add_argument("--examples", type=int, default=200, help="at most, of an operation")
    parser.add_argument("--phases", default="examples,coverage,fuzzing,stateful")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="xend-fuzz-") as folder:
        found = fuzz(
            Path(folder),
            seconds=given.seconds,
            examples=given.examples,
            phases=given.phases,
            seed=given.seed,
        )
    print(found.text)
    complaints = found.complaints(given.requests)
    print(json.dumps({"requests": found.requests, "complaints": complaints}))
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
