"""Every command of docs/rest.md, as it is written there, run by a shell against a daemon."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faces.daemonprocess import DaemonProcess
from xend.client import Client, calls

GUIDE = Path(__file__).parents[2] / "docs/rest.md"
SOCKET = "/var/run/xend/rest.sock"
STREAM_SECONDS = "0.5"
_STREAM_ENDED = 28
"""curl: the time that it was given is over."""

EXPECTED = {
    ("DELETE", "/v1/operations/8c3f2a1e-7"): "The operation has ended already",
    ("POST", "/v1/domains/prospero/vnc"): "has no VNC display that runs",
}
"""What cannot work here, since nothing takes long and no device model runs: how it is refused."""
ENDS = {"/v1/domains/prospero/actions/migrate": "can't connect: "}
"""What begins and cannot work, since there is no other host: how its operation ends."""
FOLDERS = ("/var/lib/xen/save", "/var/lib/xend/save", "/var/xen/dump")
"""Of the host: here they are below the test's own."""

PROSPERO: dict[str, Any] = {
    "name": "prospero",
    "memory": 262144,
    "maxmem": 524288,
    "vcpus": 2,
    "kernel": "/boot/vmlinuz",
    "disks": [
        {"vdev": "xvda", "path": "/srv/prospero.img", "scheme": "file"},
        {
            "vdev": "hdc",
            "device_type": "cdrom",
            "access": "r",
            "path": "/srv/a.iso",
            "scheme": "file",
        },
    ],
    "vifs": [{}],
    "vfbs": [{}],
}
DATA = {"vdev": "xvdb", "path": "/srv/data.img", "scheme": "file"}
HVM = {
    **{key: PROSPERO[key] for key in ("name", "memory", "vcpus", "vfbs")},
    "type": "hvm",
    "kernel": "",
    "platform": {"usb": "1"},
}


def scripts() -> list[str]:
    return re.findall(r"```sh\n(.*?)\n```", GUIDE.read_text(), re.DOTALL)


