"""kill -9 of a real daemon process: its REST clients find the truth when it is back."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import httpx

from tests.faces.daemonprocess import DaemonProcess, eventually
from tests.faces.restclient import config


def client(daemon: DaemonProcess) -> httpx.Client:
    transport = httpx.HTTPTransport(uds=str(daemon.run_dir / "rest.sock"))
    return httpx.Client(transport=transport, base_url="http://xend", timeout=60)


def events(rest: httpx.Client, since: int, count: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    with rest.stream("GET", "/v1/events", params={"since": since}) as response:
        assert response.status_code == 200, response.read()
        for line in response.iter_lines():
            if line.startswith("data: "):
                found.append(json.loads(line.removeprefix("data: ")))
            if len(found) >= count:
                break
    return found


def test_a_daemon_that_is_killed(tmp_path: Path) -> None:
    """The simulated machine ends with the process, as a host that loses its power: so what was
    made is gone, and nothing may say otherwise."""
    daemon = DaemonProcess(tmp_path)
    daemon("start")
    key = {"Idempotency-Key": "one and only"}
    body = config("prospero", vifs=[{}])
    try:
        with client(daemon) as rest:
            defined = rest.post("/v1/domains?define=1&wait=30", json=config("kept"), headers={})
            assert defined.status_code == 201
            created = rest.post("/v1/domains", json=body, headers=key)
            assert created.status_code == 202
            before = events(rest, 0, 4)
        os.kill(daemon.pid, signal.SIGKILL)
        eventually(lambda: not daemon.running)
        daemon("start")
        with client(daemon) as rest:
            operation = rest.get(created.headers["location"]).json()
            assert operation["status"] in ("interrupted", "done"), operation
            assert operation["target"]["name"] == "prospero"
            again = rest.post("/v1/domains?wait=30", json=body, headers=key)
            assert again.status_code == 422  # another address: another request
            again = rest.post("/v1/domains", json=body, headers={**key, "Prefer": "wait=30"})
            assert again.status_code in (201, 202), again.text
            names = [item["name"] for item in rest.get("/v1/domains").json()["items"]]
            assert names.count("kept") == 1 and names.count("prospero") <= 1
            if operation["status"] == "interrupted":
                assert again.status_code == 201 and "prospero" in names
                assert again.json()["uuid"] == operation["target"]["uuid"]
            rest.post("/v1/domains/kept/actions/start?wait=30")
            after = events(rest, before[-1]["id"], 5)
        numbers = [event["id"] for event in before + after]
        assert numbers == [*range(1, len(numbers) + 1)]
        assert time.time() - 600 < _moment(after[-1]["time"]) <= time.time() + 1
    finally:
        daemon("stop")


def _moment(text: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(text).timestamp()
