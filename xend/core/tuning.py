"""Verbs that change what a domain may use: memory, vcpus, weight and cap."""

from __future__ import annotations

from collections.abc import Sequence

from xend.core.changes import change_config
from xend.core.context import Body, Context, not_started
from xend.core.jobs import Job
from xend.core.views import DomainView
from xend.errors import HypervisorError, InvalidArgument
from xend.model.units import DOM0, Domid, KiB


class Tuning:
    def __init__(self, context: Context) -> None:
        self._context = context

    @property
    def bodies(self) -> dict[str, Body]:
        return {
            "set-memory": self.set_memory,
            "set-max-memory": self.set_max_memory,
            "set-vcpus": self.set_vcpus,
            "pin-vcpu": self.pin_vcpu,
            "prefer-cpus": self.prefer_cpus,
            "set-scheduler": self.set_scheduler,
        }

    async def set_memory(self, job: Job, ref: str | int, *, target: KiB) -> None:
        """Running: the balloon's target, which the guest follows when it can."""
        view = await self._context.current(job, ref)
        if target <= 0:
            raise InvalidArgument(
                "memory_dynamic_max must be greater than zero", argument="memory", value=target
            )
        if view.domid == DOM0 and target < self._context.settings.dom0_min_mem:
            raise InvalidArgument(
                "memory_dynamic_max too small",
                argument="memory",
                value=target,
                expected=f"at least dom0-min-mem, {self._context.settings.dom0_min_mem} KiB",
            )
        limit = view.config.max_memory if view.config else 0
        if limit and target > limit:
            raise InvalidArgument(
                "memory_dynamic_max must be less than or equal to memory_static_max",
                argument="memory",
                value=target,
                expected=f"at most maxmem, {limit} KiB",
            )
        if view.domid is not None:
            await self._context.hypervisor.set_memory_target(view.domid, target)
            self._context.snapshot.invalidate()
        # Where no maxmem was given it is what `memory` was at the start, and stays that.
        await change_config(self._context, view, memory=int(target), maxmem=limit)

    async def set_max_memory(self, job: Job, ref: str | int, *, limit: KiB) -> None:
        view = await self._context.current(job, ref)
        if limit <= 0:
            raise InvalidArgument(
                "memory_static_max must be greater than zero", argument="maxmem", value=limit
            )
        if view.domid is not None:
            await self._context.hypervisor.set_max_memory(view.domid, limit)
            self._context.snapshot.invalidate()
        wanted = view.config.memory if view.config else int(limit)
        await change_config(self._context, view, maxmem=int(limit), memory=min(wanted, limit))

    async def set_vcpus(self, job: Job, ref: str | int, *, count: int) -> None:
        view = await self._context.current(job, ref)
        if count <= 0:
            raise InvalidArgument("Zero or less VCPUs is invalid", argument="vcpus", value=count)
        if view.domid is None:
            affinity = view.config.affinity[:count] if view.config else ()
            await change_config(
                self._context, view, vcpus=count, vcpus_online=None, affinity=affinity
            )
            return
        if count > view.vcpus:
            raise InvalidArgument(
                "Cannot set vcpus greater than max vcpus on running domain",
                argument="vcpus",
                value=count,
                expected=f"at most {view.vcpus}",
            )
        await self._context.hypervisor.set_vcpus(view.domid, count)
        self._context.snapshot.invalidate()
        await change_config(self._context, view, vcpus_online=count)

    async def pin_vcpu(
        self, job: Job, ref: str | int, *, vcpu: int | None, cpus: Sequence[int]
    ) -> None:
        view = await self._context.current(job, ref)
        if not cpus:
            raise InvalidArgument(
                f"Cannot pin vcpu: {vcpu} to cpu: [] - no CPU is given", argument="cpus", value=""
            )
        numbers = range(view.vcpus) if vcpu is None else (vcpu,)
        if vcpu is not None and not 0 <= vcpu < view.vcpus:
            raise InvalidArgument(
                f"Cannot pin vcpu: {vcpu} to cpu: {list(cpus)} - there is no such vcpu",
                argument="vcpu",
                value=vcpu,
                expected=f"0 to {view.vcpus - 1}",
            )
        if view.domid is not None:
            await self._pin(view.domid, numbers, cpus)
        affinity = _pinned(view, numbers, tuple(sorted(set(cpus))))
        await change_config(self._context, view, affinity=affinity)

    async def _pin(self, domid: Domid, numbers: Sequence[int], cpus: Sequence[int]) -> None:
        for number in numbers:
            try:
                await self._context.hypervisor.pin_vcpu(domid, number, cpus)
            except HypervisorError as error:
                count = (await self._context.hypervisor.host()).nr_cpus
                if min(cpus) < count:
                    raise
                raise InvalidArgument(
                    f"Cannot pin vcpu: {number} to cpu: {list(cpus)} - there is no such CPU",
                    argument="cpus",
                    value=list(cpus),
                    expected=f"0 to {count - 1}",
                ) from error

    async def prefer_cpus(
        self, job: Job, ref: str | int, *, vcpu: int | None, cpus: Sequence[int]
    ) -> None:
        """Of a running domain, for as long as it runs: configurations do not have this."""
        view = await self._context.current(job, ref)
        if view.domid is None:
            raise not_started(ref, view, "pin")
        for number in range(view.vcpus) if vcpu is None else (vcpu,):
            await self._context.hypervisor.prefer_cpus(view.domid, number, cpus)

    async def set_scheduler(
        self, job: Job, ref: str | int, *, weight: int | None = None, cap: int | None = None
    ) -> None:
        view = await self._context.current(job, ref)
        if weight is not None and not 1 <= weight <= 65535:
            raise InvalidArgument(
                "Cpu weight out of range, valid values are within range from 1 to 65535",
                argument="weight",
                value=weight,
            )
        most = view.vcpus * 100
        if cap is not None and not 0 <= cap <= most:
            raise InvalidArgument(
                f"Cpu cap out of range, valid range is from 0 to {most} for specified number of "
                "vcpus",
                argument="cap",
                value=cap,
            )
        if view.domid is not None:
            await self._context.hypervisor.set_scheduler(view.domid, weight=weight, cap=cap)
        wanted = {"cpu_weight": weight, "cpu_cap": cap}
        changed = {name: value for name, value in wanted.items() if value is not None}
        await change_config(self._context, view, **changed)


def _pinned(
    view: DomainView, numbers: Sequence[int], cpus: tuple[int, ...]
) -> tuple[tuple[int, ...], ...]:
    """The affinity of the configuration with some vcpus changed."""
    before = view.config.affinity if view.config else ()
    everyone = [before[n] if n < len(before) else () for n in range(view.vcpus)]
    for number in numbers:
        everyone[number] = cpus
    return tuple(everyone)
