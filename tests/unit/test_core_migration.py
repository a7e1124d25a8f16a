"""Domains move between two simulated hosts (and from one to itself) over real sockets; whatever
fails, and whoever is killed, one guest is left, and it never runs twice."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.killing import Killing, KillSwitch
from tests.simhost import SimHost, guest
from xend.api.relocation import RelocationServer, allowed
from xend.api.sockets import TcpAddress, bind_tcp
from xend.core.domains import ServiceSettings
from xend.core.jobs import JobStatus
from xend.errors import DomainStateError, MigrationFailed, OperationFailed, XendError
from xend.model.units import DOM0, Domid, kib


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Pair:
    """Two hosts, the second with a relocation server; `itself`: there is only the first."""

    def __init__(self, folder: Path, *, itself: bool) -> None:
        self.one = SimHost(_folder(folder / "one"))
        self.two = self.one if itself else SimHost(_folder(folder / "two"))
        self.port = free_port()
        self.server: RelocationServer | None = None

    @property
    def hosts(self) -> list[SimHost]:
        return [self.one] if self.one is self.two else [self.one, self.two]

    async def serve(self, hosts_allow: str = "") -> None:
        self.server = RelocationServer(self.two.service, allowed(hosts_allow), None)
        await self.server.serve(await bind_tcp(TcpAddress("127.0.0.1", self.port)))

    async def stop_serving(self) -> None:
        if self.server is not None:
            await self.server.close()
            self.server = None

    async def migrate(self, **more: Any) -> None:
        await self.one.service.migrate("web", "127.0.0.1", port=self.port, **more)

    def running(self) -> list[tuple[SimHost, Domid]]:
        """Guests that execute."""
        return [
            (host, domid)
            for host in self.hosts
            for domid, domain in host.machine.domains.items()
            if domid != DOM0 and domain.alive
        ]

    def all(self) -> list[tuple[SimHost, Domid]]:
        return [
            (host, domid) for host in self.hosts for domid in host.machine.domains if domid != DOM0
        ]

    async def quiet(self) -> None:
        for host in self.hosts:
            await host.quiet()

    async def open_intents(self) -> list[str]:
        """But for outcomes: a receiver that was killed does not know whether its sender knows."""
        found = [await host.journal.open_intents() for host in self.hosts]
        return [
            intent.kind
            for each in found
            for intent in each
            if intent.data.get("phase") != "running"
        ]


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


@asynccontextmanager
async def pair(folder: Path, *, itself: bool = False) -> AsyncIterator[Pair]:
    both = Pair(folder, itself=itself)
    for host in both.hosts:
        await host.start()
    await both.serve()
    try:
        yield both
    finally:
        await both.stop_serving()
        for host in both.hosts:
            await host.close()


@pytest.fixture(params=[False, True], ids=["another", "itself"])
async def both(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Pair]:
    async with pair(tmp_path, itself=request.param) as made:
        yield made


async def settled(both: Pair) -> None:
    """No job is under way, nothing is open, and nothing is left over."""
    await both.quiet()

    async def closed() -> bool:
        return not await both.open_intents()

    await both.two.until(closed, "the journal to be empty")


async def test_a_guest_moves(both: Pair) -> None:
    made = await both.one.service.create(guest("web"))
    await both.one.machine.clock.sleep(100)
    await both.migrate(live=True)
    await settled(both)
    ((host, domid),) = both.running()
    assert host is both.two and (host is not both.one or domid != made.domid)
    assert both.all() == [(host, domid)]
    view = await host.view("web")
    assert (view.uuid, view.name) == (made.uuid, "web")
    assert host.machine.get(domid).runs_for(host.machine.clock.monotonic()) >= 100
    assert [owned.domid for owned in await host.journal.owned()] == [domid]
    if host is not both.one:
        assert await both.one.names() == [] and await both.one.journal.owned() == []
    await host.service.shutdown("web")  # Its policies are applied where it is now.

    async def gone() -> bool:
        return not both.all()

    await host.until(gone)


async def test_there_and_back(tmp_path: Path) -> None:
    async with pair(tmp_path) as both:
        await both.one.service.create(guest("web"))
        await both.migrate()
        await settled(both)
        await both.stop_serving()
        both.one, both.two = both.two, both.one
        await both.serve()
        await both.migrate()
        await settled(both)
        assert [host for host, _ in both.all()] == [both.two]


@pytest.mark.parametrize("change_home", [False, True])
async def test_the_configuration_of_a_managed_domain(tmp_path: Path, change_home: bool) -> None:
    async with pair(tmp_path) as both:
        await both.one.service.new(guest("web"))
        await both.one.service.start_domain("web", paused=False)
        await both.migrate(change_home=change_home)
        await settled(both)
        assert (await both.two.view("web")).managed is change_home
        assert await both.one.names() == ([] if change_home else ["web"])
        await both.two.restart()
        assert (await both.two.view("web")).managed is change_home


async def test_what_cannot_go(both: Pair) -> None:
    service = both.one.service
    await service.new(guest("web"))
    for ref, text in (("web", "Domain is not running"), ("0", "Cannot migrate privileged dom")):
        with pytest.raises(DomainStateError, match=text):
            await service.migrate(ref, "127.0.0.1", port=both.port)
    await service.create(guest("app"))
    with pytest.raises(DomainStateError, match="Domain is not a managed domain"):
        await service.migrate("app", "127.0.0.1", port=both.port, change_home=True)


async def test_where_nobody_answers(both: Pair) -> None:
    await both.one.service.create(guest("web"))
    await both.stop_serving()
    with pytest.raises(MigrationFailed, match=r"^can't connect: Connect"):
        await both.migrate()
    assert len(both.running()) == 1
    await both.serve("^nobody$")
    with pytest.raises(MigrationFailed, match="does not match xend-relocation-hosts-allow there"):
        await both.migrate()
    assert len(both.running()) == 1
    await both.stop_serving()
    await both.serve("^nobody$ ^localhost 127.0.0.")
    await both.migrate()
    await settled(both)
    assert len(both.all()) == 1


async def test_no_room_and_no_name(tmp_path: Path) -> None:
    async with pair(tmp_path) as both:
        made = await both.one.service.create(guest("web", mib=4096))
        await both.two.service.create(guest("big", mib=6000))
        with pytest.raises(MigrationFailed, match=r"I need \d+ KiB.*\(from 127.0.0.1\)"):
            await both.migrate()
        await both.two.service.destroy("big")
        await both.two.service.create(guest("web"))
        with pytest.raises(MigrationFailed, match=r"already exists with ID '2' \(from 127"):
            await both.migrate()
        await settled(both)
        assert (await both.one.view("web")).domid == made.domid
        assert (both.one, made.domid) in both.running()


STAGES = [
    *[("send", "live"), ("send", "asked"), ("send", "write")],
    *[("receive", "read"), ("receive", "domain"), ("receive", "memory"), ("receive", "devices")],
    *[("unpause", "change")],
]


@dataclass
class Fault:
    at: tuple[str, str]
    error: XendError
    done: bool = False

    async def __call__(self, operation: str, stage: str, domid: Domid | None) -> None:
        if (operation, stage) == self.at and not self.done:
            self.done = True
            raise self.error


@pytest.mark.parametrize("stage", STAGES, ids=map("-".join, STAGES))
async def test_a_failure_leaves_the_guest_where_it_was(both: Pair, stage: tuple[str, str]) -> None:
    made = await both.one.service.create(guest("web"))
    fault = Fault(stage, OperationFailed("no such luck"))
    for host in both.hosts:
        host.hypervisor.faults = fault
    with pytest.raises(OperationFailed, match="no such luck"):
        await both.migrate(live=True)
    assert fault.done
    await settled(both)
    assert both.all() == both.running() == [(both.one, made.domid)]
    assert (await both.one.view(made.domid or 0)).name == "web"
    assert [owned.domid for owned in await both.one.journal.owned()] == [made.domid]
    await both.migrate(live=True)
    await settled(both)
    assert [host for host, _ in both.running()] == [both.two]


@pytest.mark.parametrize("stage", STAGES[:-1], ids=map("-".join, STAGES[:-1]))
async def test_a_cancel_leaves_the_guest_where_it_was(both: Pair, stage: tuple[str, str]) -> None:
    made = await both.one.service.create(guest("web"))

    async def cancel(operation: str, at: str, domid: Domid | None) -> None:
        if (operation, at) == stage:
            job.cancel()
            # The receiver only sees that nobody sends any more.
            await (asyncio.Event().wait() if operation == "send" else asyncio.sleep(0.05))

    for host in both.hosts:
        host.hypervisor.faults = cancel
    job = both.one.service.submit("migrate", "web", host="127.0.0.1", port=both.port, live=True)
    with suppress(XendError):
        await job.wait()
    assert job.status is JobStatus.CANCELLED
    await settled(both)
    assert both.all() == both.running() == [(both.one, made.domid)]


async def _slow_to_destroy(operation: str, _stage: str, _domid: Domid | None) -> None:
    if operation == "destroy":
        await asyncio.sleep(0.05)


async def killed_at(both: Pair, number: int, *, sender: bool) -> bool:
    """Kills one of them at its `number`th write to the journal; whether it came to that."""
    switch = KillSwitch(0)
    host = both.one if sender else both.two
    await both.stop_serving()
    await host.stop()
    await host.start(journal=lambda real: Killing(real, switch, "journal"))
    await both.serve()
    switch.arm(number)
    migrating = asyncio.create_task(both.migrate(live=True))
    dying = asyncio.create_task(switch.hit.wait())
    await asyncio.wait([migrating, dying], return_when=asyncio.FIRST_COMPLETED)
    hit = switch.hit.is_set()
    if not hit:
        switch.arm(0)
    assert len(both.running()) <= 1
    if hit:
        await both.stop_serving()
        await host.stop()
    dying.cancel()
    if hit:
        await host.start(faults=_slow_to_destroy)
        await both.serve()
    await asyncio.gather(migrating, dying, return_exceptions=True)
    return hit


@pytest.mark.parametrize("sender", [True, False], ids=["sender", "receiver"])
async def test_whoever_is_killed_one_guest_runs(tmp_path: Path, both: Pair, sender: bool) -> None:
    for number in range(1, 60):
        await both.one.service.create(guest("web"))
        async with asyncio.timeout(15):
            hit = await killed_at(both, number, sender=sender)
        await both.quiet()

        async def one() -> bool:
            return len(both.running()) == len(both.all()) == 1

        await both.one.until(one, f"one guest after kill {number}")
        await settled(both)
        ((host, domid),) = both.all()
        assert (await host.view(domid)).name == "web"
        assert [owned.domid for owned in await host.journal.owned()] == [domid]
        await host.service.destroy("web")
        if not hit:
            assert number > 3
            return
    pytest.fail("it never ended by itself")


async def test_old_xends_and_strangers(tmp_path: Path) -> None:
    async with pair(tmp_path) as both:

        async def say(*words: bytes) -> list[bytes]:
            reader, writer = await asyncio.open_connection("127.0.0.1", both.port)
            answers = []
            for word in words:
                writer.write(word)
                answers.append(await asyncio.wait_for(reader.readline(), 10))
            writer.close()
            await writer.wait_closed()
            return answers

        ready, refused = await say(b"receive\n", b"LinuxGuestRecord....")
        assert ready == b"(ready receive)\n"
        assert refused.startswith(b"(err (type xen.xend.XendError.XendError) (value 'this xend")
        assert await say(b"help\n", b"nonsense\n") == [
            b"(ok (help quit receive.libxl outcome.libxl))\n",
            b"(err (type xen.xend.XendError.XendError) (value 'Invalid operation: nonsense'))\n",
        ]
        _, answer = await say(b"receive.libxl\n", b'{"token": 5}\n')
        assert b"what is offered is no domain" in answer
        _, answer = await say(b"outcome.libxl\n", b'{"token": "unknown"}\n')
        assert answer == b'{"outcome": "never"}\n'


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"(err (type x) (value 'Invalid operation: receive.libxl'))\n", "an old xend answers"),
        (b"(ready receive.libxl 7)\n", "it speaks version 7"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no xend answers there"),
        (b"", "it closed the connection"),
    ],
)
async def test_who_else_may_answer(tmp_path: Path, answer: bytes, text: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer)
        writer.close()
        await writer.wait_closed()

    host = SimHost(tmp_path, settings=ServiceSettings(list_max_age=-1.0))
    await host.start()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        await host.service.create(guest("web", mib=int(kib(64)) // 1024))
        with pytest.raises(MigrationFailed, match=text):
            await host.service.migrate("web", "127.0.0.1", port=port)
        assert (await host.view("web")).domid == 1
    finally:
        server.close()
        await server.wait_closed()
        await host.close()
