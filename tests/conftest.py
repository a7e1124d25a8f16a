"""For all tests: hypothesis does not take a busy machine for a slow program.  Tests of how long
something takes measure it themselves."""

from __future__ import annotations

import pytest
from hypothesis import settings

from tests.killing import TRIED

settings.register_profile("busy", deadline=None)
settings.load_profile("busy")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for victim, points in sorted(TRIED.items()):
        terminalreporter.write_line(f"kill points tried: {points} of {victim}")
