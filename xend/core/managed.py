"""Managed domains: new and delete, and taking a stranger's domain over."""

from __future__ import annotations

import logging
from uuid import UUID

from xend.core.building import Building
from xend.core.context import Body, Context
from xend.core.jobs import Job
from xend.core.ports import ManagedDomain, OwnedDomain
from xend.core.reservations import check_unique_devices, complete
from xend.core.views import DomainView
from xend.errors import DomainNotFound, DomainStateError, OperationFailed
from xend.model.domain import DomainConfig
from xend.model.status import Origin, PowerState

log = logging.getLogger("xend.managed")


class Managed:
    def __init__(self, context: Context, building: Building) -> None:
        self._context = context
        self._building = building

    @property
    def bodies(self) -> dict[str, Body]:
        return {"new": self.new, "delete": self.delete, "adopt": self.adopt}

    async def new(self, job: Job, config: DomainConfig) -> DomainView:
        snapshot = self._context.snapshot
        check_unique_devices(config)
        await snapshot.refresh()
        views = snapshot.views()
        self._context.reserved.check_name(config.name, job.uuid, views)
        config = complete(config, self._context.reserved.taken_macs(views))
        await self._context.repository.save(config)
        before = snapshot.managed.get(job.uuid)
        snapshot.managed[job.uuid] = ManagedDomain(config, before.checkpoint if before else None)
        view = snapshot.by_uuid(job.uuid)
        if view is None:
            raise DomainNotFound(config.name)
        return view

    async def delete(self, job: Job, ref: str | int) -> None:
        view = await self._context.current(job, ref)
        if view.power_state is not PowerState.HALTED or view.domid is not None:
            raise DomainStateError(
                "Domain is not halted.",
                domain=str(ref),
                state=view.power_state.name.lower(),
                verb="delete",
            )
        await self._context.repository.delete(UUID(view.uuid))
        self._context.snapshot.managed.pop(view.uuid, None)

    async def adopt(self, job: Job, ref: str | int) -> DomainView:
        view, domid = await self._context.running(job, ref, "adopt")
        if view.origin is Origin.XEND:
            return view
        view = await self._context.snapshot.learn_config(view)
        if view.config is None:
            raise OperationFailed(
                f"The configuration of domain '{ref}' cannot be read, so it cannot be adopted",
                stage="config",
            )
        clock = self._context.clock
        started = view.started or clock.time()
        owned = OwnedDomain(
            view.uuid,
            domid,
            view.config,
            started=started,
            managed=view.managed,
            since=clock.monotonic() - max(0.0, clock.time() - started),
        )
        data = {"domid": domid, "name": view.name}
        async with self._context.intent(job, "adopt", view.uuid, data):
            await self._context.journal.put_owned(owned)
            ended = await self._context.files.end_watchers(view.name)
            if ended:
                log.info("%s is adopted: ended xl's process %s", view.name, ended)
        self._context.snapshot.own(owned)
        return self._context.snapshot.find(domid)
