"""Verbs that make a domain run: create, start, reset, restore, resume; and the restart that a
policy asks for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from xend.core.context import Body, Context, require_started
from xend.core.jobs import Job
from xend.core.memory import Look
from xend.core.plan import plan_create, plan_restart, plan_restore
from xend.core.reservations import check_unique_devices, complete
from xend.core.steps import IDENTITY_MAX_AGE, Applier
from xend.core.validate import check_host
from xend.core.views import DomainView
from xend.errors import ConfigError, DomainNotFound, DomainStateError, OperationFailed
from xend.model.domain import DomainConfig
from xend.model.pools import DEFAULT_POOL
from xend.model.status import Origin, PowerState
from xend.model.units import DOM0, Domid

log = logging.getLogger("xend.building")


@dataclass(frozen=True, slots=True)
class Successor:
    """What a restart hands on to the next incarnation."""

    config: DomainConfig
    old: Domid | None
    """None: it is gone, or is kept under another name."""
    managed: bool
    restarts: int
    quick: int
    paused: bool = False


class Building:
    def __init__(self, context: Context) -> None:
        self._context = context
        self.applier = Applier(context)

    @property
    def bodies(self) -> dict[str, Body]:
        return {
            "create": self.create,
            "start": self.start,
            "reset": self.reset,
            "restore": self.restore,
            "resume": self.resume,
        }

    async def create(self, job: Job, config: DomainConfig, *, paused: bool = False) -> DomainView:
        managed = str(config.uuid) in self._context.snapshot.managed
        async with self._admission(config) as admission:
            with job.may_be_cancelled():
                config = await self._identified(config, admission)
            plan = plan_create(
                config,
                paused=paused,
                managed=managed,
                timeout=self._context.settings.build_timeout,
            )
            # Whether the host has all that it takes is found out while the intent is written.
            domid = await self.applier.apply(plan, job, admission)
        return await self._view(domid, config)

    async def start(self, job: Job, ref: str | int, *, paused: bool = True) -> DomainView:
        view = await self._context.current(job, ref)
        if view.domid is not None or view.suspended or view.config is None:
            raise DomainStateError(
                "Domain is already running" if view.domid is not None else "Domain is suspended",
                domain=str(ref),
                state=view.power_state.name.lower(),
                verb="start",
                possible=("resume",) if view.suspended else (),
            )
        return await self.create(job, view.config, paused=paused)

    async def reset(self, job: Job, ref: str | int) -> DomainView:
        view, domid = await self._context.running(job, ref, "reset")
        require_started(
            ref, view, "reset", PowerState.RUNNING, PowerState.PAUSED, PowerState.CRASHED
        )
        view = await self._context.snapshot.learn_config(view)
        if view.config is None:
            raise OperationFailed(
                f"The configuration of domain '{ref}' cannot be read, so it cannot be made anew",
                stage="config",
            )
        quick = 0  # Asked for by a person, so no loop.
        successor = Successor(view.config, domid, view.managed, view.restarts, quick)
        return await self.restart(job, view, successor)

    async def restart(self, job: Job, view: DomainView, successor: Successor) -> DomainView:
        """Ends the old incarnation and builds the new one from `successor.config`.

        Readers go on seeing the old one until the new one has its domid.  A build that fails is
        tried again for a while; when it has failed for good the domain is halted, if it is managed,
        or else its configuration is where `RestartFailed` says.  When the old one does not go it
        stays ours.
        """
        context = self._context
        context.snapshot.keep_visible(view)
        plan = plan_restart(
            successor.config,
            successor.old,
            managed=successor.managed,
            restarts=successor.restarts,
            quick=successor.quick,
            paused=successor.paused,
            timeout=context.settings.build_timeout,
            destroy_timeout=context.settings.destroy_timeout,
            pauses=context.settings.restart_pauses,
        )
        try:
            return await self._view(await self.applier.apply(plan, job), successor.config)
        except BaseException:
            if not job.abandoned and view.domid is not None and await self._is_gone(view.domid):
                await context.journal.drop_owned(view.uuid, view.domid)
            raise
        finally:
            context.snapshot.let_go(view.uuid)

    async def _is_gone(self, domid: Domid) -> bool:
        """An id is not given to another domain so soon (Xen goes through all of them first)."""
        try:
            info = await self._context.hypervisor.domain(domid)
        except DomainNotFound:
            return True
        return info.dying

    async def restore(self, job: Job, *, path: Path, paused: bool = False) -> DomainView:
        with job.may_be_cancelled():
            reason = await self._context.files.reason_unreadable(path)
            if reason:
                raise OperationFailed(f"can't read guest state file {path}: {reason}", stage="open")
            config = await self._context.hypervisor.saved_config(path)
        job.uuid, job.name = str(config.uuid), config.name
        managed = job.uuid in self._context.snapshot.managed
        return await self._restored(job, config, path, paused, managed, remove=False)

    async def resume(self, job: Job, ref: str | int, *, paused: bool = False) -> DomainView:
        """A managed domain from its checkpoint, which is then removed."""
        view = await self._context.current(job, ref)
        if view.domid == DOM0:
            raise DomainStateError(f"Cannot resume privileged domain {ref}", domain=str(ref))
        if view.domid is not None or not view.managed:
            raise DomainStateError(
                "Cannot resume domain that is not suspended.",
                domain=str(ref),
                state=view.power_state.name.lower(),
                verb="resume",
            )
        managed = self._context.snapshot.managed[view.uuid]
        if managed.checkpoint is None:
            raise DomainStateError("Domain was not suspended by Xend", domain=str(ref))
        done = await self._restored(
            job, managed.config, managed.checkpoint, paused, managed=True, remove=True
        )
        return replace(done, suspended=False)

    async def _restored(
        self,
        job: Job,
        config: DomainConfig,
        path: Path,
        paused: bool,
        managed: bool,
        *,
        remove: bool,
    ) -> DomainView:
        plan = plan_restore(
            config,
            path,
            paused=paused,
            managed=managed,
            remove_source=remove,
            timeout=self._context.settings.build_timeout,
        )
        return await self._view(await self.applier.apply(plan, job), config)

    async def check(self, config: DomainConfig) -> None:
        """Raises what is wrong with it, as far as that can be seen without building it."""
        async with self._admission(config) as admission:
            await self._identified(config, admission)
            await admission

    async def _identified(
        self, config: DomainConfig, admission: asyncio.Task[Look]
    ) -> DomainConfig:
        """Complete, and nobody else by its name.  The cheap refusals first: a name that is taken
        does not wait for a slow disk."""
        snapshot = self._context.snapshot
        check_unique_devices(config)
        await snapshot.refresh(max_age=IDENTITY_MAX_AGE)
        views = snapshot.views()
        self._context.reserved.check_name(config.name, str(config.uuid), views, creating=True)
        if config.pool != DEFAULT_POOL:
            await asyncio.shield(admission)  # XenStore answers, then.
            pools = await self._context.hypervisor.cpupools()
            if config.pool not in pools.values():
                raise ConfigError(f"unknown pool {config.pool}", field="pool", value=config.pool)
        if any(vif.mac for vif in config.vifs):
            # Strangers' MACs count too; what they are is read once per stranger.
            strangers = [view for view in views if view.origin is Origin.FOREIGN]
            await asyncio.gather(*(snapshot.learn_config(view) for view in strangers))
        return complete(config, self._context.reserved.taken_macs(snapshot.views()))

    @asynccontextmanager
    async def _admission(self, config: DomainConfig) -> AsyncIterator[asyncio.Task[Look]]:
        """Looks, while the block does something else, whether the host has what it takes.  What
        is left of that at its end is cancelled."""
        task = asyncio.create_task(self._admitted(config), name="xend-admission")
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _admitted(self, config: DomainConfig) -> Look:
        """Awaited in the order in which the errors count."""
        checks = (
            asyncio.create_task(self._context.store_answers(), name="xend-check-store"),
            asyncio.create_task(check_host(config, self._context.files), name="xend-check-host"),
        )
        look = asyncio.create_task(self._context.memory.look(config), name="xend-look")
        try:
            for check in checks:
                await check
            return await look
        finally:
            for task in (*checks, look):
                task.cancel()
            await asyncio.gather(*checks, look, return_exceptions=True)

    async def _view(self, domid: Domid | None, config: DomainConfig) -> DomainView:
        """What has been built, as readers see it."""
        snapshot = self._context.snapshot
        if domid is None or (view := snapshot.by_domid(domid)) is None:
            await snapshot.refresh()
            view = None if domid is None else snapshot.by_domid(domid)
        if view is not None:
            return view
        # It has ended already, e.g. a kernel that panics at once with on_crash = destroy.
        view_now = snapshot.by_uuid(str(config.uuid))
        if view_now is None:
            raise DomainNotFound(config.name)
        return view_now
