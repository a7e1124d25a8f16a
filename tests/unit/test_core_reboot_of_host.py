"""The host was booted again: domids start anew, and what ran before is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.killing import Killing, KillSwitch
from tests.simhost import SimHost, guest, running
from xend.model.domain import DomainConfig
from xend.model.status import Origin
from xend.model.units import Domid
from xend.sim.hypervisor import SimHypervisor
from xend.sim.machine import SimMachine
from xend.sim.xenstored import SimXenstored


async def boot(host: SimHost) -> None:
    """The disk is what it was; everything else begins anew."""
    await host.stop()
    await host.machine.settle()
    host.boot += "+"
    host.xenstored = SimXenstored()
    host.machine = SimMachine(host.clock, host.xenstored, memory=host.machine.total)


async def somebody_starts(host: SimHost, config: DomainConfig) -> Domid:
    """With `xl create`, before xend runs."""
    hypervisor = SimHypervisor(host.machine)
    domid = await hypervisor.create(config)
    await hypervisor.unpause(domid)
    return domid


async def test_a_domain_of_the_same_number_and_uuid_is_not_taken_for_ours(tmp_path: Path) -> None:
    config = guest()
    async with running(tmp_path) as host:
        await host.service.new(config)
        before = await host.service.start_domain("web", paused=False)
        await boot(host)
        domid = await somebody_starts(host, config)
        assert domid == before.domid
        await host.start()
        view = await host.service.lookup("web")
        assert (view.origin, view.domid) == (Origin.FOREIGN, domid)
        host.machine.crash(domid)  # Their toolstack sees to that.
        await host.service.list()
        await host.quiet()
        assert (await host.service.lookup("web")).domid == domid


CUT_OFF: dict[str, Callable[[SimHost, DomainConfig], Awaitable[Any]]] = {
    "start": lambda host, config: host.service.start_domain(config.name),
    "reset": lambda host, config: host.service.reset(config.name),
    "destroy": lambda host, config: host.service.destroy(config.name),
    "save": lambda host, config: host.service.save(config.name, host.folder / "web.chk"),
    "suspend": lambda host, config: host.service.suspend(config.name),
    "rename": lambda host, config: host.service.rename(config.name, "www"),
}


@pytest.mark.parametrize("verb", CUT_OFF)
async def test_what_was_under_way_when_the_host_went_down(verb: str, tmp_path: Path) -> None:
    """At every step: the namesake that runs now is never touched."""
    for at in range(1, 60):
        folder = tmp_path / str(at)
        folder.mkdir()
        async with running(folder) as host:
            if not await _cut_off(host, verb, at):
                assert at > 3
                return
    pytest.fail("it never ended")


async def _cut_off(host: SimHost, verb: str, at: int) -> bool:
    """Whether there is a step with number `at`."""
    config = guest()
    await host.service.new(config)
    if verb != "start":
        await host.service.start_domain("web", paused=False)
    switch = KillSwitch(at)
    context = host.service._context
    host.hypervisor.faults = switch.fault
    for name in ("journal", "repository", "files"):
        object.__setattr__(context, name, Killing(getattr(host, name), switch, name))
    act = asyncio.ensure_future(CUT_OFF[verb](host, config))
    hit = asyncio.ensure_future(switch.hit.wait())
    await asyncio.wait([act, hit], return_when=asyncio.FIRST_COMPLETED)
    await boot(host)
    act.cancel()
    hit.cancel()
    await asyncio.wait([act, hit])
    domid = await somebody_starts(host, config)
    await host.start()
    await host.quiet()
    assert host.machine.get(domid).alive, switch.passed[-1]
    assert len(host.machine.domains) == 2, switch.passed[-1]
    assert not await host.journal.open_intents(), switch.passed[-1]
    assert not list(host.folder.rglob("*.partial")), switch.passed[-1]
    [view] = [view for view in await host.service.list() if view.domid != 0]
    assert (view.uuid, view.origin) == (str(config.uuid), Origin.FOREIGN)
    return switch.hit.is_set()
