"""Each step of each verb is cancelled, or fails, or finds the disk full from then on.

`test_core_kill` stops xend at every point; here it lives on, and has to leave the host as if
nobody had asked, or as if all had gone well: nothing half made, no memory lost, no configuration
lost or doubled, and nothing in the journal that a later start would carry out, but for what could
be neither finished nor taken back (`LEFT`), which the next start does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal

import pytest

from tests.killing import Killing, tried
from tests.simhost import SimHost, guest
from tests.unit.test_core_kill import SCENARIOS, Scenario, _check
from xend.core.jobs import Job
from xend.errors import DomainNotFound, HypervisorError, JournalError, OperationFailed, XendError
from xend.model.status import PowerState
from xend.model.units import Domid
from xend.store.repository import RepositoryError

Trouble = Literal["cancel", "fails once", "disk full"]

ERRORS: dict[str, Callable[[], XendError]] = {
    "journal": lambda: JournalError(path="xend.db", reason="database or disk is full"),
    "repository": lambda: RepositoryError(path="domains", reason="No space left on device"),
    "files": lambda: OperationFailed("No space left on device", stage="write"),
}
LEFT = {
    "save": {"destroy.devices", "destroy.domain"},
    "suspend": {"destroy.devices", "destroy.domain"},
    "detach": {"repository.save"},
    "rename-restart": {"journal.begin", "journal.note"},
}
"""Verbs, and where they fail so."""
ENDS = frozenset({"end", "settle"})
"""Of the journal: they do not fail (`core.ports.Journal`)."""
ON_FULL_DISK = frozenset(
    {"journal.begin", "journal.note", "journal.put_owned", "journal.drop_owned", "repository.save"}
)


class Troubles:
    """At the point with number `at`."""

    def __init__(self, host: SimHost, at: int, trouble: Trouble) -> None:
        self._host = host
        self._at = at
        self._trouble = trouble
        self.passed: list[str] = []
        self.hit = False

    async def point(self, name: str) -> None:
        when, _, call = name.partition(" ")
        port, _, method = call.partition(".")
        if when == "after" or (port == "journal" and method in ENDS):
            return
        if self.hit and self._trouble == "disk full" and call in ON_FULL_DISK:
            raise ERRORS[port]()
        if self.hit or (self._trouble == "disk full" and call not in ON_FULL_DISK):
            return
        self.passed.append(call)
        if len(self.passed) < self._at:
            return
        self.hit = True
        if self._trouble == "cancel":
            await self._cancel()
        else:
            raise ERRORS[port]()

    async def fault(self, operation: str, stage: str, domid: Domid | None) -> None:
        if self.hit or self._trouble == "disk full":
            return
        if (operation, stage) == ("save", "asked") and self._trouble == "fails once":
            return  # libxl withdraws its request then; see `xend.core.suspension`.
        self.passed.append(f"{operation}.{stage}")
        if len(self.passed) < self._at:
            return
        self.hit = True
        if self._trouble == "cancel":
            await self._cancel()
        else:
            raise HypervisorError(f"{operation} failed", operation=operation)

    async def _cancel(self) -> None:
        for job in self._host.service.jobs.list():
            job.cancel()
            job.cancel()  # Somebody impatient.
        await asyncio.sleep(0.005)

    def arm(self) -> None:
        context = self._host.service._context
        self._host.hypervisor.faults = self.fault
        for name, real in (
            ("journal", self._host.journal),
            ("repository", self._host.repository),
            ("files", self._host.files),
        ):
            object.__setattr__(context, name, Killing(real, self, name))

    def disarm(self) -> None:
        context = self._host.service._context
        self._host.hypervisor.faults = _nothing
        for name in ("journal", "repository", "files"):
            object.__setattr__(context, name, getattr(self._host, name))


async def _nothing(operation: str, stage: str, domid: Domid | None) -> None:
    pass


async def _gone(host: SimHost) -> bool:
    return "web" not in await host.names()


async def _halted(host: SimHost) -> bool:
    return (await host.view("web")).power_state is PowerState.HALTED


async def _paused(host: SimHost) -> bool:
    return (await host.view("web")).power_state is PowerState.PAUSED


async def _dead_one_kept(host: SimHost) -> bool:
    [dead] = [view for view in await host.service.list() if view.name.startswith("Domain-")][1:]
    return dead.power_state is PowerState.CRASHED and "web" not in await host.names()


OTHERWISE: dict[tuple[str, Trouble], Callable[[SimHost], Awaitable[bool]]] = {
    # What has ended for its successor is gone, when that cannot be built.
    ("reset", "cancel"): _gone,
    ("reset", "fails once"): _paused,
    ("reboot", "cancel"): _gone,
    ("reboot-managed", "cancel"): _halted,
    ("rename-restart", "cancel"): _dead_one_kept,
    # Half destroyed: the hypervisor pauses it first.
    ("destroy", "fails once"): _paused,
    # It could not be unpaused, but its memory is in no file any more.
    ("resume", "fails once"): _paused,
    ("dump-core", "fails once"): _paused,
}
"""What else may have become of it."""


def _tolerant(name: str, trouble: Trouble) -> Scenario:
    scenario = SCENARIOS[name]
    otherwise = OTHERWISE.get((name, trouble))

    async def after(host: SimHost) -> bool:
        for outcome in (scenario.after, otherwise):
            with suppress(DomainNotFound):
                if outcome is not None and await outcome(host):
                    return True
        return False

    return Scenario(scenario.before, scenario.act, after)


async def _run(folder: Path, name: str, at: int, trouble: Trouble) -> str | None:
    """At which point; None when there are fewer."""
    scenario = _tolerant(name, trouble)
    host = SimHost(folder)
    await host.start()
    troubles = Troubles(host, at, trouble)
    try:
        bystander = await host.service.create(guest("bystander"))
        await scenario.before(host)
        await host.quiet()
        await host.clock.sleep(1)
        known = {job.id for job in host.service.jobs.list()}
        troubles.arm()
        acting = asyncio.ensure_future(scenario.act(host))
        await _until_over(host, acting, known)
        troubles.disarm()
        if not troubles.hit:
            return None
        where = f"{trouble} at {troubles.passed[-1]}"
        await host.service._policies.look_at_all()  # As it does every minute.
        await host.quiet()
        if not await host.journal.open_intents() or troubles.passed[-1] not in LEFT.get(name, ()):
            await _check(host, scenario, bystander.domid, where)
        await host.restart()
        await host.quiet()
        await _check(host, scenario, bystander.domid, f"{where}, then a restart")
        return where
    finally:
        await host.close()


async def _until_over(host: SimHost, acting: asyncio.Future[object], known: set[str]) -> None:
    """The act waits for what may never come when a policy's job has failed."""

    def jobs() -> list[Job]:
        return [job for job in host.service.jobs.list() if job.id not in known]

    async with asyncio.timeout(20):
        while not acting.done():
            await asyncio.sleep(0.005)
            if any(job.kind.startswith("on-") and job.done and job.error for job in jobs()):
                acting.cancel()
    with suppress(XendError, asyncio.CancelledError):
        await acting
    await host.quiet()


@pytest.mark.parametrize("trouble", ["cancel", "fails once", "disk full"])
@pytest.mark.parametrize("name", SCENARIOS)
async def test_trouble_at_every_point(name: str, trouble: Trouble, tmp_path: Path) -> None:
    for number in range(100):
        folder = tmp_path / str(number)
        folder.mkdir()
        if await _run(folder, name, number + 1, trouble) is None:
            tried(f"no kill, but {trouble}, on the simulator", number)
            return
    pytest.fail("it never ended")
