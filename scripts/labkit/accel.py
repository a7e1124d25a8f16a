"""Which acceleration QEMU gets: tried, not guessed.

A /dev/kvm that opens proves little: some hosts run a BIOS with it and then trip
over the first unusual instruction of Xen.  So the lab boots its own image once
with it and remembers the outcome for this machine.
"""

from __future__ import annotations

import contextlib
import grp
import json
import os
import platform
import shutil
import signal
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from labkit.cache import Cache, digest
from labkit.commands import run
from labkit.errors import LabError
from labkit.image import Image
from labkit.machine import (
    READY_LINE,
    Host,
    Shape,
    complaint,
    free_port,
    overlay,
    qemu_command,
    start,
    started_at,
    stop,
)
from labkit.progress import Progress
from labkit.qmp import Qmp

KVM = Path("/dev/kvm")
KVM_CPUS = ("host", "qemu64")
PROBE_SECONDS = 40.0
CHOICES = ("auto", "kvm", "tcg")

# Without +npt Xen has no hardware-assisted paging, and Debian's builds no other.
# rdrand gives every kernel its random numbers at once.
PLAIN_CPU = "qemu64,+svm,+npt,+rdrand"


@dataclass(frozen=True)
class Acceleration:
    """An accelerator with its CPU model, and why it was taken."""

    kind: str
    cpu: str
    why: str
    detail: str = ""


TCG = Acceleration("tcg", PLAIN_CPU, "software emulation")


def choose(cache: Cache, image: Image, shape: Shape, progress: Progress) -> Acceleration:
    """The fastest acceleration that really boots Xen here, or what the user forces."""
    wanted = os.environ.get("XEND_LAB_ACCEL", "auto")
    if wanted not in CHOICES:
        raise LabError(f"XEND_LAB_ACCEL is {wanted!r}", f"it may be one of: {', '.join(CHOICES)}")
    if wanted == "tcg":
        return replace(TCG, why="software emulation, as XEND_LAB_ACCEL=tcg asks")
    reason = _kvm_unusable()
    if reason:
        if wanted == "kvm":
            raise LabError(f"XEND_LAB_ACCEL asks for kvm, but {reason}")
        return replace(TCG, why=f"software emulation: {reason}")
    found = _remembered(cache) or _probe_and_remember(cache, image, shape, progress)
    if found.kind == "tcg" and wanted == "kvm":
        raise LabError(f"XEND_LAB_ACCEL asks for kvm, but {found.why}")
    return found


def _kvm_unusable() -> str:
    if not KVM.exists():
        return "this machine has no /dev/kvm"
    if not os.access(KVM, os.R_OK | os.W_OK):
        return f"you may not open /dev/kvm ({_way_to_kvm()})"
    return ""


def _way_to_kvm() -> str:
    """Which group opens it, if any does."""
    info = KVM.stat()
    if info.st_mode & 0o060 != 0o060:
        return "only root may"
    try:
        return f"join the group {grp.getgrgid(info.st_gid).gr_name}"
    except KeyError:
        return f"join the group {info.st_gid}"


def _memory_file(cache: Cache) -> Path:
    qemu = run(["qemu-system-x86_64", "--version"], what="asking QEMU for its version")
    machine = digest(platform.release(), platform.node(), _cpu_model(), qemu.splitlines()[0])
    return cache.folder("accel") / f"{machine}.json"


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line
    return ""


def _remembered(cache: Cache) -> Acceleration | None:
    path = _memory_file(cache)
    if not path.exists():
        return None
    return Acceleration(**json.loads(path.read_text()))


def _probe_and_remember(
    cache: Cache, image: Image, shape: Shape, progress: Progress
) -> Acceleration:
    with progress.step("trying whether Xen boots under KVM here (once per machine)"):
        failures: list[str] = []
        found = None
        for cpu in KVM_CPUS:
            failure = _boot_fails(image, replace(shape, accel="kvm", cpu=cpu))
            if not failure:
                found = Acceleration("kvm", cpu, "KVM")
                break
            failures.append(f"-cpu {cpu}: {failure}")
        if found is None:
            why = "software emulation: /dev/kvm is there, but Xen does not boot with it"
            found = replace(TCG, why=why, detail="; ".join(failures))
    _memory_file(cache).write_text(json.dumps(asdict(found), indent=2) + "\n")
    return found


def _boot_fails(image: Image, shape: Shape) -> str:
    """Why a boot with this shape does not come to its end; empty when it does."""
    folder = Path(tempfile.mkdtemp(prefix="xend-lab-probe-"))
    host = Host(0, folder, folder)
    try:
        overlay(image.disk, host.disk)
        pid = start(qemu_command(shape, image, host, free_port()), host)
        begun = started_at(pid)
        try:
            return _watch_boot(pid, host)
        finally:
            # A QEMU that KVM has let down does not answer a polite request.
            if started_at(pid) == begun:
                os.kill(pid, signal.SIGKILL)
            stop(pid, begun, host)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _watch_boot(pid: int, host: Host) -> str:
    deadline = time.monotonic() + PROBE_SECONDS
    while time.monotonic() < deadline:
        time.sleep(0.2)
        if not started_at(pid):
            return complaint(host)
        with contextlib.suppress(OSError):
            if "KVM internal error" in host.stderr.read_text(errors="replace"):
                return "KVM cannot execute an instruction of Xen"
        with contextlib.suppress(OSError):
            if READY_LINE in host.serial.read_text(errors="replace"):
                return ""
        with contextlib.suppress(LabError), Qmp(host.qmp, timeout=2) as qmp:
            status = qmp.command("query-status")["status"]
            if status not in ("running", "prelaunch", "inmigrate"):
                return f"QEMU stopped with {status}"
    return f"no end of the boot within {PROBE_SECONDS:.0f} s"
