"""What every `inspection.Inspector` answers: the simulator, and in the lab's dom0 real Xen."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.hypervisor_bench import Bench, bench
from xend.core.inspection import PoolSchedule
from xend.errors import DomainNotFound, InvalidArgument
from xend.model.units import DOM0, Domid

NOBODY = Domid(30000)


@pytest.fixture
async def xen(hypervisor_kind: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(hypervisor_kind, tmp_path) as made:
        yield made


async def test_configurations(xen: Bench) -> None:
    """libxl's own text: four blanks deep, a newline at the end."""
    config = xen.tiny()
    domid = await xen.hypervisor.create(config)
    inspector = xen.hypervisor.inspector
    for text in (await inspector.config_text(domid), await inspector.planned_text(config)):
        tree = json.loads(text)
        assert tree["c_info"]["name"] == config.name
        assert tree["c_info"]["uuid"] == str(config.uuid)
        # Between the brackets of what is empty, yajl leaves an empty line.
        closed = re.sub(r"([\[{])\n\n +([\]}])", r"\1\2", text)
        assert closed == json.dumps(tree, indent=4, ensure_ascii=False) + "\n"
    with pytest.raises(DomainNotFound):
        await inspector.config_text(NOBODY)


async def test_those_that_have_gone_are_left_out(xen: Bench) -> None:
    inspector = xen.hypervisor.inspector
    nodes = await inspector.node_affinity([DOM0, NOBODY])
    assert nodes == {DOM0: (0,)}
    [share] = await inspector.shares([DOM0, NOBODY])
    host = await xen.hypervisor.host()
    assert (share.domid, share.scheduler) == (DOM0, host.xen_scheduler)
    assert share.weight > 0
    assert await inspector.labels() == {}


async def test_a_schedulers_parameters(xen: Bench) -> None:
    inspector = xen.hypervisor.inspector
    scheduler = (await xen.hypervisor.host()).xen_scheduler
    before = await inspector.pool_schedule(0, scheduler)
    assert before.rate_limit is not None
    await inspector.set_pool_schedule(0, scheduler, PoolSchedule(rate_limit=2000))
    assert (await inspector.pool_schedule(0, scheduler)).rate_limit == 2000
    await inspector.set_pool_schedule(0, scheduler, before)
    assert await inspector.pool_schedule(0, scheduler) == before
    with pytest.raises(InvalidArgument):
        await inspector.pool_schedule(0, "null")


async def test_the_rest_of_the_host(xen: Bench) -> None:
    extras = await xen.hypervisor.inspector.host_extras()
    host = await xen.hypervisor.host()
    assert extras.max_cpu_id >= host.nr_cpus - 1
    assert extras.free_cpus >= 0
    assert isinstance(extras.build_id, str)


async def test_soft_affinity(xen: Bench) -> None:
    domid = await xen.hypervisor.create(xen.tiny(vcpus=2))
    everywhere = (await xen.hypervisor.vcpus(domid))[1].soft_affinity
    assert everywhere == tuple(range((await xen.hypervisor.host()).nr_cpus))
    await xen.hypervisor.prefer_cpus(domid, 1, [0])
    first, second = await xen.hypervisor.vcpus(domid)
    assert (first.soft_affinity, second.soft_affinity) == (everywhere, (0,))
    assert second.affinity == everywhere
