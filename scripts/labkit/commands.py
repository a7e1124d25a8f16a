"""The one door to other programs of the build machine."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from labkit.errors import LabError

TAIL_LINES = 15


def run(
    command: Sequence[str | Path],
    *,
    what: str,
    log: Path | None = None,
    stdin: bytes | None = None,
    extra_env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float | None = None,
    fix: str = "",
    output: Path | None = None,
) -> str:
    """Run a program to its end and return what it printed; its output goes to `log` too.

    With `output` its standard output is a file's content, and only the rest is returned.

    Raises LabError with the last lines of the output, because "exit status 1"
    alone sends the reader hunting.
    """
    words = [str(word) for word in command]
    env = {**os.environ, **(extra_env or {})}
    try:
        with contextlib.ExitStack() as files:
            into = None if output is None else files.enter_context(output.open("wb"))
            done = subprocess.run(
                words,
                input=stdin,
                stdin=subprocess.DEVNULL if stdin is None else None,
                stdout=subprocess.PIPE if into is None else into,
                stderr=subprocess.STDOUT if into is None else subprocess.PIPE,
                env=env,
                cwd=cwd,
                timeout=timeout,
                check=False,
            )
    except FileNotFoundError as err:
        raise LabError(f"{what}: there is no program {words[0]!r}", fix) from err
    except subprocess.TimeoutExpired as err:
        raise LabError(f"{what}: {words[0]} did not finish within {timeout:.0f} s", fix) from err
    text = (done.stdout if output is None else done.stderr).decode(errors="replace")
    if log is not None:
        with log.open("a") as sink:
            sink.write(f"$ {' '.join(words)}\n{text}\n")
    if done.returncode != 0:
        tail = "\n".join("    " + line for line in text.strip().splitlines()[-TAIL_LINES:])
        raise LabError(
            f"{what}: {words[0]} failed with status {done.returncode}\n{tail}",
            fix or (f"the whole output is in {log}" if log else ""),
        )
    return text
