"""A lab: one or several Xen hosts that run, are found again, and end."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from labkit import accel, snapshot
from labkit.cache import Cache
from labkit.errors import LabError
from labkit.hosttools import RUN_TOOLS, ensure
from labkit.image import Image, ensure_image, find_image
from labkit.machine import (
    Host,
    Shape,
    command_of,
    complaint,
    free_port,
    overlay,
    qemu_command,
    start,
    started_at,
    stop,
    wait_ready,
)
from labkit.measures import Measures
from labkit.progress import Progress
from labkit.releases import Release
from labkit.remote import Remote

MOST_HOSTS = 8
BOOT_SECONDS = 240.0
ENTER_SECONDS = 60.0
PORT_TRIES = 3
KEPT_LOGS = 20
LEAST_MIB = 256
"""That dom0 boots with, and that must be left for guests."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")


@dataclass(frozen=True)
class Wish:
    """What `up` was asked for."""

    release: Release
    hosts: int = 1
    memory: int = 4096
    dom0_memory: int = 1024
    cpus: int = 0
    cold: bool = False

    def shape(self) -> Shape:
        """The machine of one host; which acceleration it gets is found out later."""
        # Two emulated CPUs per host gain nothing when hosts share two real ones.
        cpus = self.cpus or (2 if self.hosts == 1 else 1)
        return Shape("tcg", accel.PLAIN_CPU, self.memory, self.dom0_memory, cpus, self.hosts > 1)


@dataclass(frozen=True)
class Running:
    """One QEMU process of a lab."""

    pid: int
    started: str
    port: int

    @property
    def alive(self) -> bool:
        """Whether it is still this process, and not another one of the same number."""
        return bool(self.started) and started_at(self.pid) == self.started


