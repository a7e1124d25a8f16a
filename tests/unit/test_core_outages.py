"""What xend needs fails: full and read-only disks, a slow XenStore.  Each is told clearly, and
what can be done without is done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.simhost import SimHost, disk, guest, running, vif
from xend.core.ports import Userdata
from xend.errors import (
    JournalError,
    OperationFailed,
    WorkerCrashed,
    XendError,
    XenStoreError,
)
from xend.model.domain import ShutdownAction
from xend.model.status import PowerState
from xend.store.repository import RepositoryError


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[SimHost]:
    async with running(tmp_path) as host:
        yield host


def _query_only(host: SimHost, flag: bool) -> Awaitable[Any]:
    """What a file system that has become read-only, or is full, does to SQLite."""
    number = int(flag)
    return host.journal._database.run(
        lambda db: db.execute(f"PRAGMA query_only = {number}").fetchall()
    )


REFUSED: dict[str, Callable[[SimHost], Awaitable[Any]]] = {
    "create": lambda host: host.service.create(guest("new")),
    "reset": lambda host: host.service.reset("web"),
    "save": lambda host: host.service.save("web", host.folder / "web.chk"),
    "rename": lambda host: host.service.rename("web", "www"),
    "attach": lambda host: host.service.attach_device("web", "vbd", disk("/srv/b.img", "xvdb")),
}


@pytest.mark.parametrize("verb", REFUSED)
async def test_where_nothing_can_be_journalled_nothing_is_begun(verb: str, host: SimHost) -> None:
    await host.service.create(guest())
    free = host.free
    before = [(view.name, view.domid, view.flags) for view in await host.service.list()]
    await _query_only(host, True)
    with pytest.raises(JournalError, match=r"xend\.db cannot be used"):
        await REFUSED[verb](host)
    assert [(view.name, view.domid, view.flags) for view in await host.service.list()] == before
    assert host.free == free
    assert not (await host.service._context.memory.available() - free)
    await _query_only(host, False)
    await REFUSED[verb](host)


async def test_a_destroy_needs_no_journal(host: SimHost) -> None:
    await host.service.create(guest())
    await _query_only(host, True)
    await host.service.destroy("web")
    assert await host.names() == []
    await _query_only(host, False)
    await host.restart()
    assert await host.names() == []
    assert not await host.journal.owned()


async def test_records_of_jobs_are_written_when_there_is_room_again(
    host: SimHost, caplog: pytest.LogCaptureFixture
) -> None:
    database = host.history._database
    await database.run(lambda db: db.execute("PRAGMA query_only = 1").fetchall())
    for number in range(3):
        await host.service.create(guest(f"g{number}"))
    await asyncio.sleep(0.1)
    assert caplog.text.count("the records of jobs cannot be written") == 1
    await database.run(lambda db: db.execute("PRAGMA query_only = 0").fetchall())
    await host.service.destroy("g0")
    await host.restart()
    kinds = [job.kind for job in host.service.jobs.list()]
    assert kinds == ["create", "create", "create", "destroy"]


async def test_a_policy_that_could_not_be_applied_is_tried_again(
    host: SimHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xend.core.policies.LOOK_SECONDS", 0.02)
    await host.restart()
    view = await host.service.create(guest(on_reboot=ShutdownAction.RESTART))
    await host.clock.sleep(100)
    await _query_only(host, True)
    await host.service.shutdown("web", "reboot")

    async def failed() -> bool:
        return any(isinstance(job.error, JournalError) for job in host.service.jobs.list())

    await host.until(failed)
    assert (await host.service.lookup("web")).domid == view.domid
    await _query_only(host, False)

    async def restarted() -> bool:
        found = await host.service.lookup("web")
        return found.domid != view.domid and found.power_state is PowerState.RUNNING

    await host.until(restarted)


async def test_a_rename_that_cannot_be_kept_is_taken_back(
    host: SimHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = guest()
    await host.service.new(config)
    view = await host.service.start_domain("web", paused=False)

    async def full(config: object) -> None:
        raise RepositoryError(path="domains", reason="No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(host.repository, "save", full)
        with pytest.raises(RepositoryError, match="No space left on device"):
            await host.service.rename("web", "www")
        with pytest.raises(RepositoryError):
            await host.service.attach_device("web", "vbd", disk("/srv/b.img", "xvdb"))
        with pytest.raises(RepositoryError):
            await host.service.new(guest("another"))
    assert view.domid is not None
    assert host.machine.get(view.domid).name == "web"
    assert await host.names() == ["web"]
    assert not await host.service.devices("web", "vbd")
    assert [each.config.name for each in await host.journal.owned()] == ["web"]
    await host.restart()
    assert await host.names() == ["web"]


async def test_a_directory_that_cannot_be_written_is_named(host: SimHost) -> None:
    (host.folder / "domains").write_text("in the way")
    with pytest.raises(RepositoryError, match="Failed to save configuration file to"):
        await host.service.new(guest())
    assert await host.names() == []


async def test_a_slow_xenstore_holds_up_no_list_and_is_told(
    host: SimHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    await host.service.create(guest(vifs=(vif(),)))
    monkeypatch.setattr("xend.core.context.STORE_PATIENCE", 0.1)

    async def hang(*arguments: object) -> Any:
        await asyncio.Event().wait()

    with monkeypatch.context() as patch:
        patch.setattr(host.store, "exists", hang)
        patch.setattr(host.store, "read_or", hang)
        patch.setattr(host.store, "read", hang)
        async with asyncio.timeout(2):
            assert await host.names() == ["web"]
            with pytest.raises(XenStoreError, match="xenstored does not answer within"):
                await host.service.create(guest("new"))
    assert await host.names() == ["web"]
    await host.service.create(guest("new"))


@pytest.mark.parametrize("script", ["ends", "never ends"])
async def test_a_device_that_was_attached_by_half_is_taken_out(host: SimHost, script: str) -> None:
    """Its worker died while the hotplug script was at work, which goes on."""
    await host.service.new(guest(disks=(disk(),)))
    view = await host.service.start_domain("web", paused=False)
    backend = f"/local/domain/0/backend/vbd/{view.domid}/51728"
    statuses: list[str | None] = []

    async def die(operation: str, stage: str, domid: object) -> None:
        if (operation, stage) == ("attach", "connected"):
            host.xenstored.write(f"{backend}/script", "/etc/xen/scripts/block")
            host.xenstored.remove(f"{backend}/hotplug-status")
            if script == "ends":
                asyncio.get_running_loop().call_later(
                    0.02, host.xenstored.write, f"{backend}/hotplug-status", "connected"
                )
            raise WorkerCrashed(operation="attach", status="killed by signal 9")
        if operation == "detach":
            statuses.append(await host.store.read_or(f"{backend}/hotplug-status"))

    host.hypervisor.faults = die
    with pytest.raises(WorkerCrashed):
        await host.service.attach_device("web", "vbd", disk("/srv/b.img", "xvdb"))
    assert [each.backend["dev"] for each in await host.service.devices("web", "vbd")] == ["xvda"]
    config = (await host.view("web")).config
    assert config is not None and [each.vdev for each in config.disks] == ["xvda"]
    assert statuses[0] == ("connected" if script == "ends" else None)
    assert not await host.journal.open_intents()


async def test_an_attach_that_is_refused_takes_nothing_out(host: SimHost) -> None:
    """What has that number already may be somebody else's."""
    view = await host.service.create(guest(disks=(disk(),)))
    assert view.domid is not None
    await host.hypervisor.attach_device(view.domid, "vbd", disk("/srv/xl.img", "xvdb"))
    with pytest.raises(XendError, match="already exists"):
        await host.service.attach_device("web", "vbd", disk("/srv/b.img", "xvdb"))
    found = await host.service.devices("web", "vbd")
    assert [each.backend["params"] for each in found] == ["/srv/web.img", "/srv/xl.img"]


