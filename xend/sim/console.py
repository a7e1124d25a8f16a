"""A pseudo-terminal per simulated guest, with as much behind it as it takes to try `xm console`:
a login prompt, and an echo of what is typed."""

from __future__ import annotations

import asyncio
import os
import tty
from contextlib import suppress


class SimConsole:
    """The master side is ours; `path` is what xenconsoled would publish."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._master, self._slave = os.openpty()  # The slave stays open, so no reader sees an end.
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.path = os.ttyname(self._slave)
        self._line = bytearray()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._master, self._typed)
        self._open = True

    def write(self, text: str) -> None:
        """What nobody reads is lost when the terminal's buffer is full, as with a real guest."""
        with suppress(BlockingIOError):
            os.write(self._master, text.replace("\n", "\r\n").encode())

    def boot(self) -> None:
        self.write(f"\nThis guest is simulated by xend.\n{self._name} login: ")

    def _typed(self) -> None:
        try:
            data = os.read(self._master, 4096)
        except (BlockingIOError, OSError):
            return
        for byte in data:
            if byte in b"\r\n":
                answer = self._line.decode("utf-8", "replace")
                self._line.clear()
                said = f"\n{answer}: there is nobody here but the simulator." if answer else ""
                self.write(f"{said}\n{self._name} login: ")
            else:
                self._line.append(byte)
                with suppress(BlockingIOError):
                    os.write(self._master, bytes([byte]))

    def close(self) -> None:
        if self._open:
            self._open = False
            self._loop.remove_reader(self._master)
            os.close(self._master)
            os.close(self._slave)
