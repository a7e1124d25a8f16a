"""What `/metrics` shows of each domain and its devices.

A domain is labelled with its name and uuid; the domid, which changes at each reboot, is on
`xend_domain_info` only.  A thousand domains have tens of thousands of samples, of which the library
of Prometheus makes text in tenths of a second; here it takes a tenth of that, and others have their
turns in between.  (OpenMetrics 1.0, or Prometheus's text format 0.0.4: here they differ in the name
of a counter's family.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from xend.core.counters import BlockCounters, NetworkCounters
from xend.core.portions import portions
from xend.core.views import DomainView
from xend.model.units import Domid
from xend.model.vdev import vdev_number

_KIB: Final = 1024
_SECTOR: Final = 512
_AT_ONCE: Final = 1000
"""Samples."""


@dataclass(frozen=True, slots=True)
class Family:
    name: str
    """Of a counter without `_total`."""
    help: str
    kind: Literal["gauge", "counter"]
    samples: Sequence[tuple[str, float]]
    """Labels as they are written, and the value."""


async def text_of_domains(
    domains: Sequence[DomainView],
    block: Sequence[BlockCounters],
    network: Sequence[NetworkCounters],
    *,
    plain: bool,
) -> str:
    texts: list[str] = []
    for family in _families(domains, block, network):
        sampled = f"{family.name}_total" if family.kind == "counter" else family.name
        named = sampled if plain else family.name
        texts.append(f"# HELP {named} {family.help}\n# TYPE {named} {family.kind}\n")
        async for part in portions(family.samples, _AT_ONCE):
            texts += [f"{sampled}{{{labels}}} {value}\n" for labels, value in part]
    return "".join(texts)


def label(name: str, value: str) -> str:
    escaped = value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
    return f'{name}="{escaped}"'


def _families(
    domains: Sequence[DomainView],
    block: Sequence[BlockCounters],
    network: Sequence[NetworkCounters],
) -> Iterator[Family]:
    labels = [(label("domain", view.name), label("uuid", view.uuid)) for view in domains]
    yield from _of_domains([*zip(labels, domains, strict=True)])
    guests = {
        view.domid: (*labelled, view)
        for labelled, view in zip(labels, domains, strict=True)
        if view.domid is not None
    }
    yield from _of_disks(block, guests)
    yield from _of_interfaces(network, guests)


_Labels = tuple[str, str]
"""The domain's name and its uuid."""


def _of_domains(shown: Sequence[tuple[_Labels, DomainView]]) -> Iterator[Family]:
    yield Family(
        "xend_domain_info",
        "1, with what changes seldom",
        "gauge",
        [(_info(*labels, view), 1) for labels, view in shown],
    )
    yield Family(
        "xend_domain_state",
        "1, with the state that it has",
        "gauge",
        [(f"{name},{_state(view)},{uuid}", 1) for (name, uuid), view in shown],
    )
    running = [(",".join(labels), view) for labels, view in shown if view.running]
    yield Family(
        "xend_domain_cpu_seconds",
        "CPU time of all its vCPUs since it was started",
        "counter",
        [(labels, view.cpu_time / 1e9) for labels, view in running],
    )
    for name, help, value in _GAUGES:
        yield Family(name, help, "gauge", [(labels, value(view)) for labels, view in running])
    yield Family(
        "xend_domain_start_time_seconds",
        "When it was started, since the epoch",
        "gauge",
        [(labels, view.started) for labels, view in running if view.started is not None],
    )


def _info(name: str, uuid: str, view: DomainView) -> str:
    domid = "" if view.domid is None else view.domid
    kind = view.info.type if view.info else ""
    managed = "yes" if view.managed else "no"
    return (
        f'{name},domid="{domid}",managed="{managed}",origin="{view.origin.value}",'
        f'type="{kind}",{uuid}'
    )


def _state(view: DomainView) -> str:
    return f'state="{view.power_state.name.lower()}"'


_GAUGES: Final[tuple[tuple[str, str, Callable[[DomainView], float]], ...]] = (
    ("xend_domain_memory_bytes", "Memory that it has", lambda view: view.memory * _KIB),
    (
        "xend_domain_memory_max_bytes",
        "The most it may have",
        lambda view: view.max_memory * _KIB,
    ),
    ("xend_domain_vcpus", "vCPUs that are online", lambda view: view.vcpus_online),
    ("xend_domain_vcpus_max", "vCPUs that it can have", lambda view: view.vcpus),
    ("xend_domain_restarts", "Restarts by its policies", lambda view: view.restarts),
)

# -- Devices ---------------------------------------------------------------------------------------

_BLOCK: Final = (
    ("xend_domain_block_reads", "Read requests", "reads", 1),
    ("xend_domain_block_writes", "Write requests", "writes", 1),
    ("xend_domain_block_flushes", "Flush requests", "flushes", 1),
    ("xend_domain_block_discards", "Discard requests", "discards", 1),
    ("xend_domain_block_read_bytes", "Bytes read", "read_sectors", _SECTOR),
    ("xend_domain_block_written_bytes", "Bytes written", "written_sectors", _SECTOR),
    (
        "xend_domain_block_out_of_requests",
        "Times that the backend had to wait for memory of its own",
        "out_of_requests",
        1,
    ),
)
_NETWORK: Final = (
    ("xend_domain_network_receive_bytes", "Bytes that the guest received", "received_bytes"),
    ("xend_domain_network_receive_packets", "Packets that it received", "received_packets"),
    ("xend_domain_network_receive_errors", "Errors on their way to it", "received_errors"),
    ("xend_domain_network_receive_dropped", "Packets that did not reach it", "received_dropped"),
    ("xend_domain_network_transmit_bytes", "Bytes that the guest sent", "sent_bytes"),
    ("xend_domain_network_transmit_packets", "Packets that it sent", "sent_packets"),
    ("xend_domain_network_transmit_errors", "Errors on their way from it", "sent_errors"),
    ("xend_domain_network_transmit_dropped", "Packets of its that were dropped", "sent_dropped"),
)


_Guests = dict[Domid, tuple[str, str, DomainView]]
"""With the labels of its name and its uuid."""


def _of_disks(counters: Sequence[BlockCounters], guests: _Guests) -> Iterator[Family]:
    known = []
    for each in counters:
        if each.domid in guests:
            name, uuid, view = guests[each.domid]
            known.append((f"{label('device', _disk_name(view, each.devid))},{name},{uuid}", each))
    for family, help, attribute, unit in _BLOCK:
        samples = [(labels, getattr(each, attribute) * unit) for labels, each in known]
        yield Family(family, help, "counter", samples)


def _disk_name(view: DomainView, devid: int) -> str:
    """As its configuration calls it (`xvda`), else the number."""
    for disk in view.config.disks if view.config else ():
        if vdev_number(disk.vdev) == devid:
            return disk.vdev
    return str(devid)


def _of_interfaces(counters: Sequence[NetworkCounters], guests: _Guests) -> Iterator[Family]:
    known = []
    for each in counters:
        if each.domid in guests:
            name, uuid, _ = guests[each.domid]
            known.append((f'{name},interface="{each.devid}",{uuid}', each))
    for family, help, attribute in _NETWORK:
        samples = [(labels, getattr(each, attribute)) for labels, each in known]
        yield Family(family, help, "counter", samples)
