"""CPU pools: those of the hypervisor, and those that are registered and wait to be started.

What is active is the hypervisor's to say: its pools, whoever made them, with the uuid and name
that libxl keeps in XenStore under /local/pool/<id>.  What is registered is in the repository.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Sequence
from dataclasses import replace
from uuid import NAMESPACE_OID, UUID, uuid5

from xend.core.changes import change_config
from xend.core.context import Body, Context
from xend.core.jobs import Job
from xend.core.ports import PoolRepository
from xend.core.views import DomainView
from xend.errors import (
    DomainNotFound,
    HypervisorError,
    OperationFailed,
    PoolError,
    XendError,
    XenStoreError,
)
from xend.model.pools import PoolConfig, PoolInfo, PoolView
from xend.model.units import DOM0, Domid

log = logging.getLogger("xend.pools")

_NAME = re.compile(r"[A-Za-z0-9_\-.:/+]+")
_SCHEDULERS = frozenset({"credit", "credit2", "rtds", "null", "arinc653"})


class CpuPools:
    """Changes come one after the other; listing waits for none of them."""

    def __init__(self, context: Context, repository: PoolRepository) -> None:
        self._context = context
        self._repository = repository
        self._managed: dict[UUID, PoolConfig] = {}
        self._changing = asyncio.Lock()
        self._following: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Follows the pools' names, reads what is registered, and starts what is to be started
        with the daemon."""
        self._following = asyncio.create_task(self._follow(), name="xend-pools")
        self._managed = {pool.uuid: pool for pool in await self._repository.load()}
        if not self._managed:
            return
        for view in await self.list():
            if view.managed and view.config.auto_power_on and not view.active:
                try:
                    await self._activate(view.config)
                except XendError as error:
                    log.error("CPU pool %s was not started: %s", view.config.name, error)

    async def close(self) -> None:
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait([self._following])

    async def _follow(self) -> None:
        """Others make, rename and destroy pools, too, and their numbers are used again."""
        try:
            async with self._context.store.watching("/local/pool") as watch:
                async for _path in watch:
                    self._context.snapshot.forget_pools()
        except XenStoreError as error:
            log.warning("the names of CPU pools are not followed: %s", error)

    async def list(self, names: Sequence[str] = ()) -> list[PoolView]:
        """The active by id, then the others by name; all, or those of these names."""
        await self._context.snapshot.refresh()
        infos = await self._context.hypervisor.pools.list()
        views = await self._context.snapshot.all()
        active = [await self._active_view(info, views) for info in infos]
        known = {view.config.uuid for view in active}
        waiting = sorted(
            (pool for pool in self._managed.values() if pool.uuid not in known),
            key=lambda pool: pool.name,
        )
        idle = [await self._idle_view(pool) for pool in waiting]
        return [view for view in [*active, *idle] if not names or view.config.name in names]

    async def free_cpus(self) -> tuple[int, ...]:
        """Those of no pool."""
        return await self._context.hypervisor.pools.free_cpus()

    async def _active_view(self, info: PoolInfo, views: Sequence[DomainView]) -> PoolView:
        name = info.name or f"Pool-{info.id}"
        text = await self._context.store.read_or(f"/local/pool/{info.id}/uuid", "") or ""
        try:
            uuid = UUID(text)
        except ValueError:  # Pool 0 of an early boot, or one whose making was cut off.
            uuid = uuid5(NAMESPACE_OID, f"xen cpupool {info.id} {name}")
        managed = self._managed.get(uuid)
        config = managed or PoolConfig(uuid, name, name, info.scheduler, cpus=info.cpus)
        members = tuple(
            (view.uuid, view.name)
            for view in views
            if view.info is not None and view.info.cpupool == info.id
        )
        config = replace(config, name=name, ncpu=len(info.cpus))
        return PoolView(config, info.id, info.scheduler, info.cpus, members, managed is not None)

    async def _idle_view(self, pool: PoolConfig) -> PoolView:
        return PoolView(pool, None, await self._scheduler(pool), (), (), managed=True)

    async def _scheduler(self, pool: PoolConfig) -> str:
        return pool.scheduler or (await self._context.hypervisor.host()).xen_scheduler

    # -- Changes ---------------------------------------------------------------------------------

    @property
    def bodies(self) -> dict[str, Body]:
        return {
            "pool-create": self.create,
            "pool-new": self.new,
            "pool-start": self.start_pool,
            "pool-destroy": self.destroy,
            "pool-delete": self.delete,
            "pool-rename": self.rename,
            "pool-cpu-add": self.add_cpu,
            "pool-cpu-remove": self.remove_cpu,
            "pool-migrate": self.migrate,
        }

    async def create(self, job: Job, *, pool: PoolConfig) -> None:
        """Active at once, and forgotten when it is destroyed."""
        async with self._changing:
            await self._check_name(pool.name)
            await self._activate(pool)

    async def new(self, job: Job, *, pool: PoolConfig) -> UUID:
        """Registered, to be started later."""
        async with self._changing:
            await self._check_name(pool.name)
            await self._put(pool)
            return pool.uuid

    async def start_pool(self, job: Job, *, pool: str) -> None:
        async with self._changing:
            view = await self._find(pool)
            if view.active:
                raise _bad_state(view, "activated", "is active already")
            await self._activate(view.config)

    async def destroy(self, job: Job, *, pool: str) -> None:
        """Its CPUs are free afterwards; a registered one is still known."""
        async with self._changing:
            view = await self._find(pool)
            if view.id is None:
                raise _bad_state(view, "deactivated", "is not active")
            if view.domains or view.id == 0:
                who = ", ".join(name for _uuid, name in view.domains) or "Domain-0"
                raise _bad_state(
                    view, "in use", f"is in use by {who}: xm cpupool-migrate moves a domain away"
                )
            await self._context.hypervisor.pools.destroy(view.id)
            self._context.snapshot.invalidate()

    async def delete(self, job: Job, *, pool: str) -> None:
        async with self._changing:
            view = await self._find(pool)
            if view.active:
                raise _bad_state(view, "activated", "is active: xm cpupool-destroy stops it")
            del self._managed[view.config.uuid]
            await self._save()

    async def rename(self, job: Job, *, pool: str, name: str) -> str:
        """The name that it had."""
        async with self._changing:
            view = await self._find(pool)
            await self._check_name(name)
            if view.id is not None:
                await self._context.hypervisor.pools.rename(view.id, name)
            managed = self._managed.get(view.config.uuid)
            if managed is not None:
                await self._put(replace(managed, name=name, description=_described(managed, name)))
            self._context.snapshot.forget_pools()
            return view.config.name

    async def add_cpu(self, job: Job, *, pool: str, cpu: int) -> None:
        async with self._changing:
            view, number = await self._active(pool)
            await self._check_exists(view, cpu)
            owner = next((each for each in await self.list() if cpu in each.cpus), None)
            if owner is not None:
                raise _wrong_cpu(view, f"CPU {cpu} belongs to the pool {owner.config.name}")
            await self._context.hypervisor.pools.add_cpu(number, cpu)
            await self._proposed(view, {*view.config.cpus, cpu}, len(view.cpus) + 1)

    async def remove_cpu(self, job: Job, *, pool: str, cpu: int) -> None:
        async with self._changing:
            view, number = await self._active(pool)
            await self._check_exists(view, cpu)
            if cpu not in view.cpus:
                raise _wrong_cpu(view, f"CPU {cpu} is not in it")
            if len(view.cpus) == 1 and view.domains:
                raise PoolError(
                    f"CPU pool {view.config.name}: its last CPU cannot be removed while domains "
                    "are in it",
                    pool=view.config.name,
                    code="LAST_CPU_NOT_REMOVEABLE",
                )
            await self._context.hypervisor.pools.remove_cpu(number, cpu)
            await self._proposed(view, {*view.config.cpus} - {cpu}, len(view.cpus) - 1)

    async def migrate(self, job: Job, ref: str | int, *, pool: str) -> None:
        """Moves a domain; of a halted one the pool that it will start in changes."""
        async with self._changing:
            target = await self._find(pool)
            view = await self._context.current(job, ref)
            if view.domid == DOM0:
                raise OperationFailed("could not move Domain-0", stage="move")
            if view.domid is not None:
                await self._move(target, view.domid)
                self._context.snapshot.invalidate()
            await change_config(self._context, view, pool=target.config.name)

    async def _move(self, target: PoolView, domid: Domid) -> None:
        if target.id is None:
            raise OperationFailed(
                f"could not move domain: CPU pool {target.config.name} is not active", stage="move"
            )
        try:
            await self._context.hypervisor.pools.move(target.id, domid)
        except DomainNotFound:
            raise
        except HypervisorError as error:
            raise OperationFailed(f"could not move domain: {error}", stage="move") from error

    # -- How -------------------------------------------------------------------------------------

    async def _find(self, ref: str) -> PoolView:
        """By id, else by name."""
        views = await self.list()
        if ref.isascii() and ref.isdigit():
            for view in views:
                if view.id == int(ref):
                    return view
        for view in views:
            if view.config.name == ref:
                return view
        raise PoolError(f"unknown pool {ref}", pool=ref, code="")

    async def _active(self, ref: str) -> tuple[PoolView, int]:
        view = await self._find(ref)
        if view.id is None:
            raise _bad_state(view, "deactivated", "is not active: xm cpupool-start starts it")
        return view, view.id

    async def _check_name(self, name: str) -> None:
        if not name:
            raise _parameter(name, "Missing Pool Name")
        if not _NAME.fullmatch(name):
            raise _parameter(name, "Invalid Pool Name")
        if any(view.config.name == name for view in await self.list()):
            raise _parameter(name, f'Pool name "{name}" already exists')

    async def _check_exists(self, view: PoolView, cpu: int) -> None:
        count = (await self._context.hypervisor.host()).nr_cpus
        if not 0 <= cpu < count:
            raise _wrong_cpu(view, f"CPU unknown: this host has 0 to {count - 1}, not {cpu}")

    async def _activate(self, pool: PoolConfig) -> None:
        scheduler = await self._scheduler(pool)
        if scheduler not in _SCHEDULERS:
            raise PoolError(
                f"CPU pool {pool.name}: no scheduler '{scheduler}' "
                f"(there are {', '.join(sorted(_SCHEDULERS))})",
                pool=pool.name,
                code="UNKOWN_SCHED_POLICY",
            )
        free = await self._context.hypervisor.pools.free_cpus()
        if len(free) < pool.ncpu:
            raise PoolError(
                f"CPU pool {pool.name} wants {pool.ncpu} CPUs and {len(free)} are free: "
                "xm cpupool-cpu-remove takes one from another pool",
                pool=pool.name,
                code="INSUFFICIENT_CPUS",
            )
        wanted = [cpu for cpu in free if cpu in pool.cpus]
        chosen = [*wanted, *(cpu for cpu in free if cpu not in pool.cpus)][: pool.ncpu]
        await self._context.hypervisor.pools.create(pool.name, pool.uuid, scheduler, chosen)
        self._context.snapshot.invalidate()

    async def _proposed(self, view: PoolView, cpus: set[int], count: int) -> None:
        """A registered pool will ask for the same CPUs the next time."""
        managed = self._managed.get(view.config.uuid)
        if managed is not None:
            await self._put(replace(managed, cpus=tuple(sorted(cpus)), ncpu=count))

    async def _put(self, pool: PoolConfig) -> None:
        self._managed[pool.uuid] = pool
        await self._save()

    async def _save(self) -> None:
        await self._repository.save([*self._managed.values()])


class Unregistered:
    """A `PoolRepository` that keeps nothing."""

    async def load(self) -> Sequence[PoolConfig]:
        return ()

    async def save(self, pools: Sequence[PoolConfig]) -> None:
        """They are in memory as long as `CpuPools` is."""


def _described(pool: PoolConfig, name: str) -> str:
    """A description that only repeats the name goes with it."""
    return name if pool.description == pool.name else pool.description


def _bad_state(view: PoolView, state: str, text: str) -> PoolError:
    name = view.config.name
    return PoolError(f"CPU pool {name} {text}", pool=name, code="POOL_BAD_STATE", state=state)


def _wrong_cpu(view: PoolView, text: str) -> PoolError:
    name = view.config.name
    return PoolError(f"CPU pool {name}: {text}", pool=name, code="INVAILD_CPU")


def _parameter(name: str, text: str) -> PoolError:
    return PoolError(text, pool=name, code="PARAMETER_ERROR")
