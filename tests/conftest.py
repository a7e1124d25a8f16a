"""For all tests: hypothesis does not take a busy machine for a slow program (tests of how long
something takes measure it themselves), and tries the same examples each time.  Other ones each time
are for who looks for faults: `make fuzz` sets XEND_TEST_SEARCH."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

from tests.killing import TRIED

settings.register_profile("same", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None)
settings.load_profile("search" if os.environ.get("XEND_TEST_SEARCH") else "same")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for victim, points in sorted(TRIED.items()):
        terminalreporter.write_line(f"kill points tried: {points} of {victim}")
