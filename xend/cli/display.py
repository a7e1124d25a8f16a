"""A domain's display: finding it in XenStore and starting a viewer on it."""

from __future__ import annotations

import os
import time

from xend.cli.failures import CommandFailed, Exit, OptionError, UsageError
from xend.cli.records import child_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO

    from xend.cli.app import Xm
    from xend.cli.xenstore import XenStoreReader

_PATIENCE = 10.0
"""Seconds that a domain's display may take to appear in XenStore."""


def vncviewer(xm: Xm, args: list[str]) -> None:
    options, params = xm.options("vncviewer", args, "", "autopass", "vncviewer-autopass")
    if len(params) != 1:
        raise UsageError("No domain given (or several parameters specified)", "vncviewer")
    domid = int(child_value(xm.call("xend.domain", params[0]), "domid", -1))
    argv, password = viewer_argv(domid, bool(options))
    if xm.out.isatty():  # into a pipe it was always lost
        xm.print("invoking  " + " ".join(argv))
        xm.out.flush()
    if password is not None:
        with _password_file(password) as file:
            os.dup2(file.fileno(), 0)
    xm.server.log_out()
    try:
        os.execvpe(argv[0], argv, xm.env)
    except OSError:
        xm.err.write("Error: external vncviewer missing or not in the path\nExiting\n")
        raise Exit(255) from None


def spawn_viewer(xm: Xm, domid: int, autopass: bool) -> None:
    """A viewer that goes on when the command has ended."""
    import subprocess

    xm.terminal.take_over()
    argv, password = viewer_argv(domid, autopass)
    stdin = subprocess.DEVNULL if password is None else _password_file(password)
    try:
        subprocess.Popen(
            argv,
            stdin=stdin,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=dict(xm.env),
        )
    except OSError:
        xm.err.write("failed to invoke vncviewer\n")
        raise Exit(255) from None


def viewer_argv(domid: int, autopass: bool) -> tuple[list[str], str | None]:
    """The viewer's arguments, and the password that it shall read from its stdin."""
    from xend.cli.xenstore import XenStoreReader

    try:
        store = XenStoreReader()
    except OSError as error:
        raise CommandFailed(f"Unable to connect to xenstored: {error.strerror}") from error
    home = f"/local/domain/{domid}"
    port = int(_read_eventually(store, f"{home}/console/vnc-port"))
    backend = store.read(f"{home}/device/vfb/0/backend")
    address = password = None
    if backend is not None:
        address = store.read(f"{backend}/vnclisten")
        password = store.read(f"{backend}/vncpasswd") if autopass else None
    store.close()
    options = [] if password is None else ["-autopass"]
    return ["vncviewer", *options, f"{address or 'localhost'}:{port - 5900}"], password


def _read_eventually(store: XenStoreReader, path: str) -> str:
    deadline = time.monotonic() + _PATIENCE
    while True:
        value = store.read(path)
        if value is not None:
            return value
        if time.monotonic() > deadline:
            raise OptionError(f"The domain has no VNC display: {path} is not in XenStore")
        time.sleep(0.1)


def _password_file(password: str) -> IO[bytes]:
    import tempfile

    file = tempfile.TemporaryFile()  # noqa: SIM115 - the viewer inherits it
    file.write(password.encode("utf-8", "surrogateescape") + b"\n")
    file.seek(0)
    file.flush()
    return file
