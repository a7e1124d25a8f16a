"""The real daemon, as a process that dies of SIGKILL at a numbered point, and starts quickly.

`python3 -m tests.lab.killdaemon` imports all that the daemon needs and then forks one daemon per
line on its stdin, so that a test that kills a hundred of them does not pay for a hundred starts of
an interpreter.  From the fork on nothing is different from `xend --foreground`: own sockets, own
journal, own worker processes.  What is added are the points, before and after every call of the
journal, the repository, the files, and every change that is asked of the hypervisor, and each
message of a worker process.

A folder controls it: once the file `arm` is there ({"at": 3, "victim": "daemon", "round": 8})
points count, in each round anew, and their names go to `passed`.  At the one with the number `at`
the victim is killed: this process, or the worker processes that have an operation under way.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import xend.api.rest.app
import xend.api.xmlrpc.app
import xend.daemon.compose
import xend.libxl.hypervisor
from tests.killing import Killing
from xend.daemon import run
from xend.daemon.options import parse
from xend.libxl.workers import Worker

CHANGES = (
    *("create", "destroy", "save", "restore", "resume", "preserve", "dump_core"),
    *("send", "receive"),
    *("pause", "unpause", "rename", "request_shutdown", "attach_device", "detach_device"),
    *("set_memory_target", "set_max_memory", "set_vcpus"),
)


class ProcessSwitch:
    """`point` does not return when it is the one."""

    def __init__(self, folder: Path) -> None:
        self._arm = folder / "arm"
        self._passed = folder / "passed"
        self._count = 0
        self._round = 0
        self._working: set[int] = set()

    async def point(self, name: str) -> None:
        self.pass_by(name)

    def pass_by(self, name: str) -> None:
        try:
            order = json.loads(self._arm.read_text())
        except FileNotFoundError:
            return
        if order["victim"] == "worker" and not name.startswith("worker "):
            return
        if order["round"] != self._round:
            self._round, self._count = order["round"], 0
        self._count += 1
        with self._passed.open("a") as file:
            file.write(f"{name}\n")
        if self._count == order["at"]:
            self._kill(order["victim"])

    def _kill(self, victim: str) -> None:
        if victim == "daemon":
            os.kill(os.getpid(), signal.SIGKILL)
        for pid in self._working:
            os.kill(pid, signal.SIGKILL)

    def follow(self, worker: Any) -> None:
        """Requests to workers and what they say are points; `worker` is the class, the only place
        where each of its objects can be followed."""
        serve, write, read = worker.serve, worker._write, worker._read

        async def serve_and_note(self_: Worker, *args: Any, **kwargs: Any) -> Any:
            self._working.add(self_.pid)
            try:
                return await serve(self_, *args, **kwargs)
            finally:
                self._working.discard(self_.pid)

        async def write_and_pass(self_: Worker, line: str) -> None:
            await write(self_, line)
            told = "told to go" if line == "go" else f"{json.loads(line)['op']}: asked"
            self.pass_by(f"worker {told}")

        async def read_and_pass(self_: Worker) -> dict[str, Any] | None:
            message: dict[str, Any] | None = await read(self_)
            if message is not None and "progress" in message:
                self.pass_by(f"worker says: {message['progress']}")
            return message

        worker.serve = serve_and_note
        worker._write = write_and_pass
        worker._read = read_and_pass


def install(folder: Path) -> None:
    """Into the composition root of this process."""
    switch = ProcessSwitch(folder)
    switch.follow(Worker)
    for module, name, label, only in (
        (xend.daemon.compose, "SqliteJournal", "journal", None),
        (xend.daemon.compose, "FileRepository", "repository", None),
        (xend.daemon.compose, "LocalFiles", "files", None),
        (xend.libxl.hypervisor, "XenHypervisor", "hypervisor", CHANGES),
    ):
        setattr(module, name, _with_points(getattr(module, name), switch, label, only))


def _with_points(
    real: Callable[..., Any], switch: ProcessSwitch, label: str, only: tuple[str, ...] | None
) -> Callable[..., Any]:
    return lambda *args, **kwargs: Killing(real(*args, **kwargs), switch, label, only=only)


def _become_daemon(folder: Path, words: list[str]) -> int:
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    nothing = os.open("/dev/null", os.O_RDWR)
    output = os.open(folder / "output", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    install(folder)
    return run.run(parse(["--foreground", *words], os.environ))


def main() -> None:
    """A line of JSON {"folder": …, "words": […]} in, the daemon's process id out."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os._exit(_become_daemon(Path(order["folder"]), order["words"]))
        print(pid, flush=True)


if __name__ == "__main__":
    main()
