"""Worker processes for long operations.

A worker has one operation at a time to itself; one that finished well is used again, so that a
series of creates pays for no interpreter start, and one is kept warm while none is needed.  After
a failure, or when it has grown, a worker is replaced.  As many operations run at once as Domain-0
has vcpus: measured, more only make each other slower (xenstored is single-threaded).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from xend.errors import HypervisorUnavailable, XendError
from xend.libxl import failures
from xend.trace import mark

log = logging.getLogger(__name__)

_BOOT = (
    "import sys; sys.path[:0] = sys.argv[2:]; "
    "from xend.libxl import worker; raise SystemExit(worker.main(int(sys.argv[1])))"
)
_LINE_LIMIT = 16 * 1024 * 1024
_STDERR_LINES = 60
_STDERR_SETTLES = 0.02
"""Seconds; what was written to stderr before the reply is in the pipe, but not yet read."""
_START_SECONDS = 60.0
_SPARE_DELAY = 1.0
"""Seconds after which a busy worker gets a spare beside it: starting one costs more CPU than a
small create, and would only slow that down."""
_LINGER = 60.0
"""Seconds that a second idle worker is kept: operations come in bursts."""
_MOST_USES = 200
_MOST_RSS_KIB = 64 * 1024

OnProgress = Callable[[Mapping[str, Any]], None]


def search_path() -> list[str]:
    """Where a bare interpreter finds this package, its extension and cffi's runtime: from a source
    tree, an installation, or /usr/lib/xend/lib alike."""
    import _cffi_backend

    from xend.libxl import _xl

    folders = [
        Path(__file__).resolve().parents[2],
        Path(_xl.__file__).resolve().parents[2],
        Path(_cffi_backend.__file__).resolve().parent,
    ]
    return list(dict.fromkeys(map(str, folders)))


def _pidfd(pid: int) -> int:
    """A descriptor by which a child can be killed, and nobody else by mistake; -1: it has ended."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return -1


