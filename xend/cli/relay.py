"""xm serve and xm shell: the daemon over a pipe, and commands from a prompt."""

from __future__ import annotations

import os
import sys

from xend.cli.app import run_command
from xend.cli.failures import Unreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xend.cli.app import Xm

_CHUNK = 65536
_PROMPT = "xm> "


def serve(xm: Xm, _args: list[str]) -> None:
    """Pass bytes both ways until either side ends: the far end of XM_SERVER=ssh://…."""
    import select

    from xend.cli.http import unix_channel
    from xend.cli.server import RUN_DIR

    daemon = unix_channel(xm.env.get("XEND_RUN_DIR", RUN_DIR) + "/xmlrpc.sock")
    poll = select.poll()
    poll.register(0, select.POLLIN)
    poll.register(daemon.fileno, select.POLLIN)
    try:
        while True:
            for fd, _ in poll.poll():
                data = os.read(0, _CHUNK) if fd == 0 else daemon.receive(_CHUNK)
                if not data:
                    return
                if fd == 0:
                    daemon.send(data)
                else:
                    xm.out.write_bytes(data)
    except ConnectionError as error:
        raise Unreachable(error.errno or 0, error.strerror) from error
    finally:
        daemon.close()


def shell(xm: Xm, _args: list[str]) -> None:
    """Each line is a command, `xm` in front of it or not, until the input ends."""
    import shlex

    xm.print('The Xen Master. Type "help" for a list of functions.')
    with_editing = xm.out.isatty() and os.isatty(0)
    if with_editing:
        _prepare_editing()
    while True:
        line = _read_line(xm, with_editing)
        if line is None:
            xm.print()
            return
        try:
            words = shlex.split(line)
        except ValueError as error:
            xm.error(error)
            continue
        if words[:1] == ["xm"]:
            words = words[1:]
        if words:
            _run_line(xm, words)


def _prepare_editing() -> None:
    """Keys that edit and recall a line, and Tab for names of commands."""
    from xend.cli.table import COMMANDS

    try:
        import readline
    except ImportError:
        return

    def complete(text: str, state: int) -> str | None:
        names = [command.name for command in COMMANDS if command.name.startswith(text)]
        return names[state] + " " if state < len(names) else None

    readline.set_completer_delims(" ")
    readline.set_completer(complete)
    readline.parse_and_bind("tab: complete")


def _read_line(xm: Xm, with_editing: bool) -> str | None:
    if with_editing:
        xm.out.flush()
        try:
            return input(_PROMPT)
        except EOFError:
            return None
    xm.out.write(_PROMPT)
    xm.out.flush()
    line = sys.stdin.readline()
    return line.rstrip("\n") if line else None


def _run_line(xm: Xm, words: list[str]) -> None:
    from xend.cli.main import find_command

    typed, *args = words
    if typed in ("help", "?"):
        xm.help(args[0] if args else None)
        return
    command = find_command(xm, typed)
    if command is None:
        if xm.server.is_xen_api:
            from xend.cli.xenapi.commands import run_method

            run_method(xm, typed, args)
        else:
            xm.print(f"*** Unknown command: {typed}")
        return
    run_command(xm, command, typed, args)
    xm.out.flush()
