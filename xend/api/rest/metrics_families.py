"""What `/metrics` shows of the host, its domains and the daemon: names, help and labels.

Names and units follow https://prometheus.io/docs/practices/naming and OpenMetrics 1.0: base units
(seconds, bytes), `_total` for what only grows.  A domain is labelled with its name and uuid; the
domid, which changes at each reboot, is on `xend_domain_info` only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from xend.core.counters import BlockCounters, NetworkCounters
from xend.core.jobs import JobStatus
from xend.core.operationcounts import BOUNDS, OperationCounts
from xend.core.views import DomainView
from xend.model.status import HostInfo, PowerState
from xend.model.units import Domid
from xend.model.vdev import vdev_number

_DOMAIN: Final = ("domain", "uuid")
_KIB: Final = 1024
_SECTOR: Final = 512


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything at one moment, so that making the text needs nothing of the event loop."""

    version: str
    backend: str
    host: HostInfo
    domains: Sequence[DomainView]
    block: Sequence[BlockCounters]
    network: Sequence[NetworkCounters]
    operations: OperationCounts
    active: Counter[JobStatus] = field(default_factory=Counter)
    """Operations that have not ended."""
    lag: float = 0.0
    longest_lag: float = 0.0
    last_event: int = 0
    waiting_events: int = 0


class Families(Collector):
    def __init__(self, observed: Observed) -> None:
        self._observed = observed

    def collect(self) -> Iterator[Metric]:
        yield from _of_daemon(self._observed)
        yield from _of_host(self._observed.host, self._observed.domains)
        yield from _of_domains(self._observed.domains)
        guests = {view.domid: view for view in self._observed.domains if view.domid is not None}
        yield from _of_disks(self._observed.block, guests)
        yield from _of_interfaces(self._observed.network, guests)


def _gauge(name: str, help: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, help, value=value)


# -- The daemon ------------------------------------------------------------------------------------


def _of_daemon(seen: Observed) -> Iterator[Metric]:
    info = GaugeMetricFamily(
        "xend_build_info", "1, with what runs here", labels=("version", "backend")
    )
    info.add_metric((seen.version, seen.backend), 1)
    yield info
    yield _gauge(
        "xend_event_loop_lag_seconds", "How late the event loop was at its last beat", seen.lag
    )
    yield _gauge(
        "xend_event_loop_lag_max_seconds",
        "How late the event loop ever was since the daemon's start",
        seen.longest_lag,
    )
    yield CounterMetricFamily("xend_events", "Number of the newest event", value=seen.last_event)
    yield _gauge(
        "xend_events_waiting", "Events that wait to be written to disk", seen.waiting_events
    )
    active = GaugeMetricFamily(
        "xend_operations_active",
        "Operations that wait for their turn (queued) or are being done (running)",
        labels=("status",),
    )
    for open_status in (JobStatus.QUEUED, JobStatus.RUNNING):
        active.add_metric((open_status.value,), seen.active[open_status])
    yield active
    ended = CounterMetricFamily(
        "xend_operations",
        "Operations that ended since the daemon's start, from every interface",
        labels=("kind", "status"),
    )
    for (kind, status), count in sorted(seen.operations.ended.items()):
        ended.add_metric((kind, status), count)
    yield ended
    yield _durations(seen.operations)


def _durations(counts: OperationCounts) -> Metric:
    family = HistogramMetricFamily(
        "xend_operation_duration_seconds",
        "Time that operations took, from the start of the work to its end",
        labels=("kind",),
    )
    bounds = [*map(str, BOUNDS), "+Inf"]
    for kind, durations in sorted(counts.durations.items()):
        buckets = [*zip(bounds, map(float, accumulate(durations.counts)), strict=True)]
        family.add_metric((kind,), buckets, durations.sum)
    return family


# -- The host --------------------------------------------------------------------------------------


def _of_host(host: HostInfo, domains: Sequence[DomainView]) -> Iterator[Metric]:
    info = GaugeMetricFamily(
        "xend_host_info", "1, with what the hypervisor is", labels=("xen_version", "scheduler")
    )
    info.add_metric((f"{host.xen_major}.{host.xen_minor}{host.xen_extra}", host.xen_scheduler), 1)
    yield info
    yield _gauge("xend_host_cpus", "Logical processors", host.nr_cpus)
    yield _gauge(
        "xend_host_memory_bytes", "Memory that the hypervisor manages", host.total_memory * _KIB
    )
    yield _gauge(
        "xend_host_memory_free_bytes", "Memory that no domain has", host.free_memory * _KIB
    )
    states = Counter(view.power_state for view in domains)
    family = GaugeMetricFamily(
        "xend_domains", "Domains on this host, Domain-0 included", labels=("state",)
    )
    for state in PowerState:
        family.add_metric((state.name.lower(),), states[state])
    yield family


