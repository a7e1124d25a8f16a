"""The whole life of a domain by REST alone, with its guest as a witness; and a kill in a create."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pexpect
import pytest

from tests.lab.conftest import domains
from tests.lab.guests import IMAGES, LINUX_INITRD, LINUX_KERNEL

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("xend_running")]

SOCKET = "/var/run/xend/rest.sock"
SAVED = Path("/var/lib/xen/save/rest-life.save")
PATIENCE = 90.0
WAIT = {"Prefer": "wait=90"}
MIB = 1024


def client() -> httpx.Client:
    transport = httpx.HTTPTransport(uds=SOCKET, verify=False)
    return httpx.Client(transport=transport, base_url="http://xend", timeout=PATIENCE + 10)


def linux(name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "memory": 128 * MIB,
        "kernel": str(LINUX_KERNEL),
        "ramdisk": str(LINUX_INITRD),
        "cmdline": "console=hvc0 quiet rodata=off",
        **more,
    }


class Events:
    """A reader of the stream, in a thread; `expect` goes forward through what has come."""

    def __init__(self, since: int | None = None) -> None:
        self.seen: list[dict[str, Any]] = []
        self._at = 0
        self._began = time.monotonic()
        self._more = threading.Condition()
        self._client = client()
        query = {} if since is None else {"since": since}
        request = self._client.build_request("GET", "/v1/events", params=query, timeout=None)
        self._response = self._client.send(request, stream=True)
        assert self._response.status_code == 200
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            for line in self._response.iter_lines():
                if line.startswith("data: "):
                    with self._more:
                        self.seen.append(json.loads(line.removeprefix("data: ")))
                        self._more.notify_all()
        except (httpx.HTTPError, httpx.StreamError):
            return  # The daemon went down, or the test has ended.

    def expect(self, topic: str, kind: str, **ids: str) -> dict[str, Any]:
        """The next such event after the one that was last expected."""
        found = self._next(topic, kind, ids)
        print(f"{time.monotonic() - self._began:6.1f} s: {topic} {kind} {found['ids']}", flush=True)
        return found

    def _next(self, topic: str, kind: str, ids: dict[str, str]) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE
        with self._more:
            while True:
                while self._at < len(self.seen):
                    event = self.seen[self._at]
                    self._at += 1
                    found = {key: event["ids"].get(key) for key in ids}
                    if (event["topic"], event["kind"], found) == (topic, kind, ids):
                        return event
                left = deadline - time.monotonic()
                assert left > 0, f"no {topic} {kind} {ids} in {self.seen}"
                self._more.wait(left)

    def close(self) -> None:
        self._response.close()
        self._client.close()
        self._thread.join(10)


class Guest:
    """The root shell on the guest's console."""

    def __init__(self, name: str) -> None:
        self.child = pexpect.spawn("xm", ["console", name], encoding="utf-8", timeout=PATIENCE)
        self.child.delaybeforesend = 0.5

    def wait_for_shell(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            self.child.sendline("echo rea''dy")
            try:
                self.child.expect("ready\r", timeout=5)
            except pexpect.TIMEOUT:
                assert time.monotonic() < deadline, self.child.before
            else:
                return

    def ask(self, line: str) -> str:
        self.child.sendline(f"echo beg''in; {line}; echo e''nd")
        self.child.expect("begin\r\n(.*?)end\r", timeout=30)
        assert self.child.match is not None
        return str(self.child.match.group(1))

    def until(self, line: str, true: Callable[[str], bool]) -> str:
        deadline = time.monotonic() + PATIENCE
        while not true(said := self.ask(line)):
            assert time.monotonic() < deadline, f"{line}: {said}"
            time.sleep(0.5)
        return said

    def close(self) -> None:
        self.child.close(force=True)


@pytest.fixture
def rest(clean_host: None) -> Iterator[httpx.Client]:
    SAVED.parent.mkdir(parents=True, exist_ok=True)
    SAVED.unlink(missing_ok=True)
    with client() as found:
        yield found
        for name in ("rest-life", "rest-kill"):
            found.delete(f"/v1/domains/{name}?force=true", headers=WAIT)
    SAVED.unlink(missing_ok=True)


@pytest.fixture
def events(rest: httpx.Client) -> Iterator[Events]:
    found = Events()
    yield found
    found.close()


def ok(response: httpx.Response, status: int = 200) -> Any:
    assert response.status_code == status, response.text
    return response.json() if response.content else None


def memory_of(said: str) -> int:
    found = re.search(r"MemTotal:\s+(\d+) kB", said)
    assert found is not None, said
    return int(found.group(1))


def shaping(domid: str) -> str:
    """What netback says of the first interface's first queue, the limit of its rate included."""
    folder = Path("/sys/kernel/debug")
    if not (folder / "xen-netback").is_dir():
        subprocess.run(["mount", "-t", "debugfs", "none", str(folder)], check=True)
    return (folder / f"xen-netback/vif{domid}.0/io_ring_q0").read_text()


def test_the_life_of_a_domain(rest: httpx.Client, events: Events) -> None:
    here = "/v1/domains/rest-life"
    body = linux("rest-life", vcpus=2, vcpus_online=1)
    domain = ok(rest.post("/v1/domains?define=true", json=body, headers=WAIT), 201)
    assert domain["power_state"] == "halted"
    events.expect("operation", "done", verb="new", uuid=domain["uuid"])

    ok(rest.post(f"{here}/actions/start", headers=WAIT))
    first = events.expect("domain", "created", name="rest-life")["ids"]["domid"]
    events.expect("operation", "done", verb="start")
    assert domains() == {"rest-life": int(first)}
    guest = Guest("rest-life")
    guest.wait_for_shell()

    disk = {"scheme": "file", "path": str(IMAGES / "data.img"), "vdev": "xvdb", "access": "r"}
    ok(rest.post(f"{here}/disks", json=disk, headers=WAIT), 201)
    events.expect("operation", "done", verb="attach")
    guest.until("cat /proc/partitions", lambda said: "xvdb" in said)
    nic = {"bridge": "xenbr0", "mac": "00:16:3e:00:77:01"}
    ok(rest.post(f"{here}/nics", json=nic, headers=WAIT), 201)
    events.expect("operation", "done", verb="attach")
    guest.until("cat /sys/class/net/eth0/address", lambda said: "00:16:3e:00:77:01" in said)
    [shown] = ok(rest.get(f"{here}/nics"))["items"]
    assert shown["attached"]["backend"]["mac"] == "00:16:3e:00:77:01"

    assert "credit: 50000, usec: 50000" not in shaping(first)
    ok(rest.patch(f"{here}/nics/0", json={"rate": "8Mb/s@50ms"}, headers=WAIT))
    events.expect("operation", "done", verb="change-device")
    assert "credit: 50000, usec: 50000" in shaping(first)
    assert guest.ask("cat /sys/block/xvdb/ro").strip() == "1"
    assert rest.patch(f"{here}/disks/xvdb", json={"access": "w"}, headers=WAIT).status_code == 409
    change = rest.patch(f"{here}/disks/xvdb?replug=true", json={"access": "w"}, headers=WAIT)
    ok(change)
    guest.until("cat /sys/block/xvdb/ro", lambda said: said.strip() == "0")

    before = memory_of(guest.ask("grep MemTotal /proc/meminfo"))
    ok(rest.patch(f"{here}/memory", json={"target": 96 * MIB}, headers=WAIT))
    events.expect("operation", "done", verb="set-memory")
    said = guest.until("grep MemTotal /proc/meminfo", lambda x: memory_of(x) < before - 16 * MIB)
    assert memory_of(said) > 0
    assert guest.ask("grep -c ^processor /proc/cpuinfo").strip() == "1"
    ok(rest.patch(f"{here}/vcpus", json={"online": 2}, headers=WAIT))
    events.expect("operation", "done", verb="set-vcpus")
    guest.until("grep -c ^processor /proc/cpuinfo", lambda x: x.strip() == "2")

    response = rest.delete(f"{here}/disks/xvdb", headers=WAIT)
    assert response.status_code == 204, response.text
    events.expect("operation", "done", verb="detach")
    guest.until("cat /proc/partitions", lambda said: "xvdb" not in said)
    guest.ask("touch /tmp/remembered")
    guest.close()

    ok(rest.post(f"{here}/actions/save", json={"path": str(SAVED)}, headers=WAIT))
    events.expect("operation", "done", verb="save")
    assert domains() == {} and SAVED.stat().st_size > 32 * MIB * 1024
    ok(rest.post("/v1/restore", json={"path": str(SAVED)}, headers=WAIT), 201)
    second = events.expect("domain", "created", name="rest-life")["ids"]["domid"]
    assert second != first
    events.expect("operation", "done", verb="restore")
    guest = Guest("rest-life")
    guest.wait_for_shell()
    assert "/tmp/remembered" in guest.ask("ls /tmp/remembered")
    guest.close()

    ok(rest.post(f"{here}/actions/reboot", headers=WAIT))
    events.expect("domain", "shutdown", domid=second, reason="reboot")
    third = events.expect("domain", "created", name="rest-life")["ids"]["domid"]
    events.expect("domain", "restarted", name="rest-life")
    assert domains() == {"rest-life": int(third)}
    guest = Guest("rest-life")
    guest.wait_for_shell()
    assert "No such file" in guest.ask("ls /tmp/remembered")
    guest.close()

    ok(rest.post(f"{here}/actions/shutdown", headers=WAIT))
    events.expect("domain", "shutdown", domid=third, reason="poweroff")
    events.expect("domain", "destroyed", domid=third)
    assert ok(rest.get(here))["power_state"] == "halted"
    assert rest.delete(here, headers=WAIT).status_code == 204
    events.expect("operation", "done", verb="delete")
    assert rest.get(here).status_code == 404
    numbers = [event["id"] for event in events.seen]
    assert numbers == [*range(numbers[0], numbers[0] + len(numbers))]


def test_a_kill_in_a_create(rest: httpx.Client, events: Events) -> None:
    key = {"Idempotency-Key": f"lab-{time.time()}"}
    body = linux("rest-kill")
    response = rest.post("/v1/domains", json=body, headers=key)
    place = response.headers["location"]
    events.expect("operation", "running", verb="create")
    time.sleep(0.7)  # into the build
    os.kill(int(Path("/var/run/xend.pid").read_text()), signal.SIGKILL)
    subprocess.run(["/etc/init.d/xend", "start"], check=True, timeout=120, capture_output=True)
    with client() as fresh:
        operation = ok(fresh.get(place))
        assert operation["status"] in ("interrupted", "done"), operation
        built = fresh.get(operation["links"]["domain"]).status_code
        assert built in (200, 404) and (built == 200) == ("rest-kill" in domains())
        again = fresh.post("/v1/domains", json=body, headers={**key, **WAIT})
        assert again.status_code in (201, 202), again.text
        if again.status_code == 202:
            assert built == 200 and again.headers["location"] == place
        else:
            assert again.json()["uuid"] == operation["target"]["uuid"]
        assert list(domains()) == ["rest-kill"]
    last = events.seen[-1]["id"]
    resumed = Events(since=last)
    try:
        # Of an operation that was cut off and settled there may be nothing more to come.
        with client() as fresh:
            ok(fresh.post("/v1/domains/rest-kill/actions/destroy", headers=WAIT))
        resumed.expect("operation", "done", verb="destroy")
    finally:
        resumed.close()
    numbers = [event["id"] for event in events.seen + resumed.seen]
    assert numbers == [*range(numbers[0], numbers[0] + len(numbers))]
