"""What every `ports.Hypervisor` does, on the simulator and, in the lab's dom0, on real Xen.

pytest tests/contract/test_hypervisor_contract.py                        # the simulator
pytest -m lab tests/contract/test_hypervisor_contract.py                 # real Xen, as root
pytest -m "lab or not lab" --hypervisor xen tests/contract/…             # the same
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.contract.hypervisor_bench import MISSING, PREFIX, Bench, bench
from xend.core.ports import HypervisorEventKind, Progress
from xend.errors import (
    ConfigError,
    DomainNotFound,
    HypervisorError,
    InvalidArgument,
    OperationFailed,
    XendError,
)
from xend.model.devices import Disk
from xend.model.domain import DomainConfig
from xend.model.status import PowerState, ShutdownReason
from xend.model.units import DOM0, DOM0_UUID, Domid, kib

NOBODY = Domid(30000)


@pytest.fixture
async def xen(hypervisor_kind: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(hypervisor_kind, tmp_path) as made:
        yield made


# -- The host ------------------------------------------------------------------------------------


async def test_the_host_describes_itself(xen: Bench) -> None:
    host = await xen.hypervisor.host()
    assert host.backend == xen.hypervisor.backend
    assert host.nr_cpus >= 1
    assert host.nr_nodes >= 1
    assert 0 < host.free_memory < host.total_memory
    assert (host.xen_major, host.xen_minor) >= (4, 14)
    assert "xen-3.0-x86_64" in host.xen_caps
    assert host.xen_scheduler
    assert host.xen_pagesize == 4096
    assert len(host.hw_caps.split(":")) == 8
    assert len(host.cpu_topology) == host.nr_cpus
    assert host.cpu_khz > 0


async def test_domain_0_is_always_there(xen: Bench) -> None:
    [dom0] = [info for info in await xen.hypervisor.list_domains() if info.domid == DOM0]
    assert dom0.uuid == DOM0_UUID
    assert dom0.flags.startswith("r")
    assert dom0.memory > 0
    assert dom0.vcpus_online >= 1
    assert dom0 == await xen.info(DOM0) or dom0.domid == (await xen.info(DOM0)).domid
    assert (await xen.hypervisor.cpupools())[0] == "Pool-0"
    assert isinstance(await xen.hypervisor.dmesg(), str)


async def test_what_is_not_there_is_a_typed_error(xen: Bench) -> None:
    hypervisor = xen.hypervisor
    for ask in (
        hypervisor.domain(NOBODY),
        hypervisor.vcpus(NOBODY),
        hypervisor.scheduler(NOBODY),
        hypervisor.pause(NOBODY),
        hypervisor.unpause(NOBODY),
        hypervisor.request_shutdown(NOBODY, "poweroff"),
        hypervisor.rename(NOBODY, "a", "b"),
        hypervisor.set_memory_target(NOBODY, kib(64)),
        hypervisor.destroy(NOBODY),
        hypervisor.save(NOBODY, xen.folder / "x"),
        hypervisor.resume(NOBODY),
    ):
        with pytest.raises(DomainNotFound) as caught:
            await ask
        assert caught.value.fields["domain"] == str(NOBODY)


# -- Coming and going ----------------------------------------------------------------------------


async def test_a_create_leaves_a_paused_domain_and_a_destroy_nothing(xen: Bench) -> None:
    before = await xen.free()
    config = xen.tiny()
    reports: list[Progress] = []
    domid = await xen.hypervisor.create(config, reports.append)
    assert {report.domid for report in reports if report.domid is not None} == {domid}
    info = await xen.info(domid)
    assert info.uuid == str(config.uuid)
    assert info.paused
    assert info.power_state is PowerState.PAUSED
    assert info.cpu_time == 0
    assert info.type == "pv"
    assert kib(4) <= info.memory <= kib(8)
    assert info in await xen.hypervisor.list_domains()
    assert await xen.store.read(f"/local/domain/{domid}/name") == config.name
    assert await xen.store.read(f"/local/domain/{domid}/vm") == f"/vm/{config.uuid}"
    assert float(await xen.store.read(f"/vm/{config.uuid}/start_time")) > 0
    await xen.hypervisor.destroy(domid)
    assert not await xen.present(domid)
    with pytest.raises(DomainNotFound):
        await xen.info(domid)
    assert not await xen.store.exists(f"/local/domain/{domid}")
    assert not await xen.store.exists(f"/libxl/{domid}")

    async def back() -> bool:
        return await xen.free() >= before - 64

    await xen.until(back, "its memory is free again")


async def test_domids_grow(xen: Bench) -> None:
    first = await xen.hypervisor.create(xen.tiny("one"))
    await xen.hypervisor.destroy(first)
    second = await xen.hypervisor.create(xen.tiny("two"))
    assert second > first
    domids = [info.domid for info in await xen.hypervisor.list_domains()]
    assert domids == sorted(domids)


async def test_pauses_are_counted(xen: Bench) -> None:
    domid = await xen.hypervisor.create(xen.tiny())
    await xen.hypervisor.unpause(domid)
    info = await xen.info(domid)
    assert not info.paused
    assert info.power_state is PowerState.RUNNING
    with pytest.raises(HypervisorError):
        await xen.hypervisor.unpause(domid)
    for _ in range(2):
        await xen.hypervisor.pause(domid)
    await xen.hypervisor.unpause(domid)
    assert (await xen.info(domid)).paused
    await xen.hypervisor.unpause(domid)
    assert not (await xen.info(domid)).paused


async def test_its_console_has_a_terminal(xen: Bench) -> None:
    domid = await xen.start(xen.tiny())

    async def there() -> bool:
        return bool(await xen.store.read_or(f"/local/domain/{domid}/console/tty"))

    await xen.until(there, "console/tty")
    tty = Path(await xen.hypervisor.console_tty(domid))
    assert tty.parent == Path("/dev/pts")


async def test_events_tell_of_coming_and_going(xen: Bench) -> None:
    config = xen.tiny()
    domid = await xen.hypervisor.create(config)
    await xen.event(HypervisorEventKind.CREATED, domid)
    await xen.hypervisor.destroy(domid)
    await xen.event(HypervisorEventKind.DEATH, domid)
    assert xen.seen[0].kind is HypervisorEventKind.RESYNC


# -- What goes wrong -----------------------------------------------------------------------------


async def _nothing_is_left(xen: Bench, config: DomainConfig) -> None:
    infos = await xen.hypervisor.list_domains()
    assert str(config.uuid) not in {info.uuid for info in infos if not info.dying}


async def test_a_kernel_that_is_missing_is_named(xen: Bench) -> None:
    config = xen.tiny(kernel=MISSING)
    with pytest.raises((HypervisorError, ConfigError)) as caught:
        await xen.hypervisor.create(config)
    told = str(caught.value) + " ".join(caught.value.fields.get("log", ()))
    assert "No such file" in told or MISSING in told
    await _nothing_is_left(xen, config)


async def test_a_name_that_is_taken_is_refused(xen: Bench) -> None:
    domid = await xen.hypervisor.create(xen.tiny("same"))
    second = xen.tiny("same")
    with pytest.raises(HypervisorError) as caught:
        await xen.hypervisor.create(second)
    assert "already exists" in str(caught.value) + " ".join(caught.value.fields["log"])
    await _nothing_is_left(xen, second)
    assert await xen.present(domid)


async def test_too_little_memory_leaves_nothing(xen: Bench) -> None:
    before = await xen.free()
    config = xen.tiny(memory=int(before) + kib(512))
    assert (await xen.hypervisor.memory_outlook(config)).needed > before
    with pytest.raises(XendError):
        await xen.hypervisor.create(config)
    await _nothing_is_left(xen, config)

    async def back() -> bool:
        return await xen.free() >= before - 64

    await xen.until(back, "all memory is free again")


async def test_a_create_that_is_cancelled_can_be_cleaned_up(xen: Bench) -> None:
    config = xen.linux()
    begun = asyncio.Event()
    reports: list[Progress] = []

    def sink(progress: Progress) -> None:
        reports.append(progress)
        if progress.domid is not None:
            begun.set()

    creating = asyncio.create_task(xen.hypervisor.create(config, sink))
    await asyncio.wait(
        [creating, asyncio.create_task(begun.wait())], return_when=asyncio.FIRST_COMPLETED
    )
    creating.cancel()
    await asyncio.wait([creating])
    begun.set()
    for info in await xen.hypervisor.list_domains():
        if info.uuid == str(config.uuid) and not info.dying:
            assert info.paused
            assert info.domid in {report.domid for report in reports}
            await xen.hypervisor.destroy(info.domid)
    await _nothing_is_left(xen, config)


# -- Changes of a running domain -----------------------------------------------------------------


async def test_rename(xen: Bench) -> None:
    domid = await xen.hypervisor.create(xen.tiny("old"))
    await xen.hypervisor.create(xen.tiny("taken"))
    await xen.hypervisor.rename(domid, PREFIX + "old", PREFIX + "new")
    assert await xen.store.read(f"/local/domain/{domid}/name") == PREFIX + "new"
    with pytest.raises(HypervisorError):
        await xen.hypervisor.rename(domid, PREFIX + "new", PREFIX + "taken")
    assert await xen.store.read(f"/local/domain/{domid}/name") == PREFIX + "new"


async def test_memory(xen: Bench) -> None:
    domid = await xen.hypervisor.create(xen.tiny(memory=kib(4), maxmem=kib(8)))
    limit = (await xen.info(domid)).max_memory
    assert kib(4) <= limit <= kib(12)
    await xen.hypervisor.set_memory_target(domid, kib(6))
    await xen.hypervisor.set_max_memory(domid, kib(16))
    limit, before = (await xen.info(domid)).max_memory, limit
    assert limit > before
    with pytest.raises(HypervisorError, match="must be greater than"):
        await xen.hypervisor.set_max_memory(domid, kib(2))
    assert (await xen.info(domid)).max_memory == limit


async def test_vcpus_and_affinity(xen: Bench) -> None:
    domid = await xen.hypervisor.create(xen.tiny(vcpus=2))
    vcpus = await xen.hypervisor.vcpus(domid)
    assert [vcpu.number for vcpu in vcpus] == [0, 1]
    cpus = (await xen.hypervisor.host()).nr_cpus
    assert vcpus[0].affinity == tuple(range(cpus))
    await xen.hypervisor.pin_vcpu(domid, 0, [0])
    assert (await xen.hypervisor.vcpus(domid))[0].affinity == (0,)
    assert (await xen.info(domid)).vcpu_max_id == 1
    with pytest.raises((HypervisorError, InvalidArgument)):
        await xen.hypervisor.pin_vcpu(domid, 7, [0])


async def test_scheduling(xen: Bench) -> None:
    domid = await xen.hypervisor.create(xen.tiny())
    assert (await xen.hypervisor.scheduler(domid))[0] == 256
    await xen.hypervisor.set_scheduler(domid, weight=512)
    assert (await xen.hypervisor.scheduler(domid))[0] == 512


async def test_its_configuration_can_be_read_back(xen: Bench) -> None:
    config = xen.tiny(vcpus=2, cmdline="a b")
    domid = await xen.hypervisor.create(config)
    found = await xen.hypervisor.config_of(domid)
    assert found is not None
    assert (found.name, found.uuid, found.type) == (config.name, config.uuid, config.type)
    assert (found.memory, found.vcpus) == (config.memory, config.vcpus)
    assert found.kernel == config.kernel
    assert (await xen.hypervisor.retrieve_config(domid))["c_info"]["name"] == config.name


# -- Guests that answer --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "reason"),
    [("poweroff", ShutdownReason.POWEROFF), ("reboot", ShutdownReason.REBOOT)],
)
async def test_a_guest_that_is_asked_ends_and_its_domain_stays(
    xen: Bench, request_: str, reason: ShutdownReason
) -> None:
    domid = await xen.start(xen.linux())
    assert request_ in ("poweroff", "reboot")
    await xen.hypervisor.request_shutdown(domid, "reboot" if request_ == "reboot" else "poweroff")
    event = await xen.event(HypervisorEventKind.SHUTDOWN, domid, reason)
    assert event.reason is reason
    info = await xen.info(domid)
    assert info.shutdown
    assert info.shutdown_reason is reason
    assert info.power_state is PowerState.SHUTDOWN


async def test_a_guest_that_does_not_listen_runs_on(xen: Bench) -> None:
    domid = await xen.start(xen.tiny())
    await xen.hypervisor.request_shutdown(domid, "poweroff")
    await asyncio.sleep(0.5)
    assert not (await xen.info(domid)).shutdown


async def test_save_and_restore(xen: Bench) -> None:
    config = xen.linux()
    domid = await xen.start(config)
    path = xen.folder / "saved"
    await xen.hypervisor.save(domid, path)
    info = await xen.info(domid)
    assert info.shutdown_reason is ShutdownReason.SUSPEND
    assert info.power_state is PowerState.SUSPENDED
    await xen.hypervisor.destroy(domid)
    saved = await xen.hypervisor.saved_config(path)
    assert (saved.name, saved.uuid, saved.memory) == (config.name, config.uuid, config.memory)
    restored = await xen.hypervisor.restore(path, None)
    assert restored > domid
    info = await xen.info(restored)
    assert info.paused
    assert info.uuid == str(config.uuid)
    await xen.hypervisor.unpause(restored)
    assert (await xen.info(restored)).power_state is PowerState.RUNNING
    assert await xen.store.read(f"/local/domain/{restored}/name") == config.name


async def test_a_checkpoint_lets_it_run_on(xen: Bench) -> None:
    domid = await xen.start(xen.linux())
    path = xen.folder / "saved"
    await xen.hypervisor.save(domid, path, checkpoint=True)
    assert path.stat().st_size > 0
    assert (await xen.info(domid)).power_state is PowerState.RUNNING


async def test_send_and_receive(xen: Bench) -> None:
    """Through one socket, with a word behind the stream: it is not taken for a part of it."""
    config = xen.linux()
    domid = await xen.start(config)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        aside = uuid4()
        await xen.hypervisor.preserve(domid, "away", aside)
        receiving = asyncio.create_task(xen.hypervisor.receive(theirs.fileno(), config))
        await xen.hypervisor.send(domid, ours.fileno(), live=False)
        ours.send(b"behind")
        received = await receiving
        theirs.setblocking(False)
        assert theirs.recv(16) == b"behind"
    assert (await xen.info(domid)).shutdown_reason is ShutdownReason.SUSPEND
    info = await xen.info(received)
    assert info.paused and info.uuid == str(config.uuid) and info.cpu_time == 0
    await xen.hypervisor.destroy(domid)
    await xen.hypervisor.unpause(received)
    assert (await xen.info(received)).power_state is PowerState.RUNNING
    assert await xen.store.read(f"/local/domain/{received}/name") == config.name


async def test_a_stream_that_breaks_off_lets_it_run_on(xen: Bench) -> None:
    domid = await xen.start(xen.linux())
    before = {info.domid for info in await xen.hypervisor.list_domains()}
    ours, theirs = socket.socketpair()
    with ours:
        theirs.close()
        with pytest.raises(HypervisorError):
            await xen.hypervisor.send(domid, ours.fileno(), live=False)
    assert (await xen.info(domid)).power_state is PowerState.RUNNING
    ours, theirs = socket.socketpair()
    with ours:
        sending = asyncio.create_task(xen.hypervisor.send(domid, ours.fileno(), live=False))
        begun = await asyncio.to_thread(theirs.recv, 4096)
        theirs.close()
        with pytest.raises(HypervisorError):
            await sending
    assert (await xen.info(domid)).power_state is PowerState.RUNNING
    for stream in (b"", begun[:7], begun[:15], b"something else", begun[:16], begun):
        ours, theirs = socket.socketpair()
        with theirs:
            ours.send(stream)
            ours.close()
            with pytest.raises(HypervisorError):
                await xen.hypervisor.receive(theirs.fileno(), xen.linux("other"))
    assert {info.domid for info in await xen.hypervisor.list_domains()} == before


async def test_a_file_that_is_no_saved_domain(xen: Bench) -> None:
    path = xen.folder / "junk"
    path.write_bytes(b"junk" * 100)
    with pytest.raises(OperationFailed) as caught:
        await xen.hypervisor.saved_config(path)
    assert str(path) in str(caught.value)
    with pytest.raises(OperationFailed):
        await xen.hypervisor.saved_config(xen.folder / "nothing")
    count = len(await xen.hypervisor.list_domains())
    with pytest.raises(XendError):
        await xen.hypervisor.restore(path, None)
    assert len(await xen.hypervisor.list_domains()) == count


async def test_a_save_that_cannot_be_written_lets_it_run_on(xen: Bench) -> None:
    domid = await xen.start(xen.linux())
    with pytest.raises(XendError):
        await xen.hypervisor.save(domid, xen.folder / "no" / "saved")
    assert (await xen.info(domid)).power_state is PowerState.RUNNING


async def test_a_dead_domain_makes_room_for_its_successor(xen: Bench) -> None:
    config = xen.linux()
    domid = await xen.start(config)
    await xen.hypervisor.request_shutdown(domid, "poweroff")
    await xen.event(HypervisorEventKind.SHUTDOWN, domid)
    uuid = uuid4()
    await xen.hypervisor.preserve(domid, PREFIX + "dead", uuid)
    assert await xen.store.read(f"/local/domain/{domid}/name") == PREFIX + "dead"
    assert await xen.store.read(f"/local/domain/{domid}/vm") == f"/vm/{uuid}"
    await xen.hypervisor.preserve(domid, PREFIX + "dead", uuid)
    successor = await xen.hypervisor.create(config)
    assert (await xen.info(successor)).uuid == str(config.uuid)
    assert (await xen.info(domid)).shutdown


async def test_a_disk_comes_and_goes(xen: Bench) -> None:
    image = xen.folder / "disk.img"
    with image.open("wb") as file:
        file.truncate(8 << 20)
    domid = await xen.start(xen.linux())
    disk = Disk(scheme="file", path=str(image), vdev="xvdb")
    await xen.hypervisor.attach_device(domid, "vbd", disk)
    assert await xen.store.directory(f"/libxl/{domid}/device/vbd") == ["51728"]
    backend = await xen.store.read(f"/libxl/{domid}/device/vbd/51728/backend")
    assert await xen.store.read(f"{backend}/dev") == "xvdb"
    with pytest.raises(XendError):
        await xen.hypervisor.detach_device(domid, "vbd", 51744)
    await xen.hypervisor.detach_device(domid, "vbd", 51728)
    assert await xen.store.read_or(f"/libxl/{domid}/device/vbd/51728/backend") is None


async def test_a_core_is_written(xen: Bench) -> None:
    domid = await xen.start(xen.linux())
    await xen.hypervisor.dump_core(domid, xen.folder / "core")
    assert (xen.folder / "core").stat().st_size > 0
    with pytest.raises(XendError):
        await xen.hypervisor.dump_core(domid, xen.folder / "no" / "core")
