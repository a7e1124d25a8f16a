"""The text of domains in /metrics, read by the parsers of Prometheus's own library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families as parse_plain

from tests.simhost import disk, guest
from xend.api.rest.metrics_domains import text_of_domains
from xend.core.counters import BlockCounters, NetworkCounters
from xend.core.views import DomainView
from xend.model.status import DomainInfo, Origin
from xend.model.units import Domid, KiB, Nanoseconds

NAMES = ('pro"spero', "back\\slash", "two\nlines", "naïve", "plain,}{=")


def views() -> list[DomainView]:
    found = []
    for number, name in enumerate(NAMES, 1):
        config = guest("web", disks=(disk(),))
        info = DomainInfo(
            Domid(number),
            str(config.uuid),
            memory=KiB(65536),
            max_memory=KiB(1 << 40),
            cpu_time=Nanoseconds(1_500_000_000 * number),
            type="pv",
        )
        found.append(DomainView(name, info.uuid, info, config, Origin.XEND, started=1.7e9 + 0.25))
    halted = guest("halted")
    found.append(DomainView("halted", str(halted.uuid), None, halted, Origin.XEND, managed=True))
    return found


async def families(shown: Sequence[DomainView], plain: bool) -> list[Metric]:
    block = [BlockCounters(Domid(1), 51712, 3, 4, 5, 6, 7, 8, 9), *_strangers()]
    network = [NetworkCounters(Domid(2), 0, 1 << 60, 2, 3, 4, 5, 6, 7, 8)]
    text = await text_of_domains(shown, block, network, plain=plain)
    if plain:
        return [*parse_plain(text)]
    text += "# EOF\n"
    return [*openmetrics_parser.text_string_to_metric_families(text)]  # type: ignore[no-untyped-call]


def _strangers() -> list[BlockCounters]:
    """Of a domain that has come since the list was made."""
    return [BlockCounters(Domid(99), 51712, 1, 1, 1, 1, 1, 1, 1)]


@pytest.mark.parametrize("plain", [False, True])
async def test_what_is_written_is_what_is_read(plain: bool) -> None:
    shown = views()
    found = await families(shown, plain)
    assert len(found) == len({family.name for family in found}) == 24
    samples: dict[str, list[tuple[dict[str, str], Any]]] = {}
    for family in found:
        assert family.documentation and family.type in ("counter", "gauge")
        assert family.type == ("counter" if _counts(family.name) else "gauge"), family.name
        for sample in family.samples:
            samples.setdefault(sample.name, []).append((dict(sample.labels), sample.value))
    running = [{"domain": view.name, "uuid": view.uuid} for view in shown[:-1]]
    assert samples["xend_domain_cpu_seconds_total"] == [
        (label, 1.5 * number) for number, label in enumerate(running, 1)
    ]
    assert samples["xend_domain_memory_max_bytes"] == [(label, 1 << 50) for label in running]
    assert samples["xend_domain_start_time_seconds"] == [(label, 1.7e9 + 0.25) for label in running]
    state = samples["xend_domain_state"][-1]
    assert state == ({"domain": "halted", "uuid": shown[-1].uuid, "state": "halted"}, 1)
    info = samples["xend_domain_info"][0][0]
    assert info == {
        **running[0],
        "domid": "1",
        "type": "pv",
        "origin": "xend",
        "managed": "no",
    }
    assert samples["xend_domain_block_read_bytes_total"] == [
        ({**running[0], "device": "xvda"}, 7 * 512)
    ]
    received = samples["xend_domain_network_receive_bytes_total"]
    assert received == [({**running[1], "interface": "0"}, 1 << 60)]


def _counts(name: str) -> bool:
    return "cpu_seconds" in name or "block" in name or "network" in name


async def test_a_name_that_is_no_text_spoils_nothing() -> None:
    [view, *_] = views()
    odd = DomainView("\udcff", view.uuid, view.info, view.config, view.origin)
    text = await text_of_domains([odd], [], [], plain=False)
    assert 'domain="?"' in text.encode("utf-8", "replace").decode()
