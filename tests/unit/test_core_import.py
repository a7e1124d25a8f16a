"""`xend import`: a directory copied from another host."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest

from tests.killing import Killing, KillSwitch
from tests.simhost import SimHost, disk, guest, running
from xend.config.domainsxp import decode_managed, encode_managed
from xend.config.importing import changes
from xend.errors import OperationFailed
from xend.model.status import Origin, PowerState
from xend.sim.image import Image, write_image
from xend.store.hostfiles import LocalFiles

OLD = """(domain
    (vcpus_params ((cap 0) (weight 256)))
    (PV_kernel /boot/vmlinuz-2.6.18)
    (uuid {uuid})
    (name_label {name})
    (on_xend_start ignore)
    (on_xend_stop ignore)
    (pool_name Pool-0)
    (vcpus 1)
    (cpus (()))
    (on_poweroff destroy)
    (on_crash restart)
    (uuid {uuid})
    (name {name})
    (on_reboot restart)
    (maxmem 64)
    (memory 64)
    (image (linux (kernel /boot/vmlinuz-2.6.18) (flux_capacitor 88)))
    (device (vbd (uname file:/srv/{name}.img) (dev xvda) (mode w)))
    (state r-----)
    (cpu_time 12.5)
)
"""
WEB = UUID(int=1)
MAIL = UUID(int=2)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return tmp_path / "old"


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[SimHost]:
    folder = tmp_path / "host"
    folder.mkdir()
    async with running(folder) as host:
        yield host


@pytest.fixture(autouse=True)
def _dialect(monkeypatch: pytest.MonkeyPatch, host: SimHost) -> None:
    """Of the original; the simulated host's is JSON."""
    monkeypatch.setattr(host.repository, "_encode", encode_managed)
    monkeypatch.setattr(host.repository, "_decode", decode_managed)
    monkeypatch.setattr(host.repository, "_compare", changes)


def write(folder: Path, uuid: UUID, name: str, text: str = OLD) -> Path:
    entry = folder / str(uuid)
    entry.mkdir(parents=True)
    (entry / "config.sxp").write_text(text.format(uuid=uuid, name=name))
    return entry


def everything(folder: Path, *, read: bool = True) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if read and path.is_file() else None
        for path in folder.rglob("*")
    }


async def test_what_it_found_what_changed_and_what_was_imported(host: SimHost, old: Path) -> None:
    write(old, WEB, "web")
    before = everything(old)
    for dry, verdict in ((True, "importable"), (False, "imported"), (False, "known")):
        [report] = await host.service.import_domains(old, dry_run=dry)
        assert (report.verdict, report.name, report.uuid) == (verdict, "web", str(WEB))
        assert report.changes == ["image/linux/flux_capacitor: '88' is not kept"]
        assert await host.names() == ([] if dry else ["web"])
        assert everything(old) == before
    [kept], _ = await host.repository.load()
    view = await host.service.lookup("web")
    assert view.config == kept.config
    assert view.config is not None
    assert [each.path for each in view.config.disks] == ["/srv/web.img"]
    await host.service.start_domain("web", paused=False)


async def test_broken_entries_are_named_skipped_and_never_touched(host: SimHost, old: Path) -> None:
    write(old, WEB, "web")
    (write(old, UUID(int=3), "half") / "config.sxp").write_text("(domain (name half")
    (old / str(UUID(int=4))).mkdir()
    (old / "lost+found").mkdir()
    (old / "README").write_text("")
    write(old, UUID(int=5), "other", OLD.replace("{uuid}", str(MAIL)))
    fifo = old / str(UUID(int=6))
    fifo.mkdir()
    os.mkfifo(fifo / "config.sxp")
    (write(old, UUID(int=7), "binary") / "config.sxp").write_bytes(b"\xff\x00(" * 100)
    before = set(everything(old, read=False))
    reports = await host.service.import_domains(old)
    skipped = {report.path.name: report.reason for report in reports if not report.name}
    assert skipped.pop(str(UUID(int=3))).startswith("unexpected EOF")
    assert "of another domain" in skipped.pop(str(UUID(int=5)))
    assert skipped.pop(str(UUID(int=7)))
    assert skipped == {
        str(UUID(int=4)): "there is no config.sxp in it",
        str(UUID(int=6)): "config.sxp is no configuration",
        "README": "not a directory of a managed domain",
        "lost+found": "its name is not a uuid",
    }
    assert [report.verdict for report in reports if report.name] == ["imported"]
    assert set(everything(old, read=False)) == before


async def test_what_is_taken_here_is_not_overwritten(host: SimHost, old: Path) -> None:
    mine = guest("web")
    await host.service.new(mine)
    write(old, WEB, "web")
    write(old, mine.uuid, "elsewhere")
    reports = await host.service.import_domains(old)
    assert {report.uuid: report.reason for report in reports} == {
        str(WEB): "VM name 'web' already exists",
        str(mine.uuid): "'web' is here with that uuid, but differs",
    }
    assert {report.verdict for report in reports} == {"skipped"}
    [kept], _ = await host.repository.load()
    assert kept.config == mine