# -- Domains ---------------------------------------------------------------------------------------


def _of_domains(views: Sequence[DomainView]) -> Iterator[Metric]:
    labels = [(view.name, view.uuid) for view in views]
    info = GaugeMetricFamily(
        "xend_domain_info",
        "1, with what changes seldom",
        labels=(*_DOMAIN, "domid", "type", "origin", "managed"),
    )
    state = GaugeMetricFamily(
        "xend_domain_state", "1, with the state that it has", labels=(*_DOMAIN, "state")
    )
    for label, view in zip(labels, views, strict=True):
        domid = "" if view.domid is None else str(view.domid)
        kind = view.info.type if view.info else ""
        managed = "yes" if view.managed else "no"
        info.add_metric((*label, domid, kind, view.origin.value, managed), 1)
        state.add_metric((*label, view.power_state.name.lower()), 1)
    yield info
    yield state
    running = [(label, view) for label, view in zip(labels, views, strict=True) if view.running]
    cpu = CounterMetricFamily(
        "xend_domain_cpu_seconds", "CPU time of all its vCPUs since it was started", labels=_DOMAIN
    )
    for label, view in running:
        cpu.add_metric(label, view.cpu_time / 1e9)
    yield cpu
    yield _each("xend_domain_memory_bytes", "Memory that it has", running, _memory)
    yield _each("xend_domain_memory_max_bytes", "The most it may have", running, _max_memory)
    yield _each("xend_domain_vcpus", "vCPUs that are online", running, _vcpus)
    yield _each("xend_domain_vcpus_max", "vCPUs that it can have", running, _max_vcpus)
    yield _each("xend_domain_restarts", "Restarts by its policies", running, _restarts)
    started = [(label, view) for label, view in running if view.started is not None]
    yield _each(
        "xend_domain_start_time_seconds", "When it was started, since the epoch", started, _started
    )


def _each(
    name: str,
    help: str,
    running: Iterable[tuple[tuple[str, str], DomainView]],
    value: Callable[[DomainView], float],
) -> Metric:
    family = GaugeMetricFamily(name, help, labels=_DOMAIN)
    for label, view in running:
        family.add_metric(label, value(view))
    return family


def _memory(view: DomainView) -> float:
    return view.memory * _KIB


def _max_memory(view: DomainView) -> float:
    return view.max_memory * _KIB


def _vcpus(view: DomainView) -> float:
    return view.vcpus_online


def _max_vcpus(view: DomainView) -> float:
    return view.vcpus


def _restarts(view: DomainView) -> float:
    return view.restarts


def _started(view: DomainView) -> float:
    return view.started or 0.0


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


def _of_disks(
    counters: Sequence[BlockCounters], guests: dict[Domid, DomainView]
) -> Iterator[Metric]:
    known = [
        ((view.name, view.uuid, _disk_name(view, each.devid)), each)
        for each in counters
        if (view := guests.get(each.domid)) is not None
    ]
    for name, help, attribute, unit in _BLOCK:
        family = CounterMetricFamily(name, help, labels=(*_DOMAIN, "device"))
        for label, each in known:
            family.add_metric(label, getattr(each, attribute) * unit)
        yield family


def _disk_name(view: DomainView, devid: int) -> str:
    """As its configuration calls it (`xvda`), else the number."""
    for disk in view.config.disks if view.config else ():
        if vdev_number(disk.vdev) == devid:
            return disk.vdev
    return str(devid)


def _of_interfaces(
    counters: Sequence[NetworkCounters], guests: dict[Domid, DomainView]
) -> Iterator[Metric]:
    known = [
        ((view.name, view.uuid, str(each.devid)), each)
        for each in counters
        if (view := guests.get(each.domid)) is not None
    ]
    for name, help, attribute in _NETWORK:
        family = CounterMetricFamily(name, help, labels=(*_DOMAIN, "interface"))
        for label, each in known:
            family.add_metric(label, getattr(each, attribute))
        yield family
