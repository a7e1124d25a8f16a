"""What the tests of xm's verbs share: one Linux guest, and looking at it without asking xend."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.lab.conftest import domains, run
from tests.lab.guests import IMAGES, linux

MAC = "00:16:3e:0a:0b:0c"
UUID = "5e1f0e1f-0000-4000-8000-000000000005"


def xm(*words: str, status: int = 0, timeout: float = 120) -> str:
    """What it printed (stdout); any other exit status is a failure of the test, with all it said.
    A traceback is always one."""
    done = run("xm", *words, timeout=timeout)
    said = done.stdout + done.stderr
    assert "Traceback" not in said, said
    assert done.returncode == status, (words, done.returncode, said)
    return done.stdout


def refusal(*words: str, status: int = 1) -> str:
    """The one line of its error, without `Error: `."""
    done = run("xm", *words)
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    assert done.returncode == status, (words, done.returncode, done.stdout + done.stderr)
    lines = done.stderr.splitlines()
    assert lines, done.stdout
    assert lines[0].startswith("Error: "), done.stderr
    return lines[0].removeprefix("Error: ")


def xl(*words: str) -> str:
    done = run("xl", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def eventually(check: Callable[[], Any], seconds: float = 60) -> Any:
    """The first true answer of `check`."""
    deadline = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < deadline, f"it did not happen within {seconds} s"
        time.sleep(0.3)
    return found


def store(path: str) -> str:
    """A node of XenStore, read by Xen's own tool; empty when there is none."""
    return run("xenstore-read", path).stdout.strip()


def xl_row(name: str) -> tuple[int, int, str]:
    """(MiB, vcpus, state) by xl."""
    [line] = [line for line in xl("list").splitlines() if line.split()[0] == name]
    _, _, memory, vcpus, state, _ = line.split()
    return int(memory), int(vcpus), state


def is_paused(name: str) -> bool:
    """Its VCPU may be blocked as well."""
    return xl_row(name)[2][2] == "p"


def xl_config(name: str) -> dict[str, Any]:
    [found] = json.loads(xl("list", "-l", name))
    config: dict[str, Any] = found["config"]
    return config


def vcpus(name: str) -> list[list[str]]:
    """Columns of `xl vcpu-list`: name, id, vcpu, cpu, state, time, affinities."""
    return [line.split(None, 6) for line in xl("vcpu-list", name).splitlines()[1:]]


def backend(domid: int, kind: str, devid: int, node: str) -> str:
    return store(f"/local/domain/0/backend/{kind}/{domid}/{devid}/{node}")


def hypervisor_log() -> str:
    return xl("dmesg")


def start_linux(folder: Path, name: str, **settings: object) -> int:
    """Runs and answers control requests; its domid."""
    xm("create", "-q", str(linux(folder, name, **settings)))
    domid = domains()[name]
    booted(domid)
    return domid


def booted(domid: int) -> None:
    """The guest has said what it can do, and its init has settled down."""
    eventually(lambda: store(f"/local/domain/{domid}/control/feature-suspend") == "1", 90)
    seen = [-1.0]

    def settled() -> bool:
        times = [float(line.split()[-1]) for line in xl("list", str(domid)).splitlines()[1:]]
        seen.append(times[0])
        return seen[-1] - seen[-2] < 0.05

    eventually(settled, 90)


def gone(name: str) -> None:
    eventually(lambda: name not in domains())


def disk(size_mib: int, path: Path) -> Path:
    with path.open("wb") as file:
        file.truncate(size_mib * 1024 * 1024)
    return path


def loop_device(path: Path) -> str:
    done = run("losetup", "-f", "--show", str(path))
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def column(text: str, name: str) -> list[str]:
    """Of xm's tables whose first line has the names."""
    lines = text.splitlines()
    at = re.split(r"\s+", lines[0].strip()).index(name)
    return [line.split()[at] for line in lines[1:]]


DATA = IMAGES / "data.img"