@dataclass(frozen=True)
class State:
    """What is written down about a lab that was started."""

    xen: str
    image: str
    accel: str
    why: str
    how: str
    seconds: float
    hosts: tuple[Running, ...]

    def to_json(self) -> str:
        """As the state file holds it."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> State:
        """Read the state file."""
        fields: dict[str, Any] = json.loads(text)
        hosts = tuple(Running(**host) for host in fields.pop("hosts"))
        return cls(hosts=hosts, **fields)


class Lab:
    """A named lab of a cache."""

    def __init__(self, cache: Cache, name: str, progress: Progress) -> None:
        if not NAME.fullmatch(name):
            raise LabError(
                f"{name!r} cannot be a lab's name", "letters, digits, - and _; it names a folder"
            )
        self.cache = cache
        self.name = name
        self.progress = progress
        self.folder = cache.run_dir(name)

    @property
    def state_file(self) -> Path:
        """Where the state is written."""
        return self.folder / "state.json"

    def state(self) -> State | None:
        """What runs now; None when nothing does, whatever an old file says."""
        try:
            state = State.from_json(self.state_file.read_text())
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return state if all(host.alive for host in state.hosts) else None

    def host(self, index: int) -> Host:
        """The files of one host."""
        folder = self.folder / f"host{index}"
        folder.mkdir(exist_ok=True)
        return Host(index, folder, self.cache.socket_dir(self.name))

    def remote(self, index: int, state: State | None = None) -> Remote:
        """The way into one host of a running lab."""
        state = state or self.state()
        if state is None:
            raise LabError("the lab is not running", "start it with: scripts/lab up")
        if not 0 <= index < len(state.hosts):
            count = len(state.hosts)
            raise LabError(f"there is no host {index}: the lab has {count}, counted from 0")
        return self._remote(index, state.hosts[index])

    def _remote(self, index: int, running: Running) -> Remote:
        control = self.cache.socket_dir(self.name) / f"ssh{index}"
        return Remote(index, running.port, self.cache.folder("keys"), control)

    def up(self, wish: Wish) -> State:
        """Start the lab, from a snapshot where there is one."""
        if not 1 <= wish.hosts <= MOST_HOSTS:
            raise LabError(f"--hosts {wish.hosts}: between 1 and {MOST_HOSTS} are possible")
        if not LEAST_MIB <= wish.dom0_memory <= wish.memory - LEAST_MIB:
            raise LabError(
                f"--memory {wish.memory} --dom0-mem {wish.dom0_memory}: dom0 needs {LEAST_MIB} MiB "
                f"at least, and its guests as much beside it"
            )
        with self.cache.lock(f"lab-{self.name}", "another up or down is under way; waiting"):
            running = self.state()
            if running is not None:
                self._check_same(running, wish)
                self.progress.say("the lab is running already")
                newest = find_image(self.cache, wish.release)
                if newest is not None and str(newest.folder) != running.image:
                    self.progress.say("  from an older image; for the new one: down, then up")
                return running
            boot_timeout()
            self._end_remains()
            ensure(RUN_TOOLS, self.progress)
            image = ensure_image(self.cache, wish.release, self.progress)
            found = accel.choose(self.cache, image, wish.shape(), self.progress)
            shape = replace(wish.shape(), accel=found.kind, cpu=found.cpu)
            self.progress.say(f"acceleration: {found.kind} ({found.why})")
            if found.detail:
                self.progress.say(f"  {found.detail}")
            return self._boot(wish, image, shape, found)

    def _check_same(self, running: State, wish: Wish) -> None:
        if running.xen != wish.release.xen or len(running.hosts) != wish.hosts:
            raise LabError(
                f"a lab with Xen {running.xen} and {len(running.hosts)} host(s) is running",
                "end it first (scripts/lab down), or use --name for a second one",
            )

    def _boot(self, wish: Wish, image: Image, shape: Shape, found: accel.Acceleration) -> State:
        """Boot from a snapshot; cold when there is none, or when it does not wake."""
        kept = None if wish.cold else snapshot.find(self.cache, image, shape)
        if kept is not None:
            try:
                return self._boot_once(wish, image, shape, found, kept)
            except LabError as err:
                self.progress.say(f"the snapshot is of no use, booting cold: {err.cause}")
                snapshot.forget(kept)
        return self._boot_once(wish, image, shape, found, None)

    def _boot_once(
        self,
        wish: Wish,
        image: Image,
        shape: Shape,
        found: accel.Acceleration,
        kept: snapshot.Kept | None,
    ) -> State:
        how = "cold" if kept is None else "snapshot"
        for stale in self.folder.glob("host*"):
            shutil.rmtree(stale)
        ports = [free_port() for _ in range(1, wish.hosts)]
        hosts: list[Running] = []
        begun = time.monotonic()
        try:
            what = "booting" if kept is None else "waking a snapshot of"
            with self.progress.step(f"{what} a host with Xen {wish.release.xen}"):
                hosts.append(self._start(0, image, shape, ports, kept))
                self._note_started(hosts)
                self._wait(0, hosts[0], kept)
                self._enter(0, hosts[0], kept)
            seconds = round(time.monotonic() - begun, 1)
            if kept is None:
                Measures(self.cache).boot(wish.release.xen, how, 1, seconds)
                kept = self._save_snapshot(image, shape, hosts[0])
            if wish.hosts > 1:
                with self.progress.step(f"adding {wish.hosts - 1} host(s)"):
                    for index in range(1, wish.hosts):
                        hosts.append(self._start(index, image, shape, ports, kept))
                        self._note_started(hosts)
                    for index in range(1, wish.hosts):
                        self._wait(index, hosts[index], kept)
                        self._enter(index, hosts[index], kept)
                seconds = round(time.monotonic() - begun, 1)
            if how == "snapshot" or wish.hosts > 1:
                Measures(self.cache).boot(wish.release.xen, how, wish.hosts, seconds)
        except BaseException as err:
            place = self._keep_logs(hosts)
            self._stop(hosts)
            if isinstance(err, LabError):
                err.kept = place
            raise
        state = State(
            xen=wish.release.xen,
            image=str(image.folder),
            accel=found.kind,
            why=found.why,
            how=how,
            seconds=seconds,
            hosts=tuple(hosts),
        )
        self._write(state)
        return state

    def _enter(self, index: int, running: Running, kept: snapshot.Kept | None) -> None:
        """Open the way in; tell a host who it is and what time it is."""
        remote = self._remote(index, running)
        remote.open(ENTER_SECONDS, running.pid)
        if kept is not None or index > 0:
            remote.run(f"/usr/lib/xend-lab/identity {index} {time.time():.2f}")

    def _start(
        self, index: int, image: Image, shape: Shape, ports: list[int], kept: snapshot.Kept | None
    ) -> Running:
        host = self.host(index)
        if kept is None:
            overlay(image.disk, host.disk)
        else:
            overlay(kept.disk, host.disk, "qcow2")
        for attempt in range(1, PORT_TRIES + 1):
            port = free_port()
            command = qemu_command(
                shape,
                image,
                host,
                port,
                network_options(index, ports) if shape.networked else [],
                kept.state if kept else None,
            )
            pid = start(command, host)
            begun = started_at(pid)
            time.sleep(0.3)
            if started_at(pid):
                return Running(pid, begun, port)
            if "host forwarding" not in complaint(host) or attempt == PORT_TRIES:
                break
        raise LabError(f"QEMU does not start: {complaint(host)}")

    def _wait(self, index: int, running: Running, kept: snapshot.Kept | None) -> None:
        host = self.host(index)
        if kept is not None:
            snapshot.resume(host, running.pid)
            return
        wait_ready(running.pid, host, boot_timeout())

    def _save_snapshot(self, image: Image, shape: Shape, running: Running) -> snapshot.Kept | None:
        """Keep this fresh boot, so that the next ones take a second or two."""
        remote = self._remote(0, running)
        try:
            with self.progress.step("keeping a snapshot for quicker boots"):
                # What everybody will start first shall be in dom0's page cache.
                remote.run("sync; xl list >/dev/null; python3 -c 'import json, socket'")
                remote.close()
                snapshot.save(self.cache, image, shape, self.host(0))
        except LabError as err:
            self.progress.say(f"no snapshot kept: {err.cause}")
        remote.open(ENTER_SECONDS, running.pid)
        return snapshot.find(self.cache, image, shape)

    def _write(self, state: State) -> None:
        part = self.state_file.with_suffix(".part")
        part.write_text(state.to_json())
        part.rename(self.state_file)

    def reboot(self, index: int) -> State:
        """Power a host off and on: its disk is kept, its memory is not, so no domain is left."""
        with self.cache.lock(f"lab-{self.name}", "another up or down is under way; waiting"):
            remote = self.remote(index)
            state = self.state()
            assert state is not None, "there is a way in, so it runs"
            old, host = state.hosts[index], self.host(index)
            begun = time.monotonic()
            with self.progress.step(f"rebooting host {index}"):
                remote.run("sync; echo u >/proc/sysrq-trigger")  # read-only, whoever still writes
                remote.close()
                command = command_of(old.pid)
                stop(old.pid, old.started, host)
                pid = start(command, host)
                new = Running(pid, started_at(pid), old.port)
                hosts = [*state.hosts]
                hosts[index] = new
                self._note_started(hosts)
                self._wait(index, new, None)
                self._enter(index, new, None)
            seconds = round(time.monotonic() - begun, 1)
            state = replace(state, how="reboot", seconds=seconds, hosts=tuple(hosts))
            self._write(state)
            return state

    def down(self) -> bool:
        """End the lab; whether there was one."""
        with self.cache.lock(f"lab-{self.name}", "another up or down is under way; waiting"):
            return self._end_remains()

    @property
    def _started_file(self) -> Path:
        """Processes that were started, written before they are of any use to anybody."""
        return self.folder / "started.json"

    def _note_started(self, hosts: list[Running]) -> None:
        """So that even a killed `up` leaves no QEMU that nobody knows of."""
        self._started_file.write_text(json.dumps([asdict(host) for host in hosts]))

    def _end_remains(self) -> bool:
        """End whatever an earlier `up` has started, complete or not."""
        try:
            hosts = [Running(**host) for host in json.loads(self._started_file.read_text())]
        except (OSError, ValueError, TypeError):
            hosts = []
        was_alive = any(host.alive for host in hosts)
        self._stop(hosts)
        for file in (self.state_file, self._started_file):
            file.unlink(missing_ok=True)
        for disk in self.folder.glob("host*/*.qcow2"):
            disk.unlink()
        return was_alive

    def _stop(self, hosts: list[Running]) -> None:
        for index, running in enumerate(hosts):
            if running.alive:
                self._remote(index, running).close()
                stop(running.pid, running.started, self.host(index))

    def _keep_logs(self, hosts: list[Running]) -> Path | None:
        """Copy what a failed boot has written, before the next one overwrites it."""
        target = self.new_log_folder()
        with contextlib.suppress(OSError):
            for index in range(len(hosts)):
                host = self.host(index)
                for log in (host.serial, host.stderr):
                    if log.exists():
                        shutil.copy(log, target / f"host{index}-{log.name}")
            return target
        return None

    def new_log_folder(self) -> Path:
        """A folder of its own for what is collected now; the oldest ones go."""
        stamp = time.strftime("%Y%m%d-%H%M%S")
        folders = sorted(path for path in self.cache.folder("logs").iterdir() if path.is_dir())
        for old in folders[: -KEPT_LOGS + 1]:
            shutil.rmtree(old, ignore_errors=True)
        return self.cache.folder("logs", f"{stamp}-{self.name}")


def boot_timeout() -> float:
    """Seconds that a cold boot may take."""
    text = os.environ.get("XEND_LAB_TIMEOUT", str(BOOT_SECONDS))
    try:
        return float(text)
    except ValueError as err:
        raise LabError(f"XEND_LAB_TIMEOUT is {text!r}", "it is a number of seconds") from err


def network_options(index: int, ports: list[int]) -> list[str]:
    """QEMU options for the network that joins the hosts.

    Host 0 is the switch: it listens for each of the others, and a hub joins
    them with its own card.  Plain sockets, so that no right is needed.
    """
    if index > 0:
        return ["-netdev", f"socket,id=lan,connect=127.0.0.1:{ports[index - 1]}"]
    options = ["-netdev", "hubport,id=lan,hubid=0"]
    for peer, port in enumerate(ports, start=1):
        options += ["-netdev", f"socket,id=peer{peer},listen=127.0.0.1:{port}"]
        options += ["-netdev", f"hubport,id=hub{peer},hubid=0,netdev=peer{peer}"]
    return options
