"""What a process holds: memory and file descriptors, its children's included if wanted."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Usage:
    rss: int
    """KiB."""
    fds: int
    threads: int

    def __str__(self) -> str:
        return f"RSS {self.rss} KiB, {self.fds} descriptors, {self.threads} threads"


def usage(pid: int) -> Usage:
    status = Path(f"/proc/{pid}/status").read_text()
    found = {
        key: int(value) for key, value in re.findall(r"^(VmRSS|Threads):\s+(\d+)", status, re.M)
    }
    return Usage(found["VmRSS"], len([*Path(f"/proc/{pid}/fd").iterdir()]), found["Threads"])


def rss_of_children(pid: int) -> int:
    """KiB; of one that has just ended, and may be a zombie, nothing."""
    total = 0
    for child in children(pid):
        with suppress(FileNotFoundError, ProcessLookupError, KeyError):
            total += usage(child).rss
    return total


def children(pid: int) -> list[int]:
    """Of all its threads."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError):
            found += [int(child) for child in (task / "children").read_text().split()]
    return found
