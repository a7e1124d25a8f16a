"""Random work, killed at random points, also while the next start is still repairing: by seeds.

`test_core_kill` tries every point of every verb once, from a quiet host.  Here several verbs are
under way at once, the daemon is killed again during its recovery, workers die besides or hang, and
afterwards the host must be one that could have come about without any kill.
XEND_TEST_SOAK=1 tries 600 seeds, otherwise 25.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from tests.killing import Killing, KillSwitch, tried
from tests.simhost import SimHost, disk, guest, vif
from xend.errors import WorkerCrashed, XendError
from xend.model.status import Origin, PowerState
from xend.model.units import Domid

SEEDS = 600 if os.environ.get("XEND_TEST_SOAK") else 25
NAMES = ("ariel", "caliban", "miranda")
NEVER = 10**9

Act = Callable[[], Awaitable[object]]


class Storm:
    """One seed: what it does, and where it is killed."""

    def __init__(self, host: SimHost, seed: int) -> None:
        self.host = host
        self.dice = random.Random(seed)
        self.switch = KillSwitch(NEVER)
        self.worker_dies_at = self.dice.randrange(1, 60)
        self.hangs_at = self.dice.randrange(1, 120)
        self.hung = asyncio.Event()
        self.stages = 0
        self.configs = {name: guest(name, disks=(disk(f"/srv/{name}.img"),)) for name in NAMES}
        self.killed: list[str] = []

    async def fault(self, operation: str, stage: str, domid: Domid | None) -> None:
        await self.switch.fault(operation, stage, domid)
        self.stages += 1
        if self.stages == self.hangs_at:
            self.hung.set()
            await asyncio.Event().wait()
        if self.stages == self.worker_dies_at and operation in ("create", "destroy", "save"):
            raise WorkerCrashed(operation=operation, status="killed by signal 9")

    def arm(self) -> None:
        context = self.host.service._context
        self.host.hypervisor.faults = self.fault
        for name, real in (
            ("journal", self.host.journal),
            ("repository", self.host.repository),
            ("files", self.host.files),
        ):
            object.__setattr__(context, name, Killing(real, self.switch, name))

    def acts(self) -> list[Act]:
        """For one random domain; most of them are refused in most states."""
        service, name = self.host.service, self.dice.choice(NAMES)
        path = self.host.folder / f"{name}.save"
        other = disk("/srv/more.img", "xvdb")
        return [
            lambda: service.create(self.configs[name]),
            lambda: service.new(self.configs[name]),
            lambda: service.start_domain(name, paused=False),
            lambda: service.destroy(name),
            lambda: service.delete(name),
            lambda: service.reset(name),
            lambda: service.save(name, path),
            lambda: service.restore(path),
            lambda: service.suspend(name),
            lambda: service.resume(name),
            lambda: service.rename(name, f"{name}-too"),
            lambda: service.rename(f"{name}-too", name),
            lambda: service.attach_device(name, "vbd", other),
            lambda: service.attach_device(name, "vif", vif()),
            lambda: service.detach_device(name, "vbd", "xvdb"),
            lambda: service.shutdown(name, "reboot"),
            lambda: service.pause(name),
            lambda: service.unpause(name),
        ]

    async def work(self, verbs: int) -> None:
        for _ in range(verbs):
            act = self.dice.choice(self.acts())
            with suppress(XendError):
                await act()

    async def until_killed(self, acting: Awaitable[object]) -> bool:
        """Until it is done, the kill comes, or it hangs so that an administrator would kill it.
        False when it is done."""
        before = len(self.killed)
        self.hung.clear()
        ends = (acting, self.switch.hit.wait(), self.hung.wait())
        tasks = [asyncio.ensure_future(end) for end in ends]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if self.hung.is_set() and not self.switch.hit.is_set():
            await self.read_while_it_hangs()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for task in done:
            task.result()
        if self.switch.hit.is_set():
            self.killed.append(self.switch.passed[-1])
        return len(self.killed) > before

    async def read_while_it_hangs(self) -> None:
        """Whoever only looks does not notice."""
        self.killed.append("hung")
        async with asyncio.timeout(2):
            assert "Domain-0" in [view.name for view in await self.host.service.list()]

    async def round(self) -> None:
        """Works until it is killed, and starts again, perhaps killed at that, too."""
        self.arm()
        self.switch.arm(self.dice.randrange(1, 50))
        workers = [self.work(4) for _ in range(3)]
        await self.until_killed(_all(workers))
        killed = True
        while killed:
            await self.host.stop()
            self.switch = KillSwitch(self.dice.choice((NEVER, self.dice.randrange(1, 15))))
            killed = await self.until_killed(
                self.host.start(
                    journal=lambda real: Killing(real, self.switch, "journal"), faults=self.fault
                )
            )
            self.hangs_at = 0  # From here on what the start has left to jobs is let through.
            killed = killed or self.hung.is_set()
        self.switch.arm(NEVER)
        await self.host.quiet()


async def _all(parts: Sequence[Awaitable[None]]) -> None:
    await asyncio.gather(*parts)


async def _check(host: SimHost, where: str, bystander: Domid | None) -> None:
    views = await host.service.list()
    assert not await host.journal.open_intents(), where
    other = await host.view("bystander")
    assert (other.domid, other.power_state) == (bystander, PowerState.RUNNING), where
    names = [view.name for view in views]
    assert len(names) == len(set(names)), f"{where}: {names}"
    assert {view.origin for view in views} <= {Origin.HOST, Origin.XEND}, where
    assert not [view for view in views if view.info and view.info.shutdown], where
    running = {domain.domid: domain for domain in host.machine.domains.values() if domain.domid}
    assert {view.domid for view in views} - {0, None} == running.keys(), where
    for domid, domain in running.items():
        assert domain.name, f"{where}: half-made: {domid}"
        assert await host.store.read(f"/local/domain/{domid}/name") == domain.name, where
    owned = {(each.uuid, each.domid) for each in await host.journal.owned()}
    assert owned == {(domain.vm, domain.domid) for domain in running.values()}, where
    managed, broken = await host.repository.load()
    assert not broken, where
    on_disk = sorted(str(each.config.uuid) for each in managed)
    assert on_disk == sorted(view.uuid for view in views if view.managed), where
    assert not [*host.folder.rglob("*.partial")], where
    assert set(host.xenstored.directory("/local/domain")) == {"0", *map(str, running)}, where


@pytest.mark.parametrize("group", range(5))
async def test_storms(group: int, tmp_path: Path) -> None:
    killed: list[str] = []
    for seed in range(group, SEEDS, 5):
        host = SimHost(tmp_path / str(seed))
        host.folder.mkdir()
        await host.start()
        storm = Storm(host, seed)
        try:
            bystander = await host.service.create(guest("bystander"))
            for _ in range(3):
                await storm.round()
                where = f"seed {seed}, killed at {storm.killed}"
                await _check(host, where, bystander.domid)
        finally:
            storm.switch.arm(NEVER)
            await host.close()
        killed += storm.killed
    tried(f"the service, in storms of {SEEDS} seeds on the simulator", len(killed))
    print(f"killed {len(killed)} times, at {len(set(killed))} different points")
    assert len(killed) >= SEEDS // 5
