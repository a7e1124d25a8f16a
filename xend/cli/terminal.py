"""Programs that take over the caller's terminal: xenconsole, vncviewer, xentop."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, NoReturn, Protocol

    from xend.cli.streams import Stream

    class Program(Protocol):
        """A program in the foreground of the terminal, started by `Terminal.start`."""

        def poll(self) -> int | None:
            """Its wait status once it has ended."""

        def kill(self) -> None:
            """End it (SIGTERM), and wait until it has ended."""

    class Terminal(Protocol):
        """Where such a program runs: in this process, or at the caller of a warm one."""

        def replace(self, argv: list[str], env: Mapping[str, str]) -> NoReturn:
            """Become that program; OSError when it cannot be run."""

        def start(self, argv: list[str], env: Mapping[str, str]) -> Program:
            """Run that program beside this command."""

        def take_over(self) -> None:
            """From here on standard streams, folder and umask of this process are the caller's."""

        def leave(self) -> None:
            """In a child of the process that has it: it is the parent's alone."""


class LocalTerminal:
    """This process has the terminal itself."""

    def __init__(self, out: Stream) -> None:
        self._out = out

    def replace(self, argv: list[str], env: Mapping[str, str]) -> NoReturn:
        self._out.flush()
        os.execve(argv[0], argv, env)

    def start(self, argv: list[str], env: Mapping[str, str]) -> LocalProgram:
        self._out.flush()
        return LocalProgram(os.posix_spawn(argv[0], argv, env))

    def take_over(self) -> None:
        """They are."""

    def leave(self) -> None:
        """Nothing to do: a child's output goes elsewhere already."""


class TerminalMode:
    """How the terminal on standard input was set, to set it so again after a program that was
    made to end while it had it raw."""

    def __init__(self) -> None:
        self._mode: list[Any] | None = None
        if os.isatty(0):
            import termios

            self._mode = termios.tcgetattr(0)

    def restore(self) -> None:
        if self._mode is not None:
            import contextlib
            import termios

            with contextlib.suppress(termios.error):  # it may have been closed meanwhile
                termios.tcsetattr(0, termios.TCSADRAIN, self._mode)


class LocalProgram:
    """A child of this process."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._status: int | None = None

    def poll(self) -> int | None:
        if self._status is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                self._status = status
        return self._status

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self._pid, 15)
            _, self._status = os.waitpid(self._pid, 0)
