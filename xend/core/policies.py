"""Follows what happens to domains, and applies the policies of those that are ours."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

from xend.core.building import Building, Successor
from xend.core.changes import change_config
from xend.core.context import Context
from xend.core.devices import read_devices
from xend.core.events import EventBus
from xend.core.identity import Identity
from xend.core.jobs import Job, JobRunner
from xend.core.lifecycle import Decision, decide
from xend.core.ports import NOTHING, HypervisorEvent, HypervisorEventKind, OwnedDomain
from xend.core.saving import Saving
from xend.core.views import XEND_ITSELF, DomainView
from xend.errors import DomainNotFound, HypervisorError, JournalError, XendError
from xend.model.status import ShutdownReason
from xend.model.units import Domid

log = logging.getLogger("xend.policies")

LOOK_SECONDS = 60.0
SETTLE_SECONDS = 0.1
"""Events that come in a burst (a hundred domains starting) cost one list, not a hundred."""
BUILD_TURNS = 4
"""So many such times a list that nobody asked for waits for a build that is under way."""


_RENAMING = frozenset({"rename", "migrate", "receive", "undo-migrate", "settle-migration"})
"""Jobs that give a domain another name, and its configuration, too."""


class Policies:
    def __init__(
        self,
        context: Context,
        jobs: JobRunner,
        bus: EventBus,
        building: Building,
        saving: Saving,
    ) -> None:
        self._context = context
        self._jobs = jobs
        self._bus = bus
        self._building = building
        self._saving = saving
        self._tasks: list[asyncio.Task[None]] = []
        self._stale = asyncio.Event()
        self._gone: asyncio.Queue[OwnedDomain] = asyncio.Queue()
        self._handling: set[tuple[str, Domid]] = set()
        self.adopting = False
        """The domains that the snapshot meets have been there before xend: nothing has happened."""

    async def start(self) -> None:
        """Whoever of ours ended while xend was away gets its policy now, by jobs."""
        await self.look_at_all()
        loops = {
            "xend-events": self._follow_hypervisor(),
            "xend-introduce": self._follow_store("@introduceDomain"),
            "xend-release": self._follow_store("@releaseDomain"),
            "xend-refresh": self._refresh_when_stale(),
            "xend-forget": self._forget_the_gone(),
            "xend-look": self._look_again(),
        }
        self._tasks = [asyncio.create_task(loop, name=name) for name, loop in loops.items()]
        for identity in self._context.snapshot.identities():
            if identity.owned is not None and identity.owned.config.name != identity.name:
                self._renamed(identity)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._tasks = []

    # -- Following -------------------------------------------------------------------------------

    def changed(self, kind: str, identity: Identity) -> None:
        """The snapshot saw a domain come, go, or change its name."""
        if not self.adopting:
            self._bus.publish(kind, "domain", identity.ids)
        if identity.owned is None:
            return
        if kind == "destroyed":
            self._gone.put_nowait(identity.owned)
        elif kind == "renamed":
            self._renamed(identity)

    def _renamed(self, identity: Identity) -> None:
        """If it was not us (`xl rename`) its configuration follows: else it would have its old name
        again after its next reboot."""
        active = self._jobs.active(identity.uuid)
        if active is not None and (active.kind in _RENAMING or active.kind.startswith("on-")):
            return
        if not self._tasks:  # What is being settled may rename it; `start` looks again.
            return

        async def body(job: Job) -> None:
            snapshot = self._context.snapshot
            name = await self._context.store.read_or(f"/local/domain/{identity.domid}/name")
            view = snapshot.by_domid(identity.domid)
            if view is None or snapshot.identity(identity.domid) is not identity or not name:
                return
            if identity.owned is not None and identity.owned.config.name != name:
                self._context.reserved.check_name(name, identity.uuid, snapshot.views())
                await change_config(self._context, view, name=name)

        self.submit("follow-rename", body, identity)

    def ended_unseen(self, owned: OwnedDomain) -> None:
        """One of ours went while xend was down."""
        ids = {"uuid": owned.uuid, "name": owned.config.name, "domid": str(owned.domid)}
        self._bus.publish("destroyed", "domain", ids)

    async def _follow_hypervisor(self) -> None:
        async for event in self._context.hypervisor.events():
            try:
                await self._on_event(event)
            except XendError as error:
                log.error("event %s of domain %d: %s", event.kind, event.domid, error)

    async def _on_event(self, event: HypervisorEvent) -> None:
        snapshot = self._context.snapshot
        match event.kind:
            case HypervisorEventKind.SHUTDOWN:
                identity = snapshot.identity(event.domid)
                if identity is not None:
                    ids = {**identity.ids, "reason": event.reason.name.lower()}
                    self._bus.publish("shutdown", "domain", ids)
                    self._consider(identity, event.reason)
            case HypervisorEventKind.RESYNC:
                await self.look_at_all()
            case HypervisorEventKind.CREATED | HypervisorEventKind.DEATH:
                pass
        snapshot.invalidate()
        self._stale.set()

    async def _follow_store(self, path: str) -> None:
        try:
            async with self._context.store.watching(path) as watch:
                async for _ in watch:
                    self._stale.set()
        except XendError as error:
            log.warning("%s is not followed: %s", path, error)

    async def _refresh_when_stale(self) -> None:
        while True:
            await self._stale.wait()
            await asyncio.sleep(SETTLE_SECONDS)
            await self._while_building()
            self._stale.clear()
            try:
                await self._context.snapshot.refresh(force=True)
            except XendError as error:
                log.error("the list of domains could not be refreshed: %s", error)

    async def _while_building(self) -> None:
        """What comes up then is mostly ours, and known: the build needs the processor more."""
        for _ in range(BUILD_TURNS):
            if not self._context.snapshot.builds_under_way:
                return
            await asyncio.sleep(SETTLE_SECONDS)

    async def _forget_the_gone(self) -> None:
        while True:
            owned = await self._gone.get()
            try:
                await self._context.journal.drop_owned(owned.uuid, owned.domid)
            except XendError as error:
                log.error("%s is gone, but still in the journal: %s", owned.config.name, error)

    async def _look_again(self) -> None:
        """A policy that could not be applied (the disk was full) is tried again."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look_at_all()
            except XendError as error:
                log.error("the domains could not be looked at: %s", error)

    async def look_at_all(self) -> None:
        """Something may have been missed: whoever of ours has ended gets its policy now."""
        snapshot = self._context.snapshot
        await snapshot.refresh(force=True)
        for view in snapshot.views():
            if view.info is None or not view.info.shutdown or view.info.dying:
                continue
            identity = snapshot.identity(view.info.domid)
            if identity is not None:
                self._consider(identity, view.info.shutdown_reason)

    # -- Acting ----------------------------------------------------------------------------------

    def _consider(self, identity: Identity, reason: ShutdownReason) -> None:
        owned = identity.owned
        key = (identity.uuid, identity.domid)
        if owned is None or owned.preserved or reason is ShutdownReason.SUSPEND:
            return
        if key in self._handling:
            return
        self._handling.add(key)

        async def body(job: Job) -> None:
            try:
                await self._apply(job, identity.domid)
            finally:
                self._handling.discard(key)

        self.submit(f"on-{reason.name.lower()}", body, identity)

    def submit(self, kind: str, body: Callable[[Job], Awaitable[Any]], identity: Identity) -> Job:
        return self._jobs.submit(
            kind,
            body,
            uuid=identity.uuid,
            name=identity.name,
            domid=identity.domid,
            caller=XEND_ITSELF,
        )

    async def _apply(self, job: Job, domid: Domid) -> None:
        """Its turn has come: look again, since a verb may have been faster."""
        context = self._context
        try:
            info = await context.hypervisor.domain(domid)
        except DomainNotFound:
            return
        identity = context.snapshot.identity(domid)
        if identity is None or identity.owned is None or not identity.is_of(info):
            return
        if not info.shutdown or info.dying:
            return
        owned = identity.owned
        decision = decide(info.shutdown_reason, owned, context.clock.monotonic(), context.settings)
        log.info(
            "Domain has shutdown: name=%s id=%d reason=%s: %s",
            identity.name,
            domid,
            info.shutdown_reason.name.lower(),
            decision.then,
        )
        if decision.why:
            log.error("%s", decision.why)
        await context.snapshot.refresh()
        view = context.snapshot.find(domid)
        if decision.dump:
            await self._dump(job, view, domid)
        await self._carry_out(job, decision, view, owned)

    async def _carry_out(
        self, job: Job, decision: Decision, view: DomainView, owned: OwnedDomain
    ) -> None:
        match decision.then:
            case "destroy":
                await self._destroy(job, owned)
            case "restart":
                await self.restart(job, view, owned, decision.quick)
            case "soft-reset":
                await self._soft_reset(job, view, owned, decision.quick)
            case "rename-restart":
                await self._rename_restart(job, view, owned, decision.quick)
            case "preserve":
                await self._preserve(owned)
            case "leave":
                pass

    async def _dump(self, job: Job, view: DomainView, domid: Domid) -> None:
        try:
            path = await self._saving.write_core(job, view, domid)
        except XendError as error:
            log.error("no core of domain %s was written: %s", view.name, error)
        else:
            log.info("the core of domain %s is in %s", view.name, path)

    async def _destroy(self, job: Job, owned: OwnedDomain) -> None:
        context = self._context
        data = {"domid": owned.domid}
        async with context.intent(job, "destroy", owned.uuid, data) as intent:
            await self._building.applier.end_domain(owned.domid, context.settings.destroy_timeout)
            intent.drop.append((owned.uuid, owned.domid))
        context.snapshot.forget(owned.domid)

    async def restart(
        self, job: Job, view: DomainView, owned: OwnedDomain, quick: int, *, kept: bool = False
    ) -> None:
        """`kept`: the old one has got another name and uuid, and stays."""
        successor = Successor(
            owned.config,
            None if kept else owned.domid,
            owned.managed,
            owned.restarts + 1,
            quick,
        )
        try:
            done = await self._building.restart(job, view, successor)
        except XendError:
            log.exception("Failed to restart domain %d.", owned.domid)
            raise
        self._bus.publish("restarted", "domain", {"uuid": done.uuid, "name": done.name})

    async def _soft_reset(self, job: Job, view: DomainView, owned: OwnedDomain, quick: int) -> None:
        """The same domain goes on, with its memory, as its guest asked for (kexec); where that
        does not work it is restarted."""
        context = self._context
        data = {"domid": owned.domid}
        try:
            async with context.intent(job, "soft-reset", owned.uuid, data):
                await context.hypervisor.soft_reset(owned.domid)
                await context.unpause(owned.domid)
        except HypervisorError as error:
            log.warning("%s is restarted, since a soft reset failed: %s", view.name, error)
            await self.restart(job, view, owned, quick)
            return
        kept = replace(
            owned, since=context.clock.monotonic(), quick=quick, restarts=owned.restarts + 1
        )
        await context.journal.put_owned(kept)
        context.snapshot.own(kept)
        self._bus.publish("restarted", "domain", {"uuid": view.uuid, "name": view.name})

    async def _preserve(self, owned: OwnedDomain) -> None:
        log.info("Preserving dead domain %s (%d).", owned.config.name, owned.domid)
        kept = replace(owned, preserved=True)
        await self._context.journal.put_owned(kept)
        self._context.snapshot.own(kept)

    async def _rename_restart(
        self, job: Job, view: DomainView, owned: OwnedDomain, quick: int
    ) -> None:
        """The dead one is kept under another name and uuid, as in the original."""
        with job.may_be_cancelled():
            uuid = uuid4()
        data = {
            "owned": {"domid": owned.domid, "restarts": owned.restarts, "managed": owned.managed},
            "config": owned.config.model_dump(mode="json"),
            "name": f"Domain-{uuid}",
            "uuid": str(uuid),
            "quick": quick,
        }
        async with self._context.intent(job, "rename-restart", owned.uuid, data) as intent:
            await self.set_aside(owned, f"Domain-{uuid}", uuid)
            with intent.kept_if_it_fails(JournalError):  # A full disk is not for ever.
                await self.restart(job, view, owned, quick, kept=True)

    async def set_aside(self, owned: OwnedDomain, name: str, uuid: UUID) -> None:
        """Also for the next start, if this one was cut off in the middle."""
        context = self._context
        log.info("Renaming dead domain %s (%d) to %s.", owned.config.name, owned.domid, name)
        await self._release_devices(owned.domid)
        await context.hypervisor.preserve(owned.domid, name, uuid)
        kept = replace(
            owned,
            uuid=str(uuid),
            handle=owned.uuid,
            config=owned.config.model_copy(update={"name": name, "uuid": uuid}),
            preserved=True,
            managed=False,
        )
        await context.journal.settle(NOTHING, put=[kept], drop=[(owned.uuid, owned.domid)])
        context.snapshot.invalidate()
        context.snapshot.own(kept)

    async def _release_devices(self, domid: Domid) -> None:
        """Its successor wants them: the block script refuses a disk that another domain can
        write to."""
        for device_class in ("vbd", "vif"):
            for device in await read_devices(self._context.store, domid, device_class):
                try:
                    await self._context.hypervisor.detach_device(
                        domid, "vbd" if device_class == "vbd" else "vif", device.devid, force=True
                    )
                except XendError as error:
                    log.warning("%s %d of the dead domain: %s", device_class, device.devid, error)
