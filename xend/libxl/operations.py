"""The long operations, as a worker process runs them.  Each leaves the host as it found it when
it fails: libxl mostly sees to that, and what it leaves behind is removed or resumed here.

Imported by worker processes: keep it light.
"""

# pathlib alone would be a tenth of a worker's memory.
# ruff: noqa: PTH104, PTH108, PTH110, PTH120
from __future__ import annotations

import _socket
import json
import os
import select
import sys
from collections.abc import Callable
from contextlib import ExitStack
from time import monotonic, sleep
from typing import Any

from xend.libxl import devicework, meter, savefile
from xend.libxl._xl import ffi, lib
from xend.libxl.ctx import DOMINFO, INVALID_DOMID, SHUTDOWN, Context
from xend.libxl.handle import ProgressCallback, XlError
from xend.trace import mark

_TELL_EVERY = 0.25
"""Seconds."""
_LOOK_EVERY = 0.01
"""Seconds."""
_SUSPENDED = 2
"""SHUTDOWN_suspend of xen/include/public/sched.h."""


def create(
    context: Context, progress: ProgressCallback, config: str, hold: bool = False
) -> tuple[int, str]:
    """Builds a domain and leaves it paused; its domid, and DOMINFO of it in hexadecimal.

    `hold`: only when another line has come, which says that it may begin."""
    seen = [0]

    def note(domid: int, what: str, percent: int, done: int, total: int) -> None:
        seen[0] = domid or seen[0]
        progress(domid, what, percent, done, total)

    domid = ffi.new("uint32_t *", INVALID_DOMID)
    with context.config(config) as wanted, context.listening(note) as how:
        if hold and not sys.stdin.buffer.readline():
            raise SystemExit(0)  # The daemon has gone, or thinks otherwise.
        mark("libxl create begins")
        rc = lib.libxl_domain_create_new(context.raw, wanted, domid, ffi.NULL, how)
        mark("libxl create ends", domid[0])
    return _built(context, "create", rc, domid[0], seen[0], config), _seen(context, domid[0])


