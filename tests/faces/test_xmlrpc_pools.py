"""CPU pools through the old XML-RPC interface, on a simulated host of four CPUs."""

from __future__ import annotations

import xmlrpc.client
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.faces.conftest import Host
from tests.faces.test_xmlrpc import fault, started, vm
from tests.faces.unixrpc import Xend, get

KEYS = (
    *("uuid", "name_label", "name_description", "resident_on", "auto_power_on", "started_VMs"),
    *("host_CPUs", "activated", "ncpu", "sched_policy", "proposed_CPUs", "other_config"),
    *("host_CPU_numbers", "started_VM_names"),
)


@pytest_asyncio.fixture
async def xend(host: Host) -> AsyncIterator[Xend]:
    client = Xend(host.xmlrpc)
    yield client
    client.close()


def pool(name: str, *cpus: int, ncpu: int | None = None, sched: str = "credit") -> list[Any]:
    """As xm cpupool-create sends it."""
    return [
        "pool",
        ["name_label", name],
        ["sched_policy", sched],
        ["ncpu", len(cpus) if ncpu is None else ncpu],
        ["proposed_CPUs", *([cpu] for cpu in cpus)],
        ["other_config", ["owner", "dba"]],
    ]


async def one(xend: Xend, name: str) -> list[Any]:
    [record] = await xend("xend.cpu_pool.list", [name])
    assert isinstance(record, list)
    return record


def values(record: list[Any], key: str) -> list[Any]:
    return next(child[1:] for child in record[1:] if child[0] == key)


async def free(xend: Xend, *cpus: int) -> None:
    for cpu in cpus:
        await xend("xend.cpu_pool.cpu_remove", "Pool-0", str(cpu))


async def test_pool_0_has_every_cpu_and_domain(xend: Xend) -> None:
    await started(xend)
    [record] = await xend("xend.cpu_pool.list", [])
    assert [child[0] for child in record[1:]] == list(KEYS)
    assert record[0] == get(record, "uuid")
    assert get(record, "name_label") == "Pool-0"
    assert get(record, "activated") is True
    assert get(record, "sched_policy") == "credit2"
    assert values(record, "host_CPU_numbers") == [0, 1, 2, 3]
    assert values(record, "started_VM_names") == ["Domain-0", "prospero"]
    assert len(set(values(record, "host_CPUs"))) == 4


async def test_life_of_a_pool(xend: Xend) -> None:
    await free(xend, 2, 3)
    assert dict(await xend("xend.node.info", 0))["free_cpus"] == 2
    await xend("xend.cpu_pool.create", pool("fast", 3))
    record = await one(xend, "fast")
    assert values(record, "host_CPU_numbers") == [3]
    assert get(record, "sched_policy") == "credit"
    await xend("xend.cpu_pool.cpu_add", "fast", "2")
    assert values(await one(xend, "fast"), "host_CPU_numbers") == [2, 3]
    await started(xend)
    await xend("xend.cpu_pool.migrate", "prospero", "fast")
    assert get(await xend("xend.domain", "prospero"), "pool_name") == "fast"
    assert values(await one(xend, "fast"), "started_VM_names") == ["prospero"]
    code, text = await fault(xend, "xend.cpu_pool.destroy", "fast")
    assert code == 2
    assert text.startswith("POOL_BAD_STATE: CPU pool fast is in use by prospero")
    await xend("xend.cpu_pool.migrate", "prospero", "Pool-0")
    await xend("xend.cpu_pool.destroy", "fast")
    assert await xend("xend.cpu_pool.list", ["fast"]) == []
    assert dict(await xend("xend.node.info", 0))["free_cpus"] == 2


async def test_a_registered_pool_is_still_there_when_it_is_stopped(xend: Xend) -> None:
    uuid = await xend("xend.cpu_pool.new", pool("slow", ncpu=1, sched="rtds"))
    record = await one(xend, "slow")
    assert (record[0], get(record, "activated")) == (uuid, False)
    assert values(record, "host_CPU_numbers") == []
    code, text = await fault(xend, "xend.cpu_pool.start", "slow")
    assert (code, text.partition(":")[0]) == (2, "INSUFFICIENT_CPUS")
    await free(xend, 1)
    await xend("xend.cpu_pool.start", "slow")
    assert values(await one(xend, "slow"), "host_CPU_numbers") == [1]
    assert get(await one(xend, "slow"), "sched_policy") == "rtds"
    for method in ("start", "delete"):
        code, text = await fault(xend, f"xend.cpu_pool.{method}", "slow")
        assert (code, text.partition(":")[0]) == (2, "POOL_BAD_STATE")
    await xend("xend.cpu_pool.destroy", "slow")
    assert get(await one(xend, "slow"), "activated") is False
    await xend("xend.cpu_pool.delete", "slow")
    assert await fault(xend, "xend.cpu_pool.delete", "slow") == (2, "unknown pool slow")


