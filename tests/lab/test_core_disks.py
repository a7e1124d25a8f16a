"""xend's own disk fails, on real Xen: full, and read-only."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.conftest import run
from tests.lab.test_core_service import PREFIX, hosting, tiny
from xend.errors import JournalError, OperationFailed
from xend.model.status import Origin, PowerState

pytestmark = pytest.mark.lab


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system with hardly any room."""
    folder = tmp_path / "small"
    folder.mkdir()
    assert run("mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)).returncode == 0
    yield folder
    run("umount", "-l", str(folder))


def _fill(folder: Path) -> Path:
    path = folder / "ballast"
    with path.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return path


async def test_a_full_disk(small: Path) -> None:
    async with hosting(small) as host:
        await host.service.create(tiny())
        reader = host.service.events.subscribe(topics={"domain"})
        ballast = _fill(small)
        failed = 0
        for number in range(200):  # What SQLite had set aside is used first.
            try:
                await host.service.create(tiny(f"n{number}"))
            except JournalError as error:
                assert "full" in str(error) or "I/O" in str(error)
                failed += 1
                break
            await host.service.destroy(f"{PREFIX}n{number}")
        assert failed
        with pytest.raises(OperationFailed, match="No space left on device"):
            await host.service.new(tiny("managed"))
        assert (await host.service.lookup(PREFIX + "web")).power_state is PowerState.RUNNING
        await host.service.destroy(PREFIX + "web")
        assert await host.names() == []
        async with asyncio.timeout(10):
            while (await anext(reader)).kind != "destroyed":
                pass
        ballast.unlink()
        await host.service.create(tiny())
        assert await host.names() == [PREFIX + "web"]
        newest = host.service.events.newest
        await host.stop()
        await host.start()
        assert host.service.events.newest > newest
        await host.service.destroy(PREFIX + "web")


async def test_a_read_only_disk(small: Path) -> None:
    """xend says so and does not start; the guests notice nothing."""
    async with hosting(small) as host:
        view = await host.service.create(tiny())
        await host.stop()
        assert run("mount", "-o", "remount,ro", str(small)).returncode == 0
        try:
            with pytest.raises(JournalError, match=r"xend\.db cannot be used: Read-only"):
                await host.start()
        finally:
            await host.hypervisor.close()
            await host.store.close()
            await host.journal.close()
            await host.repository.close()
            assert run("mount", "-o", "remount,rw", str(small)).returncode == 0
            await host.start()
        after = await host.service.lookup(PREFIX + "web")
        assert (after.domid, after.origin, after.started) == (
            view.domid,
            Origin.XEND,
            view.started,
        )
        await host.service.destroy(PREFIX + "web")
