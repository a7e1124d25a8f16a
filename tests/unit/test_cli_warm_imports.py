"""The warm process has imported what a create needs: its workers are forked, and each would pay."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
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


def test_xm_pays_nothing_for_xl_and_the_xen_api() -> None:
    program = (
        "import sys, xend.cli.main\n"
        "from xend.cli import listing\n"
        "print(*[name for name in sys.modules if name.startswith(('xend.cli.xl', 'xend.cli.xen'))])"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.append({str(CHECKOUT)!r})\n{program}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "\n"


def test_xl_is_as_light_as_xm() -> None:
    """What takes long to import is not needed for a listing."""
    program = (
        "import xend.cli.main\n"
        "from xend.cli import xl, xllist, xltable\n"
        "print(*sorted({'json', 're', 'typing', 'pydantic', 'dataclasses'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-IS", "-c", f"import sys; sys.path.append({str(CHECKOUT)!r})\n{program}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "\n"
