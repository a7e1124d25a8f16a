"""Fixtures of the binding's tests: a started XenHypervisor, its events, and nothing left behind."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.lab.binding import tinyguest
from tests.lab.binding.support import Events
from tests.lab.conftest import domains, run
from xend.core.ports import HypervisorEventKind
from xend.libxl.hypervisor import XenHypervisor


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    yield
    left = {name: domid for name, domid in domains().items() if name.startswith("bx-")}
    for domid in left.values():
        run("xl", "destroy", str(domid))
    assert not left, f"the test left domains behind: {left}"


@pytest_asyncio.fixture
async def xen() -> AsyncIterator[XenHypervisor]:
    made = XenHypervisor()
    await made.start()
    yield made
    await made.close()


@pytest_asyncio.fixture
async def events(xen: XenHypervisor) -> AsyncIterator[Events]:
    made = Events(xen)
    await made.until(HypervisorEventKind.RESYNC, 0)
    yield made
    await made.close()


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return tinyguest.write(tmp_path / "tiny.elf")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    with path.open("wb") as file:
        file.truncate(4 * 1024 * 1024)
    return path
