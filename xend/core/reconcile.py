"""At the start: what did a former run leave behind?

The journal says what was begun and what is ours; the hypervisor says what there is.  Whatever was
cut off is finished or undone.  Each rule can itself be cut off and run again.  Nothing is ever
destroyed that the journal does not say is ours: a domain that `xl` is just building looks exactly
like a half-made one of ours.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import UUID

from xend.core.building import Building, Successor
from xend.core.changes import change_config
from xend.core.context import Context
from xend.core.hotplug import settle_hotplug
from xend.core.jobs import Job, JobRunner
from xend.core.migrating import Migrating
from xend.core.policies import Policies
from xend.core.ports import BrokenEntry, Intent, ManagedDomain, OwnedDomain
from xend.core.receiving import Receiving
from xend.core.saving import leftovers
from xend.core.steps import is_half_made
from xend.core.suspension import is_suspended, undo_suspend, wake_if_suspended
from xend.core.views import XEND_ITSELF, DomainView
from xend.errors import JournalError, OperationFailed, XendError
from xend.model.domain import DomainConfig
from xend.model.status import DomainInfo, Origin
from xend.model.units import Domid

log = logging.getLogger("xend.reconcile")


class Reconciliation:
    def __init__(
        self,
        context: Context,
        building: Building,
        policies: Policies,
        jobs: JobRunner,
        migrating: Migrating,
        receiving: Receiving,
    ) -> None:
        self._context = context
        self._migrating = migrating
        self._receiving = receiving
        self._applier = building.applier
        self._building = building
        self._policies = policies
        self._jobs = jobs
        self._owned: dict[str, OwnedDomain] = {}
        self._handles: dict[str, str] = {}
        self._turn = asyncio.Lock()
        self._nothing_runs = False
        """What is being settled began before the host was booted."""
        self._infos: dict[Domid, DomainInfo] = {}
        self._restarts: list[tuple[Intent, Successor]] = []
        """To be built once all else is settled: a look at what is gone must not race a build."""
        self.broken: list[BrokenEntry] = []
        """Managed domains that could not be read."""
        self._rules: dict[str, Callable[[Intent], Awaitable[bool]]] = {
            "save": self._save,
            "create": self._create,
            "restore": self._create,
            "restart": self._restart,
            "rename-restart": self._rename_restart,
            "soft-reset": self._soft_reset,
            "destroy": self._destroy,
            "adopt": self._finish_adopting,
            "rename": self._rename,
            "dump": self._dump,
            "attach": self._hotplug,
            "detach": self._hotplug,
            "migrate": self._migrate,
            "receive": self._receive,
        }

    async def run(self) -> None:
        await self._look()
        intents = await self._context.journal.open_intents()
        # Saves first: they decide whether a managed domain has a checkpoint.  Then the newest
        # first: a restart within a rename-restart is settled before what it is part of.
        ordered = sorted(intents, key=lambda intent: (intent.kind != "save", -intent.id))
        for intent in [intent for intent in ordered if intent.kind == "save"]:
            await self._settle(intent)
        await self._load_managed()
        await self._adopt()
        for intent in [intent for intent in ordered if intent.kind != "save"]:
            await self._settle(intent)
        await self._drop_the_gone()
        await self._sweep()
        self._resume_restarts()

    def _resume_restarts(self) -> None:
        while self._restarts:
            self._resume_restart(*self._restarts.pop(0))

    async def _sweep(self) -> None:
        """What libxl keeps of domains that are gone.  The files are looked for before the domains:
        libxl writes none before there is the domain."""
        left = await self._context.files.userdata()
        if not left:
            return
        domains = await self._context.hypervisor.list_domains()
        alive = {(info.domid, info.uuid) for info in domains}
        swept = 0
        for each in left:
            if (each.domid, each.uuid) not in alive:
                try:
                    await self._context.files.remove(each.path)
                except XendError as error:
                    log.error("%s is of a domain that is gone: %s", each.path, error)
                else:
                    swept += 1
        if swept:
            log.info("removed %d files of domains that are gone", swept)

    async def _look(self) -> None:
        self._context.snapshot.invalidate()
        self._infos = {
            info.domid: info
            for info in await self._context.hypervisor.list_domains()
            if not info.dying
        }
        self._owned = {}
        self._handles = {}
        if self._nothing_runs:
            self._infos = {}
            return
        for owned in await self._context.journal.owned():
            if owned.handle:
                self._handles[owned.uuid] = owned.handle
            if self._is_alive(owned.uuid, owned.domid):
                self._owned[owned.uuid] = owned

    def _is_alive(self, uuid: str, domid: Domid | None) -> bool:
        info = self._infos.get(domid) if domid is not None else None
        return info is not None and info.uuid == self._handles.get(uuid, uuid)

    async def _load_managed(self) -> None:
        managed, self.broken = await self._context.repository.load()
        for entry in self.broken:
            log.error("managed domain %s is left alone: %s", entry.path, entry.reason)
        self._context.snapshot.managed.clear()
        for each in managed:
            self._context.snapshot.managed[str(each.config.uuid)] = each

    async def _adopt(self) -> None:
        """Running domains of ours are ours again; they notice nothing."""
        await self._look()
        self._policies.adopting = True
        try:
            for owned in self._owned.values():
                self._context.snapshot.own(owned)
            await self._context.snapshot.refresh(force=True)
        finally:
            self._policies.adopting = False
        if self._owned:
            log.info("adopted %d running domains", len(self._owned))

    async def _drop_the_gone(self) -> None:
        # In this order: what a policy builds meanwhile is then not taken for gone.
        recorded = await self._context.journal.owned()
        await self._look()
        for owned in recorded:
            if not self._is_alive(owned.uuid, owned.domid):
                log.info("domain %s (%d) ended while xend was down", owned.uuid, owned.domid)
                await self._context.journal.drop_owned(owned.uuid, owned.domid)
                self._policies.ended_unseen(owned)

    async def _settle(self, intent: Intent) -> None:
        rule = self._rules.get(intent.kind)
        if rule is None:
            log.error("an intent of unknown kind '%s' is left open", intent.kind)
            return
        log.warning("a %s of %s was cut off", intent.kind, intent.data.get("name", intent.uuid))
        self._nothing_runs = intent.former_boot
        try:
            if await rule(intent):
                await self._context.journal.end(intent.id)
        except (XendError, KeyError, ValueError) as error:
            # It stays open; one that cannot be settled must not keep the others from it.
            log.error("a %s that was cut off could not be settled: %s", intent.kind, error)
            self._context.leave_open(intent, told=False)
        finally:
            self._nothing_runs = False

    async def settle(self, intent: Intent) -> None:
        """While xend runs, in the turn of its domain: one at a time, since they share what has
        been seen.  Ends it, or hands it to a job that does; XendError when neither can be done."""
        rule = self._rules.get(intent.kind)
        if rule is None:
            return
        async with self._turn:
            self._nothing_runs = intent.former_boot
            try:
                if await rule(intent):
                    await self._context.journal.end(intent.id)
                self._resume_restarts()
            except (KeyError, ValueError) as error:
                raise OperationFailed(
                    f"The intent of a {intent.kind} cannot be read: {error!r}", stage="settle"
                ) from error
            finally:
                self._nothing_runs = False

    # -- One rule per kind: True when the intent is settled ---------------------------------------

    async def _create(self, intent: Intent) -> bool:
        """Also of a restore.  What is ours and whole was done but for the unpause."""
        await self._look()
        owned = self._owned.get(intent.uuid)
        if intent.data.get("undo"):
            return await self._take_back(intent)
        if owned is not None and await self._context.hypervisor.is_whole(owned.domid, owned.uuid):
            if intent.data.get("remove"):
                await self._context.files.remove(Path(intent.data["source"]))
                self._forget_checkpoint(intent.uuid)
            if not intent.data.get("paused", False):
                await self._context.unpause(owned.domid)
            return True
        await self._remove_half_made(intent)
        if owned is not None:
            await self._context.journal.drop_owned(owned.uuid, owned.domid)
        return True

    async def _take_back(self, intent: Intent) -> bool:
        """Who asked has been told that it failed.  What has run since then somebody has taken up:
        it stays."""
        owned = self._owned.get(intent.uuid)
        for info in [*self._infos.values()]:
            if not is_half_made(info, intent.uuid, intent.domid):
                continue
            if info.paused and info.cpu_time == 0:
                log.warning("removing domain %d, left of a failed %s", info.domid, intent.kind)
                await self._applier.end_domain(info.domid, self._context.settings.destroy_timeout)
                if owned is not None and owned.domid == info.domid:
                    await self._context.journal.drop_owned(owned.uuid, owned.domid)
        return True

    def _forget_checkpoint(self, uuid: str) -> None:
        managed = self._context.snapshot.managed.get(uuid)
        if managed is not None:
            self._context.snapshot.managed[uuid] = ManagedDomain(managed.config)

    async def _remove_half_made(self, intent: Intent, keep: Domid | None = None) -> None:
        """Of a restart the journal may have the domid of a try before the last."""
        domid = intent.domid
        if intent.kind == "restart" and not self._is_alive(intent.uuid, domid):
            domid = None
        for info in self._infos.values():
            if info.domid != keep and is_half_made(info, intent.uuid, domid):
                log.warning("removing the half-made domain %d of %s", info.domid, intent.uuid)
                await self._applier.end_domain(info.domid, self._context.settings.destroy_timeout)

    async def _restart(self, intent: Intent) -> bool:
        """Forward only: the guest was promised to come back, but not over a boot of the host."""
        if intent.former_boot:
            return True
        await self._look()
        data = intent.data
        old = data.get("old")
        owned = self._owned.get(intent.uuid)
        if owned is not None and owned.domid != old:
            if not data.get("paused", False) and intent.domid in (None, owned.domid):
                await self._context.unpause(owned.domid)
            return True
        await self._remove_half_made(intent, keep=old)
        successor = Successor(
            DomainConfig.model_validate(data["config"]),
            Domid(old) if old is not None and self._is_alive(intent.uuid, old) else None,
            bool(data["managed"]),
            int(data["restarts"]),
            int(data["quick"]),
            bool(data["paused"]),
        )
        self._restarts.append((intent, successor))
        return False

    def _resume_restart(self, intent: Intent, successor: Successor) -> None:
        """As a job, since a build takes its time.  The old intent ends after the new plan, so
        there is no moment at which neither is on disk."""
        view = self._context.snapshot.by_uuid(intent.uuid) or _halted(successor.config)

        async def body(job: Job) -> None:
            try:
                await self._building.restart(job, view, successor)
            except JournalError:
                # It has not even begun: this intent is all that there is of it.
                if not job.abandoned:
                    self._context.leave_open(intent, told=False)
                raise
            except (Exception, asyncio.CancelledError):
                if not job.abandoned:
                    await self._context.journal.end(intent.id)
                raise
            await self._context.journal.end(intent.id)

        self._jobs.submit(
            "restart", body, uuid=intent.uuid, name=successor.config.name, caller=XEND_ITSELF
        )

    async def _rename_restart(self, intent: Intent) -> bool:
        if intent.former_boot:
            return True
        await self._look()
        data = intent.data
        domid = Domid(data["owned"]["domid"])
        successor = self._owned.get(intent.uuid)
        if successor is not None and successor.domid != domid:
            return True
        under_way = [
            job.uuid for job in self._jobs.list() if job.kind == "restart" and not job.done
        ]
        if intent.uuid in [*under_way, *(within.uuid for within, _ in self._restarts)]:
            return True  # The restart within it was cut off, too, and is done again.
        config = DomainConfig.model_validate(data["config"])
        restarts, managed = int(data["owned"]["restarts"]), bool(data["owned"]["managed"])
        if successor is not None:
            await self._policies.set_aside(successor, data["name"], UUID(data["uuid"]))
        successor_to_be = Successor(config, None, managed, restarts + 1, int(data["quick"]))
        self._restarts.append((intent, successor_to_be))
        return False

    async def _save(self, intent: Intent) -> bool:
        await self._look()
        data = intent.data
        domid = Domid(data["domid"])
        partial, path = Path(data["partial"]), Path(data["path"])
        info = self._infos.get(domid) if self._is_alive(intent.uuid, domid) else None
        if not data["written"]:
            if partial != path:
                for leftover in leftovers(partial):
                    await self._context.files.remove(leftover)
            if info is None or await wake_if_suspended(self._context, domid):
                return True
            self._undo_save(intent, domid)
            return False
        if info is not None and not data["checkpoint"] and not is_suspended(info):
            # It was complete, but had been taken back: the domain has moved on.
            for leftover in leftovers(partial) if partial != path else ():
                await self._context.files.remove(leftover)
            return True
        if partial != path:
            await self._context.files.rename(partial, path)
        if info is not None and not data["checkpoint"]:
            await self._applier.end_domain(domid, self._context.settings.destroy_timeout)
        return True

    def _undo_save(self, intent: Intent, domid: Domid) -> None:
        """As a job: the guest may only be about to suspend, and the start does not wait for it."""

        async def body(job: Job) -> None:
            await undo_suspend(self._context, domid)
            await self._context.journal.end(intent.id)

        owned = self._owned.get(intent.uuid)
        name = owned.config.name if owned is not None else intent.uuid
        self._jobs.submit("undo-save", body, uuid=intent.uuid, name=name, caller=XEND_ITSELF)

    async def _soft_reset(self, intent: Intent) -> bool:
        """Before it was reset the policy is applied once more; after it, it has to run."""
        await self._look()
        info = self._infos.get(Domid(intent.data["domid"]))
        if info is not None and info.uuid == intent.uuid and info.paused and not info.shutdown:
            await self._context.unpause(info.domid)
        return True

    async def _destroy(self, intent: Intent) -> bool:
        await self._look()
        domid = Domid(intent.data["domid"])
        if self._is_alive(intent.uuid, domid):
            await self._applier.end_domain(domid, self._context.settings.destroy_timeout)
        return True

    async def _finish_adopting(self, intent: Intent) -> bool:
        """Forward, if it is ours already: nobody else may be left to apply its policies."""
        await self._look()
        if intent.uuid in self._owned:
            await self._context.files.end_watchers(str(intent.data["name"]))
        return True

    async def _rename(self, intent: Intent) -> bool:
        """Forward: the new name, everywhere."""
        await self._look()
        new, domid = str(intent.data["new"]), intent.data.get("domid")
        view = self._context.snapshot.by_uuid(intent.uuid)
        if view is None:
            return True
        if domid is not None and self._is_alive(intent.uuid, domid):
            name = await self._context.store.read_or(f"/local/domain/{domid}/name")
            if name != new:
                await self._context.hypervisor.rename(Domid(domid), name or view.name, new)
        await change_config(self._context, view, name=new)
        return True

    async def _dump(self, intent: Intent) -> bool:
        await self._look()
        domid = Domid(intent.data["domid"])
        if "partial" in intent.data:
            await self._context.files.remove(Path(intent.data["partial"]))
        if intent.data["paused"] and self._is_alive(intent.uuid, domid):
            await self._context.unpause(domid)
        return True

    async def _hotplug(self, intent: Intent) -> bool:
        await self._look()
        view = self._context.snapshot.by_uuid(intent.uuid)
        if view is not None and self._is_alive(intent.uuid, Domid(intent.data["domid"])):
            await settle_hotplug(self._context, intent.data, view)
        return True

    async def _migrate(self, intent: Intent) -> bool:
        await self._look()
        domid = Domid(intent.data["domid"])
        owned = self._owned.get(intent.uuid)
        return await self._migrating.reconcile(
            intent,
            owned if owned is not None and owned.domid == domid else None,
            alive=self._is_alive(intent.uuid, domid),
        )

    async def _receive(self, intent: Intent) -> bool:
        """Before it was permitted to run it never has, and the sender has it."""
        await self._look()
        if intent.data["phase"] in ("permitted", "running"):
            alive = self._is_alive(intent.uuid, intent.domid)
            return await self._receiving.reconcile(intent, alive=alive)
        await self._remove_half_made(intent, keep=intent.data["beside"])
        return True


def _halted(config: DomainConfig) -> DomainView:
    return DomainView(config.name, str(config.uuid), None, config, Origin.XEND)