class Shop:
    """A daemon whose state is what a command of the guide takes for granted."""

    def __init__(self, daemon: DaemonProcess, client: Client, folder: Path) -> None:
        self.folder = folder
        self._ready: dict[str, Any] | None = None
        """The configuration of a running domain that nobody has touched since."""
        self.daemon = daemon
        self.client = client

    def prospero(self, config: dict[str, Any] | None) -> None:
        """Anew, managed and running; None: there is none."""
        if config is not None and config == self._ready:
            return
        found = self.client.response(calls.domain("prospero"))
        if found.status_code == 200:
            if found.json()["power_state"] == "suspended":
                self.act("resume")
            self.client.response(calls.act("prospero", "destroy", wait=10))
            self.client.response(calls.delete("prospero", force=True, wait=10))
            found = self.client.response(calls.domain("prospero"))
            assert found.status_code == 404, found.text
        # One that a command has renamed has still the disks of the next.
        if self.client.response(calls.domain("ariel")).status_code == 200:
            self.client.response(calls.act("ariel", "destroy", wait=10))
            self.client.response(calls.delete("ariel", force=True, wait=10))
        if config is not None:
            self.client(calls.create(config, define=True, start=True, wait=10))

    def act(self, verb: Any, arguments: dict[str, Any] | None = None) -> None:
        self.client(calls.act("prospero", verb, arguments, wait=10))

    def prepare(self, script: str) -> str:
        """The script with what it could not know: ids that xend gives."""
        method, path = method_of(script), path_of(script)
        self.prospero(
            None if (method, path) == ("POST", "/v1/domains") else self._config(path, method)
        )
        self._ready = self._config(path, method) if method == "GET" else None
        if path.endswith("/actions/start") or (method, path) in (
            ("DELETE", "/v1/domains/prospero"),
            ("PATCH", "/v1/domains/prospero/disks/xvdb"),
            ("PATCH", "/v1/domains/prospero/vfbs/0"),
        ):
            self.act("destroy")
        elif path.endswith("/actions/resume"):
            self.act("suspend")
        elif path.endswith("/actions/unpause"):
            self.act("pause")
        if path == "/v1/restore":
            file = f"{self.folder}/var/lib/xen/save/prospero.save"
            self.act("save", {"path": file})
        if "usb-controllers" in path and path.count("/") > 4:
            self.client(calls.add_usb_controller("prospero", {"ports": 4}, wait=10))
            if method == "DELETE" and "ports" in path:
                self.client(calls.plug_usb("prospero", 0, 1, {"device": "1-1.4"}, wait=10))
        if path.startswith("/v1/domains/prospero/usb/"):
            self.client(calls.attach_usb("prospero", {"device": "1-1.4"}, wait=10))
        self._pools(method, path)
        operation = self.client(calls.operations(limit=1))["items"][0]["id"]
        token = self.client(calls.make_token("somebody", "viewer"))["id"]
        script = script.replace("operations/8c3f2a1e-7", f"operations/{operation}")
        script = script.replace("tokens/8c3f2a1e-7", f"tokens/{token}")
        for folder in FOLDERS:
            script = script.replace(folder, f"{self.folder}{folder}")
        script = script.replace("host2.example", "localhost")
        return script.replace(SOCKET, str(self.daemon.run_dir / "rest.sock"))

    @staticmethod
    def _config(path: str, method: str) -> dict[str, Any]:
        if path.endswith("/usb") or "/usb/" in path:
            return HVM
        config = dict(PROSPERO)
        if "/disks/" in path:
            config["disks"] = [*PROSPERO["disks"], DATA]
        if "/pci/" in path:
            config["pcis"] = [{"bus": 3, "slot": 0, "func": 0}]
        return config

    def _pools(self, method: str, path: str) -> None:
        for pool in self.client(calls.cpupools())["items"]:
            if pool["id"] != 0:
                self.client(calls.delete_cpupool(pool["name"], wait=10))
        if not path.endswith("/cpupool") and not path.startswith("/v1/cpupools"):
            return
        if 3 in self.client(calls.cpupool("Pool-0"))["cpus"]:
            self.client(calls.remove_cpu("Pool-0", 3, wait=10))
        if path == "/v1/cpupools":
            return
        cpu = 2 if path.endswith("/cpus/3") else 3
        if cpu == 2 and 2 in self.client(calls.cpupool("Pool-0"))["cpus"]:
            self.client(calls.remove_cpu("Pool-0", 2, wait=10))
        define = path.endswith("actions/start")
        cpus = [2, 3] if method == "DELETE" and cpu == 2 else [cpu]
        pool = {"name": "quiet", "cpus": cpus}
        self.client(calls.make_cpupool(pool, define=define, wait=10))

    def unfinished(self) -> str:
        """What went wrong of the newest operation, once it has ended."""
        deadline = time.monotonic() + 10
        while True:
            found = self.client(calls.operations(limit=1))["items"][0]
            if found["status"] not in ("queued", "running"):
                return "" if found["status"] in ("done", "cancelled") else str(found["error"])
            assert time.monotonic() < deadline, found
            time.sleep(0.02)


def method_of(script: str) -> str:
    found = re.search(r"-X (\w+)", script)
    return found[1] if found else "GET"


def path_of(script: str) -> str:
    found = re.search(r"http://localhost([^\s'?]*)", script)
    assert found is not None, script
    return found[1]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    for folder in (*FOLDERS, "/var/lib/xend/save/old-host/domains"):
        (tmp_path / folder[1:]).mkdir(parents=True, exist_ok=True)
    daemon = DaemonProcess(tmp_path)
    daemon.config.write_text(f"(xend-rest-paths {tmp_path})\n")
    daemon("start")
    with Client(f"unix:{daemon.run_dir / 'rest.sock'}") as client:
        yield Shop(daemon, client, tmp_path)
    daemon("stop")


def test_every_command_of_the_guide_works(shop: Shop) -> None:
    wrong = []
    for script in scripts():
        command = shop.prepare(script) + " -s -S --fail-with-body"
        if " -N " in script:
            command += f" --max-time {STREAM_SECONDS}"
        done = subprocess.run(
            ["sh", "-c", command], capture_output=True, text=True, timeout=30, check=False
        )
        refusal = EXPECTED.get((method_of(script), path_of(script)))
        if refusal is not None:
            assert refusal in done.stdout, done.stdout
            continue
        ended_well = done.returncode == (_STREAM_ENDED if " -N " in script else 0)
        problem = shop.unfinished()
        ends = ENDS.get(path_of(script), "")
        if not ended_well or bool(problem) != bool(ends) or ends not in problem:
            wrong.append(f"{script}\n  {done.stdout[:400]}{done.stderr}{problem[:400]}")
    assert not wrong, "\n".join(wrong)
