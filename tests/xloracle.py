"""Asking the real xl what a configuration means.  Nothing is created: `xl create -n` only shows
what it would hand to libxl."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.xlcases import Answer, Case


def ask(cases: Sequence[Case]) -> dict[str, Answer]:
    """Answers by name; two at a time, since a process takes 0.1 s in the emulated host."""
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(2) as pool:
        paths = [Path(name, f"{number}.cfg") for number in range(len(cases))]
        answers = pool.map(_ask, paths, cases)
        return dict(zip((case.name for case in cases), answers, strict=True))


def _ask(path: Path, case: Case) -> Answer:
    path.write_text(case.text)
    done = subprocess.run(
        ["xl", "create", "-n", "-q", str(path)], capture_output=True, text=True, check=False
    )
    tree = json.loads(done.stdout) if done.returncode == 0 else None
    return Answer(tree, done.stderr.replace(str(path), "FILE"))


def host() -> dict[str, str]:
    """What answers depend on."""
    text = subprocess.run(["xl", "info"], capture_output=True, text=True, check=True).stdout
    known = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    stripped = {key.strip(): value.strip() for key, value in known.items()}
    return {name: stripped[name] for name in ("xen_version", "nr_cpus", "nr_nodes")}
