"""The service on real Xen, in this process: strangers' domains, reboots, and kills at every
journalled step.

A kill is the service dropped in the middle without any undoing; its worker processes are killed,
as they are when the daemon dies.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.killing import Killing, KillSwitch, tried
from tests.lab.conftest import SETTLE, free_memory, run
from tests.lab.guests import LINUX_INITRD, LINUX_KERNEL, TINY_KERNEL
from xend.core.domains import DomainService, ServiceSettings
from xend.core.views import DomainView
from xend.libxl.hypervisor import XenHypervisor
from xend.model.domain import DomainConfig
from xend.model.status import Origin, PowerState
from xend.model.units import kib
from xend.store.client import XenStoreClient
from xend.store.history import SqliteHistory
from xend.store.hostfiles import LocalFiles, boot_id
from xend.store.journal import SqliteJournal
from xend.store.repository import FileRepository

pytestmark = pytest.mark.lab

PREFIX = "core-"


def tiny(name: str = "web", **settings: Any) -> DomainConfig:
    values: dict[str, Any] = {
        "name": PREFIX + name,
        "uuid": uuid4(),
        "memory": kib(4),
        "kernel": str(TINY_KERNEL),
        **settings,
    }
    return DomainConfig.model_validate(values)


def linux(name: str = "linux") -> DomainConfig:
    return tiny(
        name,
        memory=kib(128),
        kernel=str(LINUX_KERNEL),
        ramdisk=str(LINUX_INITRD),
        cmdline="console=hvc0",
    )


class XenHost:
    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.settings = ServiceSettings(close_grace=0.0, **settings)
        self.files = LocalFiles()
        self.service: DomainService
        self.journal: SqliteJournal
        self.store: XenStoreClient

    async def start(self, switch: KillSwitch | None = None) -> None:
        self.hypervisor = XenHypervisor()
        self.store = XenStoreClient()
        self.journal = SqliteJournal(self.folder / "xend.db", boot=boot_id())
        self.repository = FileRepository(
            self.folder / "domains", DomainConfig.model_dump_json, DomainConfig.model_validate_json
        )
        await self.store.start()
        await self.hypervisor.start()
        await self.journal.start()
        self.history = SqliteHistory(self.folder / "history.db", boot=boot_id())
        await self.history.start()
        journal: Any = self.journal
        files: Any = self.files
        repository: Any = self.repository
        if switch is not None:
            journal = Killing(journal, switch, "journal")
            files = Killing(files, switch, "files")
            repository = Killing(repository, switch, "repository")
        self.service = DomainService(
            self.hypervisor,
            self.store,
            repository,
            journal,
            settings=self.settings,
            files=files,
            history=self.history,
        )
        await self.service.start()

    async def stop(self) -> None:
        await self.service.close()
        await self.hypervisor.close()
        await self.store.close()
        await self.journal.close()
        await self.history.close()
        await self.repository.close()

    async def ours(self) -> list[DomainView]:
        return [view for view in await self.service.list() if view.name.startswith(PREFIX)]

    async def names(self) -> list[str]:
        return [view.name for view in await self.ours()]

    async def until(self, true: Callable[[], Awaitable[bool]], seconds: float) -> float:
        """How long it took."""
        began = asyncio.get_running_loop().time()
        async with asyncio.timeout(seconds):
            while not await true():  # noqa: ASYNC110  (what others do sets no event here)
                await asyncio.sleep(0.02)
        return asyncio.get_running_loop().time() - began

    async def quiet(self) -> None:
        async def done() -> bool:
            return all(job.done for job in self.service.jobs.list())

        await self.until(done, 60)


async def _sweep() -> None:
    """Nothing of a test that failed stays behind."""
    for line in run("xl", "list").stdout.splitlines()[1:]:
        name = line.split()[0]
        if name.startswith(PREFIX):
            run("xl", "destroy", name)


@asynccontextmanager
async def hosting(folder: Path, **settings: Any) -> AsyncIterator[XenHost]:
    host = XenHost(folder, **settings)
    await host.start()
    try:
        yield host
    finally:
        await host.stop()
        await host.files.close()
        await _sweep()


async def xl(*words: str) -> None:
    process = await asyncio.create_subprocess_exec(
        "xl", *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()


async def test_what_xl_does_is_seen_within_a_second(tmp_path: Path) -> None:
    config = tmp_path / "theirs.cfg"
    config.write_text(f'name = "{PREFIX}theirs"\nmemory = 4\nkernel = "{TINY_KERNEL}"\n')
    async with hosting(tmp_path) as host:
        await xl("create", "-e", "-q", str(config))
        view = await host.service.lookup(PREFIX + "theirs")
        assert view.origin is Origin.FOREIGN
        await xl("rename", PREFIX + "theirs", PREFIX + "renamed")

        async def renamed() -> bool:
            return await host.names() == [PREFIX + "renamed"]

        assert await host.until(renamed, 5) < 1
        view = await host.service.with_config(await host.service.lookup(PREFIX + "renamed"))
        assert view.config is not None
        assert view.config.kernel == str(TINY_KERNEL)
        await xl("destroy", PREFIX + "renamed")
        assert await host.names() == []


async def test_what_xl_does_to_ours_is_followed(tmp_path: Path) -> None:
    async with hosting(tmp_path) as host:
        await host.service.create(tiny())
        await xl("rename", PREFIX + "web", PREFIX + "www")

        async def renamed() -> bool:
            return await host.names() == [PREFIX + "www"]

        assert await host.until(renamed, 5) < 1
        await xl("pause", PREFIX + "www")
        assert (await host.service.lookup(PREFIX + "www")).power_state is PowerState.PAUSED
        await xl("destroy", PREFIX + "www")
        assert await host.names() == []

        async def forgotten() -> bool:
            return not await host.journal.owned()

        await host.until(forgotten, 5)


async def test_a_guest_that_reboots_comes_back_and_never_drops_out_of_the_list(
    tmp_path: Path,
) -> None:
    async with hosting(tmp_path) as host:
        config = linux()
        before = await host.service.create(config)
        path = f"/local/domain/{before.domid}/control/feature-poweroff"

        async def listens() -> bool:
            return await host.store.read_or(path) == "1"

        await host.until(listens, 60)
        await asyncio.sleep(3)
        await host.service.shutdown(config.name, "reboot")
        seen: set[tuple[str, ...]] = set()

        async def back() -> bool:
            seen.add(tuple(await host.names()))
            return (await host.service.lookup(config.name)).restarts == 1

        await host.until(back, 60)
        await host.quiet()
        after = await host.service.lookup(config.name)
        assert after.uuid == before.uuid
        assert after.domid is not None
        assert after.domid > (before.domid or 0)
        assert after.power_state is PowerState.RUNNING
        assert seen == {(config.name,)}


async def test_a_restart_of_the_service_disturbs_nothing(tmp_path: Path) -> None:
    async with hosting(tmp_path) as host:
        for number in range(3):
            await host.service.create(tiny(f"g{number}"))
        before = [(view.name, view.domid, view.started) for view in await host.ours()]
        await host.stop()
        await host.start()
        assert [(view.name, view.domid, view.started) for view in await host.ours()] == before
        assert {view.origin for view in await host.ours()} == {Origin.XEND}


# -- Kills ---------------------------------------------------------------------------------------

Act = Callable[[XenHost], Awaitable[Any]]


async def _nothing(host: XenHost) -> None:
    pass


async def _create(host: XenHost) -> None:
    await host.service.create(tiny())


KILLED: dict[str, tuple[Act, Act, set[int]]] = {
    "create": (_nothing, _create, {0, 1}),
    "destroy": (_create, lambda host: host.service.destroy(PREFIX + "web"), {0, 1}),
    "reset": (_create, lambda host: host.service.reset(PREFIX + "web"), {1}),
    "rename": (_create, lambda host: host.service.rename(PREFIX + "web", PREFIX + "www"), {1}),
}
"""Before, what is killed, and how many domains there may be afterwards."""


KILLED_HERE_ONLY = ["reset"]
"""The others test_kill_daemon.py does to the daemon itself, unless all is asked for (make soak)."""


@pytest.mark.parametrize("name", KILLED if os.environ.get("XEND_TEST_SOAK") else KILLED_HERE_ONLY)
async def test_killed_at_every_journalled_step(name: str, tmp_path: Path) -> None:
    before, act, counts = KILLED[name]
    host = XenHost(tmp_path)
    killed: list[str] = []
    free = free_memory()
    try:
        for at in range(1, 60):
            await host.start()
            await before(host)
            await host.stop()
            switch = KillSwitch(10**9)
            await host.start(switch)
            switch.arm(at)
            acting = asyncio.ensure_future(act(host))
            hit = asyncio.ensure_future(switch.hit.wait())
            await asyncio.wait([acting, hit], return_when=asyncio.FIRST_COMPLETED)
            done = not switch.hit.is_set()
            hit.cancel()
            await host.stop()
            acting.cancel()
            await asyncio.wait([acting, hit])
            await host.start()
            await host.quiet()
            await _check(host, counts, switch.passed[-1])
            for view in await host.ours():
                await host.service.destroy(view.name)
            await host.stop()
            if done:
                break
            killed.append(switch.passed[-1])
    finally:
        await host.files.close()
        await _sweep()
    tried("the service, on real Xen", len(killed))
    print(f"{name}: killed at {len(killed)} points: {killed}")
    assert len(killed) >= 4

    async def back() -> bool:
        return await asyncio.to_thread(free_memory) >= free - 1

    await host.until(back, SETTLE)


async def _no_half_made() -> bool:
    """Waits, since somebody else may just be building one."""
    return "(null)" not in (await asyncio.to_thread(run, "xl", "list")).stdout


async def _check(host: XenHost, counts: set[int], point: str) -> None:
    views = await host.ours()
    where = f"killed at {point}: {[(view.name, view.domid, view.flags) for view in views]}"
    assert len(views) in counts, where
    assert all(view.power_state is PowerState.RUNNING for view in views), where
    assert all(view.origin is Origin.XEND for view in views), where
    assert not await host.journal.open_intents(), where
    for view in views:
        assert await host.store.read(f"/local/domain/{view.domid}/name") == view.name, where
    await host.until(_no_half_made, 60)