async def test_the_end_of_an_operation_that_found_no_room_is_written_later(
    host: SimHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a start long afterwards would carry it out once more."""
    await host.service.create(guest())
    real = host.journal.settle

    async def full_then(intent: int, **changes: Any) -> None:
        await _query_only(host, True)
        await real(intent, **changes)
        await _query_only(host, False)

    with monkeypatch.context() as patch:
        patch.setattr(host.journal, "settle", full_then)
        await host.service.rename("web", "www")
    assert [intent.kind for intent in await host.journal.open_intents()] == ["rename"]
    await host.service.rename("www", "web2")
    assert not await host.journal.open_intents()
    await host.restart()
    assert await host.names() == ["web2"]


async def test_a_save_that_leaves_no_room_to_say_so_is_taken_back(
    host: SimHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    await host.service.create(guest())
    path = host.folder / "web.save"
    path.write_bytes(b"of yesterday")

    async def full(*_: object, **__: object) -> None:
        raise JournalError(path="xend.db", reason="database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(host.journal, "note", full)
        with pytest.raises(JournalError):
            await host.service.save("web", path)
    view = await host.view("web")
    assert view.power_state is PowerState.RUNNING
    assert path.read_bytes() == b"of yesterday"
    assert not [*host.folder.glob("*.partial")]
    await host.restart()
    assert (await host.view("web")).domid == view.domid
    await host.service.save("web", path)
    assert await host.names() == []


async def test_a_save_that_was_complete_but_taken_back_does_not_end_its_domain(
    host: SimHost,
) -> None:
    """The journal could not be told; the domain has moved on since."""
    view = await host.service.create(guest())
    partial = host.folder / "web.save.partial"
    partial.write_bytes(b"old")
    data = {
        "domid": view.domid,
        "path": str(host.folder / "web.save"),
        "partial": str(partial),
        "checkpoint": False,
        "written": True,
    }
    await host.journal.begin("save", view.uuid, data)
    await host.restart()
    assert (await host.view("web")).power_state is PowerState.RUNNING
    assert not partial.exists() and not (host.folder / "web.save").exists()
    assert not await host.journal.open_intents()


async def test_a_reset_that_cannot_begin_leaves_the_domain_ours(host: SimHost) -> None:
    await host.service.create(guest())
    await _query_only(host, True)
    with pytest.raises(JournalError):
        await host.service.reset("web")
    await _query_only(host, False)
    assert [each.config.name for each in await host.journal.owned()] == ["web"]


async def test_libxls_own_words_come_along(host: SimHost) -> None:
    async def fail(operation: str, stage: str, domid: object) -> None:
        if operation == "create":
            from xend.sim.machine import refused

            raise refused("domain creation", "libxl_create.c:1: the roof is on fire", None)

    host.hypervisor.faults = fail
    with pytest.raises(OperationFailed) as caught:
        await host.service.create(guest())
    assert caught.value.fields["log"] == ("libxl_create.c:1: the roof is on fire",)
    assert host.service.jobs.list()[-1].error is caught.value


async def test_a_store_with_foreign_files_is_served(host: SimHost) -> None:
    config = guest()
    await host.service.new(config)
    root = host.folder / "domains"
    (root / "README").write_text("hello")
    (root / str(uuid4())).mkdir()
    broken = root / str(uuid4())
    broken.mkdir()
    (broken / "config.sxp").write_text("(domain (")
    (root / str(config.uuid) / "notes.txt").write_text("mine")
    await host.restart()
    assert await host.names() == ["web"]
    assert len(host.service.broken) == 3
    assert (broken / "config.sxp").read_text() == "(domain ("
    with pytest.raises(XendError, match=f"Domain '{broken.name}' does not exist"):
        await host.service.start_domain(broken.name)


async def test_what_libxl_left_of_dead_domains_is_swept(host: SimHost, tmp_path: Path) -> None:
    view = await host.service.create(guest())
    assert view.domid is not None
    files = {
        "alive": (view.domid, view.uuid),
        "dead": (view.domid + 5, str(uuid4())),
        "reused number": (view.domid, str(uuid4())),
        "moved": (view.domid + 7, view.uuid),
    }
    for name, (domid, uuid) in files.items():
        (tmp_path / name).touch()
        host.files.left_behind.append(Userdata(tmp_path / name, domid, uuid))
    await host.restart()
    assert [name for name in files if (tmp_path / name).exists()] == ["alive"]
