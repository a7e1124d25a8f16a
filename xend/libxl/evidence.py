"""What failed besides libxl: the boot loader's and the hotplug scripts' own words.

libxl runs a boot loader on a pseudo-terminal and copies what it shows to
/var/log/xen/bootloader.N.log, whose name is in libxl's error (libxl_bootloader.c).  Xen's hotplug
scripts send their stderr to /var/log/xen/xen-hotplug.log (xen-hotplug-common.sh); scripts of
others leave it as they got it, which is the worker's stderr.

Imported by worker processes.
"""

# pathlib alone would be a tenth of a worker's memory.
# ruff: noqa: PTH116
from __future__ import annotations

import os
import re

HOTPLUG_LOG = "/var/log/xen/xen-hotplug.log"
_LIMIT = 4096
_LINES = 12

_PREFIX = re.compile(r"^(?:[\w./-]+\.[ch]:\d+:\w*:? ?)?(?:Domain \d+:)?")
_LOGFILE = re.compile(r"bootloader failed - consult logfile (\S+)")
_SCRIPT = re.compile(r"(/\S+) (\w+) \[\d+\] exited with error status (\d+)")
_KILLED = re.compile(r"killing execution of (/\S+) (\w+) because of timeout")
_REASON = re.compile(r"script: (.*)")
_TERMINAL = re.compile(
    r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[()][A-Za-z0-9]|\x1b[=>78cDEHMNOZ]|[\x00-\x08\x0b-\x1f\x7f]"
)


def mark() -> int:
    """Where the hotplug log ends now; to be given to `explain` after a failure."""
    try:
        return os.stat(HOTPLUG_LOG).st_size
    except OSError:
        return 0


def clean(text: str) -> str:
    """A libxl log line without `file.c:123:function: ` and `Domain 5:`."""
    return _PREFIX.sub("", text, count=1).strip()


def explain(errors: list[str], since: int) -> dict[str, object]:
    """What libxl's ERROR lines say about a boot loader or a script, with their own output.

    {"bootloader_output": text} or {"script", "action", "status", "reason", "script_output"} or {}.
    """
    text = "\n".join(errors)
    if found := _LOGFILE.search(text):
        return {"bootloader_output": tail(found[1], 0)}
    script = _SCRIPT.search(text)
    killed = _KILLED.search(text)
    reason = _REASON.search(text)
    if not script and not killed and not reason:
        return {}
    found_in = script or killed
    return {
        "script": found_in[1] if found_in else "",
        "action": found_in[2] if found_in else "",
        "status": int(script[3]) if script else None,
        "reason": reason[1] if reason else "it did not end in time" if killed else "",
        "script_output": tail(HOTPLUG_LOG, since),
    }


def tail(path: str, since: int) -> str:
    """The last lines of a log after byte `since`, without terminal control sequences."""
    try:
        with open(path, "rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(since if since <= end else 0, end - _LIMIT))
            raw = log.read().decode("utf-8", "replace")
    except OSError:
        return ""
    lines = [line.rstrip() for line in _TERMINAL.sub("", raw.replace("\r", "\n")).split("\n")]
    return "\n".join([line for line in lines if line.strip()][-_LINES:])
