"""One QEMU: its command line, its start, its end."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from labkit.commands import run
from labkit.errors import LabError
from labkit.image import Image
from labkit.qmp import Qmp

READY_LINE = "lab: ready"

# rodata=off spares the kernel a walk over its page tables, slow under emulation; and an emulated
# processor speculates nothing that would have to be kept from anybody.
DOM0_OPTIONS = "console=hvc0 panic=5 quiet loglevel=4 rodata=off mitigations=off"


@dataclass(frozen=True)
class Shape:
    """What must be equal for a saved state to fit: the machine as a guest sees it."""

    accel: str
    cpu: str
    memory: int
    dom0_memory: int
    cpus: int
    networked: bool

    def xen_options(self) -> str:
        """Xen's command line."""
        return (
            "console=com1 com1=115200 loglvl=info guest_loglvl=info bootscrub=0 spec-ctrl=no "
            f"dom0_mem={self.dom0_memory}M,max:{self.dom0_memory}M dom0_max_vcpus={self.cpus}"
        )


@dataclass(frozen=True)
class Host:
    """Where one QEMU of a lab keeps its things."""

    index: int
    folder: Path
    sockets: Path

    @property
    def serial(self) -> Path:
        """What Xen and dom0's kernel print."""
        return self.folder / "serial.log"

    @property
    def disk(self) -> Path:
        """The overlay that takes dom0's writes."""
        return self.folder / "disk.qcow2"

    @property
    def qmp(self) -> Path:
        """The control socket of QEMU."""
        return self.sockets / f"qmp{self.index}"

    @property
    def stderr(self) -> Path:
        """QEMU's own complaints."""
        return self.folder / "qemu.log"


def free_port() -> int:
    """A TCP port that nobody on this machine listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def overlay(backing: Path, disk: Path, backing_format: str = "raw") -> None:
    """A new disk whose reads come from another and whose writes stay in it."""
    disk.unlink(missing_ok=True)
    run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-F", backing_format, "-b", backing, disk],
        what="making a disk overlay",
    )


def qemu_command(
    shape: Shape,
    image: Image,
    host: Host,
    ssh_port: int,
    network: Sequence[str] = (),
    incoming: Path | None = None,
) -> list[str]:
    """The whole command line; `network` are the options of the back end that joins the hosts."""
    accel = "tcg,thread=multi" if shape.accel == "tcg" else shape.accel
    command = [
        "qemu-system-x86_64",
        *("-name", f"xend-lab{host.index}"),
        "-nodefaults",
        "-no-reboot",
        *("-accel", accel),
        *("-cpu", shape.cpu),
        *("-smp", str(shape.cpus)),
        *("-m", str(shape.memory)),
        *("-display", "none"),
        *("-serial", f"file:{host.serial}"),
        *("-qmp", f"unix:{host.qmp},server=on,wait=off"),
        *("-kernel", str(image.hypervisor)),
        *("-append", shape.xen_options()),
        *("-initrd", f"{image.kernel} {DOM0_OPTIONS},{image.initrd}"),
        *("-drive", f"file={host.disk},if=none,id=disk,format=qcow2,cache=unsafe"),
        *("-device", "virtio-blk-pci,drive=disk"),
        *("-netdev", f"user,id=way,hostfwd=tcp:127.0.0.1:{ssh_port}-:22"),
        *("-device", "virtio-net-pci,netdev=way,romfile=,mac=52:54:00:77:00:01"),
    ]
    if shape.networked:
        command += network
        command += ["-device", "virtio-net-pci,netdev=lan,romfile=,mac=52:54:00:77:01:00"]
    if incoming is not None:
        command += ["-incoming", f"exec:cat {incoming}"]
    return command


def start(command: list[str], host: Host) -> int:
    """Start QEMU in the background and return its process id."""
    host.serial.unlink(missing_ok=True)
    host.qmp.unlink(missing_ok=True)
    with host.stderr.open("wb") as sink:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            cwd=host.folder,
            start_new_session=True,
        )
    return process.pid


def command_of(pid: int) -> list[str]:
    """The command line of a QEMU that runs, to start the same machine again: with its disk as it
    is then, and from the beginning even if this one had woken from a saved state."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[:-1]
    if "-incoming" in words:
        at = words.index("-incoming")
        del words[at : at + 2]
    return words


def started_at(pid: int) -> str:
    """When a process began, in the kernel's ticks: with the pid it is unique in one boot."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    # A zombie has ended, though its parent has not asked yet.
    return "" if fields[0] == "Z" else fields[19]


def complaint(host: Host) -> str:
    """The last thing that QEMU said."""
    with contextlib.suppress(OSError):
        lines = host.stderr.read_text(errors="replace").strip().splitlines()
        if lines:
            return lines[-1]
    return "it gave no reason"


def wait_ready(pid: int, host: Host, timeout: float) -> None:
    """Wait for the line that dom0 prints at the end of its boot."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if READY_LINE in host.serial.read_text(errors="replace"):
                return
        if not started_at(pid):
            raise LabError(f"QEMU of host {host.index} ended: {complaint(host)}")
        time.sleep(0.1)
    raise LabError(
        f"dom0 of host {host.index} was not ready after {timeout:.0f} s",
        f"its boot is in {host.serial}; on a busy machine, raise XEND_LAB_TIMEOUT",
    )


def stop(pid: int, started: str, host: Host) -> None:
    """End QEMU: politely, then not."""
    if started_at(pid) != started or not started:
        return
    with contextlib.suppress(LabError), Qmp(host.qmp, timeout=5) as qmp:
        qmp.command("quit")
    for attempt in range(100):
        # Our own child would stay a zombie for as long as we live.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        if started_at(pid) != started:
            return
        if attempt == 50:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