async def test_memory_that_can_be_restored_comes_along(host: SimHost, old: Path) -> None:
    config = decode_managed(OLD.format(uuid=WEB, name="web"))
    write_image(write(old, WEB, "web") / "checkpoint.chk", Image(config, 60.0))
    (write(old, MAIL, "mail") / "checkpoint.chk").write_bytes(b"LinuxGuestRecord" + bytes(5000))
    reports = await host.service.import_domains(old)
    notes = {report.name: report.notes for report in reports}
    assert notes.pop("web") == []
    assert notes.pop("mail")[0].startswith("its memory is left behind, so it will boot afresh: ")
    assert (await host.service.lookup("web")).power_state is PowerState.SUSPENDED
    assert (await host.service.lookup("mail")).power_state is PowerState.HALTED
    assert (old / str(WEB) / "checkpoint.chk").exists()
    view = await host.service.resume("web")
    assert view.power_state is PowerState.RUNNING


async def test_what_keeps_it_from_starting_is_told(host: SimHost, old: Path) -> None:
    write(old, WEB, "web")
    host.files.missing.add("/srv/web.img")
    [report] = await host.service.import_domains(old, dry_run=True)
    assert report.notes[0].startswith("it cannot start here yet: ")
    assert "/srv/web.img" in report.notes[0]


async def test_a_directory_that_cannot_be_read(host: SimHost, old: Path) -> None:
    with pytest.raises(OperationFailed, match="No such file or directory"):
        await host.service.import_domains(old)
    await host.service.new(guest())
    with pytest.raises(OperationFailed, match="this host's own directory"):
        await host.service.import_domains(host.folder / "domains")


async def test_where_nothing_can_be_written_nothing_is_imported(host: SimHost, old: Path) -> None:
    write(old, WEB, "web")
    (host.folder / "domains").write_text("in the way")
    [report] = await host.service.import_domains(old)
    assert report.verdict == "skipped"
    assert report.reason.startswith("Failed to save configuration file to ")
    assert await host.names() == []


# -- Adopting --------------------------------------------------------------------------------------


async def test_a_strangers_domain_is_adopted(host: SimHost) -> None:
    config = guest("theirs", disks=(disk(),))
    domid = await host.hypervisor.create(config)
    await host.hypervisor.unpause(domid)
    await host.clock.sleep(100)
    host.machine.crash(domid)
    await host.service.list()
    await host.quiet()
    assert not host.machine.get(domid).alive  # Theirs to restart.
    await host.service.adopt("theirs")

    async def restarted() -> bool:
        return (await host.service.lookup("theirs")).domid != domid

    async def owned() -> bool:  # Written when it is built: a moment after it can be looked up.
        return [each.config.name for each in await host.journal.owned()] == ["theirs"]

    await host.until(restarted)
    await host.until(owned)


def test_only_the_processes_of_that_domain_are_ended(tmp_path: Path) -> None:
    """The real ones are ended in the lab."""
    for pid, comm, log in (
        ("1", "xl", "/var/log/xen/xl-web2.log"),
        ("2", "xend", "/var/log/xen/xl-web.log"),
        ("self", "xl", "/var/log/xen/xl-web.log"),
    ):
        (tmp_path / pid / "fd").mkdir(parents=True)
        (tmp_path / pid / "comm").write_text(f"{comm}\n")
        (tmp_path / pid / "fd" / "1").symlink_to(log)

    async def run() -> list[int]:
        files = LocalFiles(processes=tmp_path)
        try:
            return await files.end_watchers("web")
        finally:
            await files.close()

    assert asyncio.run(run()) == []


async def test_an_adoption_that_is_cut_off_is_finished_or_never_was(tmp_path: Path) -> None:
    """Never is a domain ours and xl's at once, once xend has started again."""
    for at in range(1, 20):
        folder = tmp_path / str(at)
        folder.mkdir()
        async with running(folder) as host:
            if not await _adoption_cut_off(host, at):
                assert at > 5
                return
    pytest.fail("it never ended")


async def _adoption_cut_off(host: SimHost, at: int) -> bool:
    """Whether there is a step with number `at`."""
    watched = {"theirs"}

    async def end_watchers(name: str) -> list[int]:
        watched.discard(name)
        return [1]

    host.files.end_watchers = end_watchers  # type: ignore[method-assign]
    domid = await host.hypervisor.create(guest("theirs"))
    await host.hypervisor.unpause(domid)
    switch = KillSwitch(at)
    context = host.service._context
    for name in ("journal", "files"):
        object.__setattr__(context, name, Killing(getattr(host, name), switch, name))
    act = asyncio.ensure_future(host.service.adopt("theirs"))
    hit = asyncio.ensure_future(switch.hit.wait())
    await asyncio.wait([act, hit], return_when=asyncio.FIRST_COMPLETED)
    await host.stop()
    act.cancel()
    hit.cancel()
    await asyncio.wait([act, hit])
    await host.start()
    await host.quiet()
    view = await host.service.lookup("theirs")
    assert (view.domid, view.power_state) == (domid, PowerState.RUNNING)
    assert (view.origin is Origin.XEND) == (not watched), switch.passed[-1]
    assert not await host.journal.open_intents()
    return switch.hit.is_set()
