"""`python -m xend` and the program `xend`."""

from __future__ import annotations

import sys


def main() -> int:
    from xend.daemon.commandline import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
