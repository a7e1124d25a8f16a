"""A domain as old clients read it, quickly.

Of a running domain's answer only a few values change from one listing to the next.  The rest is
made once per configuration and shared by all answers: nobody may change an answer.  It lives as
long as that configuration does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Final
from uuid import UUID
from weakref import ref

from xend.config.domainsxp import Observed, encode_domain
from xend.core.views import DomainView
from xend.model.domain import DomainConfig
from xend.model.status import DomainInfo
from xend.model.units import mib

_PATTERN: Final = Observed(
    domid=0, state="", start_time=0.0, cpu_time=0.0, online_vcpus=0, memory=0
)


class _Template:
    """The answer with places for what changes."""

    __slots__ = ("config", "places", "tree")

    def __init__(
        self,
        config: DomainConfig,
        outlived: Callable[[object], None],
        *,
        devices: bool,
        rings: bool,
    ) -> None:
        self.config = ref(config, outlived)
        pattern = replace(_PATTERN, store_mfn=0, console_mfn=0) if rings else _PATTERN
        self.tree = encode_domain(config, pattern, devices=devices, vcpu_avail=False)
        self.places = {
            child[0]: place
            for place, child in enumerate(self.tree)
            if isinstance(child, list) and child and isinstance(child[0], str)
        }

    def fill(self, view: DomainView, info: DomainInfo) -> list[Any]:
        tree: list[Any] = self.tree.copy()
        places = self.places
        tree[places["domid"]] = ["domid", info.domid]
        tree[places["pool_name"]] = ["pool_name", view.pool]
        tree[places["name"]] = ["name", view.name]
        tree[places["memory"]] = ["memory", info.memory // 1024]
        tree[places["start_time"]] = ["start_time", view.started]
        tree[places["cpu_time"]] = ["cpu_time", info.cpu_time / 1e9]
        tree[places["online_vcpus"]] = ["online_vcpus", info.vcpus_online]
        tree[places["status"]] = ["status", int(info.power_state)]
        tree[places["state"]] = ["state", info.flags]
        if view.rings is not None:
            tree[places["store_mfn"]] = ["store_mfn", view.rings[0]]
            tree[places["console_mfn"]] = ["console_mfn", view.rings[1]]
        return tree


class DomainAnswers:
    def __init__(self) -> None:
        self._templates: dict[tuple[str, bool, bool], _Template] = {}
        self._rows: dict[int, tuple[DomainView, list[Any]]] = {}

    def encode(self, view: DomainView, *, devices: bool) -> list[Any]:
        """The `(domain …)` of a view whose configuration has been asked for."""
        config, info = view.config, view.info
        if config is None or info is None or view.started is None:
            observed = _observed(view)
            return encode_domain(
                config or _stranger(view), observed, devices=devices, vcpu_avail=False
            )
        rings = view.rings is not None
        key = (view.uuid, devices, rings)
        template = self._templates.get(key)
        if template is None or template.config() is not config:
            forget = partial(self._forget, key)
            template = _Template(config, forget, devices=devices, rings=rings)
            self._templates[key] = template
        return template.fill(view, info)

    def row(self, view: DomainView, info: DomainInfo) -> list[Any]:
        """`[name, domid, MiB, vcpus, state, CPU seconds]`; the same list for the same view."""
        shown, row = self._rows.get(info.domid, (None, None))
        if row is None or shown is not view:
            row = [
                view.name,
                info.domid,
                info.memory // 1024,
                info.vcpus_online,
                info.flags,
                info.cpu_time / 1e9,
            ]
            self._rows[info.domid] = (view, row)
        return row

    def _forget(self, key: tuple[str, bool, bool], _: object) -> None:
        self._templates.pop(key, None)


def _observed(view: DomainView) -> Observed:
    info = view.info
    if info is None:
        return Observed(power_state=int(view.power_state))
    return Observed(
        domid=info.domid,
        power_state=int(info.power_state),
        state=info.flags,
        start_time=view.started,
        cpu_time=info.cpu_time / 1e9,
        online_vcpus=info.vcpus_online,
        memory=mib(info.memory),
        maxmem=mib(info.max_memory) if view.config is None else None,
        store_mfn=view.rings[0] if view.rings else None,
        console_mfn=view.rings[1] if view.rings else None,
    )


def _stranger(view: DomainView) -> DomainConfig:
    """What is known of a domain that has no configuration: Domain-0, or one in the making.

    Not validated: whoever made it may have given it a name that we would not.
    """
    return DomainConfig.model_construct(
        name=view.name,
        uuid=UUID(view.uuid),
        memory=view.memory,
        maxmem=view.max_memory,
        vcpus=view.vcpus,
        pool=view.pool,
        platform={"tsc_mode": 0, "nomigrate": 0},
    )
