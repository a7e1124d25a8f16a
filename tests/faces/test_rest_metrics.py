"""/metrics, read by the parsers of Prometheus's own library; and the dashboard that uses it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families as plain

from tests.faces.conftest import Host
from xend.api.rest.metrics import OPENMETRICS, PLAIN
from xend.client import AsyncClient, calls
from xend.client.calls import Call

DASHBOARD = Path(__file__).parents[2] / "docs/grafana-dashboard.json"


@pytest_asyncio.fixture
async def xend(host: Host) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(f"unix:{host.rest}") as client:
        config = {
            "name": "web",
            "memory": 65536,
            "kernel": "/boot/vmlinuz",
            "disks": [{"vdev": "xvda", "path": "/srv/web.img", "scheme": "file"}],
            "vifs": [{}],
        }
        await client(calls.create(config, wait=10))
        yield client


def openmetrics(text: str) -> list[Metric]:
    return [*openmetrics_parser.text_string_to_metric_families(text)]  # type: ignore[no-untyped-call]


async def samples(xend: AsyncClient) -> dict[str, list[tuple[dict[str, str], float]]]:
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in openmetrics(await xend(calls.metrics())):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((dict(sample.labels), float(sample.value)))
    return found


async def test_it_is_openmetrics(xend: AsyncClient) -> None:
    response = await xend.response(calls.metrics())
    assert response.headers["content-type"] == OPENMETRICS
    assert response.text.endswith("# EOF\n")
    names = {family.name for family in openmetrics(response.text)}
    assert len(names) > 30 and "xend_domain_cpu_seconds" in names


async def test_the_older_format_is_there_for_who_asks_for_it(xend: AsyncClient) -> None:
    call: Call[str] = Call("GET", "/metrics", headers={"Accept": "text/plain"}, answer="text")
    response = await xend.response(call)
    assert response.headers["content-type"] == PLAIN
    assert any(family.name == "xend_domain_cpu_seconds" for family in plain(response.text))


async def test_what_is_said_of_a_domain(host: Host, xend: AsyncClient) -> None:
    found = await samples(xend)
    domain = await xend(calls.domain("web"))
    label = {"domain": "web", "uuid": domain["uuid"]}
    memory = (await host.service.lookup("web")).memory * 1024
    assert memory >= 65536 * 1024 and (label, memory) in found["xend_domain_memory_bytes"]
    assert (label, 1) in found["xend_domain_vcpus"]
    assert ({**label, "state": "running"}, 1) in found["xend_domain_state"]
    assert [each[0]["domid"] for each in found["xend_domain_info"]] == ["0", str(domain["domid"])]
    [(disk, _)] = found["xend_domain_block_read_bytes_total"]
    assert disk == {**label, "device": "xvda"}
    [(vif, _)] = found["xend_domain_network_transmit_bytes_total"]
    assert vif == {**label, "interface": "0"}
    assert ({}, 8 * 1024**3) in found["xend_host_memory_bytes"]
    assert ({"state": "running"}, 2) in found["xend_domains"]
    view = await host.service.lookup("web")
    cpu = next(value for labels, value in found["xend_domain_cpu_seconds_total"] if labels == label)
    assert 0 <= cpu <= view.cpu_time / 1e9 + 1


async def test_what_is_said_of_the_daemon(xend: AsyncClient) -> None:
    await xend(calls.act("web", "pause", wait=10))
    await xend(calls.domain("web"))
    found = await samples(xend)
    ended: tuple[dict[str, str], float] = ({"kind": "pause", "status": "done"}, 1.0)
    async with asyncio.timeout(5):  # counted when the event of its end is delivered
        while ended not in found.get("xend_operations_total", ()):
            found = await samples(xend)
    assert ({"kind": "create"}, 1) in found["xend_operation_duration_seconds_count"]
    requests = {
        (labels["method"], labels["route"], labels["status"]): value
        for labels, value in found["xend_http_request_duration_seconds_count"]
    }
    assert requests["GET", "/v1/domains/{ref}", "200"] == 1
    for name in ("xend_event_loop_lag_seconds", "process_resident_memory_bytes"):
        assert len(found[name]) == 1
    assert found["xend_events_total"][0][1] > 0


async def test_no_client_can_make_series(xend: AsyncClient) -> None:
    for path in ("/v1/a", "/v1/b", "/c"):
        await xend.response(Call("BREW" if path == "/c" else "GET", path))
    found = await samples(xend)
    routes = {labels["route"] for labels, _ in found["xend_http_request_duration_seconds_count"]}
    methods = {labels["method"] for labels, _ in found["xend_http_request_duration_seconds_count"]}
    assert not {"/v1/a", "/v1/b", "/c"} & routes and "BREW" not in methods


def expressions(panels: list[dict[str, Any]]) -> list[str]:
    found = []
    for panel in panels:
        found += [target["expr"] for target in panel.get("targets", [])]
        found += expressions(panel.get("panels", []))
    return found


async def test_the_dashboard_asks_only_for_what_there_is(xend: AsyncClient) -> None:
    await xend(calls.domains())
    found = await samples(xend)
    async with asyncio.timeout(5):  # the create of before is counted when its event is delivered
        while "xend_operations_total" not in found:
            found = await samples(xend)
    dashboard = json.loads(DASHBOARD.read_text())
    asked = expressions(dashboard["panels"])
    assert len(asked) > 15
    known = {name: {key for labels, _ in each for key in labels} for name, each in found.items()}
    for expression in asked:
        names = re.findall(r"\b(?:xend|process)_\w+", expression)
        assert names, expression
        for name in names:
            assert name in known, f"{name} of {expression}"
        labels = set(re.findall(r"(\w+)\s*=~?\s*\"", expression))
        for group in re.findall(r"\b(?:by|on|group_left)\s*\(([^)]*)\)", expression):
            labels |= {word.strip() for word in group.split(",")}
        assert labels - {"le", ""} <= set().union(*(known[name] for name in names)), expression
    titles = [panel["title"] for panel in dashboard["panels"]]
    assert len(titles) == len(set(titles))
