"""The daemon's life: start, serve, reload, stop."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import logging
import os
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from xend.api.faces import Faces
from xend.api.facts import LinuxFacts
from xend.api.sockets import Listeners, inherited_sockets, make_directory
from xend.daemon.compose import compose
from xend.daemon.garbage import Garbage
from xend.daemon.heartbeat import Heartbeat
from xend.daemon.logs import Log
from xend.daemon.notify import Notifier
from xend.daemon.options import ALREADY_RUNNING, READY, Options
from xend.daemon.pidfile import AlreadyRunning, PidFile
from xend.daemon.restparts import rest_parts
from xend.daemon.settings import WARM_SOCKET, Settings, load
from xend.daemon.stopping import apply_stop_policies
from xend.daemon.warm import WarmProcess, warm_command
from xend.errors import XendError

log = logging.getLogger("xend.daemon")
NICE: Final = -10


def run(options: Options) -> int:
    """Serves until a signal ends it; the exit code."""
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR2, all_threads=True)
    if options.status_fd is not None:
        os.set_inheritable(options.status_fd, False)
    os.umask(0o022)
    try:
        asyncio.run(_Daemon(options).life())
    except AlreadyRunning as error:
        _report(options, ALREADY_RUNNING if options.status_fd is not None else f"xend: {error}")
        return 1
    except XendError as error:
        _report(options, f"xend: {error}")
        return 1
    return 0


def _tell(settings: Settings) -> None:
    for warning in settings.warnings:
        log.warning("%s", warning)


def _report(options: Options, text: str) -> None:
    """To the starter's terminal if there is one, else to ours."""
    if options.status_fd is None:
        print(text, file=sys.stderr)
        return
    with contextlib.suppress(OSError):  # the starter has gone: the log has it too
        os.write(options.status_fd, f"{text}\n".encode())


def _go_first() -> None:
    """Whoever only looks is answered while builds, their hotplug scripts and boot loaders want all
    CPUs.  Our session is its own group for the scheduler where sched_autogroup_enabled is set, and
    there nice alone has no effect beyond it (sched(7)); workers go back to 0."""
    with contextlib.suppress(OSError):  # In a container, perhaps: then it waits its turn.
        os.setpriority(os.PRIO_PROCESS, 0, NICE)
        Path("/proc/self/autogroup").write_text(str(NICE))


class _Daemon:
    def __init__(self, options: Options) -> None:
        self._options = options
        self._notifier = Notifier(os.environ)
        self._log = Log()
        self._garbage = Garbage()
        self._stop = asyncio.Event()
        self._reloads = asyncio.Event()
        self._settings: Settings

    async def life(self) -> None:
        options = self._options
        async with AsyncExitStack() as stack:
            pid_file = PidFile(options.pid_file)
            make_directory(options.run_dir)
            pid_file.take()
            stack.callback(pid_file.release)
            self._settings = settings = load(options)
            self._log.start(settings.log_file, settings.log_level, stderr=options.status_fd is None)
            stack.callback(self._log.close)
            _tell(settings)
            if options.hypervisor == "xen":
                _go_first()
            try:
                await self._serve(stack, settings)
            except XendError as error:
                log.error("%s", error)
                raise

    def _alive(self) -> None:
        self._notifier.alive()
        self._garbage.beat()

    async def _serve(self, stack: AsyncExitStack, settings: Settings) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reloads.set)
        heartbeat = Heartbeat(self._alive, self._notifier.watchdog_seconds)
        heartbeat.start()
        stack.push_async_callback(heartbeat.close)
        listeners = Listeners(inherited_sockets(os.environ))
        stack.callback(listeners.close)
        service, counters = await compose(self._options, settings, stack)
        rest = await rest_parts(service, counters, heartbeat, settings, stack)
        faces = Faces(listeners, service, LinuxFacts(settings.log_file), rest)
        stack.push_async_callback(faces.close)
        self._must_serve(await faces.apply(settings.faces))
        self._start_warm(stack)
        self._ready()
        await self._until_stopped(faces)
        self._notifier.stopping()
        log.info("Xend Daemon stopping")
        await faces.close()
        await apply_stop_policies(service)

    @staticmethod
    def _must_serve(errors: list[XendError]) -> None:
        """Without its own sockets nobody could use it; a busy TCP port is only logged."""
        for error in errors:
            if "/" in str(error.fields.get("value", "")):
                raise error

    def _start_warm(self, stack: AsyncExitStack) -> None:
        if not (self._notifier.listening or self._options.status_fd is not None):
            return
        socket = self._options.run_dir / WARM_SOCKET
        warm = WarmProcess(warm_command(socket), socket)
        warm.start()
        stack.push_async_callback(warm.close)

    def _ready(self) -> None:
        log.info("Xend Daemon started")
        self._garbage.start()
        self._notifier.ready()
        if self._options.status_fd is not None:
            with contextlib.suppress(OSError):
                os.write(self._options.status_fd, f"{READY}\n".encode())
                os.close(self._options.status_fd)

    async def _until_stopped(self, faces: Faces) -> None:
        stopped = asyncio.create_task(self._stop.wait(), name="xend-stop")
        while not stopped.done():
            reload = asyncio.create_task(self._reloads.wait(), name="xend-reload")
            await asyncio.wait([stopped, reload], return_when=asyncio.FIRST_COMPLETED)
            reload.cancel()
            if self._reloads.is_set() and not stopped.done():
                self._reloads.clear()
                await self._reload(faces)

    async def _reload(self, faces: Faces) -> None:
        """A configuration with an error in it changes nothing."""
        self._notifier.reloading()
        try:
            settings = load(self._options)
        except XendError as error:
            log.error("not reloaded: %s", error)
        else:
            self._log.set_level(settings.log_level)
            _tell(settings)
            faces.rest.rules, faces.rest.paths = settings.rest, settings.rest_paths
            await faces.apply(settings.faces)
            if settings.service != self._settings.service:
                log.warning(
                    "options of memory, dumps and sending guests are read at the next start only"
                )
            self._settings = settings
            log.info("Xend Daemon reloaded its configuration")
            with contextlib.suppress(OSError):
                os.utime(self._options.pid_file)
        self._notifier.ready()
