"""The binding on real Xen: queries, life of a domain, devices, errors, events.

Domains are named bx-…; whatever a test leaves is destroyed by `xl`, and the test fails.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.lab.binding.support import Events, config, linux, until_it_listens
from tests.lab.conftest import domains, free_memory, run
from xend.core.ports import HypervisorEventKind, Progress
from xend.errors import (
    BootloaderFailed,
    ConfigError,
    DeviceFailed,
    DomainNotFound,
    HypervisorError,
    InvalidArgument,
)
from xend.libxl.ctx import Context
from xend.libxl.hypervisor import XenHypervisor
from xend.model.devices import Disk, Vif
from xend.model.domain import DomainConfig
from xend.model.status import ShutdownReason
from xend.model.units import DOM0, Domid, KiB

pytestmark = pytest.mark.lab

NOBODY = Domid(32000)


# -- queries ------------------------------------------------------------------------------------


async def test_the_host_is_what_xl_says(xen: XenHypervisor) -> None:
    told = dict(re.findall(r"^(\w+)\s*: ?(.*)$", run("xl", "info", "-n").stdout, re.M))
    host = await xen.host()
    assert told["hw_caps"] == host.hw_caps
    assert host.virt_caps in told["virt_caps"]
    assert told["xen_caps"].strip() == host.xen_caps.strip()
    assert int(told["nr_cpus"]) == host.nr_cpus == len(host.cpu_topology)
    assert int(told["total_memory"]) == host.total_memory // 1024
    assert abs(int(told["free_memory"]) - host.free_memory // 1024) <= 1
    assert (int(told["xen_major"]), int(told["xen_minor"])) == (host.xen_major, host.xen_minor)
    assert told["platform_params"] == host.platform_params
    assert told["xen_scheduler"] == host.xen_scheduler
    assert told["xen_commandline"].strip() == host.xen_commandline.strip()
    assert len(host.node_memory) == len(host.node_distances) == host.nr_nodes


async def test_dom0_is_listed(xen: XenHypervisor) -> None:
    dom0 = (await xen.list_domains())[0]
    assert dom0 == await xen.domain(DOM0) or dom0.domid == DOM0
    assert dom0.uuid == "00000000-0000-0000-0000-000000000000"
    assert dom0.type == "pv" and dom0.memory > 0 and dom0.cpu_time > 0
    vcpus = await xen.vcpus(DOM0)
    assert [vcpu.number for vcpu in vcpus] == list(range(len(vcpus)))
    assert all(vcpu.affinity for vcpu in vcpus)
    assert await xen.cpupools() == {0: "Pool-0"}
    assert await xen.scheduler(DOM0) == (256, 0)


async def test_nobody_is_not_found(xen: XenHypervisor) -> None:
    calls: list[Callable[[Domid], Awaitable[Any]]] = [
        xen.domain,
        xen.vcpus,
        xen.scheduler,
        xen.console_tty,
        xen.retrieve_config,
        xen.pause,
        xen.unpause,
        xen.destroy,
        xen.resume,
    ]
    for call in calls:
        with pytest.raises(DomainNotFound):
            await call(NOBODY)
    with pytest.raises(DomainNotFound):
        await xen.request_shutdown(NOBODY, "poweroff")
    with pytest.raises(DomainNotFound):
        await xen.save(NOBODY, Path("/tmp/bx-nobody"))


async def test_dom0_is_protected(xen: XenHypervisor) -> None:
    for call in (xen.pause, xen.destroy):
        with pytest.raises(InvalidArgument):
            await call(DOM0)


async def test_dmesg_and_debug_keys(xen: XenHypervisor) -> None:
    await xen.send_debug_keys("h")
    text = await xen.dmesg()
    assert "'h' pressed" in text or "show this message" in text
    await xen.dmesg(clear=True)
    assert len(await xen.dmesg()) < len(text)
    with pytest.raises(InvalidArgument):
        await xen.send_debug_keys("")


async def test_a_call_on_the_loop_thread_is_refused() -> None:
    with pytest.raises(RuntimeError, match="event-loop thread"):
        Context()
    context = await asyncio.to_thread(Context)
    with pytest.raises(RuntimeError, match="event-loop thread"):
        context.list_domains()
    await asyncio.to_thread(context.close)


# -- a domain's life ----------------------------------------------------------------------------


async def test_a_tiny_guests_life(xen: XenHypervisor, tiny: Path) -> None:
    wanted = config("life", tiny)
    seen: list[Progress] = []
    domid = await xen.create(wanted, seen.append)
    assert seen[0].stage == "domain" and seen[0].domid == domid, "the domid comes first"
    made = await xen.domain(domid)
    assert made.paused and made.uuid == str(wanted.uuid) and made.type == "pv"
    assert domains()["bx-life"] == domid
    assert (await xen.console_tty(domid)).startswith("/dev/pts/")

    await xen.unpause(domid)
    assert not (await xen.domain(domid)).paused
    await xen.pause(domid)
    assert (await xen.domain(domid)).paused
    await xen.rename(domid, "bx-life", "bx-afterlife")
    assert domains()["bx-afterlife"] == domid
    await xen.set_scheduler(domid, weight=512)
    assert await xen.scheduler(domid) == (512, 0)
    await xen.set_scheduler(domid, cap=50)
    assert await xen.scheduler(domid) == (512, 50)
    await xen.pin_vcpu(domid, 0, [1])
    assert (await xen.vcpus(domid))[0].affinity == (1,)
    await xen.pin_vcpu(domid, 0, [])
    assert len((await xen.vcpus(domid))[0].affinity) == (await xen.host()).nr_cpus
    await xen.set_max_memory(domid, KiB(8192))
    assert (await xen.domain(domid)).max_memory >= 8192
    await xen.send_sysrq(domid, "s")

    await xen.destroy(domid)
    assert all(each.domid != domid for each in await xen.list_domains())
    with pytest.raises(DomainNotFound):
        await xen.destroy(domid)


async def test_memory_needed_is_what_a_create_takes(xen: XenHypervisor, tiny: Path) -> None:
    wanted = config("memory", tiny, memory=64 * 1024)
    outlook = await xen.memory_outlook(wanted)
    needed = outlook.needed
    assert 64 * 1024 <= needed <= 80 * 1024
    before = free_memory()
    assert abs(outlook.free // 1024 - before) <= 1
    domid = await xen.create(wanted)
    taken = (before - free_memory()) * 1024
    await xen.destroy(domid)
    assert taken <= needed + 1024


async def test_a_linux_guest_with_everything_that_is_quick(xen: XenHypervisor) -> None:
    domid = await xen.create(linux("linux", vcpus=2))
    await xen.unpause(domid)
    await xen.set_memory_target(domid, KiB(96 * 1024))
    assert run("xl", "list", "-l", "bx-linux").returncode == 0
    await xen.set_vcpus(domid, 1)
    online = run("xenstore-read", f"/local/domain/{domid}/cpu/1/availability").stdout
    assert online.strip() == "offline"
    found = await xen.config_of(domid)
    assert found is not None and found.name == "bx-linux" and found.vcpus == 2
    await xen.destroy(domid)


async def test_eight_at_once(xen: XenHypervisor, tiny: Path) -> None:
    made = await asyncio.gather(*(xen.create(config(f"many{n}", tiny)) for n in range(8)))
    assert len(set(made)) == 8
    listed = {each.domid for each in await xen.list_domains()}
    assert set(made) <= listed
    await asyncio.gather(*map(xen.destroy, made))


async def test_a_query_does_not_wait_for_a_create(xen: XenHypervisor) -> None:
    building = asyncio.create_task(xen.create(linux("slow")))
    slowest = 0.0
    while not building.done():
        begun = time.monotonic()
        await xen.list_domains()
        slowest = max(slowest, time.monotonic() - begun)
        await asyncio.sleep(0.005)
    await xen.destroy(building.result())
    assert slowest < 1.0


async def test_a_foreign_domain_is_seen_with_its_configuration(
    xen: XenHypervisor, events: Events, tiny: Path, tmp_path: Path
) -> None:
    uuid = uuid4()
    path = tmp_path / "bx-foreign.cfg"
    path.write_text(
        f'name = "bx-foreign"\nuuid = "{uuid}"\ntype = "pv"\nmemory = 4\nkernel = "{tiny}"\n'
        'on_reboot = "restart"\non_crash = "preserve"\n'
    )
    done = run("xl", "create", "-e", str(path))
    assert done.returncode == 0, done.stderr
    domid = Domid(domains()["bx-foreign"])
    created = await events.until(HypervisorEventKind.CREATED, domid)
    assert created.uuid == str(uuid)
    found = await xen.config_of(domid)
    assert found is not None
    assert (found.name, found.uuid, found.kernel) == ("bx-foreign", uuid, str(tiny))
    assert (found.on_reboot.value, found.on_crash.value) == ("restart", "preserve")
    assert found.memory == 4096
    run("xl", "destroy", "bx-foreign")
    died = await events.until(HypervisorEventKind.DEATH, domid)
    assert died.uuid == str(uuid)


# -- events -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reason", [ShutdownReason.POWEROFF, ShutdownReason.REBOOT, ShutdownReason.CRASH]
)
async def test_the_end_of_a_guest_is_reported_with_its_reason(
    xen: XenHypervisor, events: Events, tiny: Path, reason: ShutdownReason
) -> None:
    wanted = config("ends", tiny, cmdline=str(int(reason)))
    domid = await xen.create(wanted)
    await events.until(HypervisorEventKind.CREATED, domid)
    await xen.unpause(domid)
    ended = await events.until(HypervisorEventKind.SHUTDOWN, domid)
    assert ended.reason is reason and ended.uuid == str(wanted.uuid)
    info = await xen.domain(domid)
    assert info.shutdown and info.shutdown_reason is reason
    assert info.crashed == (reason is ShutdownReason.CRASH)
    await xen.destroy(domid)
    await events.until(HypervisorEventKind.DEATH, domid)
    kinds = [e.kind for e in events.seen if e.domid == domid]
    assert kinds == [
        HypervisorEventKind.CREATED,
        HypervisorEventKind.SHUTDOWN,
        HypervisorEventKind.DEATH,
    ], "each once"


async def test_linux_does_what_it_is_asked(xen: XenHypervisor, events: Events) -> None:
    for request, reason in (
        ("poweroff", ShutdownReason.POWEROFF),
        ("reboot", ShutdownReason.REBOOT),
    ):
        domid = await xen.create(linux("asked"))
        await xen.unpause(domid)
        await until_it_listens(domid)
        await xen.request_shutdown(domid, "poweroff" if request == "poweroff" else "reboot")
        ended = await events.until(HypervisorEventKind.SHUTDOWN, domid)
        assert ended.reason is reason
        await xen.destroy(domid)


# -- devices ------------------------------------------------------------------------------------


async def test_disks_and_interfaces_of_a_create(
    xen: XenHypervisor, tiny: Path, image: Path
) -> None:
    wanted = config(
        "devices",
        tiny,
        disks=(Disk(scheme="tap:aio", path=str(image), vdev="xvda"),),
        vifs=(Vif(mac="00:16:3e:62:78:01", bridge="xenbr0"),),
    )
    domid = await xen.create(wanted)
    backend = f"/local/domain/0/backend/vbd/{domid}/51712"
    assert run("xenstore-read", f"{backend}/type").stdout.strip() == "phy"
    assert run("xenstore-read", f"{backend}/physical-device").stdout.startswith("7:")
    assert f"vif{domid}.0" in run("ip", "-o", "link", "show", "master", "xenbr0").stdout
    found = await xen.config_of(domid)
    assert found is not None
    assert (found.disks[0].path, found.disks[0].vdev) == (str(image), "xvda")
    assert (found.vifs[0].mac, found.vifs[0].bridge) == ("00:16:3e:62:78:01", "xenbr0")
    await xen.destroy(domid)
    assert str(image) not in run("losetup", "-a").stdout


async def test_hot_plug(xen: XenHypervisor, image: Path) -> None:
    domid = await xen.create(linux("plug"))
    await xen.unpause(domid)
    await until_it_listens(domid)
    disk = Disk(scheme="file", path=str(image), vdev="xvdb")
    plugged = await xen.attach_device(domid, "vbd", disk)
    assert plugged["devid"] == "51728"
    nic = await xen.attach_device(domid, "vif", Vif(mac="00:16:3e:62:78:02", bridge="xenbr0"))
    assert nic["devid"] == "0" and nic["mac"].lower() == "00:16:3e:62:78:02"
    found = await xen.config_of(domid)
    assert found is not None and len(found.disks) == len(found.vifs) == 1
    await xen.detach_device(domid, "vif", 0, force=True)
    await xen.detach_device(domid, "vbd", 51728, force=True)
    found = await xen.config_of(domid)
    assert found is not None and not found.disks and not found.vifs
    await xen.destroy(domid)


async def test_a_core_is_dumped(xen: XenHypervisor, tmp_path: Path) -> None:
    domid = await xen.create(linux("core"))
    await xen.unpause(domid)
    await until_it_listens(domid)  # libxc reads the guest's own map of its memory
    await xen.dump_core(domid, tmp_path / "core")
    await xen.destroy(domid)
    with (tmp_path / "core").open("rb") as file:
        assert file.read(4) == b"\x7fELF"


# -- errors -------------------------------------------------------------------------------------


async def refused(xen: XenHypervisor, wanted: DomainConfig) -> Any:
    """The error of a create that must fail; and nothing is left of it."""
    before = {each.domid for each in await xen.list_domains()}
    with pytest.raises((HypervisorError, DeviceFailed, ConfigError)) as caught:
        await xen.create(wanted)
    left = {each.domid for each in await xen.list_domains() if each.uuid == str(wanted.uuid)}
    assert not left - before
    return caught.value


async def test_missing_kernel(xen: XenHypervisor) -> None:
    error = await refused(xen, config("nokernel", "/no/such/kernel"))
    assert "/no/such/kernel" in str(error) and "No such file" in str(error)
    assert error.fields["rc_name"] == "ERROR_FAIL" and len(error.fields["log"]) >= 2


async def test_missing_disk(xen: XenHypervisor, tiny: Path) -> None:
    disks = (Disk(scheme="file", path="/no/such.img", vdev="xvda"),)
    error = await refused(xen, config("nodisk", tiny, disks=disks))
    assert "/no/such.img" in str(error)


async def test_unknown_bridge(xen: XenHypervisor, tiny: Path) -> None:
    vifs = (Vif(mac="00:16:3e:62:78:03", bridge="bx-nobridge"),)
    error = await refused(xen, config("nobridge", tiny, vifs=vifs))
    assert isinstance(error, DeviceFailed)
    assert "bx-nobridge" in str(error) and "vif-bridge" in str(error)


async def test_a_hotplug_scripts_own_words(xen: XenHypervisor, tiny: Path, tmp_path: Path) -> None:
    script = tmp_path / "vif-broken"
    script.write_text("#!/bin/sh\necho 'the cable is unplugged' >&2\nexit 3\n")
    script.chmod(0o755)
    vifs = (Vif(mac="00:16:3e:62:78:04", bridge="xenbr0", script=str(script)),)
    error = await refused(xen, config("script", tiny, vifs=vifs))
    assert isinstance(error, DeviceFailed)
    assert "the cable is unplugged" in error.fields["stderr"]
    assert error.fields["status"] == 3 and str(script) == error.fields["script"]


async def test_a_bootloaders_own_words(xen: XenHypervisor, image: Path) -> None:
    disks = (Disk(scheme="file", path=str(image), vdev="xvda"),)
    wanted = config("boot", "", bootloader="/usr/bin/pygrub", disks=disks)
    error = await refused(xen, wanted)
    assert isinstance(error, BootloaderFailed)
    assert "pygrub" in str(error)
    assert "partition" in error.fields["stderr"].lower(), error.fields["stderr"]


async def test_too_much_memory(xen: XenHypervisor, tiny: Path) -> None:
    error = await refused(xen, config("huge", tiny, memory=64 * 1024 * 1024))
    assert "memory" in str(error).lower(), str(error)


async def test_a_used_name(xen: XenHypervisor, tiny: Path) -> None:
    domid = await xen.create(config("twice", tiny))
    error = await refused(xen, config("twice", tiny))
    assert "bx-twice" in str(error)
    assert domains()["bx-twice"] == domid
    await xen.destroy(domid)


async def test_what_libxl_would_drop_is_refused_by_the_way_back(xen: XenHypervisor) -> None:
    """Even without the schema in front of it."""
    text = f'{{"c_info": {{"type": "pv", "name": "bx-x", "uuid": "{UUID(int=1)}"}}, "b_info": %s}}'
    for wrong, field in (('{"kernal": "/x"}', "kernal"), ('{"max_memkb": "12"}', "max_memkb")):
        with pytest.raises(ConfigError) as caught:
            await xen._pool.run({"op": "create", "config": text % wrong}, lambda _: None)
        assert field in caught.value.fields["field"]
