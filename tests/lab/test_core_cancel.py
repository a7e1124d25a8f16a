"""A cancel on real Xen, at whatever moment it comes: it is taken back, or it has been done."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from tests.lab.conftest import SETTLE, free_memory
from tests.lab.guests import IMAGES
from tests.lab.test_core_policies import _until_it_listens
from tests.lab.test_core_service import XenHost, hosting, linux, tiny
from xend.core.jobs import Job, JobStatus
from xend.errors import XendError
from xend.model.devices import Disk
from xend.model.status import PowerState

pytestmark = pytest.mark.lab

DISK = Disk(scheme="file", path=f"{IMAGES}/data.img", vdev="xvdb")
TURNS = 2
"""Of each verb."""


async def _cancelled(host: XenHost, verb: str, moment: float, *target: Any, **words: Any) -> Job:
    job = host.service.submit(verb, *target, **words)
    await asyncio.sleep(moment)
    job.cancel()
    job.cancel()
    try:
        await job.wait(120)
    except XendError as error:
        print(f"{verb} cancelled after {moment:.2f} s: {error}")
    else:
        print(f"{verb} was done in less than {moment:.2f} s, or only went forward")
    assert job.status in (JobStatus.CANCELLED, JobStatus.DONE)
    return job


async def _check(host: XenHost, name: str, free: int) -> None:
    """It runs, with the devices that it is configured with."""
    view = await host.service.lookup(name)
    assert view.power_state is PowerState.RUNNING
    assert view.config is not None and view.domid is not None
    devices = await host.service.devices(name, "vbd")
    assert [each.backend["dev"] for each in devices] == [each.vdev for each in view.config.disks]
    shown = await host.store.directory("/local/domain/0/backend")
    numbers = (
        await host.store.directory(f"/local/domain/0/backend/vbd/{view.domid}")
        if (devices and "vbd" in shown)
        else []
    )
    assert len(numbers) == len(devices)
    managed, broken = await host.repository.load()
    assert [each.config.disks for each in managed] == [view.config.disks] and not broken
    assert not await host.journal.open_intents()
    assert not [*host.folder.rglob("*.partial")]

    async def settled() -> bool:
        return free_memory() >= free - 1  # MiB; Xen's own heap breathes a little.

    await host.until(settled, SETTLE)


async def test_cancelled_at_any_moment(tmp_path: Path) -> None:
    dice = random.Random(4)
    async with hosting(tmp_path, dump_dir=str(tmp_path / "dump")) as host:
        config = linux()
        await host.service.new(config)
        view = await host.service.start_domain(config.name, paused=False)
        assert view.domid is not None
        await _until_it_listens(host, view.domid)
        free = free_memory()
        for _ in range(TURNS):
            moment = dice.uniform(0.05, 1.0)
            job = await _cancelled(
                host, "attach", moment, config.name, device_class="vbd", device=DISK
            )
            await _check(host, config.name, free)
            if job.status is JobStatus.CANCELLED:
                await host.service.attach_device(config.name, "vbd", DISK)
            moment = dice.uniform(0.05, 1.0)
            job = await _cancelled(
                host, "detach", moment, config.name, device_class="vbd", device="xvdb"
            )
            await _check(host, config.name, free)
            if job.status is JobStatus.CANCELLED:
                left = await host.service.devices(config.name, "vbd")
                if left:
                    await host.service.detach_device(config.name, "vbd", "xvdb")
            await _cancelled(host, "dump-core", dice.uniform(0.05, 1.0), config.name)
            await _check(host, config.name, free)
            image = tmp_path / "image"
            job = await _cancelled(host, "save", dice.uniform(0.05, 1.5), config.name, path=image)
            assert image.exists() == (job.status is JobStatus.DONE)
            if image.exists():
                await host.service.restore(image)
                image.unlink()
            await _check(host, config.name, free)
            other = tiny("other")
            job = await _cancelled(host, "create", dice.uniform(0.05, 0.6), other)
            if job.status is JobStatus.DONE:
                job = await _cancelled(host, "destroy", 0.05, other.name)
                assert job.status is JobStatus.DONE
            assert await host.names() == [config.name]
            await _check(host, config.name, free)
