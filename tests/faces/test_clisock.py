"""The short way of our own command line: frames, faults, order, manners."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.faces.conftest import Host
from xend.api.clisock import MAX_FRAME, CliSocket
from xend.api.peer import Peer
from xend.cli.failures import Fault
from xend.cli.frames import FrameConnection


class Frames:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, path: Path) -> Frames:
        return cls(*await asyncio.open_unix_connection(str(path)))

    def send(self, request: Any) -> None:
        data = request if isinstance(request, bytes) else json.dumps(request).encode()
        self.writer.write(len(data).to_bytes(4, "big") + data)

    async def answer(self) -> Any:
        async with asyncio.timeout(5):
            size = int.from_bytes(await self.reader.readexactly(4), "big")
            return json.loads(await self.reader.readexactly(size))

    async def closed(self) -> bool:
        async with asyncio.timeout(5):
            return await self.reader.read() == b""

    def close(self) -> None:
        self.writer.close()


LIST = {"method": "xend.domains_with_state", "params": [False, "all", 0]}


async def test_result_carries_the_number_of_its_request(host: Host) -> None:
    client = await Frames.open(host.cli)
    client.send({"id": 7, **LIST})
    assert await client.answer() == {"id": 7, "result": ["Domain-0"]}
    client.close()


async def test_many_requests_at_once_are_answered_in_order(host: Host) -> None:
    client = await Frames.open(host.cli)
    for number in range(50):
        client.send({"id": number, **LIST})
    assert [(await client.answer())["id"] for _ in range(50)] == list(range(50))
    client.close()


async def test_a_frame_in_pieces(host: Host) -> None:
    client = await Frames.open(host.cli)
    data = json.dumps({"id": 1, **LIST}).encode()
    for byte in len(data).to_bytes(4, "big") + data:
        client.writer.write(bytes([byte]))
        await asyncio.sleep(0)
    assert (await client.answer())["result"] == ["Domain-0"]
    client.close()


async def test_faults_have_code_and_text(host: Host) -> None:
    client = await Frames.open(host.cli)
    client.send({"id": 1, "method": "xend.domain", "params": ["nobody"]})
    assert await client.answer() == {"id": 1, "fault": [3, "nobody"]}
    client.send({"id": 2, "method": "xend.domain", "params": []})
    assert (await client.answer())["fault"][0] == 1
    client.send({"id": 3, "method": "nonsense", "params": []})
    answer = await client.answer()
    assert answer["result"]["ErrorDescription"] == ["MESSAGE_METHOD_UNKNOWN", "nonsense"]
    client.close()


async def test_results_are_plain(host: Host) -> None:
    host.log.write_text('it\'s "ü"\n\x01')
    client = await Frames.open(host.cli)
    client.send({"id": 1, "method": "xend.node.log", "params": []})
    assert (await client.answer())["result"] == 'it\'s "ü"\n\x01'
    client.close()


@pytest.mark.parametrize(
    "junk",
    [b"", b"no json", b"[]", b"1", b'{"id":1}', b'{"id":1,"method":2,"params":[]}', b"\xff\xfe",
     b'{"id":1,"method":"xend.domain","params":{}}', b"[" * 100000],
)  # fmt: skip
async def test_junk_gets_a_fault_and_the_connection_goes_on(host: Host, junk: bytes) -> None:
    client = await Frames.open(host.cli)
    client.send(junk)
    assert (await client.answer())["fault"][1]
    client.send({"id": 2, **LIST})
    assert (await client.answer())["result"] == ["Domain-0"]
    client.close()


async def test_a_frame_that_is_too_long_ends_the_connection(host: Host) -> None:
    client = await Frames.open(host.cli)
    client.writer.write((MAX_FRAME + 1).to_bytes(4, "big"))
    assert "more than" in (await client.answer())["fault"][1]
    assert await client.closed()
    client.close()


async def test_half_close_is_answered_first(host: Host) -> None:
    client = await Frames.open(host.cli)
    client.send({"id": 1, **LIST})
    client.writer.write_eof()
    assert (await client.answer())["id"] == 1
    assert await client.closed()
    client.close()


async def test_only_root_and_the_daemon_itself(host: Host) -> None:
    assert stat.S_IMODE(host.cli.stat().st_mode) == 0o600
    server = CliSocket(host.service, None, None)  # type: ignore[arg-type]
    assert server.admits(Peer(1, 0, 0))
    assert server.admits(Peer(1, os.geteuid(), 0))
    assert not server.admits(Peer(1, 12345, 0))


async def test_a_stranger_is_told_and_shown_out(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CliSocket, "admits", lambda self, peer: False)
    client = await Frames.open(host.cli)
    assert "Only root" in (await client.answer())["fault"][1]
    assert await client.closed()
    client.close()


async def test_client_that_leaves_does_not_stop_its_job(host: Host) -> None:
    entered, release = asyncio.Event(), asyncio.Event()

    async def hang(operation: str, _stage: str, _domid: Any) -> None:
        if operation == "create":
            entered.set()
            await release.wait()

    host.hypervisor.faults = hang
    client = await Frames.open(host.cli)
    config = ["vm", ["name", "caliban"], ["memory", 32], ["vcpus", 1],
              ["image", ["linux", ["kernel", "/k"]]]]  # fmt: skip
    client.send({"id": 1, "method": "xend.domain.create", "params": [config]})
    await entered.wait()
    client.close()
    await asyncio.sleep(0.05)
    release.set()
    [job] = host.service.jobs.list()
    assert (await asyncio.wait_for(job.wait(), 5)).name == "caliban"


async def test_the_command_lines_own_client(host: Host) -> None:
    client = FrameConnection(str(host.cli))
    names = await asyncio.to_thread(client.call, "xend.domains_with_state", (False, "all", 0))
    assert names == ["Domain-0"]
    with pytest.raises(Fault) as caught:
        await asyncio.to_thread(client.call, "xend.domain", ("nobody",))
    assert caught.value.code == 3
    client.close()