class Worker:
    """One process; one request at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._pidfd = _pidfd(process.pid)
        self._stderr: deque[str] = deque(maxlen=_STDERR_LINES)
        self._pump = asyncio.create_task(self._read_stderr(), name=f"worker-{process.pid}-stderr")
        self.uses = 0
        self.fit = True
        """Whether it may serve again."""

    @classmethod
    async def spawn(cls, argv: list[str], fds: Sequence[int] = ()) -> Worker:
        """Returns when it is ready; raises HypervisorUnavailable if it cannot be.  `fds`: what it
        gets beside its pipes, under the same numbers."""
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_LINE_LIMIT,
            start_new_session=True,
            cwd="/",
            pass_fds=fds,
        )
        worker = cls(process)
        hello: dict[str, Any] | None = None
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(_START_SECONDS):
                    hello = await worker._read()
        finally:
            if hello is None or "ready" not in hello:
                await worker.kill()
        if not worker.alive:
            said = (hello or {}).get("error", {}).get("log") or [worker._last_words()]
            raise HypervisorUnavailable(
                reason=f"a worker process did not start: {failures.cause(said)}",
                remedy="See the daemon's log.",
            )
        return worker

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    @property
    def status(self) -> str:
        """How it ended."""
        code = self._process.returncode
        if code is None:
            return "still running"
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"

    async def serve(
        self,
        request: Mapping[str, Any],
        on_progress: OnProgress,
        ready: Callable[[], Awaitable[object]] | None = None,
    ) -> Any:
        """The result; raises what the worker says, or WorkerCrashed.  Cancelled: kills it.

        `ready`: what the request's `hold` waits for; if that fails the worker is killed."""
        self._stderr.clear()
        self.uses += 1
        operation, domid = str(request["op"]), request.get("domid")
        self.fit = False
        try:
            await self._write(json.dumps(request))
            mark("to worker", operation)
            if ready is not None:
                await ready()
                await self._write("go")
                mark("worker may go")
            while (message := await self._read()) is not None and "progress" in message:
                domid = message["domid"] or domid
                on_progress(message)
        except (asyncio.CancelledError, XendError):
            await self.kill()
            raise
        mark("from worker", operation)
        if message is None:
            await self.kill()
            raise failures.crashed(operation, self.status, list(self._stderr), domid)
        if "error" in message:
            await asyncio.sleep(_STDERR_SETTLES)
            spoken = [line for line in self._stderr if not line.startswith("libxl: ")]
            raise self._failure(request, message["error"], spoken)
        self.fit = self.uses < _MOST_USES and message.get("rss", 0) < _MOST_RSS_KIB
        return message["result"]

    def _failure(
        self, request: Mapping[str, Any], error: dict[str, Any], spoken: list[str]
    ) -> XendError:
        if request.get("config"):
            build = json.loads(request["config"]).get("b_info", {})
            error.setdefault("bootloader", build.get("bootloader"))
        return failures.from_reply(str(request["op"]), error, spoken, request.get("domid"))

    async def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        with suppress(ConnectionError):  # it died: the read that follows sees the end
            self._process.stdin.write(line.encode() + b"\n")
            await self._process.stdin.drain()

    async def _read(self) -> dict[str, Any] | None:
        """None at the end."""
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line.endswith(b"\n"):
            return None
        message: dict[str, Any] = json.loads(line)
        return message

    async def _read_stderr(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            text = line.decode("utf-8", "replace").rstrip()
            self._stderr.append(text)
            log.debug("worker %d: %s", self.pid, text)

    def _last_words(self) -> str:
        return self._stderr[-1] if self._stderr else "it said nothing"

    async def kill(self) -> None:
        """SIGKILL, and waits for the end.  Its scripts run on: half of one is worse than all."""
        if self._pidfd >= 0:
            # Not Process.kill(): it polls first, and may so take the exit status away from
            # asyncio's own watcher, which then reports 255.
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            os.close(self._pidfd)
            self._pidfd = -1
        await self._process.wait()
        # A script may hold the pipe open: what is there now has to do.
        await asyncio.wait({self._pump}, timeout=0.2)
        self._pump.cancel()
        await asyncio.gather(self._pump, return_exceptions=True)

    async def retire(self) -> None:
        """Lets it end by itself."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(5):
                await self._process.wait()
        except TimeoutError:
            log.warning("worker %d does not end: killed", self.pid)
        await self.kill()


class Pool:
    """At most `limit` operations that keep a processor busy at once; the rest wait in order."""

    def __init__(self, limit: int, command: Sequence[str] | None = None) -> None:
        """`command`: what to run instead of the worker, for tests."""
        self._limit = limit
        self._slots = asyncio.Semaphore(limit)
        self._argv = list(command or ())
        self._all: set[Worker] = set()
        self._idle: list[Worker] = []
        self._spare: asyncio.Task[None] | None = None
        self._spare_timer: asyncio.TimerHandle | None = None
        self._trim_timer: asyncio.TimerHandle | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def pids(self) -> list[int]:
        """Of all workers that live."""
        return [worker.pid for worker in self._all]

    def start(self) -> None:
        """Begins to warm the spare; does not wait for it."""
        if not self._argv:
            here = [str(os.getpid()), *search_path()]
            self._argv = [sys.executable, "-I", "-S", "-c", _BOOT, *here]
        self._warm_spare()

    async def lend(self, fd: int, request: Mapping[str, Any], on_progress: OnProgress) -> Any:
        """An operation that waits for the network, with the descriptor `fd`, in a process of its
        own that takes none of the places."""
        worker = await self._spawn((fd,))
        try:
            return await worker.serve({**request, "fd": fd}, on_progress)
        finally:
            self._dismiss(worker)

    async def run(
        self,
        request: Mapping[str, Any],
        on_progress: OnProgress,
        *,
        waits: bool = False,
        ready: Callable[[], Awaitable[object]] | None = None,
    ) -> Any:
        """Raises what `Worker.serve` does.

        `waits`: the operation mostly waits for somebody else, perhaps for a person at a boot
        loader's menu, so it takes none of the places that others queue for.
        """
        async with contextlib.nullcontext() if waits else self._slots:
            worker = await self._take()
            try:
                return await worker.serve(request, on_progress, ready)
            finally:
                self._give_back(worker)

    async def _take(self) -> Worker:
        worker = self._warm_one()
        if worker is None and self._spare is not None:
            await asyncio.wait({self._spare})
            worker = self._warm_one()
        if worker is None:
            worker = await self._spawn()
        if not self._idle and self._spare is None and self._spare_timer is None:
            loop = asyncio.get_running_loop()
            self._spare_timer = loop.call_later(_SPARE_DELAY, self._warm_spare)
        return worker

    def _warm_one(self) -> Worker | None:
        while self._idle:
            worker = self._idle.pop()
            if worker.alive:
                return worker
            self._dismiss(worker)
        return None

    def _give_back(self, worker: Worker) -> None:
        if worker.fit and worker.alive and len(self._idle) < self._limit:
            self._idle.append(worker)
            if len(self._idle) > 1 and self._trim_timer is None:
                loop = asyncio.get_running_loop()
                self._trim_timer = loop.call_later(_LINGER, self._trim)
        else:
            self._dismiss(worker)
        if not self._idle and self._spare is None:
            self._warm_spare()

    def _trim(self) -> None:
        """One idle worker is enough: the one that was used last stays."""
        self._trim_timer = None
        while len(self._idle) > 1:
            self._dismiss(self._idle.pop(0))

    async def _spawn(self, fds: Sequence[int] = ()) -> Worker:
        worker = await Worker.spawn(self._argv, fds)
        self._all.add(worker)
        return worker

    def _warm_spare(self) -> None:
        if self._spare_timer is not None:
            self._spare_timer.cancel()
            self._spare_timer = None
        if not self._idle and not self._closed and self._spare is None:
            self._spare = asyncio.create_task(self._add_spare(), name="libxl-spare-worker")

    async def _add_spare(self) -> None:
        try:
            self._idle.append(await self._spawn())
        except (OSError, HypervisorUnavailable) as error:
            log.error("no spare worker: %s", error)
        finally:
            self._spare = None

    def _dismiss(self, worker: Worker) -> None:
        if self._closed:
            return  # close() sees to all of them
        task = asyncio.create_task(self._let_go(worker), name=f"libxl-retire-{worker.pid}")
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _let_go(self, worker: Worker) -> None:
        await worker.retire()
        self._all.discard(worker)

    async def close(self) -> None:
        """Kills every worker: whoever has an operation running gets WorkerCrashed."""
        self._closed = True
        for timer in (self._spare_timer, self._trim_timer):
            if timer is not None:
                timer.cancel()
        tasks = [*self._leaving, *([self._spare] if self._spare else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(worker.kill() for worker in self._all))
        self._all.clear()
        self._idle.clear()
