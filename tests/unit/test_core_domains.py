"""The service on the simulator: verbs, their refusals, and what readers see meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.simhost import SimHost, disk, guest, running, vif
from xend.core.jobs import JobStatus
from xend.core.views import ServiceSettings
from xend.errors import (
    ConfigError,
    ConflictError,
    DomainNotFound,
    DomainStateError,
    HypervisorError,
    InvalidArgument,
    OperationCancelled,
    ResourceError,
    XendError,
)
from xend.model.devices import Disk
from xend.model.status import Origin, PowerState
from xend.model.units import DOM0, Domid, KiB, kib
from xend.sim.hypervisor import no_faults


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[SimHost]:
    async with running(tmp_path) as host:
        yield host


class Gate:
    """Stops an operation at a stage until it is opened."""

    def __init__(self, operation: str, stage: str) -> None:
        self._where = (operation, stage)
        self.reached = asyncio.Event()
        self.open = asyncio.Event()

    async def __call__(self, operation: str, stage: str, domid: Domid | None) -> None:
        if (operation, stage) == self._where:
            self.reached.set()
            await self.open.wait()


async def test_create_makes_a_running_domain_of_ours(host: SimHost) -> None:
    view = await host.service.create(guest("web", disks=(disk(),), vifs=(vif(),)))
    assert view.name == "web"
    assert view.domid == 1
    assert view.power_state is PowerState.RUNNING
    assert view.origin is Origin.XEND
    assert not view.managed
    assert view.started == host.clock.time()
    assert view.config is not None
    assert view.config.vifs[0].mac.startswith("00:16:3e:")
    assert view.config.disks[0].uuid is not None
    assert await host.names() == ["web"]


async def test_create_paused_stays_paused(host: SimHost) -> None:
    view = await host.service.create(guest(), paused=True)
    assert view.power_state is PowerState.PAUSED
    await host.service.unpause("web")
    assert (await host.view("web")).power_state is PowerState.RUNNING


async def test_a_domain_is_found_by_name_domid_and_uuid(host: SimHost) -> None:
    config = guest()
    await host.service.create(config)
    for ref in ("web", 1, "1", str(config.uuid), str(config.uuid).upper()):
        assert (await host.service.lookup(ref)).name == "web"
    for ref in ("webb", 7, "7", str(uuid4())):
        with pytest.raises(DomainNotFound) as caught:
            await host.service.lookup(ref)
        assert caught.value.fields["domain"] == str(ref)


async def test_a_name_that_is_a_number_wins_over_the_domid(host: SimHost) -> None:
    await host.service.create(guest("2"))
    await host.service.create(guest("other"))
    assert (await host.service.lookup("2")).domid == 1
    assert (await host.service.lookup(2)).name == "other"


async def test_who_is_what_lookup_finds(host: SimHost) -> None:
    await host.service.create(guest("2"))
    other = await host.service.create(guest("other"))
    await host.service.new(guest("3"))
    await host.service.create(guest("third"))
    refs = ("2", 2, "other", other.uuid, other.uuid.upper(), "3", 3, "1", 1, "third", "0", 0)
    for ref in refs:
        view = await host.service.lookup(ref)
        assert await host.service.who(ref) == (view.name, view.domid), ref
    for ref in ("nosuch", 9, "9", "-1", "", "\u0663"):
        with pytest.raises(DomainNotFound) as caught:
            await host.service.who(ref)
        assert f"'{ref}'" in str(caught.value)


async def test_who_asks_for_one_domain_only(host: SimHost) -> None:
    config = guest("web")
    view = await host.service.create(config)
    await host.quiet()
    assert await host.service.who("web") == ("web", view.domid)
    listed = host.machine.infos
    host.machine.infos = None  # type: ignore[method-assign,assignment]
    for ref in ("web", view.domid, str(view.domid)):
        assert ref is not None and await host.service.who(ref) == ("web", view.domid)
    host.machine.infos = listed  # type: ignore[method-assign]
    assert view.domid is not None
    # Others end it, and its number is used again: nothing of that has been told yet.
    host.machine.remove(host.machine.get(view.domid))
    with pytest.raises(DomainNotFound):
        await host.service.who("web")


async def test_destroy_gives_everything_back(host: SimHost) -> None:
    before = host.free
    await host.service.create(guest(disks=(disk(),)))
    assert host.free < before
    await host.service.destroy("web")
    assert host.free == before
    assert await host.names() == []
    assert not await host.journal.owned()
    assert not await host.journal.open_intents()
    assert not await host.store.exists("/local/domain/1")


# -- Refusals before anything is built -----------------------------------------------------------


@pytest.mark.parametrize(
    ("second", "text"),
    [
        ({"name": "web"}, "Domain 'web' already exists with ID '1'"),
        ({"name": "other", "uuid": "same"}, "Domain 'other' already exists with ID '1': SAME"),
        (
            {"name": "other", "vifs": (vif("00:16:3e:00:00:01"),)},
            "The mac '00:16:3e:00:00:01' is already in use by domain 'web'",
        ),
        ({"name": "Domain-0"}, "Domain 'Domain-0' already exists with ID '0'"),
    ],
)
async def test_what_is_taken_is_refused(host: SimHost, second: dict[str, Any], text: str) -> None:
    first = guest("web", vifs=(vif("00:16:3e:00:00:01"),))
    await host.service.create(first)
    free = host.free
    if second.get("uuid") == "same":
        second = {**second, "uuid": first.uuid}
    with pytest.raises(ConflictError) as caught:
        await host.service.create(guest(**second))
    assert str(caught.value) == text.replace("SAME", f"{first.uuid} is the uuid of 'web'")
    assert host.free == free
    assert await host.names() == ["web"]


@pytest.mark.parametrize(
    ("first", "second", "refused"),
    [
        ("w", "w", True),
        ("w", "r", True),
        ("r", "w", True),
        ("r", "r", False),
        ("w", "w!", False),
        ("w", "r!", False),
        ("w!", "w", True),
    ],
)
async def test_a_disk_that_another_domain_has(
    host: SimHost, first: str, second: str, refused: bool
) -> None:
    await host.service.create(guest("web", disks=(shared(first),)))
    other = guest("other", disks=(shared(second),))
    if refused:
        with pytest.raises(ConflictError, match=r"/srv/web\.img is in use by domain 'web'"):
            await host.service.create(other)
        assert await host.names() == ["web"]
        await host.service.create(guest("other"))
        with pytest.raises(ConflictError, match=r"Mode '.!' shares it all the same"):
            await host.service.attach_device("other", "vbd", shared(second))
        await host.service.destroy("web")
        await host.service.attach_device("other", "vbd", shared(second))
    else:
        await host.service.create(other)
        assert await host.names() == ["web", "other"]


async def test_a_disk_of_its_own_predecessor_is_free(host: SimHost) -> None:
    await host.service.create(guest("web", disks=(shared("w"),)))
    await host.service.reset("web")
    await host.service.new(guest("halted", disks=(shared("w"),)))
    with pytest.raises(ConflictError, match="in use by domain 'web'"):
        await host.service.start_domain("halted")
    await host.service.destroy("web")
    await host.service.start_domain("halted")


def shared(access: str) -> Disk:
    return disk().model_copy(update={"access": access})


async def test_the_name_of_a_halted_managed_domain_is_taken(host: SimHost) -> None:
    await host.service.new(guest("web"))
    with pytest.raises(ConflictError, match=r"^VM name 'web' already exists$"):
        await host.service.create(guest("web"))


async def test_of_two_creates_at_once_one_wins(host: SimHost) -> None:
    done = await asyncio.gather(
        host.service.create(guest("web")),
        host.service.create(guest("web")),
        return_exceptions=True,
    )
    assert sorted(type(each).__name__ for each in done) == ["ConflictError", "DomainView"]
    assert await host.names() == ["web"]


@pytest.mark.parametrize(
    ("settings", "missing", "text"),
    [
        ({"kernel": "/no/kernel"}, "/no/kernel", "Kernel image does not exist: /no/kernel"),
        ({"ramdisk": "/no/initrd"}, "/no/initrd", "Kernel ramdisk does not exist: /no/initrd"),
        ({"bootloader": "/no/pygrub"}, "/no/pygrub", "Boot loader does not exist: /no/pygrub"),
        (
            {"disks": (disk("/no/disk.img"),)},
            "/no/disk.img",
            "Disk xvda: /no/disk.img: No such file or directory",
        ),
        ({"pool": "Pool-9"}, "", "unknown pool Pool-9"),
        (
            {"disks": (disk(), disk("/srv/other.img"))},
            "",
            'Invalid Configuration: The device "xvda" is already defined',
        ),
        (
            {"vifs": (vif("00:16:3e:00:00:01"), vif("00:16:3e:00:00:01"))},
            "",
            'Invalid Configuration: The mac "00:16:3e:00:00:01" is already defined',
        ),
    ],
)
async def test_a_mistake_in_the_configuration_is_named(
    host: SimHost, settings: dict[str, Any], missing: str, text: str
) -> None:
    host.files.missing.add(missing)
    free = host.free
    with pytest.raises(ConfigError) as caught:
        await host.service.create(guest(**settings))
    assert str(caught.value) == text
    assert host.free == free
    assert await host.names() == []


async def test_an_unknown_bridge_is_named(host: SimHost) -> None:
    host.files.bridges = {"xenbr0"}
    with pytest.raises(ConfigError, match=r"^vif 0: there is no bridge 'xenbr9' on this host$"):
        await host.service.create(guest(vifs=(vif(bridge="xenbr9"),)))
    routed = vif(bridge="xenbr9").model_copy(update={"script": "vif-openvswitch"})
    await host.service.create(guest(vifs=(routed,)))


async def test_too_little_memory(host: SimHost) -> None:
    free = host.free
    with pytest.raises(ResourceError) as caught:
        await host.service.create(guest(mib=10_000))
    needed = kib(10_000) + 1024
    assert str(caught.value) == (
        "Not enough free memory and enable-dom0-ballooning is False, so I cannot release any "
        f"more.  I need {needed} KiB but only have {free}."
    )
    assert caught.value.fields["needed"] == needed
    assert caught.value.fields["available"] == free
    assert await host.names() == []


async def test_what_libxl_refuses_leaves_nothing_behind(host: SimHost) -> None:
    async def fail(operation: str, stage: str, domid: Domid | None) -> None:
        if (operation, stage) == ("create", "devices"):
            raise HypervisorError("no vif", operation="create", rc=-3, rc_name="ERROR_FAIL")

    host.hypervisor.faults = fail
    free = host.free
    with pytest.raises(HypervisorError, match="no vif"):
        await host.service.create(guest())
    assert host.free == free
    assert await host.names() == []
    assert not await host.journal.open_intents()


# -- Reads during operations ---------------------------------------------------------------------


async def test_a_domain_in_creation_is_seen_under_its_name_and_reads_do_not_wait(
    host: SimHost,
) -> None:
    gate = Gate("create", "domain")
    host.hypervisor.faults = gate
    job = host.service.submit("create", guest("web"))
    await gate.reached.wait()
    async with asyncio.timeout(0.5):
        assert await host.names() == ["web"]
        assert (await host.service.lookup("web")).domid == 1
        assert (await host.service.lookup(1)).name == "web"
        assert (await host.service.lookup(1)).power_state is PowerState.PAUSED
    assert job.stage == "domain"
    gate.open.set()
    await job.wait()


async def test_a_list_reads_nothing_from_xenstore(host: SimHost) -> None:
    for number in range(5):
        await host.service.create(guest(f"g{number}"))
    await asyncio.sleep(0.3)
    operations: list[str] = []

    async def count(operation: str, path: str) -> None:
        operations.append(f"{operation} {path}")

    host.store.faults = count
    for _ in range(10):
        assert len(await host.names()) == 5
    assert operations == []


async def test_lists_at_once_share_one_hypercall(host: SimHost) -> None:
    await asyncio.sleep(0.3)  # The refresh at the start is over.
    calls = 0
    real = host.machine.infos

    def count() -> object:
        nonlocal calls
        calls += 1
        return real()

    host.machine.infos = count  # type: ignore[method-assign,assignment]
    await asyncio.gather(*(host.service.list() for _ in range(50)))
    assert calls == 1


async def test_lists_while_domains_change_wait_for_two_at_most(host: SimHost) -> None:
    """Whoever asks after a change sees it, and a crowd does not queue up behind its own lists."""
    await asyncio.sleep(0.3)
    calls, most, under_way = 0, 0, 0
    real = host.hypervisor.list_domains

    async def slow() -> object:
        nonlocal calls, most, under_way
        calls += 1
        under_way += 1
        most = max(most, under_way)
        for _ in range(50):
            await asyncio.sleep(0)
        under_way -= 1
        return await real()

    host.hypervisor.list_domains = slow  # type: ignore[method-assign,assignment]
    snapshot = host.service._snapshot
    seen: list[list[str]] = []

    async def change_and_look(number: int) -> None:
        for _ in range(3 * number):
            await asyncio.sleep(0)
        domain = host.machine.add(guest(f"theirs-{number}"))
        host.machine.introduce(domain)
        snapshot.invalidate()
        views = await host.service.list()
        seen.append([view.name for view in views if view.name == f"theirs-{number}"])

    await asyncio.gather(*map(change_and_look, range(20)))
    assert seen == [[f"theirs-{number}"] for number in range(20)]
    assert most == 1
    assert calls <= 5


async def test_others_domains_appear_named_and_foreign(host: SimHost) -> None:
    domain = host.machine.add(guest("theirs"))
    host.machine.populate(domain)
    host.machine.introduce(domain)
    view = await host.service.lookup("theirs")
    assert view.origin is Origin.FOREIGN
    assert view.config is None
    assert (await host.service.with_config(view)).config is not None
    # xl rename, seen within a second
    domain.name = "renamed"
    host.machine.publication.rename(domain)
    await host.until(lambda: _is(host.names(), ["renamed"]), seconds=1)
    # xl destroy
    host.machine.remove(domain)
    assert await host.names() == []


async def _is(found: object, wanted: object) -> bool:
    return bool(await found == wanted)  # type: ignore[misc]


async def test_verbs_work_on_others_domains(host: SimHost) -> None:
    domain = host.machine.add(guest("theirs"))
    host.machine.populate(domain)
    host.machine.introduce(domain)
    await host.service.unpause("theirs")
    await host.service.pause("theirs")
    await host.service.rename("theirs", "mine")
    assert domain.name == "mine"
    await host.service.destroy("mine")
    assert await host.names() == []


# -- Verbs ---------------------------------------------------------------------------------------


async def test_pause_tells_the_state_before(host: SimHost) -> None:
    await host.service.create(guest())
    assert await host.service.pause("web") is PowerState.RUNNING
    assert await host.service.pause("web") is PowerState.PAUSED


@pytest.mark.parametrize(
    ("verb", "arguments", "text"),
    [
        ("pause", (), "Cannot pause privileged domain 0"),
        ("unpause", (), "Cannot unpause privileged domain 0"),
        ("destroy", (), "Cannot destroy privileged domain 0"),
        ("shutdown", (), "Domain 0 cannot be shutdown"),
        ("reset", (), "Cannot reset privileged domain 0"),
        ("save", (Path("/tmp/x"),), "Cannot save privileged domain 0"),
        ("suspend", (), "Cannot suspend privileged domain 0"),
        ("dump_core", (), "Cannot dump core for privileged domain 0"),
    ],
)
async def test_domain_0_is_left_alone(
    host: SimHost, verb: str, arguments: tuple[object, ...], text: str
) -> None:
    with pytest.raises(DomainStateError) as caught:
        await getattr(host.service, verb)(0, *arguments)
    assert str(caught.value) == text


@pytest.mark.parametrize("verb", ["pause", "unpause", "reset", "dump_core"])
async def test_verbs_on_a_halted_domain(host: SimHost, verb: str) -> None:
    await host.service.new(guest())
    with pytest.raises(DomainStateError, match=r"^Domain 'web' is not started$"):
        await getattr(host.service, verb)("web")


async def test_verbs_on_nothing(host: SimHost) -> None:
    for verb in ("pause", "unpause", "destroy", "shutdown", "reset", "delete", "suspend"):
        with pytest.raises(DomainNotFound):
            await getattr(host.service, verb)("nobody")


async def is_owned(host: SimHost) -> None:
    while not await host.journal.owned():  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0)


@pytest.mark.parametrize("paused", [False, True])
async def test_a_half_made_domain_that_is_ours_on_disk_is_still_undone(
    host: SimHost, paused: bool
) -> None:
    """Whose it is goes to disk while it is built: that does not say that it has been built."""
    gate = Gate("create", "devices")
    host.hypervisor.faults = gate
    host.service.submit("create", guest("web"), paused=paused)
    await gate.reached.wait()
    await is_owned(host)
    await host.restart()
    assert await host.names() == []
    assert not await host.journal.owned()
    assert not await host.journal.open_intents()


async def test_what_was_done_is_known_although_its_intent_was_still_open(host: SimHost) -> None:
    """An intent ends a moment after its client has been told."""
    await host.service.create(guest("web"))
    await host.service.create(guest("paused"), paused=True)
    await host.service.create(guest("gone"))
    await host.service.destroy("gone")
    host.journal._soon.clear()
    await host.restart()
    assert await host.names() == ["web", "paused"]
    assert (await host.view("web")).power_state is PowerState.RUNNING
    assert (await host.view("paused")).power_state is PowerState.PAUSED
    assert [owned.domid for owned in await host.journal.owned()] == [1, 2]
    assert not await host.journal.open_intents()


async def test_of_a_build_that_failed_nothing_is_ours(host: SimHost) -> None:
    async def fail(operation: str, stage: str, domid: Domid | None) -> None:
        if (operation, stage) == ("create", "devices"):
            await is_owned(host)
            raise HypervisorError("no", operation="create", rc_name="ERROR_FAIL")

    host.hypervisor.faults = fail
    with pytest.raises(HypervisorError):
        await host.service.create(guest("web"))
    assert await host.names() == []
    assert not await host.journal.owned()
    assert not await host.journal.open_intents()


async def test_a_view_is_made_anew_only_when_something_has_changed(host: SimHost) -> None:
    await host.service.create(guest("web"))
    first = await host.view("web")
    assert await host.view("web") is first
    await host.service.set_paused_by_admin("web", True)
    flagged = await host.view("web")
    assert flagged.paused_by_admin and not first.paused_by_admin
    await host.service.pause("web")
    paused = await host.view("web")
    assert paused.power_state is PowerState.PAUSED
    await host.service.rename("web", "www")
    assert (await host.view("www")).name == "www"
    assert await host.view("www") is not paused
    await host.service.new(guest("halted"))
    halted = await host.view("halted")
    assert await host.view("halted") is halted
    await host.service.set_vcpus("halted", 2)
    assert (await host.view("halted")).vcpus_online == 2


async def test_rename(host: SimHost) -> None:
    await host.service.create(guest("web"))
    await host.service.create(guest("other"))
    await host.service.rename("web", "www")
    assert await host.names() == ["www", "other"]
    assert await host.store.read("/local/domain/1/name") == "www"
    [owned] = [each for each in await host.journal.owned() if each.domid == 1]
    assert owned.config.name == "www"
    with pytest.raises(ConflictError, match=r"^VM name 'other' already exists as domain 2$"):
        await host.service.rename("www", "other")
    with pytest.raises(InvalidArgument, match=r"^Invalid VM Name$"):
        await host.service.rename("www", "a b")
    with pytest.raises(InvalidArgument, match=r"^Missing VM Name$"):
        await host.service.rename("www", "")
    assert not await host.journal.open_intents()


async def test_a_rename_by_others_is_followed_for_good(host: SimHost) -> None:
    """Also `xl` renames ours: in every listing, in its configuration, and over its reboots."""
    config = guest()
    await host.service.new(config)
    view = await host.service.start_domain("web", paused=False)
    assert view.domid is not None
    await host.hypervisor.rename(view.domid, "web", "www")

    async def known() -> bool:
        managed, _ = await host.repository.load()
        owned = await host.journal.owned()
        names = [each.config.name for each in managed] + [each.config.name for each in owned]
        return names == ["www", "www"] and await host.names() == ["www"]

    await host.until(known, seconds=1.0)
    await host.quiet()
    await host.stop()
    # Also while xend is not there.
    host.machine.get(view.domid).name = "wider"
    host.xenstored.write(f"/local/domain/{view.domid}/name", "wider")
    await host.start()

    async def wider() -> bool:
        return [each.config.name for each in await host.journal.owned()] == ["wider"]

    await host.until(wider)
    await host.quiet()
    assert await host.names() == ["wider"]
    await host.service.reset("wider")
    assert await host.names() == ["wider"]
    assert not await host.journal.open_intents()


async def test_a_rename_by_others_to_a_name_of_ours_makes_no_two_configurations(
    host: SimHost,
) -> None:
    await host.service.new(guest("www"))
    view = await host.service.create(guest())
    assert view.domid is not None
    await host.hypervisor.rename(view.domid, "web", "www")

    async def refused() -> bool:
        return any(job.kind == "follow-rename" and job.error for job in host.service.jobs.list())

    await host.until(refused)
    assert [each.config.name for each in await host.journal.owned()] == ["web"]
    assert (await host.view(view.domid)).name == "www"


async def test_a_name_being_taken_by_a_rename_is_taken(host: SimHost) -> None:
    await host.service.create(guest("web"))
    await host.service.create(guest("other"))
    gate = Gate("rename", "change")
    host.hypervisor.faults = gate
    job = host.service.submit("rename", "web", new="www")
    await gate.reached.wait()
    with pytest.raises(ConflictError, match=r"^VM name 'www' already exists$"):
        await host.service.rename("other", "www")
    gate.open.set()
    await job.wait()


async def test_memory(host: SimHost) -> None:
    await host.service.create(guest(mib=64, maxmem=kib(128)))
    await host.service.set_memory("web", kib(100))
    view = await host.view("web")
    assert view.memory == kib(100)
    assert view.config is not None
    assert view.config.memory == kib(100)
    with pytest.raises(InvalidArgument, match="less than or equal to memory_static_max"):
        await host.service.set_memory("web", kib(200))
    with pytest.raises(InvalidArgument, match="greater than zero"):
        await host.service.set_memory("web", KiB(0))
    await host.service.set_max_memory("web", kib(256))
    await host.service.set_memory("web", kib(200))


async def test_vcpus(host: SimHost) -> None:
    await host.service.create(guest(vcpus=2))
    await host.service.set_vcpus("web", 1)
    assert (await host.view("web")).vcpus_online == 1
    with pytest.raises(InvalidArgument, match="greater than max vcpus on running domain"):
        await host.service.set_vcpus("web", 3)
    with pytest.raises(InvalidArgument, match="Zero or less VCPUs is invalid"):
        await host.service.set_vcpus("web", 0)
    await host.service.pin_vcpu("web", 0, [1, 2])
    assert (await host.service.vcpus("web"))[0].affinity == (1, 2)
    with pytest.raises(InvalidArgument, match="Cannot pin vcpu: 5"):
        await host.service.pin_vcpu("web", 5, [1])
    view = await host.view("web")
    assert view.config is not None
    assert view.config.affinity == ((1, 2), ())


async def test_scheduler(host: SimHost) -> None:
    await host.service.create(guest())
    await host.service.set_scheduler("web", weight=512)
    assert await host.service.scheduler("web") == (512, 0)
    with pytest.raises(InvalidArgument, match="Cpu weight out of range"):
        await host.service.set_scheduler("web", weight=0)
    with pytest.raises(InvalidArgument, match="range is from 0 to 100 for"):
        await host.service.set_scheduler("web", cap=101)


async def test_bad_words(host: SimHost) -> None:
    await host.service.create(guest())
    with pytest.raises(InvalidArgument, match=r"^Invalid reason: sleep$"):
        await host.service.shutdown("web", "sleep")
    with pytest.raises(InvalidArgument, match=r"^Invalid trigger: bump$"):
        await host.service.send_trigger("web", "bump")
    with pytest.raises(InvalidArgument, match=r"^Unknown device type: floppy$"):
        await host.service.devices("web", "floppy")
    with pytest.raises(InvalidArgument, match=r"^Unknown verb 'fly'$"):
        host.service.submit("fly", "web")


# -- Devices -------------------------------------------------------------------------------------


async def test_devices_come_and_go(host: SimHost) -> None:
    await host.service.create(guest(disks=(disk(),)))
    await host.service.attach_device("web", "vbd", disk("/srv/b.img", "xvdb"))
    [first, second] = await host.service.devices("web", "vbd")
    assert (first.devid, second.devid) == (51712, 51728)
    assert second.backend["params"] == "/srv/b.img"
    assert second.frontend["state"] == "4"
    with pytest.raises(ConflictError, match=r"^Device xvdb \(vbd\) is already connected\.$"):
        await host.service.attach_device("web", "vbd", disk("/srv/c.img", "xvdb"))
    await host.service.attach_device("web", "vif", vif())
    [attached] = await host.service.devices("web", "vif")
    await host.service.detach_device("web", "vif", attached.devid)
    await host.service.detach_device("web", "vbd", "xvdb")
    assert [view.devid for view in await host.service.devices("web", "vbd")] == [51712]
    view = await host.view("web")
    assert view.config is not None
    assert [each.vdev for each in view.config.disks] == ["xvda"]
    assert view.config.vifs == ()
    with pytest.raises(InvalidArgument, match=r"^Device xvdz not connected$"):
        await host.service.detach_device("web", "vbd", "xvdz")


async def test_a_backend_that_failed_is_told_in_the_originals_words(host: SimHost) -> None:
    await host.service.create(guest(disks=(disk(),)))
    await host.service.wait_for_devices("web")
    backend = "/local/domain/0/backend/vbd/1/51712"
    await host.store.write(f"{backend}/hotplug-status", "error")
    await host.store.write(f"{backend}/hotplug-error", "no loop device left")
    with pytest.raises(XendError) as caught:
        await host.service.wait_for_devices("web")
    assert str(caught.value) == "Device 51712 (vbd) could not be connected. no loop device left"


# -- Jobs ----------------------------------------------------------------------------------------


async def test_a_create_can_be_cancelled_and_is_undone(host: SimHost) -> None:
    gate = Gate("create", "memory")
    host.hypervisor.faults = gate
    free = host.free
    job = host.service.submit("create", guest())
    await gate.reached.wait()
    host.service.jobs.cancel(job.id)
    with pytest.raises(OperationCancelled):
        await job.wait()
    assert job.status is JobStatus.CANCELLED
    assert host.free == free
    assert await host.names() == []
    assert not await host.journal.open_intents()


async def test_destroy_stops_a_create_that_hangs(host: SimHost) -> None:
    gate = Gate("create", "domain")
    host.hypervisor.faults = gate
    job = host.service.submit("create", guest())
    await gate.reached.wait()
    await host.service.destroy("web")  # Undone already when the destroy's turn comes.
    assert job.status is JobStatus.CANCELLED
    assert await host.names() == []


async def test_destroy_stops_a_reset_that_hangs(host: SimHost) -> None:
    """Its boot loader may wait for a person."""
    free = host.free
    await host.service.create(guest())
    gate = Gate("create", "domain")
    host.hypervisor.faults = gate
    job = host.service.submit("reset", "web")
    await gate.reached.wait()
    destroying = host.service.submit("destroy", "web")  # As REST asks for it.
    await destroying.wait()
    assert (job.status, destroying.status) == (JobStatus.CANCELLED, JobStatus.DONE)
    assert await host.names() == [] and host.free == free


async def test_a_destroy_that_has_begun_cannot_be_cancelled(host: SimHost) -> None:
    await host.service.create(guest())
    gate = Gate("destroy", "domain")
    host.hypervisor.faults = gate
    job = host.service.submit("destroy", "web")
    await gate.reached.wait()
    assert job.final
    job.cancel()
    gate.open.set()
    await job.wait()
    assert await host.names() == []


async def test_jobs_of_a_domain_keep_their_order(host: SimHost) -> None:
    await host.service.create(guest())
    jobs = [host.service.submit(verb, "web") for verb in ("pause", "unpause", "pause")]
    for job in jobs:
        await job.wait()
    assert (await host.view("web")).power_state is PowerState.PAUSED
    started = [job.started for job in jobs]
    assert started == sorted(started, key=lambda at: at or 0)


async def test_a_long_job_of_one_domain_does_not_hold_another(host: SimHost) -> None:
    await host.service.create(guest("one"))
    await host.service.create(guest("two"))
    gate = Gate("save", "write")
    host.hypervisor.faults = gate
    job = host.service.submit("save", "one", path=host.folder / "one.save")
    await gate.reached.wait()
    async with asyncio.timeout(1):
        await host.service.pause("two")
        await host.service.create(guest("three"))
        assert await host.names() == ["one", "two", "three"]
    gate.open.set()
    await job.wait()


async def test_jobs_are_listed_after_a_restart(host: SimHost) -> None:
    await host.service.create(guest())
    with pytest.raises(InvalidArgument):
        await host.service.rename("web", "a b")
    await host.restart()
    done = [(job.kind, job.status, job.name) for job in host.service.jobs.list()]
    assert done == [
        ("create", JobStatus.DONE, "web"),
        ("rename", JobStatus.FAILED, "web"),
    ]
    failed = host.service.jobs.list()[1].error
    assert failed is not None
    assert str(failed) == "Invalid VM Name"


async def test_a_bug_in_a_body_ends_its_job_with_a_typed_error(
    host: SimHost, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(operation: str, stage: str, domid: Domid | None) -> None:
        raise ZeroDivisionError("oops")

    await host.service.create(guest())
    host.hypervisor.faults = broken
    with pytest.raises(XendError, match="pause: ZeroDivisionError: oops"):
        await host.service.pause("web")
    assert "failed unexpectedly" in caplog.text


async def test_the_wait_for_a_job_may_end_before_the_job(host: SimHost) -> None:
    gate = Gate("create", "load")
    host.hypervisor.faults = gate
    job = host.service.submit("create", guest())
    with pytest.raises(TimeoutError):
        await job.wait(0.01)
    assert not job.done
    gate.open.set()
    assert (await job.wait()).name == "web"


# -- Managed domains -----------------------------------------------------------------------------


async def test_managed_domains_live_on(host: SimHost) -> None:
    config = guest("web")
    view = await host.service.new(config)
    assert (view.managed, view.domid, view.power_state) == (True, None, PowerState.HALTED)
    assert view.vcpus == 1
    assert await host.names() == ["web"]
    await host.restart()
    assert await host.names() == ["web"]
    started = await host.service.start_domain("web", paused=False)
    assert (started.managed, started.domid) == (True, 1)
    assert started.power_state is PowerState.RUNNING
    with pytest.raises(DomainStateError, match=r"^Domain is already running$"):
        await host.service.start_domain("web")
    with pytest.raises(DomainStateError, match=r"^Domain is not halted\.$"):
        await host.service.delete("web")
    await host.service.destroy("web")
    assert (await host.view("web")).power_state is PowerState.HALTED
    await host.service.delete("web")
    assert await host.names() == []
    assert not (host.folder / "domains" / str(config.uuid)).exists()


async def test_the_words_of_list_state(host: SimHost) -> None:
    await host.service.new(guest("halted"))
    await host.service.create(guest("paused"), paused=True)
    await host.service.create(guest("running"))
    found = {
        word: [view.name for view in await host.service.list(word)]
        for word in ("halted", "paused", "running", "shutdown", "all")
    }
    assert found == {
        "halted": ["halted"],
        "paused": ["paused"],
        "running": ["Domain-0", "running"],
        "shutdown": [],
        "all": ["Domain-0", "paused", "running", "halted"],
    }


async def test_a_managed_domains_changes_are_kept(host: SimHost) -> None:
    config = guest("web", maxmem=kib(128))
    await host.service.new(config)
    await host.service.set_memory("web", kib(100))
    await host.service.set_vcpus("web", 3)
    await host.service.attach_device("web", "vbd", disk())
    await host.service.start_domain("web")
    await host.service.rename("web", "www")
    await host.service.attach_device("www", "vbd", disk("/srv/b.img", "xvdb"))
    await host.service.destroy("www")
    await host.restart()
    view = await host.view("www")
    assert view.config is not None
    assert (view.config.memory, view.config.vcpus) == (kib(100), 3)
    assert [each.vdev for each in view.config.disks] == ["xvda", "xvdb"]


async def test_suspend_and_resume(host: SimHost) -> None:
    config = guest("web")
    await host.service.new(config)
    with pytest.raises(DomainStateError, match=r"^Domain 'web' is not started$"):
        await host.service.suspend("web")
    await host.service.start_domain("web", paused=False)
    await host.service.suspend("web")
    assert (await host.view("web")).power_state is PowerState.SUSPENDED
    await host.restart()
    assert (await host.view("web")).power_state is PowerState.SUSPENDED
    with pytest.raises(DomainStateError, match=r"^Domain is suspended$"):
        await host.service.start_domain("web")
    view = await host.service.resume("web")
    assert view.power_state is PowerState.RUNNING
    assert not host.repository.checkpoint_path(config.uuid).exists()
    with pytest.raises(DomainStateError, match=r"^Cannot resume domain that is not suspended\.$"):
        await host.service.resume("web")


async def test_an_unmanaged_domain_cannot_be_suspended(host: SimHost) -> None:
    await host.service.create(guest())
    with pytest.raises(DomainStateError, match="not managed by Xend lifecycle support"):
        await host.service.suspend("web")


# -- Save and restore ----------------------------------------------------------------------------


async def test_save_and_restore(host: SimHost) -> None:
    config = guest()
    await host.service.create(config)
    path = host.folder / "web.save"
    await host.service.save("web", path)
    assert await host.names() == []
    assert [entry.name for entry in host.folder.glob("*.partial")] == []
    view = await host.service.restore(path)
    assert (view.name, view.domid, view.power_state) == ("web", 2, PowerState.RUNNING)
    assert view.origin is Origin.XEND
    assert path.exists()
    with pytest.raises(ConflictError, match="already exists with ID '2'"):
        await host.service.restore(path)


async def test_a_checkpoint_lets_it_run_on(host: SimHost) -> None:
    await host.service.create(guest())
    await host.service.save("web", host.folder / "web.save", checkpoint=True)
    view = await host.view("web")
    assert (view.domid, view.power_state) == (1, PowerState.RUNNING)


async def test_a_save_that_fails_lets_it_run_on(host: SimHost) -> None:
    async def full(operation: str, stage: str, domid: Domid | None) -> None:
        if (operation, stage) == ("save", "write"):
            raise HypervisorError("No space left on device", operation="save", rc=-3)

    await host.service.create(guest())
    host.hypervisor.faults = full
    with pytest.raises(HypervisorError, match="No space left"):
        await host.service.save("web", host.folder / "web.save")
    assert (await host.view("web")).power_state is PowerState.RUNNING
    assert not [*host.folder.glob("web.save*")]
    assert not await host.journal.open_intents()


async def test_a_cancelled_save_lets_it_run_on(host: SimHost) -> None:
    await host.service.create(guest())
    gate = Gate("save", "write")
    host.hypervisor.faults = gate
    job = host.service.submit("save", "web", path=host.folder / "web.save")
    await gate.reached.wait()
    job.cancel()
    with pytest.raises(OperationCancelled):
        await job.wait()
    assert (await host.view("web")).power_state is PowerState.RUNNING
    assert not [*host.folder.glob("web.save*")]


async def test_where_nothing_can_be_written_nothing_is_begun(host: SimHost) -> None:
    await host.service.create(guest())
    with pytest.raises(XendError) as caught:
        await host.service.save("web", host.folder / "no" / "web.save")
    assert str(caught.value) == (
        f"can't write guest state file {host.folder}/no/web.save: No such file or directory"
    )
    assert (await host.view("web")).power_state is PowerState.RUNNING


async def test_a_file_that_is_no_saved_domain(host: SimHost) -> None:
    with pytest.raises(XendError, match=r"can't read guest state file .*: No such file"):
        await host.service.restore(host.folder / "nothing.save")
    (host.folder / "junk.save").write_text("junk")
    with pytest.raises(XendError, match="not a valid guest state file: found"):
        await host.service.restore(host.folder / "junk.save")


async def test_dump_core(host: SimHost) -> None:
    await host.service.create(guest())
    path = await host.service.dump_core("web", host.folder / "core")
    assert path == host.folder / "core"
    assert (await host.view("web")).power_state is PowerState.RUNNING
    path = await host.service.dump_core("web", crash=True)
    assert path.parent == host.folder / "dump" / "web"
    assert path.exists()
    assert await host.names() == []


async def test_dom0_may_not_be_shrunk_below_its_minimum(tmp_path: Path) -> None:
    settings = ServiceSettings(dom0_min_mem=kib(256), close_grace=0, list_max_age=-1)
    async with running(tmp_path, settings=settings) as host:
        with pytest.raises(InvalidArgument, match=r"^memory_dynamic_max too small$"):
            await host.service.set_memory(0, kib(128))
        await host.service.set_memory(0, kib(512))
        assert host.machine.get(DOM0).memory == kib(512)


async def test_an_id_that_was_reused_is_not_taken_for_the_one_before(host: SimHost) -> None:
    """A verb that waits for its turn means the domain that it was given, not its number."""
    first = await host.service.create(guest("first"))
    assert first.domid is not None
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def hold(operation: str, stage: str, domid: object) -> None:
        if (operation, stage) == ("destroy", "devices"):
            reached.set()
            await go_on.wait()

    host.hypervisor.faults = hold
    ending = host.service.submit("destroy", first.domid)
    await reached.wait()
    late = [host.service.submit(verb, first.domid) for verb in ("pause", "destroy")]
    host.hypervisor.faults = no_faults
    go_on.set()
    await ending.wait()
    host.machine._last = first.domid - 1  # Xen's numbers start again after 32,751.
    second = await host.hypervisor.create(guest("second"))
    assert second == first.domid
    await host.hypervisor.unpause(second)
    for job in late:
        with pytest.raises(DomainNotFound) as caught:
            await job.wait()
        assert caught.value.fields["domain"] == str(first.domid)
    assert host.machine.get(second).alive


async def test_every_verb_that_changes_a_domain_says_so(host: SimHost) -> None:
    await host.service.new(guest())
    await host.service.start_domain("web", paused=False)
    reader = host.service.events.subscribe(topics={"domain", "device"})
    await host.service.pause("web")
    await host.service.unpause("web")
    await host.service.set_scheduler("web", weight=512)
    await host.service.attach_device("web", "vbd", disk("/srv/b.img", "xvdb"))
    await host.service.detach_device("web", "vbd", "xvdb")
    await host.service.destroy("web")
    await host.service.delete("web")
    found: list[str] = []
    async with asyncio.timeout(5):
        while len(found) < 7:
            event = await anext(reader)
            found.append(f"{event.topic} {event.kind} {event.ids['name']}")
    assert sorted(found) == sorted(
        [*["domain changed web"] * 4, "device attached web", "device detached web",
         "domain destroyed web"]
    )  # fmt: skip
