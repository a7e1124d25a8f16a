"""`xend …`: which verb, and may this user."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from xend.daemon import asking, control
from xend.daemon.options import (
    DEFAULT_CONFIG,
    DEFAULT_RUN,
    DEFAULT_STATE,
    FILE_VERBS,
    HELP,
    Options,
    UsageError,
    parse,
)
from xend.errors import XendError

_VERBS: Final[Mapping[str, Callable[[Options], int]]] = {
    "start": control.start,
    "trace_start": control.start,  # the original's tracing went with its interpreter
    "stop": control.stop,
    "restart": control.restart,
    "reload": control.reload,
    "status": control.status,
    "import": asking.import_domains,
    "adopt": asking.adopt,
}


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code."""
    program = Path(sys.argv[0]).name if argv is None else "xend"
    if program == "__main__.py":
        program = "xend"
    words = sys.argv[1:] if argv is None else argv
    if words and words[0] in FILE_VERBS:
        from xend.daemon import files

        return files.main(words[0], words[1:])
    try:
        options = parse(words, os.environ)
    except UsageError as error:
        return _complain(str(error))
    if options.help:
        print(
            HELP.format(prog=program, config=DEFAULT_CONFIG, state=DEFAULT_STATE, run=DEFAULT_RUN)
        )
        return 0
    if not options.verb and not options.foreground:
        return _complain(f"usage: {program} {{start|stop|reload|restart}}")
    if os.geteuid() != 0 and not options.private:
        return _complain(
            f"{program}: must be run as root (or with --run-dir and --state-dir of your own)"
        )
    try:
        if options.foreground:
            gc.disable()  # what is imported now stays; `run` turns it on again
            from xend.daemon.run import run

            return run(options)
        return _VERBS[options.verb](options)
    except XendError as error:
        return _complain(f"{program}: {error}")


def _complain(text: str) -> int:
    print(text, file=sys.stderr)
    return 1