async def test_a_domain_starts_in_its_pool(xend: Xend) -> None:
    await free(xend, 3)
    await xend("xend.cpu_pool.create", pool("fast", 3))
    await xend("xend.domain.create", vm("ariel", ["pool_name", "fast"]))
    assert values(await one(xend, "fast"), "started_VM_names") == ["ariel"]
    code, text = await fault(xend, "xend.domain.create", vm("iris", ["pool_name", "nosuch"]))
    assert (code, text) == (2, "unknown pool nosuch")


@pytest.mark.parametrize(
    ("method", "params", "text"),
    [
        ("start", ["x"], "unknown pool x"),
        ("destroy", ["x"], "unknown pool x"),
        ("delete", ["x"], "unknown pool x"),
        ("cpu_add", ["x", "1"], "unknown pool x"),
        ("cpu_remove", ["x", "1"], "unknown pool x"),
        ("migrate", ["0", "x"], "unknown pool x"),
        ("migrate", ["nobody", "Pool-0"], "unknown domain nobody"),
        ("migrate", ["Domain-0", "Pool-0"], "could not move Domain-0"),
        ("destroy", ["Pool-0"], "POOL_BAD_STATE: CPU pool Pool-0 is in use by Domain-0"),
        ("start", ["Pool-0"], "POOL_BAD_STATE: CPU pool Pool-0 is active already"),
        ("cpu_add", ["Pool-0", "1"], "INVAILD_CPU: CPU pool Pool-0: CPU 1 belongs to the pool"),
        ("cpu_add", ["0", "99"], "INVAILD_CPU: CPU pool Pool-0: CPU unknown"),
        ("cpu_remove", ["Pool-0", "-1"], "INVAILD_CPU: CPU pool Pool-0: CPU unknown"),
        ("cpu_add", ["Pool-0", "x"], "Invalid cpu: 'x' is not an integer"),
        ("create", [pool("Pool-0", ncpu=1)], 'PARAMETER_ERROR: Pool name "Pool-0" already exists'),
        ("create", [pool("a b", ncpu=1)], "PARAMETER_ERROR: Invalid Pool Name"),
        ("create", [pool("", ncpu=1)], "PARAMETER_ERROR: Missing Pool Name"),
        ("create", [pool("p", ncpu=0)], "Invalid ncpu: 0 is not at least 1"),
        ("create", [pool("p", ncpu=1, sched="sedf")], "UNKOWN_SCHED_POLICY: "),
        ("create", [pool("p", ncpu=1)], "INSUFFICIENT_CPUS: "),
        ("create", [["vm"]], "Invalid the configuration: ['vm'] is not (pool …)"),
    ],
)
async def test_what_can_be_wrong(xend: Xend, method: str, params: list[Any], text: str) -> None:
    code, told = await fault(xend, f"xend.cpu_pool.{method}", *params)
    assert code == 2
    assert told.startswith(text)


async def test_the_last_cpu_of_a_pool_with_domains_stays(xend: Xend) -> None:
    await free(xend, 1, 2, 3)
    code, text = await fault(xend, "xend.cpu_pool.cpu_remove", "Pool-0", "0")
    assert (code, text.partition(":")[0]) == (2, "LAST_CPU_NOT_REMOVEABLE")


async def test_moving_a_halted_domain_changes_where_it_starts(xend: Xend) -> None:
    await free(xend, 3)
    await xend("xend.cpu_pool.create", pool("fast", 3))
    await xend("xend.domain.new", vm("gonzalo"))
    await xend("xend.cpu_pool.migrate", "gonzalo", "fast")
    await xend("xend.domain.start", "gonzalo", False)
    assert values(await one(xend, "fast"), "started_VM_names") == ["gonzalo"]


async def test_a_call_is_one_xmlrpc_fault(host: Host) -> None:
    """The original put an array where only text may be."""
    client = Xend(host.xmlrpc)
    with pytest.raises(xmlrpc.client.Fault) as caught:
        await client("xend.cpu_pool.destroy", "Pool-0")
    assert isinstance(caught.value.faultString, str)
    client.close()
