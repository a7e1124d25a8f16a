"""What becomes of domains that end, on real Xen: every action for every reason."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.lab.guests import TINY_KERNEL
from tests.lab.test_core_service import PREFIX, XenHost, hosting, linux, tiny
from tests.lab.xenctrl import end_guest
from xend.core.events import Subscription
from xend.core.views import DomainView
from xend.errors import RestartFailed
from xend.model.domain import ShutdownAction
from xend.model.status import Origin, PowerState, ShutdownReason

pytestmark = pytest.mark.lab

WEB = PREFIX + "web"
ELF = b"\x7fELF"


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4)


async def _created(host: XenHost, **settings: Any) -> tuple[DomainView, int]:
    view = await host.service.create(tiny(**settings))
    assert view.domid is not None
    return view, view.domid


async def _settled(host: XenHost, before: int) -> list[DomainView]:
    """When the policy of domain `before` has been applied."""

    async def applied() -> bool:
        jobs = [job for job in host.service.jobs.list() if job.kind.startswith("on-")]
        return bool(jobs) and all(job.done for job in host.service.jobs.list())

    await host.until(applied, 60)
    assert [job.error for job in host.service.jobs.list() if job.error] == []
    return [view for view in await host.service.list() if view.domid]


@pytest.mark.parametrize(
    "action", [each for each in ShutdownAction if not each.value.startswith("coredump-")]
)
async def test_on_crash(action: ShutdownAction, tmp_path: Path) -> None:
    async with hosting(tmp_path, min_restart_seconds=0.0) as host:
        view, domid = await _created(host, on_crash=action)
        try:
            end_guest(domid, ShutdownReason.CRASH)
            left = {each.name: each for each in await _settled(host, domid)}
            kept = [each for name, each in left.items() if name.startswith("Domain-") and name]
            match action:
                case ShutdownAction.DESTROY:
                    assert WEB not in left
                case ShutdownAction.PRESERVE:
                    assert left[WEB].domid == domid
                    assert left[WEB].power_state is PowerState.CRASHED
                case _:
                    assert left[WEB].domid != domid
                    assert left[WEB].power_state is PowerState.RUNNING
                    assert (left[WEB].uuid, left[WEB].restarts) == (view.uuid, 1)
            renamed = [each for each in kept if each.domid == domid]
            assert len(renamed) == (action is ShutdownAction.RENAME_RESTART)
        finally:
            for each in await host.service.list():
                if each.domid and each.origin is Origin.XEND:
                    await host.service.destroy(each.uuid)


@pytest.mark.parametrize("comes_back", [True, False], ids=["passes", "stays"])
async def test_a_reboot_that_cannot_be_built(comes_back: bool, tmp_path: Path) -> None:
    """libxl refuses, since the kernel is away for a while; what stays so loses no configuration."""
    kernel = tmp_path / "kernel"
    shutil.copy(TINY_KERNEL, kernel)
    pauses = (1.0, 3.0, 3.0, 3.0) if comes_back else (0.2, 0.2)
    async with hosting(tmp_path, min_restart_seconds=0.0, restart_pauses=pauses) as host:
        view, domid = await _created(host, kernel=str(kernel))
        away = kernel.rename(tmp_path / "away")
        end_guest(domid, ShutdownReason.REBOOT)

        async def waiting() -> bool:
            return any(job.stage == "waiting to try again" for job in host.service.jobs.list())

        async def ended() -> bool:
            return all(job.done for job in host.service.jobs.list())

        if comes_back:
            await host.until(waiting, 60)
            assert WEB in await host.names()
            away.rename(kernel)
        else:
            await host.until(lambda: _has_policy(host), 60)
        await host.until(ended, 120)
        [error] = [job.error for job in host.service.jobs.list() if job.kind == "on-reboot"]
        if comes_back:
            assert error is None
            after = await host.service.lookup(WEB)
            assert (after.uuid, after.restarts) == (view.uuid, 1)
            await host.service.destroy(WEB)
            return
        assert isinstance(error, RestartFailed)
        assert WEB not in await host.names()
        assert not await host.journal.owned()
        assert not await host.journal.open_intents()
        away.rename(kernel)
        [report] = await host.service.import_domains(Path(error.fields["path"]))
        assert (report.verdict, report.uuid) == ("imported", view.uuid)
        await host.service.start_domain(WEB, paused=False)
        await host.service.destroy(WEB)
        await host.service.delete(WEB)


async def _has_policy(host: XenHost) -> bool:
    return any(job.kind.startswith("on-") for job in host.service.jobs.list())


async def test_the_other_reasons_have_their_own_actions(tmp_path: Path) -> None:
    async with hosting(tmp_path, min_restart_seconds=0.0) as host:
        actions = {"on_poweroff": ShutdownAction.PRESERVE, "on_reboot": ShutdownAction.RESTART}
        _, domid = await _created(host, **actions)
        end_guest(domid, ShutdownReason.REBOOT)
        [view] = [each for each in await _settled(host, domid) if each.name == WEB]
        assert (view.restarts, view.power_state) == (1, PowerState.RUNNING)
        assert view.domid is not None
        end_guest(view.domid, ShutdownReason.POWEROFF)
        await asyncio.sleep(1)
        await host.quiet()
        after = await host.service.lookup(WEB)
        assert (after.domid, after.power_state) == (view.domid, PowerState.SHUTDOWN)


async def test_a_crash_loop_is_held_back(tmp_path: Path) -> None:
    async with hosting(tmp_path) as host:
        _, domid = await _created(host, on_crash=ShutdownAction.RESTART)
        end_guest(domid, ShutdownReason.CRASH)

        async def gone() -> bool:
            return await host.names() == []

        await host.until(gone, 30)


async def test_a_suspend_is_no_crash(tmp_path: Path) -> None:
    """Who suspended it sees to it."""
    async with hosting(tmp_path, min_restart_seconds=0.0) as host:
        settings: dict[str, Any] = dict.fromkeys(
            ("on_crash", "on_reboot", "on_poweroff"), ShutdownAction.DESTROY
        )
        view, domid = await _created(host, **settings)
        end_guest(domid, ShutdownReason.SUSPEND)
        await asyncio.sleep(1)
        await host.stop()
        await host.start()
        await asyncio.sleep(1)
        assert (await host.service.lookup(WEB)).domid == view.domid
        assert not [job for job in host.service.jobs.list() if job.kind.startswith("on-")]


async def _until_it_listens(host: XenHost, domid: int) -> None:
    async def listens() -> bool:
        return await host.store.read_or(f"/local/domain/{domid}/control/feature-poweroff") == "1"

    await host.until(listens, 90)
    await asyncio.sleep(3)


async def _progress(reader: Subscription, host: XenHost, seen: set[str]) -> None:
    async for event in reader:
        if event.kind == "progress":
            job = host.service.jobs.get(event.ids["job"])
            seen.add(f"{job.kind} {job.stage}")
            if job.bytes_done:
                seen.add(f"{job.kind} bytes")
            if job.percent is not None:
                seen.add(f"{job.kind} percent")


async def test_a_core_is_written_before_the_restart(tmp_path: Path) -> None:
    """Of Linux: libxc finds the memory of a paravirtualised guest by a table that the guest makes
    (xc_core_arch_map_p2m), which the tiny one never does."""
    dumps = tmp_path / "dump"
    async with hosting(tmp_path, min_restart_seconds=0.0, dump_dir=str(dumps)) as host:
        config = linux().model_copy(update={"on_crash": ShutdownAction.COREDUMP_RESTART})
        view = await host.service.create(config)
        assert view.domid is not None
        await _until_it_listens(host, view.domid)
        end_guest(view.domid, ShutdownReason.CRASH)
        [after] = [each for each in await _settled(host, view.domid) if each.name == config.name]
        assert (after.uuid, after.restarts, after.domid != view.domid) == (view.uuid, 1, True)
        [core] = [*dumps.rglob("*.core")]
        assert core.name.endswith(f"-{config.name}.{view.domid}.core")
        assert _head(core) == ELF


async def test_a_save_and_a_restore_tell_how_far_they_are(tmp_path: Path) -> None:
    """And a core of a running domain is written while it waits, and it goes on."""
    async with hosting(tmp_path) as host:
        config = linux()
        view = await host.service.create(config)
        assert view.domid is not None
        await _until_it_listens(host, view.domid)
        core = tmp_path / "linux.core"
        assert await host.service.dump_core(config.name, core) == core
        assert _head(core) == ELF
        assert (await host.service.lookup(config.name)).power_state is PowerState.RUNNING
        seen: set[str] = set()
        reader = host.service.events.subscribe(topics={"job"})
        watching = asyncio.create_task(_progress(reader, host, seen))
        image = tmp_path / "linux.save"
        await host.service.save(config.name, image)
        assert await host.names() == []
        assert image.stat().st_size > 100 << 20
        await host.service.restore(image)
        await host.quiet()
        after = await host.service.lookup(config.name)
        assert (after.uuid, after.power_state) == (view.uuid, PowerState.RUNNING)
        reader.close()
        await watching
        jobs = {job.kind: job for job in host.service.jobs.list()}
        print("progress:", sorted(seen), jobs["save"].bytes_done, jobs["restore"].bytes_done)
        assert {"save bytes", "save percent", "restore bytes", "restore percent"} <= seen
        assert (jobs["save"].bytes_done or 0) > 100 << 20


async def test_a_soft_reset_of_pv_is_a_restart(tmp_path: Path) -> None:
    """Xen resets only guests with hardware virtualisation."""
    async with hosting(tmp_path, min_restart_seconds=0.0) as host:
        before, domid = await _created(host)
        end_guest(domid, ShutdownReason.SOFT_RESET)
        [view] = [each for each in await _settled(host, domid) if each.name == WEB]
        assert (view.uuid, view.restarts, view.domid != domid) == (before.uuid, 1, True)
