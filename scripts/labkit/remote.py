"""The way into a dom0: ssh with a connection that is kept open, and archives over it."""

from __future__ import annotations

import os
import shlex
import subprocess
import tarfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from labkit.errors import LabError
from labkit.machine import started_at

LABRUN = "/usr/lib/xend-lab/labrun"
KEEP_OPEN_SECONDS = 86400


@dataclass(frozen=True)
class Remote:
    """How to reach one dom0."""

    index: int
    port: int
    keys: Path
    control: Path

    def ssh(self, *options: str) -> list[str]:
        """ssh without the user's own configuration, keys, known hosts or noise."""
        return [
            "ssh",
            *("-F", "/dev/null"),
            *("-i", str(self.keys / "client")),
            *("-p", str(self.port)),
            *("-o", "IdentitiesOnly=yes"),
            *("-o", f"UserKnownHostsFile={self.keys / 'known_hosts'}"),
            *("-o", "GlobalKnownHostsFile=/dev/null"),
            *("-o", "HostKeyAlias=xend-lab"),
            *("-o", "StrictHostKeyChecking=yes"),
            *("-o", "LogLevel=ERROR"),
            *("-o", "BatchMode=yes"),
            # OpenSSH's first choice resists quantum computers, at seconds under emulation.
            *("-o", "KexAlgorithms=curve25519-sha256"),
            *("-o", "GSSAPIAuthentication=no"),
            *("-o", "ConnectTimeout=15"),
            *("-o", f"ControlPath={self.control}"),
            *options,
            "root@127.0.0.1",
        ]

    def open(self, timeout: float, pid: int) -> None:
        """Open the shared connection; dom0's sshd may still be on its way up."""
        deadline = time.monotonic() + timeout
        self.control.unlink(missing_ok=True)
        while True:
            done = subprocess.run(
                self.ssh(
                    *("-o", "ControlMaster=yes", "-o", f"ControlPersist={KEEP_OPEN_SECONDS}"),
                    *("-o", "ServerAliveInterval=0", "-N", "-f"),
                ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=False,
            )
            if done.returncode == 0:
                return
            if time.monotonic() > deadline:
                raise LabError(f"dom0 of host {self.index} lets nobody in by ssh")
            if not started_at(pid):
                raise LabError(f"QEMU of host {self.index} ended while ssh was tried")
            time.sleep(0.1)

    def close(self) -> None:
        """End the shared connection."""
        if self.control.exists():
            subprocess.run(
                self.ssh("-O", "exit"),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=False,
            )
            self.control.unlink(missing_ok=True)

    def run(self, command: str, timeout: float = 60.0) -> str:
        """Run a shell command for the lab itself and return its output."""
        try:
            done = subprocess.run(
                [*self.ssh(), command],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as err:
            raise LabError(f"dom0 did not finish {command!r} within {timeout:.0f} s") from err
        if done.returncode != 0:
            why = done.stderr.decode(errors="replace").strip().splitlines()
            raise LabError(
                f"in dom0, {command!r} failed with status {done.returncode}: "
                + (why[-1] if why else "it gave no reason")
            )
        return done.stdout.decode(errors="replace")

    def call(self, command: Sequence[str], terminal: bool) -> None:
        """Become an ssh that runs the user's command; does not return."""
        words = self.ssh("-tt") if terminal else self.ssh()
        os.execvp(words[0], [*words, remote_command(command, terminal)])

    def send(self, command: str, write: Callable[[IO[bytes]], None], what: str) -> None:
        """Run a command whose standard input is written by a function."""
        process = subprocess.Popen(
            [*self.ssh(), command],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        assert process.stdin is not None and process.stderr is not None
        try:
            write(process.stdin)
            process.stdin.close()
        except BrokenPipeError:
            pass  # its error message tells more than ours would
        why = process.stderr.read().decode(errors="replace").strip()
        if process.wait() != 0:
            raise LabError(f"{what} failed: {why or process.returncode}")

    def fetch(self, command: str, read: Callable[[IO[bytes]], None], what: str) -> None:
        """Run a command whose standard output is read by a function."""
        process = subprocess.Popen(
            [*self.ssh(), command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None and process.stderr is not None
        broken: tarfile.TarError | None = None
        try:
            read(process.stdout)
        except tarfile.TarError as err:
            broken = err
        why = process.stderr.read().decode(errors="replace").strip()
        if process.wait() != 0 or broken is not None:
            raise LabError(f"{what} failed: {why or broken or process.returncode}")


def remote_command(command: Sequence[str], terminal: bool) -> str:
    """The line for dom0's shell.

    Several words are an argument vector and reach the program unchanged; a
    single word is a shell command, so that pipes can be had by quoting once.
    """
    if len(command) == 1:
        words = ["/bin/sh", "-c", command[0]] if _needs_shell(command[0]) else list(command)
    else:
        words = list(command)
    # A terminal's hang-up ends its programs by itself.
    return shlex.join(["exec", *words] if terminal else ["exec", LABRUN, *words])


def _needs_shell(word: str) -> bool:
    return any(not (char.isalnum() or char in "_-./+,:=@%") for char in word)
