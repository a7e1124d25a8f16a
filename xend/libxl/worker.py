"""A worker process: runs long libxl operations, one at a time, and nothing else.

Started by `workers.Pool` with exec (never a bare fork) as `python3 -I -S -c …`; lines of JSON on
stdin are requests, lines of JSON on stdout are progress and results, stderr is text: libxl's log
as it happens, and whatever hotplug scripts say.

    → {"op": "create", "config": "…"}      (with "hold": true it begins when a line `go` has come)
    ← {"progress": "domain", "domid": 5, "percent": -1, "done": 0, "total": 0}   any number
    ← {"result": …}                                                              or
    ← {"error": {"operation": …, "rc": …, …}}

The worker dies with the daemon (PR_SET_PDEATHSIG = SIGKILL): a half-built domain without an owner
is worse than none.  What is left then, the daemon's journal says, and the next daemon destroys it
(a create) or resumes it (a save).  Scripts and boot loaders that are running end by themselves.

Memory counts: nothing but json, cffi's runtime and the binding is imported.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

from xend.libxl import evidence, operations, roundtrip, savefile
from xend.libxl._xl import lib
from xend.libxl.ctx import Context
from xend.libxl.handle import XlError
from xend.trace import mark

Request = dict[str, Any]
PAGE_KIB = os.sysconf("SC_PAGESIZE") // 1024


def main(parent: int) -> int:
    """`parent` is the daemon's pid.  Ends at the end of stdin."""
    if lib.xend_die_with_parent(parent):
        return 1
    if os.getpriority(os.PRIO_PROCESS, 0) < 0:
        os.setpriority(os.PRIO_PROCESS, 0, 0)  # that is the daemon's
    replies = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # a script's stdout must not get between our lines

    def reply(message: dict[str, Any]) -> None:
        replies.write(json.dumps(message).encode() + b"\n")

    try:
        context = Context(echo_fd=2)
    except XlError as error:
        reply({"error": failure(error, 0)})
        return 1
    reply({"ready": os.getpid()})
    for line in sys.stdin.buffer:
        mark("worker asked")
        reply(serve(context, json.loads(line), reply))
        mark("worker replied")
        # libxenstore starts a thread at a connection's first watch, and from then on each answer of
        # xenstored passes through it: on a new connection a create takes a fifth less.
        context.close()
        try:
            context = Context(echo_fd=2)
        except XlError as error:
            print(f"no other operation: {error}", file=sys.stderr)
            return 1
    context.close()
    return 0


def serve(context: Context, request: Request, reply: Callable[[Request], None]) -> Request:
    """Runs one request; the last message about it."""

    def progress(domid: int, what: str, percent: int, done: int, total: int) -> None:
        mark("worker tells", what)
        numbers = {"percent": percent, "done": done, "total": total}
        reply({"progress": what, "domid": domid, **numbers})

    since = evidence.mark()
    operation = operations.TABLE[request.pop("op")]
    try:
        return {"result": operation(context, progress, **request), "rss": resident()}
    except XlError as error:
        return {"error": failure(error, since)}
    except roundtrip.Dropped as error:
        return {"error": {"dropped": error.path, "message": str(error)}}
    except savefile.BadSaveFile as error:
        return {"error": {"file": str(request.get("path")), "message": str(error)}}
    except OSError as error:
        named = {"file": str(error.filename or request.get("path") or "")}
        return {"error": {**named, "errno": error.errno, "message": os.strerror(error.errno or 0)}}


def resident() -> int:
    """KiB of memory that this process has."""
    with open("/proc/self/statm", "rb") as statm:
        return int(statm.read().split()[1]) * PAGE_KIB


def failure(error: XlError, since: int) -> Request:
    """Everything that is known about it."""
    return {
        "operation": error.operation,
        "rc": error.rc,
        "rc_name": error.rc_name,
        "log": error.errors,
        "evidence": evidence.explain(error.errors, since),
    }
