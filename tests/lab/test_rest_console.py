"""REST's console and metrics on real Xen: a login over WebSocket, beside `xm console`."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, unix_connect

from tests.lab.conftest import run
from tests.lab.guests import IMAGES, LINUX_INITRD, LINUX_KERNEL
from xend.client import ApiError, Client, calls

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("xend_running", "clean_host")]

NAME = "restconsole"
CONFIG = {
    "name": NAME,
    "memory": 128 * 1024,
    "vcpus": 1,
    "kernel": str(LINUX_KERNEL),
    "ramdisk": str(LINUX_INITRD),
    "cmdline": "console=hvc0",
}
PROSPERO = """
name = "{name}"
memory = 256
bootloader = "/usr/bin/pygrub"
disk = [ "tap:aio:{image},xvda,w" ]
"""
"""A guest with a boot loader, a disk and a login; the lab's prospero, on a disk of its own."""
BOOT = 200.0
"""Seconds, under emulation."""


@pytest.fixture
def xend() -> Iterator[Client]:
    with Client() as client:
        yield client
        if client.response(calls.domain(NAME)).status_code == 200:
            client(calls.act(NAME, "destroy", wait=60))


@pytest.fixture
def prospero() -> Iterator[str]:
    image = IMAGES / f"{NAME}.img"
    run("cp", "--sparse=always", str(IMAGES / "prospero.img"), str(image))
    yield PROSPERO.format(name=NAME, image=image)
    image.unlink()


def until(ws: ClientConnection, *texts: bytes, seconds: float = 30.0) -> bytes:
    """All that comes until one of `texts` did."""
    seen, deadline = b"", time.monotonic() + seconds
    while not any(text in seen for text in texts):
        message = ws.recv(max(deadline - time.monotonic(), 0.1))
        seen += message if isinstance(message, bytes) else b""
    return seen


def said(ws: ClientConnection, kind: str) -> dict[str, Any]:
    while True:
        message = ws.recv(30)
        if isinstance(message, str) and json.loads(message)["type"] == kind:
            return dict(json.loads(message))


def test_a_login_over_websocket(prospero: str, xend: Client) -> None:
    operation = xend(calls.create(prospero, media_type="text/x-python"))
    xend.finish(operation, timeout=BOOT)
    domid = xend(calls.domain(NAME))["domid"]
    assert domid is not None
    with xend.console(NAME) as ws:
        assert said(ws, "opened")["domid"] == domid
        until(ws, b"login: ", seconds=BOOT)
        ws.send(b"root\r")
        until(ws, b"Password: ")
        ws.send(b"prospero\r")
        until(ws, b"# ")
        with xend.console(NAME, access="read") as reader:
            ws.send(b"echo $((6*7))ok; uname -s\r")
            assert b"42ok" in until(ws, b"42ok")
            assert b"42ok" in until(reader, b"42ok")
        lock = Path(f"/var/lock/xenconsole.{domid}")
        assert lock.exists()
        refused = run("xl", "console", str(domid), timeout=20)
        assert refused.returncode != 0 and "lock" in refused.stderr
    gone = time.monotonic() + 10
    while lock.exists():
        assert time.monotonic() < gone, "the console was not given back"
        time.sleep(0.05)
    with xend.console(NAME, access="read") as later:  # the ring outlives its readers
        assert b"42ok" in until(later, b"42ok")
    _metrics(xend, domid)


def _metrics(xend: Client, domid: int) -> None:
    text = xend(calls.metrics())
    values = {
        (sample.name, sample.labels.get("domain")): sample.value
        for family in text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
        for sample in family.samples
    }
    assert values["xend_domain_cpu_seconds_total", NAME] > 0.5
    assert values["xend_domain_memory_bytes", NAME] >= 256 * 1024 * 1024
    assert values["xend_domain_memory_bytes", "Domain-0"] > 0
    listed = run("xl", "list").stdout
    assert f" {domid} " in listed


def test_xm_console_keeps_others_out(xend: Client) -> None:
    """Who came first has it; the other is told who."""
    domid = xend(calls.create(CONFIG, wait=120))["domid"]
    with subprocess.Popen(
        ["xl", "console", str(domid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as first:
        deadline = time.monotonic() + 20
        while not Path(f"/var/lock/xenconsole.{domid}").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        ticket = xend(calls.console_ticket(NAME))
        with pytest.raises(InvalidStatus) as refused:
            unix_connect("/var/run/xend/rest.sock", f"ws://xend{ticket['url']}")
        problem = json.loads(refused.value.response.body)
        assert (problem["status"], problem["code"]) == (409, "conflict")
        assert "xl console" in problem["detail"]
        first.kill()
    with pytest.raises(ApiError):
        xend(calls.console_ticket("nobody"))
