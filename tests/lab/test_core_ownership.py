"""Whose a domain is, on real Xen: others' are seen, served and left to them; ours are followed
whoever acts on them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from uuid import uuid4

import pytest

from tests.lab.conftest import run
from tests.lab.guests import LINUX_INITRD, LINUX_KERNEL, TINY_KERNEL
from tests.lab.test_core_policies import _until_it_listens
from tests.lab.test_core_service import PREFIX, XenHost, hosting, linux, tiny, xl
from tests.lab.xenctrl import end_guest
from xend.core.views import DomainView
from xend.model.devices import Disk, Vif
from xend.model.domain import DomainConfig
from xend.model.status import Origin, PowerState, ShutdownReason
from xend.model.units import kib
from xend.store.hostfiles import LocalFiles

pytestmark = pytest.mark.lab

THEIRS = PREFIX + "theirs"


def theirs(folder: Path, **settings: object) -> str:
    values: dict[str, object] = {"name": THEIRS, "memory": 4, "kernel": str(TINY_KERNEL)}
    path = folder / "theirs.cfg"
    path.write_text("".join(f"{key} = {value!r}\n" for key, value in (values | settings).items()))
    return str(path)


def xl_processes(name: str) -> list[Path]:
    found = []
    for process in Path("/proc").glob("[1-9]*"):
        try:
            if process.joinpath("fd/1").readlink() == Path(f"/var/log/xen/xl-{name}.log"):
                found.append(process)
        except OSError:
            continue
    return found


async def _by_name(host: XenHost, name: str) -> list[DomainView]:
    return [view for view in await host.service.list() if view.name == name]


async def test_their_toolstacks_policy_is_not_raced(tmp_path: Path) -> None:
    async with hosting(tmp_path, min_restart_seconds=0.0) as host:
        await xl("create", "-q", theirs(tmp_path, on_reboot="restart"))
        before = await host.service.lookup(THEIRS)
        assert (before.origin, len(xl_processes(THEIRS))) == (Origin.FOREIGN, 1)
        assert before.domid is not None
        end_guest(before.domid, ShutdownReason.REBOOT)

        async def restarted() -> bool:
            found = await _by_name(host, THEIRS)
            return len(found) == 1 and found[0].domid != before.domid

        await host.until(restarted, 60)
        await asyncio.sleep(1)
        [after] = await _by_name(host, THEIRS)
        assert after.origin is Origin.FOREIGN
        assert not [job for job in host.service.jobs.list() if job.kind.startswith("on-")]


async def test_verbs_work_on_theirs(tmp_path: Path) -> None:
    async with hosting(tmp_path) as host:
        await xl("create", "-e", "-q", theirs(tmp_path, vcpus=1))
        service = host.service
        await service.pause(THEIRS)
        assert (await service.lookup(THEIRS)).power_state is PowerState.PAUSED
        await service.unpause(THEIRS)
        await service.pin_vcpu(THEIRS, 0, [0])
        await service.set_max_memory(THEIRS, kib(8))
        await service.rename(THEIRS, PREFIX + "www")
        assert PREFIX + "www" in run("xl", "list").stdout
        await service.send_sysrq(PREFIX + "www", "h")
        await service.destroy(PREFIX + "www")
        assert PREFIX + "www" not in run("xl", "list").stdout
        assert await host.names() == []


async def test_adopt_takes_it_over_from_xl(tmp_path: Path) -> None:
    async with hosting(tmp_path, min_restart_seconds=0.0) as host:
        await xl("create", "-q", theirs(tmp_path, on_crash="restart", on_reboot="destroy"))
        assert len(xl_processes(THEIRS)) == 1
        view = await host.service.adopt(THEIRS)
        assert view.origin is Origin.XEND
        assert view.domid is not None

        async def ended() -> bool:
            return xl_processes(THEIRS) == []

        await host.until(ended, 10)
        end_guest(view.domid, ShutdownReason.CRASH)

        async def restarted() -> bool:
            found = await _by_name(host, THEIRS)
            return len(found) == 1 and found[0].restarts == 1

        await host.until(restarted, 60)
        await host.stop()
        await host.start()
        [after] = await _by_name(host, THEIRS)
        assert (after.origin, after.uuid) == (Origin.XEND, view.uuid)


async def test_what_xl_does_to_ours_is_in_our_list_within_a_second(tmp_path: Path) -> None:
    """rename, mem-set, save, restore, destroy, and a listing of ours by xl."""
    async with hosting(tmp_path) as host:
        config = linux()
        view = await host.service.create(config)
        assert view.domid is not None
        listed = json.loads(run("xl", "list", "-l", config.name).stdout)
        assert listed[0]["config"]["c_info"]["name"] == config.name
        await _until_it_listens(host, view.domid)
        name = PREFIX + "renamed"
        await xl("rename", config.name, name)

        async def renamed() -> bool:
            return await host.names() == [name]

        assert await host.until(renamed, 5) < 1

        async def kept() -> bool:  # Else it would have its old name again after a reboot.
            return [each.config.name for each in await host.journal.owned()] == [name]

        await host.until(kept, 5)
        await xl("mem-set", name, "100")

        async def smaller() -> bool:
            return (await host.service.lookup(name)).memory < kib(110)

        await host.until(smaller, 60)
        image = tmp_path / "image"
        await xl("save", name, str(image))

        async def gone() -> bool:
            return await host.names() == []

        assert await host.until(gone, 5) < 1
        assert not [job for job in host.service.jobs.list() if job.kind.startswith("on-")]

        async def forgotten() -> bool:
            return not await host.journal.owned()

        await host.until(forgotten, 5)
        await xl("restore", "-e", str(image))

        async def back() -> bool:
            return await host.names() == [name]

        assert await host.until(back, 5) < 1
        after = await host.service.lookup(name)
        assert (after.uuid, after.origin) == (view.uuid, Origin.FOREIGN)
        await xl("destroy", name)
        assert await host.until(gone, 5) < 1


async def test_a_save_of_ours_is_restored_by_xl_and_back(tmp_path: Path) -> None:
    async with hosting(tmp_path) as host:
        config = linux()
        view = await host.service.create(config)
        assert view.domid is not None
        await _until_it_listens(host, view.domid)
        image = tmp_path / "image"
        await host.service.save(config.name, image)
        await xl("restore", "-e", str(image))
        assert (await host.service.lookup(config.name)).origin is Origin.FOREIGN
        await asyncio.sleep(2)  # Its drivers are still waking up.
        await xl("save", config.name, str(image))
        back = await host.service.restore(image)
        assert (back.origin, back.uuid) == (Origin.XEND, view.uuid)


def _image(folder: Path) -> Path:
    path = folder / "data.img"
    with path.open("wb") as file:
        file.truncate(8 << 20)
    return path


@pytest.mark.parametrize("whose", ["ours", "theirs"])
async def test_what_xl_changes_is_in_the_configuration_within_a_second(
    whose: str, tmp_path: Path
) -> None:
    """Disks, interfaces, memory, vcpus; of ours also in what it is built from after a reboot."""
    async with hosting(tmp_path) as host:
        if whose == "ours":
            config = linux().model_copy(update={"vcpus": 2})
            name = config.name
            await host.service.create(config)
        else:
            name = THEIRS
            kernel, ramdisk = str(LINUX_KERNEL), str(LINUX_INITRD)
            settings = {"memory": 128, "vcpus": 2, "kernel": kernel, "ramdisk": ramdisk}
            await xl("create", "-e", "-q", theirs(tmp_path, **settings))

        async def config_now() -> DomainConfig:
            view = await host.service.with_config(await host.service.lookup(name))
            assert view.config is not None
            return view.config

        first = await host.service.with_config(await host.service.lookup(name))
        assert first.domid is not None
        await _until_it_listens(host, first.domid)
        image = _image(tmp_path)
        mac = "00:16:3e:00:0e:07"

        async def has_disk() -> bool:
            return [each.path for each in (await config_now()).disks] == [str(image)]

        async def has_none() -> bool:
            return (await config_now()).disks == ()

        async def has_vif() -> bool:
            return [each.mac for each in (await config_now()).vifs] == [mac]

        async def smaller() -> bool:
            return (await config_now()).memory == kib(100)

        async def one_vcpu() -> bool:
            return (await config_now()).vcpus_online == 1

        await xl("block-attach", name, f"format=raw,vdev=xvdb,access=rw,target={image}")
        assert await host.until(has_disk, 10) < 1
        await xl("network-attach", name, f"mac={mac}", "bridge=xenbr0")
        assert await host.until(has_vif, 10) < 1
        await xl("mem-set", name, "100")
        assert await host.until(smaller, 10) < 1
        await xl("vcpu-set", name, "1")
        await host.until(one_vcpu, 30)  # The guest has to do it first.
        if whose == "ours":
            [kept] = [each.config for each in await host.journal.owned()]
            assert [each.path for each in kept.disks] == [str(image)]
            assert (kept.memory, kept.vcpus_online) == (kib(100), 1)
            await host.service.reset(name)
            again = await host.service.lookup(name)
            assert again.domid is not None
            await _until_it_listens(host, again.domid)
            assert await has_disk()
            assert await has_vif()
        await xl("block-detach", name, "xvdb")
        assert await host.until(has_none, 10) < 1
        await xl("destroy", name)

        async def gone() -> bool:
            return await host.names() == []

        await host.until(gone, 10)


async def test_xl_destroys_a_managed_one_and_its_configuration_stays_whole(tmp_path: Path) -> None:
    async with hosting(tmp_path) as host:
        image = _image(tmp_path)
        disk = Disk(scheme="file", path=str(image), vdev="xvda")
        vif = Vif(mac="00:16:3e:00:0e:08", bridge="xenbr0")
        config = tiny(disks=(disk,), vifs=(vif,))
        await host.service.new(config)
        await host.service.start_domain(config.name, paused=False)
        await xl("destroy", config.name)

        async def halted() -> bool:
            return (await host.service.lookup(config.name)).power_state is PowerState.HALTED

        await host.until(halted, 10)
        await host.quiet()
        [managed], _ = await host.repository.load()
        assert [each.path for each in managed.config.disks] == [str(image)]
        assert [each.mac for each in managed.config.vifs] == [vif.mac]
        await host.service.delete(config.name)


def _left_behind() -> Path:
    path = Path(f"/var/lib/xen/userdata-d.77.{uuid4()}.libxl-json")
    path.write_text("{}")
    return path


async def test_userdata_of_dead_domains_is_swept(tmp_path: Path) -> None:
    async with hosting(tmp_path) as host:
        view = await host.service.create(tiny())
        dead = _left_behind()
        await host.stop()
        await host.start()
        files = LocalFiles()
        assert not await files.exists(dead)
        kept = {(each.domid, each.uuid) for each in await files.userdata()}
        await files.close()
        assert (view.domid, view.uuid) in kept
