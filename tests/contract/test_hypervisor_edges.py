"""The contract at its edges: what is refused, what is left, what may be repeated."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.hypervisor_bench import PREFIX, Bench, bench
from xend.core.ports import HypervisorEventKind
from xend.errors import DomainNotFound, HypervisorError, InvalidArgument, XendError
from xend.model.devices import Disk, Vif
from xend.model.status import PowerState
from xend.model.units import DOM0, Domid, kib


@pytest.fixture
async def xen(hypervisor_kind: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(hypervisor_kind, tmp_path) as made:
        yield made


def _image(folder: Path, name: str = "disk.img") -> Path:
    image = folder / name
    with image.open("wb") as file:
        file.truncate(1 << 20)
    return image


async def _children(xen: Bench, path: str) -> list[str]:
    return await xen.store.directory(path) if await xen.store.exists(path) else []


async def test_a_destroy_takes_all_of_it_out_of_xenstore(xen: Bench) -> None:
    disk = Disk(scheme="file", path=str(_image(xen.folder)), vdev="xvda")
    config = xen.tiny(disks=(disk,), vifs=(Vif(mac="00:16:3e:00:0e:01", bridge="xenbr0"),))
    domid = await xen.start(config)
    for kind in ("vbd", "vif"):
        assert str(domid) in await _children(xen, f"/local/domain/0/backend/{kind}")
    await xen.hypervisor.destroy(domid)
    for kind in ("vbd", "vif", "console"):
        assert str(domid) not in await _children(xen, f"/local/domain/0/backend/{kind}")
    for path in (f"/local/domain/{domid}", f"/libxl/{domid}", f"/vm/{config.uuid}"):
        assert not await xen.store.exists(path), path


async def test_a_second_destroy_finds_nothing(xen: Bench) -> None:
    domid = await xen.start(xen.tiny())
    await xen.hypervisor.destroy(domid)
    with pytest.raises(DomainNotFound):
        await xen.hypervisor.destroy(domid)


async def test_domain_0_is_not_for_this(xen: Bench) -> None:
    hypervisor = xen.hypervisor
    with pytest.raises(InvalidArgument):
        await hypervisor.destroy(DOM0)
    with pytest.raises(InvalidArgument):
        await hypervisor.pause(DOM0)
    with pytest.raises(InvalidArgument):
        await hypervisor.request_shutdown(DOM0, "poweroff")
    with pytest.raises(InvalidArgument):
        await hypervisor.save(DOM0, xen.folder / "dom0")
    assert (await xen.info(DOM0)).power_state is PowerState.RUNNING


async def test_a_rename_needs_the_name_that_it_has(xen: Bench) -> None:
    domid = await xen.hypervisor.create(xen.tiny("old"))
    with pytest.raises(HypervisorError):
        await xen.hypervisor.rename(domid, PREFIX + "another", PREFIX + "new")
    assert await xen.store.read(f"/local/domain/{domid}/name") == PREFIX + "old"


async def test_more_than_it_may_have_is_refused(xen: Bench) -> None:
    domid = await xen.hypervisor.create(xen.tiny(vcpus=2, memory=kib(4), maxmem=kib(8)))
    with pytest.raises(HypervisorError):
        await xen.hypervisor.set_vcpus(domid, 3)
    with pytest.raises((HypervisorError, InvalidArgument)):
        await xen.hypervisor.set_vcpus(domid, 0)
    with pytest.raises(HypervisorError):
        await xen.hypervisor.set_memory_target(domid, kib(64))
    assert (await xen.info(domid)).vcpu_max_id == 1


async def test_only_the_suspended_are_resumed(xen: Bench) -> None:
    domid = await xen.start(xen.tiny())
    with pytest.raises(HypervisorError):
        await xen.hypervisor.resume(domid)
    assert (await xen.info(domid)).power_state is PowerState.RUNNING


async def test_keys_and_triggers_that_there_are_not(xen: Bench) -> None:
    domid = await xen.start(xen.tiny())
    with pytest.raises(InvalidArgument):
        await xen.hypervisor.send_trigger(domid, "no-such")
    # The buttons are of a machine, which a paravirtualised guest does not have.
    for trigger, vcpu in (("power", 0), ("sleep", 0), ("reset", 0), ("init", 0), ("nmi", 99)):
        with pytest.raises(HypervisorError):
            await xen.hypervisor.send_trigger(domid, trigger, vcpu)
    assert (await xen.info(domid)).power_state is PowerState.RUNNING


async def test_a_disk_that_is_there_already(xen: Bench) -> None:
    domid = await xen.start(xen.tiny())
    disk = Disk(scheme="file", path=str(_image(xen.folder)), vdev="xvdb")
    await xen.hypervisor.attach_device(domid, "vbd", disk)
    again = Disk(scheme="file", path=str(_image(xen.folder, "more.img")), vdev="xvdb")
    with pytest.raises(XendError):
        await xen.hypervisor.attach_device(domid, "vbd", again)
    assert await _children(xen, f"/libxl/{domid}/device/vbd") == ["51728"]


async def test_interfaces_are_numbered(xen: Bench) -> None:
    domid = await xen.start(xen.tiny())
    for number in range(2):
        vif = Vif(mac=f"00:16:3e:00:0e:0{number}", bridge="xenbr0")
        found = await xen.hypervisor.attach_device(domid, "vif", vif)
        assert found["devid"] == str(number)
    assert sorted(await _children(xen, f"/libxl/{domid}/device/vif")) == ["0", "1"]
    await xen.hypervisor.detach_device(domid, "vif", 0, force=True)
    assert await _children(xen, f"/libxl/{domid}/device/vif") == ["1"]
    vif = Vif(mac="00:16:3e:00:0e:03", bridge="xenbr0")
    assert (await xen.hypervisor.attach_device(domid, "vif", vif))["devid"] in ("0", "2")


async def test_a_saved_domain_cannot_run_twice(xen: Bench) -> None:
    config = xen.linux()
    domid = await xen.start(config)
    path = xen.folder / "saved"
    await xen.hypervisor.save(domid, path, checkpoint=True)
    with pytest.raises(HypervisorError):
        await xen.hypervisor.restore(path, None)
    infos = await xen.hypervisor.list_domains()
    alive = [info.domid for info in infos if info.uuid == str(config.uuid) and not info.dying]
    assert alive == [domid]
    assert (await xen.info(domid)).power_state is PowerState.RUNNING


async def test_a_destroy_of_one_that_is_paused_or_dead(xen: Bench) -> None:
    paused = await xen.hypervisor.create(xen.tiny("paused"))
    await xen.hypervisor.destroy(paused)
    assert not await xen.present(paused)
    dead = await xen.start(xen.linux("dead"))
    await xen.hypervisor.request_shutdown(dead, "poweroff")
    await xen.event(HypervisorEventKind.SHUTDOWN, dead)
    await xen.hypervisor.destroy(dead)
    await xen.event(HypervisorEventKind.DEATH, dead)
    assert not await xen.present(Domid(dead))


async def test_its_configuration_says_what_was_changed(xen: Bench) -> None:
    """And each change is seen at the nodes that the core watches."""
    domid = await xen.start(xen.linux(vcpus=2))
    uuid = (await xen.info(domid)).uuid
    async with xen.store.watching(f"/vm/{uuid}/memory") as target:
        await anext(aiter(target))  # Its own path, as for every new watch.
        await xen.hypervisor.set_memory_target(domid, kib(100))
        assert await anext(aiter(target)) == f"/vm/{uuid}/memory"
    await xen.hypervisor.set_vcpus(domid, 1)
    image = _image(xen.folder)
    async with xen.store.watching(f"/libxl/{domid}/device") as devices:
        await anext(aiter(devices))
        disk = Disk(scheme="file", path=str(image), vdev="xvdb")
        await xen.hypervisor.attach_device(domid, "vbd", disk)
        assert (await anext(aiter(devices))).startswith(f"/libxl/{domid}/device/vbd/51728")
    vif = Vif(mac="00:16:3e:00:0e:05", bridge="xenbr0")
    await xen.hypervisor.attach_device(domid, "vif", vif)
    found = await xen.hypervisor.config_of(domid)
    assert found is not None
    assert (found.memory, found.max_memory) == (kib(100), kib(128))
    assert (found.vcpus, found.vcpus_online) == (2, 1)
    assert [(each.vdev, each.path) for each in found.disks] == [("xvdb", str(image))]
    assert [each.mac for each in found.vifs] == ["00:16:3e:00:0e:05"]
    await xen.hypervisor.detach_device(domid, "vif", 0, force=True)
    await xen.hypervisor.detach_device(domid, "vbd", 51728, force=True)
    found = await xen.hypervisor.config_of(domid)
    assert found is not None
    assert (found.disks, found.vifs) == ((), ())


async def test_it_is_paused_before_its_devices_go(xen: Bench) -> None:
    """From that the core knows a destroy from a hot-unplug (`xend.core.following`)."""
    disk = Disk(scheme="file", path=str(_image(xen.folder)), vdev="xvda")
    domid = await xen.start(xen.tiny(disks=(disk,)))
    seen: list[bool] = []
    async with xen.store.watching(f"/libxl/{domid}/device/vbd/51712") as watch:
        changes = aiter(watch)
        await anext(changes)

        async def follow() -> None:
            await anext(changes)
            try:
                seen.append((await xen.info(domid)).paused)
            except DomainNotFound:
                seen.append(True)

        follower = asyncio.create_task(follow())
        await xen.hypervisor.destroy(domid)
        await follower
    assert seen == [True]
