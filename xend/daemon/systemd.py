"""Starting the daemon where systemd looks after it.

Whoever types `xend restart` or `/etc/init.d/xend restart` on such a host means the same daemon as
`systemctl`: one that a shell has started would be without watchdog, limits and its unit.
"""

from __future__ import annotations

import subprocess
import sys
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
    if done is not None and done.returncode == 0:
        return 0
    said = _run("journalctl", "-q", "-o", "cat", "-n", "20", "-u", UNIT)
    words = [
        line for line in (said.stdout if said else "").splitlines() if line.startswith("xend: ")
    ]
    text = words[-1] if words else (done.stderr.strip() if done else "xend: systemctl is gone")
    print(text, file=sys.stderr)
    return 1


def _run(*command: str) -> subprocess.CompletedProcess[str] | None:
    """None when there is no such program."""
    try:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return None
