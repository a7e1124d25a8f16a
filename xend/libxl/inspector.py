"""`xend.core.inspection.Inspector` over libxl: the part of `XenHypervisor` that only looks."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from xend.core.inspection import HostExtras, PoolSchedule, Share
from xend.errors import InvalidArgument
from xend.libxl import marshal, marshal_devices, observed, pools
from xend.libxl.lanes import Lane
from xend.model.devices import Disk, Vif
from xend.model.domain import DomainConfig
from xend.model.status import VcpuInfo
from xend.model.units import Domid, KiB

if TYPE_CHECKING:
    from types import ModuleType

    from xend.libxl.ctx import Context

T = TypeVar("T")
_PAGE_KIB = 4


class _Ask(Protocol):
    """`XenHypervisor._ask`: a call on a lane, its errors typed."""

    async def __call__(
        self, lane: Lane, operation: str, domid: Domid | None, call: Callable[[Context], T]
    ) -> T: ...


def _calls() -> ModuleType:
    """The module that calls libxl; it can be had once a context is open, not before."""
    return importlib.import_module("xend.libxl.inspecting")


class XenInspector:
    def __init__(self, ask: _Ask, query: Lane, quick: Lane) -> None:
        """`query`: hypercalls only; `quick`: reads XenStore too."""
        self._ask = ask
        self._query = query
        self._quick = quick

    async def config_text(self, domid: Domid) -> str:
        return await self._ask(
            self._quick, "retrieve configuration", domid, lambda c: c.retrieve_config(domid)
        )

    async def planned_text(self, config: DomainConfig, given: Collection[str] = ()) -> str:
        text = json.dumps(as_xl(marshal.domain(config), given))
        planned: str = await self._ask(
            self._quick, "configuration", None, lambda c: _calls().planned_text(c, text)
        )
        return planned

    async def planned_device(self, device: Disk | Vif) -> str:
        device_class = "vbd" if isinstance(device, Disk) else "vif"
        text = json.dumps(marshal_devices.hot_plugged(device_class, device))
        planned: str = await self._ask(
            self._quick, "device", None, lambda c: _calls().planned_device(c, device_class, text)
        )
        return planned

    async def labels(self) -> Mapping[Domid, str]:
        found = await self._ask(self._query, "labels", None, lambda c: _calls().labels(c))
        return {Domid(domid): label for domid, label in found.items()}

    async def node_affinity(self, domids: Sequence[Domid]) -> Mapping[Domid, tuple[int, ...]]:
        found: Mapping[Domid, tuple[int, ...]] = await self._ask(
            self._query, "node affinity", None, lambda c: _calls().node_affinity(c, domids)
        )
        return found

    async def vcpus(self, domids: Sequence[Domid]) -> Mapping[Domid, Sequence[VcpuInfo]]:
        found = await self._ask(self._query, "vcpus", None, lambda c: _calls().vcpus(c, domids))
        return {
            domid: [observed.vcpu(each) for each in records] for domid, records in found.items()
        }

    async def shares(self, domids: Sequence[Domid]) -> Sequence[Share]:
        found = await self._ask(
            self._query, "scheduling parameters", None, lambda c: _calls().shares(c, domids)
        )
        return [Share(*each) for each in found]

    async def pool_schedule(self, pool: int, scheduler: str) -> PoolSchedule:
        def read(context: Context) -> PoolSchedule:
            if scheduler == "credit":
                return PoolSchedule(*_calls().credit(context, pool))
            return PoolSchedule(rate_limit=_calls().credit2(context, pool))

        _require_parameters(scheduler)
        return await self._ask(self._query, "scheduler's parameters", None, read)

    async def set_pool_schedule(self, pool: int, scheduler: str, wanted: PoolSchedule) -> None:
        def write(context: Context) -> None:
            if scheduler == "credit":
                _calls().set_credit(
                    context, pool, wanted.timeslice, wanted.rate_limit, wanted.migration_delay
                )
            elif wanted.rate_limit is not None:
                _calls().set_credit2(context, pool, wanted.rate_limit)

        _require_parameters(scheduler)
        await self._ask(self._quick, "set the scheduler's parameters", None, write)

    async def host_extras(self) -> HostExtras:
        def read(context: Context) -> tuple[Any, ...]:
            calls = _calls()
            found = (context.physinfo(), context.version(), len(pools.free_cpus(context)))
            return (*found, calls.pci_nodes(context), calls.NEWER_CAPABILITIES)

        physical, version, free, devices, words = await self._ask(self._query, "host", None, read)
        return HostExtras(
            max_cpu_id=physical["max_cpu_id"],
            free_cpus=free,
            sharing_freed=KiB(physical["sharing_freed_pages"] * _PAGE_KIB),
            sharing_used=KiB(physical["sharing_used_frames"] * _PAGE_KIB),
            newer_capabilities=tuple(
                word for bit, word in enumerate(words) if physical["newer_capabilities"] >> bit & 1
            ),
            build_id=version["build_id"],
            pci_nodes=None if devices is None else tuple(devices),
        )


_ONLY_IF_GIVEN: Final = {
    "max_vcpus": ("vcpus", "maxvcpus"),
    "avail_vcpus": ("vcpus", "maxvcpus"),
    "vcpu_hard_affinity": ("cpus",),
}
"""Fields of b_info that xl sets for these settings of xl.cfg(5), and not otherwise."""
_VNC: Final = {
    "enable": "vnc",
    "listen": "vnclisten",
    "passwd": "vncpasswd",
    "display": "vncdisplay",
    "findunused": "vncunused",
}
"""Fields of an HVM guest's display and the settings of xl.cfg(5) that set them."""


def as_xl(tree: dict[str, Any], given: Collection[str]) -> dict[str, Any]:
    """A create's configuration as xl has it: with what xl.conf(5) adds, without what xend says and
    xl does not."""
    info: dict[str, Any] = {**tree["c_info"], "run_hotplug_scripts": "True"}
    build: dict[str, Any] = {**tree["b_info"], "claim_mode": "True"}
    for field, settings in _ONLY_IF_GIVEN.items():
        if not any(name in given for name in settings):
            build.pop(field, None)
    if "vnc" in (special := build.get("type.hvm", {})):
        screen = {
            key: value for key, value in special["vnc"].items() if _VNC.get(key, key) in given
        }
        build["type.hvm"] = {**special, "vnc": screen}
    return {**tree, "c_info": info, "b_info": build}


def _require_parameters(scheduler: str) -> None:
    if scheduler not in ("credit", "credit2"):
        raise InvalidArgument(
            f"The scheduler {scheduler} has no parameters of its own",
            argument="scheduler",
            value=scheduler,
            expected="credit or credit2",
        )
