"""What is answered about a domain: the configuration and what is seen of it, as `(domain …)`."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from xend.config.domainsxp import Observed
from xend.config.domainsxp import encode_domain as encode
from xend.core.views import DomainView
from xend.model.domain import DomainConfig, DomainType, ShutdownAction
from xend.model.units import mib


def encode_domain(view: DomainView, *, devices: bool) -> list[Any]:
    config = view.config or _stranger(view)
    if config.name != view.name or config.pool != view.pool:
        config = config.model_copy(update={"name": view.name, "pool": view.pool})
    seen = Observed(power_state=int(view.power_state), start_time=view.started)
    if view.running:
        seen = Observed(
            domid=view.domid,
            power_state=int(view.power_state),
            state=view.flags,
            start_time=view.started,
            cpu_time=view.cpu_time / 1e9,
            online_vcpus=view.vcpus_online,
            memory=mib(view.memory),
            maxmem=mib(view.max_memory) if view.config is None else None,
        )
    return encode(config, seen, devices=devices, vcpu_avail=False)


def _stranger(view: DomainView) -> DomainConfig:
    """A domain of which nothing but the hypervisor's view is known, Domain-0 above all."""
    kind = view.info.type if view.info is not None else "pv"
    return DomainConfig.model_construct(
        name=view.name,
        uuid=UUID(view.uuid),
        type=DomainType.PV if kind == "invalid" else DomainType(kind),
        memory=max(int(view.memory), 1),
        maxmem=max(int(view.max_memory), int(view.memory), 1),
        vcpus=max(view.vcpus, 1),
        on_crash=ShutdownAction.RESTART,
    )
