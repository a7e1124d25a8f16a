"""`GET /metrics`: OpenMetrics, or Prometheus's older text for who asks for `text/plain` only."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Annotated

from fastapi import APIRouter, Header, Request
from prometheus_client import CollectorRegistry, ProcessCollector, exposition
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector
from starlette.responses import Response

from xend import __version__
from xend.api.rest.access import Viewer
from xend.api.rest.jobs import Service
from xend.api.rest.metrics_domains import text_of_domains
from xend.api.rest.metrics_families import Families, Observed
from xend.api.rest.metrics_requests import RequestMetrics
from xend.api.rest.parts import RestParts
from xend.core.domains import DomainService

router = APIRouter(tags=["metrics"])

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_END = b"# EOF\n"
"""Of OpenMetrics; the older format has none."""
PLAIN = "text/plain; version=0.0.4; charset=utf-8"


@router.get(
    "/metrics",
    summary="Domains, host and daemon, for Prometheus",
    response_class=Response,
    responses={
        200: {
            "content": {
                "application/openmetrics-text": {
                    "schema": {"type": "string"},
                    "example": "# TYPE xend_host_cpus gauge\nxend_host_cpus 4.0\n# EOF\n",
                },
                "text/plain": {"schema": {"type": "string"}},
            }
        }
    },
)
async def metrics(
    service: Service, _: Viewer, request: Request, accept: Annotated[str, Header()] = ""
) -> Response:
    observed = await observe(service, request.app.state.parts)
    requests: RequestMetrics = request.app.state.requests
    plain = "text/plain" in accept and "openmetrics" not in accept
    rest = await asyncio.to_thread(_render, observed, requests, plain)
    domains = await text_of_domains(observed.domains, observed.block, observed.network, plain=plain)
    text = rest.removesuffix(_END) + domains.encode("utf-8", "replace") + (b"" if plain else _END)
    return Response(text, media_type=PLAIN if plain else OPENMETRICS)


async def observe(service: DomainService, parts: RestParts) -> Observed:
    host, domains, block, network = await asyncio.gather(
        service.host(), service.list(), parts.counters.block(), parts.counters.network()
    )
    active = Counter(job.status for job in service.jobs.list() if not job.done)
    return Observed(
        version=__version__,
        backend=host.backend,
        host=host,
        domains=domains,
        block=block,
        network=network,
        operations=parts.operations,
        active=active,
        lag=parts.loop.lag,
        longest_lag=parts.loop.longest,
        last_event=service.events.newest,
        waiting_events=service.events.undelivered,
    )


def _render(observed: Observed, requests: RequestMetrics, plain: bool) -> bytes:
    """Everything but the domains."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Families(observed))
    registry.register(_Kept(requests))
    ProcessCollector(registry=registry)
    generate = exposition.generate_latest if plain else openmetrics.generate_latest
    return generate(registry)


class _Kept(Collector):
    """Another registry's metrics."""

    def __init__(self, requests: RequestMetrics) -> None:
        self._requests = requests

    def collect(self) -> list[Metric]:
        return [*self._requests.registry.collect()]
