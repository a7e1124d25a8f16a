"""The warm process has imported what a create needs: its workers are forked, and each would pay."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import io, sys
from xend.cli import warm

warm.import_everything()
before = set(sys.modules)
from xend.config import xmcreate

request = xmcreate.prepare(
    [sys.argv[1]],
    command="create",
    env={"HOME": "/root"},
    cwd="/",
    stdout=io.StringIO(),
    stderr=io.StringIO(),
)
assert request.name == "guest", request
print(*sorted(set(sys.modules) - before))
"""


def test_a_create_imports_nothing_more(tmp_path: Path) -> None:
    kernel = tmp_path / "kernel"
    kernel.touch()
    config = tmp_path / "guest"
    config.write_text(f'import os, re\nkernel = "{kernel}"\nmemory = 64\nvif = [""]\n')
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(config)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, [], "")
