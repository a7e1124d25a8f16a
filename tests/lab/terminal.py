"""A user at a terminal: a real shell in a real pseudo-terminal, with what was seen kept.

Runs inside the lab's dom0.  `pexpect` does the waiting; this adds a prompt that cannot be mistaken,
a transcript with times, and failures that show the screen.
"""

from __future__ import annotations

import re
import sys
import time
from types import TracebackType
from typing import TextIO

import pexpect

PROMPT = "dom0:~# "
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|\x1b[=>78]|\x0e|\x0f")


class Unexpected(AssertionError):
    """What was waited for did not come; the message has the last of the screen."""


class Ended(Unexpected):
    """The program ended before it came: the prompt is back."""


class Terminal:
    """One shell.  `command` types a line and returns what it printed."""

    def __init__(self, *, echo_to: TextIO | None = None, timeout: float = 120) -> None:
        self._started = time.monotonic()
        self._echo_to = echo_to
        self._timeout = timeout
        self.raw = ""
        """What `wait_for` has seen last, with all control sequences."""
        self.child = pexpect.spawn(
            "/bin/bash",
            ["--norc", "--noprofile", "--noediting"],
            env={
                "PS1": PROMPT,
                "TERM": "vt100",
                "HOME": "/root",
                "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "LC_ALL": "C.UTF-8",
            },
            encoding="utf-8",
            codec_errors="replace",
            dimensions=(50, 132),
            timeout=timeout,
        )
        self.child.expect_exact(PROMPT)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.child.close(force=True)

    def heading(self, text: str) -> None:
        """A line of the transcript that says what comes, and when."""
        if self._echo_to is not None:
            spent = time.monotonic() - self._started
            print(f"\n\033[1m== [{spent:6.1f} s] {text}\033[0m", file=self._echo_to, flush=True)

    def show(self, text: str) -> None:
        if self._echo_to is not None and text:
            print(text.rstrip(), file=self._echo_to, flush=True)

    def type(self, text: str) -> None:
        """Without return key."""
        self.child.send(text)

    def wait_for(self, pattern: str, *, timeout: float | None = None, alive: bool = False) -> str:
        """What came up to and with the first match of the regular expression `pattern`.

        With `alive` the program that was typed must not end meanwhile: the prompt is a failure.
        """
        began = time.monotonic()
        patterns = [pattern, re.escape(PROMPT)] if alive else [pattern]
        try:
            found = self.child.expect(
                patterns, timeout=self._timeout if timeout is None else timeout
            )
        except (pexpect.TIMEOUT, pexpect.EOF) as error:
            waited = time.monotonic() - began
            raise Unexpected(
                f"waited {waited:.0f} s in vain for {pattern!r} ({type(error).__name__}); "
                f"the last of the screen:\n{self._screen()}"
            ) from None
        if found == 1:
            raise Ended(f"the command ended before {pattern!r} came:\n{self._screen()}")
        self.raw = str(self.child.before) + str(self.child.after)
        return readable(self.raw)

    def _screen(self) -> str:
        return readable(str(self.child.before or ""))[-3000:]

    def command(self, line: str, *, timeout: float | None = None) -> str:
        """Types `line`, waits for the prompt; returns its output without the echo."""
        self.child.sendline(line)
        seen = self.wait_for(re.escape(PROMPT), timeout=timeout)
        output = seen.removesuffix(PROMPT).partition("\n")[2]
        self.show(PROMPT + line)
        self.show(output)
        return output

    def status(self) -> int:
        """Exit status of the last command."""
        self.child.sendline("echo status=$?")
        seen = self.wait_for(r"status=(\d+)\r?\n")
        self.child.expect_exact(PROMPT)
        found = re.search(r"status=(\d+)", seen.replace("status=$?", ""))
        assert found is not None
        return int(found.group(1))


def readable(text: str) -> str:
    """Without terminal control sequences and carriage returns."""
    return _CONTROL.sub("", text).replace("\r", "")


def stdout_or_none(show: bool) -> TextIO | None:
    return sys.stdout if show else None
