"""The real xenstored, on any machine: `shim.c` stands in for the hypervisor.

Needs Debian's xen-utils-4.17 (or another version's: the newest found is taken), gcc and
libxen-dev.  What is missing is an error that names the package, never a skipped test.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

import pytest

_SHIM = Path(__file__).with_name("shim.c")
_HEADER = struct.Struct("=IIII")
_INTRODUCE, _RELEASE, _ERROR = 8, 9, 16
_START_SECONDS = 20


def find_xenstored() -> Path:
    # Not /usr/sbin/xenstored: Debian's is a wrapper that asks the running Xen for its version.
    found = sorted(Path("/usr/lib").glob("xen-*/bin/xenstored"))
    if not found:
        pytest.fail(
            "these tests run against the real xenstored: apt install xen-utils-4.17 "
            "(with --no-install-recommends; no Xen is needed)",
            pytrace=False,
        )
    return found[-1]


def build_shim(folder: Path) -> Path:
    """Compiles it into `folder`."""
    library = folder / "xsshim.so"
    if shutil.which("gcc") is None:
        pytest.fail("the stand-in for the hypervisor needs a compiler: apt install gcc libc6-dev")
    done = subprocess.run(
        ["gcc", "-shared", "-fPIC", "-O1", "-o", str(library), str(_SHIM), "-ldl"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.fail(
            "the stand-in for the hypervisor does not compile; if it is xenctrl.h that is "
            f"missing: apt install libxen-dev\n{done.stderr}",
            pytrace=False,
        )
    return library


class RealXenstored:
    """One daemon with a folder, and so a store, of its own."""

    def __init__(self, folder: Path, shim: Path) -> None:
        self.folder = folder
        self.socket = folder / "socket"
        self._shim = shim
        self._process: subprocess.Popen[bytes] | None = None
        self._program = find_xenstored()
        folder.mkdir(parents=True, exist_ok=True)
        os.mkfifo(folder / "virq")

    @property
    def environment(self) -> dict[str, str]:
        """What xenstored and its clients must have to meet here."""
        return {
            "XENSTORED_RUNDIR": str(self.folder),
            "XENSTORED_ROOTDIR": str(self.folder),
            "XENSTORED_PATH": str(self.socket),
        }

    def start(self) -> None:
        log = self.folder / "log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [str(self._program), "-N", "--pid-file", str(self.folder / "pid")],
                env={
                    **os.environ,
                    **self.environment,
                    "LD_PRELOAD": str(self._shim),
                    "XSSHIM_DIR": str(self.folder),
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        until = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                pytest.fail(f"xenstored did not start: {log.read_text(errors='replace')}")
            time.sleep(0.01)

    def kill(self) -> None:
        """As a crash: nothing is told to anybody, and what it held is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self.socket.unlink(missing_ok=True)

    def freeze(self) -> None:
        """It is there but answers nobody, until `thaw`."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    # -- domains: what the toolstack and the hypervisor do --------------------------------------

    def introduce(self, domid: int) -> None:
        self._ask(_INTRODUCE, domid, 1, 1)

    def release(self, domid: int) -> None:
        self._ask(_RELEASE, domid)

    def shutdown(self, domid: int) -> None:
        (self.folder / f"shutdown.{domid}").touch()
        self._state_changed()

    def die(self, domid: int) -> None:
        (self.folder / f"dead.{domid}").touch()
        self._state_changed()

    def _state_changed(self) -> None:
        with (self.folder / "virq").open("wb") as virq:
            virq.write(b"!")

    def _ask(self, op: int, *fields: int) -> None:
        payload = b"".join(b"%d\0" % field for field in fields)
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(_START_SECONDS)
            client.connect(str(self.socket))
            client.sendall(_HEADER.pack(op, 1, 0, len(payload)) + payload)
            answer = client.recv(8192)
        assert _HEADER.unpack_from(answer)[0] != _ERROR, answer

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(str(self.socket))
            except OSError:
                return False
            return True
