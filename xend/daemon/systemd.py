"""Starting the daemon where systemd looks after it.

Whoever types `xend restart` or `/etc/init.d/xend restart` on such a host means the same daemon as
`systemctl`: one that a shell has started would be without watchdog, limits and its unit.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

UNIT: Final = "xend.service"
BOOTED: Final = Path("/run/systemd/system")
"""Where it is, systemd is the init of this machine (sd_booted(3))."""
_OURS: Final = frozenset({"LoadState=loaded", "Type=notify"})
"""A unit that systemd has made of /etc/init.d/xend is of another type, and calls that script."""


def looks_after_it() -> bool:
    if not BOOTED.is_dir():
        return False
    shown = _run("systemctl", "show", "-p", "LoadState", "-p", "Type", UNIT)
    return shown is not None and set(shown.stdout.split()) >= _OURS


def start() -> int:
    """0 when it serves, 1 with the daemon's own error."""
    done = _run("systemctl", "start", UNIT)
    if done is not None and done.status == 0:
        return 0
    said = _run("journalctl", "-q", "-o", "cat", "-n", "20", "-u", UNIT)
    words = [
        line for line in (said.stdout if said else "").splitlines() if line.startswith("xend: ")
    ]
    if words:
        text = words[-1]
    elif done is None:
        text = "xend: systemctl is gone"
    else:
        text = done.stderr.strip() or f"xend: systemctl failed (status {done.status})"
    print(text, file=sys.stderr)
    return 1


ANY_STATUS: Final = [*range(256)]


@dataclass(frozen=True)
class _Ended:
    status: int
    stdout: str
    stderr: str


def _run(program: str, *words: str) -> _Ended | None:
    """None when there is no such program."""
    import sh  # only these few verbs need it, and it takes its time

    done: sh.RunningCommand | sh.SignalException
    try:
        done = sh.Command(program)(*words, _in="", _ok_code=ANY_STATUS, _return_cmd=True)
    except sh.CommandNotFound:
        return None
    except sh.SignalException as killed:
        done = killed
    return _Ended(done.exit_code, _text(done.stdout), _text(done.stderr))


def _text(said: bytes) -> str:
    return said.decode(errors="replace")
