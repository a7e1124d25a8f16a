"""The book's quick start, as a test."""

from __future__ import annotations

import pytest

from tests.lab.quickstart import QuickStart
from tests.lab.terminal import Terminal

pytestmark = pytest.mark.lab


def test_the_quick_start_of_the_book(xend_running: None) -> None:
    with Terminal() as terminal:
        quick_start = QuickStart(terminal)
        quick_start.run()
        assert quick_start.domid > 0