def restore(
    context: Context, progress: ProgressCallback, path: str, config: str | None = None
) -> tuple[int, str]:
    """From a save file; `config` (JSON) instead of the one in the file.  Else as `create`."""
    seen = [0]

    def note(domid: int, what: str, percent: int, done: int, total: int) -> None:
        seen[0] = domid or seen[0]
        progress(domid, what, percent, done, total)

    def far(done: int, size: int) -> None:
        progress(seen[0], "restore", done * 100 // size, done, size)

    params = ffi.new("libxl_domain_restore_params *")
    domid = ffi.new("uint32_t *", INVALID_DOMID)
    with open(path, "rb", buffering=0) as stream:
        saved, version = savefile.read(stream)
        chosen = without_domid(saved) if config is None else config
        lib.libxl_domain_restore_params_init(params)
        params.stream_version = version
        try:
            with (
                context.config(chosen) as wanted,
                context.listening(note) as how,
                meter.Meter(stream.fileno(), far),
            ):
                rc = lib.libxl_domain_create_restore(
                    context.raw, wanted, domid, stream.fileno(), -1, params, ffi.NULL, how
                )
        finally:
            lib.libxl_domain_restore_params_dispose(params)
    return _built(context, "restore", rc, domid[0], seen[0], chosen), _seen(context, domid[0])


def _built(context: Context, operation: str, rc: int, domid: int, seen: int, config: str) -> int:
    """The new domid; or, after a failure, an error and no domain."""
    if rc == 0:
        context.check(operation, rc)
        return int(domid)
    error = XlError(operation, rc, context.take_log())
    left = seen if domid == INVALID_DOMID else int(domid)
    info = context.info(left) if left else None
    wanted = json.loads(config)["c_info"].get("uuid", "").replace("-", "").lower()
    if info and info[-1].hex() == wanted:
        lib.libxl_domain_destroy(context.raw, left, ffi.NULL)
        context.take_log()
    raise error


def _seen(context: Context, domid: int) -> str:
    """Nothing when it has gone already."""
    info = context.info(domid)
    return "" if info is None else DOMINFO.pack(*info).hex()


def without_domid(config: str) -> str:
    """A saved configuration names the domid that the domain had: it must not ask for it."""
    tree = json.loads(config)
    tree.get("c_info", {}).pop("domid", None)
    return json.dumps(tree)


def destroy(context: Context, progress: ProgressCallback, domid: int) -> None:
    context.check("destroy", lib.libxl_domain_destroy(context.raw, domid, ffi.NULL))


def save(
    context: Context,
    progress: ProgressCallback,
    domid: int,
    path: str,
    partial: str,
    checkpoint: bool,
) -> None:
    """Writes `partial`, then renames it to `path`.  On failure the domain runs on."""
    head = savefile.pack(without_domid(context.retrieve_config(domid)))
    with ExitStack() as undo:
        undo.callback(_wake, context, domid)
        undo.callback(_remove, partial)
        fd = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            _write(fd, head)
            _suspend(context, progress, domid, fd)
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(partial, path)
        _sync_folder(path)
        undo.pop_all()
    if checkpoint:
        resume(context, progress, domid)


def send(context: Context, progress: ProgressCallback, domid: int, fd: int, live: bool) -> None:
    """libxl's stream into the socket `fd`, which is ours to close.  On failure the domain runs."""
    os.set_inheritable(fd, False)
    flags = lib.LIBXL_SUSPEND_LIVE if live else 0
    with ExitStack() as undo:
        undo.callback(_wake, context, domid)
        try:
            with context.listening(progress):
                rc = lib.libxl_domain_suspend(context.raw, domid, fd, flags, ffi.NULL)
            context.check("send", rc)
        finally:
            os.close(fd)
        undo.pop_all()


def receive(context: Context, progress: ProgressCallback, fd: int, config: str) -> tuple[int, str]:
    """What `send` writes into the other end of the socket `fd`; else as `create`."""
    os.set_inheritable(fd, False)  # Device models live on, and would keep the connection open.
    seen = [0]

    def note(domid: int, what: str, percent: int, done: int, total: int) -> None:
        seen[0] = domid or seen[0]
        progress(domid, what, percent, done, total)

    params = ffi.new("libxl_domain_restore_params *")
    domid = ffi.new("uint32_t *", INVALID_DOMID)
    lib.libxl_domain_restore_params_init(params)
    params.stream_version = 2
    try:
        _wait_for_stream(fd)
        with context.config(config) as wanted, context.listening(note) as how:
            rc = lib.libxl_domain_create_restore(
                context.raw, wanted, domid, fd, -1, params, ffi.NULL, how
            )
    finally:
        lib.libxl_domain_restore_params_dispose(params)
        os.close(fd)
    return _built(context, "receive", rc, domid[0], seen[0], config), _seen(context, domid[0])


def _wait_for_stream(fd: int) -> None:
    """Leaves it in the socket.  libxl 4.17 makes the domain first, and of a stream that ends before
    its header is complete it dies (SIGSEGV)."""
    head = _peek(fd, savefile.STREAM_HEADER)
    if len(head) < savefile.STREAM_HEADER:
        raise _no_stream("it ended before its header")
    if not head.startswith(savefile.STREAM_IDENT):
        raise _no_stream(f"it begins with {head[:8]!r}")


def _no_stream(why: str) -> XlError:
    said = f"what comes is no stream of libxl: {why}"
    return XlError("receive", lib.ERROR_FAIL, [(lib.XTL_ERROR, said)])


def _peek(fd: int, size: int) -> bytes:
    """The first bytes of what comes through a socket; fewer when it ends before."""
    sock = _socket.socket(fileno=fd)
    coming = select.poll()
    coming.register(fd, select.POLLIN | select.POLLRDHUP)
    try:
        while True:
            [(_, events)] = coming.poll()
            head = sock.recv(size, _socket.MSG_PEEK | _socket.MSG_DONTWAIT)
            if len(head) == size or events & ~select.POLLIN:
                return head
            sleep(_LOOK_EVERY)
    except OSError:
        return b""
    finally:
        sock.detach()


def _remove(path: str) -> None:
    if os.path.exists(path):
        os.unlink(path)


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _suspend(context: Context, progress: ProgressCallback, domid: int, fd: int) -> None:
    told, next_at = "", 0.0

    def note(_: int, what: str, percent: int, done: int, total: int) -> None:
        """libxl tells of every few megabytes, while the guest stands still: not each is worth a
        line to the daemon."""
        nonlocal told, next_at
        now = monotonic()
        if what != told or now >= next_at or done >= total:
            told, next_at = what, now + _TELL_EVERY
            progress(domid, what, percent, os.lseek(fd, 0, os.SEEK_CUR), total)

    with context.listening(note):
        rc = lib.libxl_domain_suspend(context.raw, domid, fd, 0, ffi.NULL)
        context.check("save", rc)


def _sync_folder(path: str) -> None:
    fd = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _wake(context: Context, domid: int) -> None:
    """After a failed save: if the guest is suspended already, it goes on."""
    info = context.info(domid)
    if info and info[1] & SHUTDOWN and info[2] == _SUSPENDED:
        lib.libxl_domain_resume(context.raw, domid, 1, ffi.NULL)
        context.take_log()


def resume(context: Context, progress: ProgressCallback, domid: int) -> None:
    context.check("resume", lib.libxl_domain_resume(context.raw, domid, 1, ffi.NULL))


def soft_reset(context: Context, progress: ProgressCallback, domid: int) -> None:
    """The domain goes on in its memory; it is left paused."""
    config = without_domid(context.retrieve_config(domid))
    with context.config(config) as wanted, context.listening(progress) as how:
        rc = lib.libxl_domain_soft_reset(context.raw, wanted, domid, ffi.NULL, how)
    context.check("soft reset", rc)


def dump_core(context: Context, progress: ProgressCallback, domid: int, path: str) -> None:
    name = path.encode("utf-8", "surrogateescape")
    made = not os.path.exists(path)
    rc = lib.libxl_domain_core_dump(context.raw, domid, name, ffi.NULL)
    if rc and made:
        _remove(path)  # libxl leaves an empty file, which looks like a core.
    context.check("dump core", rc)


TABLE: dict[str, Callable[..., Any]] = {
    **devicework.TABLE,
    "create": create,
    "destroy": destroy,
    "dump_core": dump_core,
    "receive": receive,
    "restore": restore,
    "resume": resume,
    "save": save,
    "send": send,
    "soft_reset": soft_reset,
}
