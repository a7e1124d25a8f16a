"""The little of QEMU's machine protocol that the lab speaks."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from labkit.errors import LabError


class Qmp:
    """One connection to a running QEMU."""

    def __init__(self, path: Path, timeout: float = 30.0) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout)
        try:
            self._socket.connect(str(path))
            self._file = self._socket.makefile("rwb")
            self._file.readline()
            self.command("qmp_capabilities")
        except OSError as err:
            self._socket.close()
            raise LabError(f"QEMU does not answer on {path}: {err.strerror or err}") from err

    def __enter__(self) -> Qmp:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def command(self, name: str, **arguments: object) -> Any:
        """Send a command and return its answer; events on the way are of no interest."""
        message: dict[str, object] = {"execute": name}
        if arguments:
            message["arguments"] = arguments
        try:
            self._file.write(json.dumps(message).encode() + b"\n")
            self._file.flush()
            while True:
                line = self._file.readline()
                if not line:
                    raise LabError(f"QEMU went away during {name}")
                answer = json.loads(line)
                if "error" in answer:
                    raise LabError(f"QEMU refused {name}: {answer['error'].get('desc', '')}")
                if "return" in answer:
                    return answer["return"]
        except OSError as err:
            raise LabError(f"QEMU did not answer {name}: {err.strerror or err}") from err

    def migrate_to(self, command: str, timeout: float = 120.0) -> None:
        """Write the machine's state to a shell command and wait until it is complete."""
        self.command("migrate-set-parameters", **{"max-bandwidth": 8 << 30})
        self.command("migrate", uri=f"exec:{command}")
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            status = self.command("query-migrate").get("status")
            if status == "completed":
                return
            if status in ("failed", "cancelled"):
                raise LabError(f"QEMU could not save its state: {status}")
            time.sleep(0.05)
        raise LabError("QEMU did not finish saving its state")
