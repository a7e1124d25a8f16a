"""The warm command line process beside the daemon: kept alive, started again when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

log = logging.getLogger("xend.warm")

FIRST_DELAY = 0.5
LONGEST_DELAY = 60.0
LONG_LIFE = 60.0
"""Seconds after which a death is not counted against it."""
PATIENCE = 3.0
"""Seconds that it has to end by itself."""


_START = "import sys; sys.path.append({root!r}); from xend.cli.warm import main; main(sys.argv[1:])"


def warm_command(socket: Path) -> list[str]:
    """Isolated, and without the site packages: the command line needs neither."""
    root = str(Path(__file__).parents[2])
    return [
        sys.executable,
        "-I",
        "-S",
        "-c",
        _START.format(root=root),
        "--socket",
        str(socket),
        "--parent",
        str(os.getpid()),
    ]


class WarmProcess:
    """`argv` is run again and again.  What it writes to stderr goes to ours."""

    def __init__(self, argv: Sequence[str], socket: Path) -> None:
        self._argv = list(argv)
        self._socket = socket
        self._task: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._delay = FIRST_DELAY

    def start(self) -> None:
        self._task = asyncio.create_task(self._keep_alive(), name="xend-warm-cli")

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
            self._socket.unlink(missing_ok=True)

    async def _keep_alive(self) -> None:
        while True:
            began = time.monotonic()
            status = await self._run_once()
            if time.monotonic() - began > LONG_LIFE:
                self._delay = FIRST_DELAY
            log.warning(
                "the warm command line process ended (%s); again in %.1f s", status, self._delay
            )
            await asyncio.sleep(self._delay)
            self._delay = min(self._delay * 2, LONGEST_DELAY)

    async def _run_once(self) -> str:
        try:
            process = await asyncio.create_subprocess_exec(
                *self._argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                cwd="/",
            )
        except OSError as error:
            return str(error)
        self._process = process
        try:
            return f"status {await process.wait()}"
        finally:
            self._process = None
            await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Asks it to end, then ends it."""
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), PATIENCE)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
