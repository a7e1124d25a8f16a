"""What `/metrics` shows of the host and the daemon: names, help and labels.

Names and units follow https://prometheus.io/docs/practices/naming and OpenMetrics 1.0: base units
(seconds, bytes), `_total` for what only grows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
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

_KIB: Final = 1024


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
