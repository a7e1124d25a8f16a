"""What an orderly stop does to domains, and listeners with encryption."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.faces.conftest import Host
from xend.api.faces import Faces, FaceSpec, Tls
from xend.api.facts import LinuxFacts
from xend.api.sockets import Listeners, TcpAddress, UnixAddress
from xend.daemon.stopping import apply_stop_policies
from xend.model.domain import DomainConfig, HostAction
from xend.model.status import PowerState


async def managed(host: Host, name: str, action: HostAction) -> None:
    config = DomainConfig(
        name=name, uuid=uuid4(), memory=32768, kernel="/boot/vmlinuz", on_xend_stop=action
    )
    await host.service.new(config)
    await host.service.start_domain(name, paused=False)


async def test_only_domains_that_ask_for_it_are_touched(host: Host) -> None:
    await managed(host, "ariel", HostAction.IGNORE)
    await managed(host, "caliban", HostAction.SHUTDOWN)
    await managed(host, "sycorax", HostAction.SUSPEND)
    await apply_stop_policies(host.service)
    states: dict[str, PowerState] = {}
    for _ in range(100):
        states = {view.name: view.power_state for view in await host.service.list()}
        if states["caliban"] is PowerState.HALTED:
            break
        await asyncio.sleep(0.02)
    assert states["ariel"] is PowerState.RUNNING
    assert states["caliban"] is PowerState.HALTED
    assert states["sycorax"] is PowerState.SUSPENDED


async def test_one_that_cannot_does_not_stop_the_others(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    await managed(host, "ariel", HostAction.SUSPEND)
    await managed(host, "caliban", HostAction.SUSPEND)
    failed: list[Any] = []

    async def fail_once(operation: str, _stage: str, _domid: Any) -> None:
        if operation == "save" and not failed:
            from xend.errors import HypervisorError

            failed.append(1)
            raise HypervisorError("the disk is full")

    host.hypervisor.faults = fail_once
    await apply_stop_policies(host.service)
    states = sorted(view.power_state for view in await host.service.list() if view.managed)
    assert states == [PowerState.RUNNING, PowerState.SUSPENDED]
    assert "the disk is full" in caplog.text


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    folder = tmp_path_factory.mktemp("tls")
    program = shutil.which("openssl")
    assert program, "openssl is missing: install Debian's package openssl"
    key, certificate = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        [program, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-subj", "/CN=localhost", "-days", "2", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    return Tls(key, certificate)


async def test_encrypted_listener(host: Host, tls: Tls) -> None:
    listeners = Listeners()
    probe = await listeners.open(TcpAddress("127.0.0.1", 0))
    port = probe[0].getsockname()[1]
    for sock in probe:
        sock.close()
    listeners.close()
    faces = Faces(Listeners(), host.service, LinuxFacts(None), host.faces.rest)
    assert await faces.apply([FaceSpec("xmlrpc", TcpAddress("127.0.0.1", port), tls)]) == []
    context = ssl.create_default_context(cafile=str(tls.certificate))
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname="localhost"
    )
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 501")
    writer.close()
    await faces.close()


async def test_a_bad_key_stops_only_its_own_listener(host: Host, tmp_path: Path) -> None:
    faces = Faces(Listeners(), host.service, LinuxFacts(None), host.faces.rest)
    good = FaceSpec("cli", UnixAddress(tmp_path / "good.sock"))
    bad = FaceSpec("xmlrpc", TcpAddress("127.0.0.1", 0), Tls(tmp_path / "no", tmp_path / "no"))
    [error] = await faces.apply([bad, good])
    assert "cannot use the key" in str(error)
    assert (tmp_path / "good.sock").exists()
    await faces.close()


def inode_of(path: Path) -> int | None:
    return path.stat().st_ino if path.exists() else None


async def test_applying_the_same_again_changes_nothing(host: Host, tmp_path: Path) -> None:
    faces = Faces(Listeners(), host.service, LinuxFacts(None), host.faces.rest)
    path = tmp_path / "rest.sock"
    spec = FaceSpec("rest", UnixAddress(path))
    await faces.apply([spec])
    inode = inode_of(path)
    await faces.apply([spec])
    assert inode_of(path) == inode
    await faces.apply([])
    assert inode_of(path) is None
    await faces.close()
