"""What other toolstacks do to running domains is in our configurations within a second.

Three watches for the whole host say whose devices, memory target or PCI devices have changed, and
a list says whose vcpus have: nothing is asked for a domain that nobody touched, and nothing grows
with the number of domains but the watches' silence.  A domain that was touched is asked about once
(libxl's configuration of it).  Of a stranger that replaces what we knew; of one of ours it is
compared with our configuration, and what somebody changed (`core.differences`) is carried over by
a job, into the journal and, if the domain is managed, to disk: it outlives a reboot, as if it had
been asked of xend.

What a toolstack takes away from a domain that it is about to destroy was not taken away from its
configuration: libxl pauses a domain first, and then removes its devices; only PCI devices go
before that.  So what is missing from a domain that does not run is not followed, and a missing PCI
device only when the domain runs on without it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

from xend.core.changes import amend_config
from xend.core.context import Context
from xend.core.differences import Difference, difference
from xend.core.events import EventBus
from xend.core.identity import Identity
from xend.core.jobs import Job, JobRunner
from xend.core.views import XEND_ITSELF, DomainView
from xend.errors import DomainNotFound, OperationFailed, XendError
from xend.model.domain import DomainConfig
from xend.model.status import DomainInfo
from xend.model.units import Domid

log = logging.getLogger("xend.following")

CARRYING_OVER: Final = "follow-change"
"""The kind of the jobs."""
SETTLE_SECONDS: Final = 0.25
"""What is changed in a burst (a device has a dozen nodes) is asked for once."""
PACE_SECONDS: Final = 0.05
"""Between two domains of which nobody said that they have changed."""
PATIENCE: Final = 0.5
"""Seconds that a reader waits for a change that somebody has made."""
ASK_AGAIN: Final = 5.0
"""Seconds until a reader waits again for a domain that was too slow."""
TRIES: Final = 3
LATER: Final = 60.0
"""Seconds until it is tried again after so many tries."""
PCI_SECONDS: Final = 5.0
"""How long a domain has run on without a PCI device that was not about to be destroyed."""

_LIBXL: Final = "/libxl"
_VMS: Final = "/vm"
_PCI: Final = "/local/domain/0/backend/pci"


class Following:
    def __init__(self, context: Context, jobs: JobRunner, bus: EventBus) -> None:
        self._context = context
        self._jobs = jobs
        self._bus = bus
        self._tasks: list[asyncio.Task[None]] = []
        self._touched: dict[Domid, None] = {}
        """Somebody has changed something of them: readers wait until that is known."""
        self._doubtful: dict[Domid, None] = {}
        """Something may have changed: they are looked at in turn, and nobody waits."""
        self._held: set[Domid] = set()
        """What is missing from them is looked at again when they run."""
        self._without: dict[Domid, float] = {}
        """By `time` of the loop: since when a PCI device is missing."""
        self._looks: dict[Domid, asyncio.Task[None]] = {}
        self._slow: dict[Domid, float] = {}
        self._failed: Counter[Domid] = Counter()
        self._wake = asyncio.Event()

    async def start(self) -> None:
        """Each watch begins with its own path, which means: look at everything once.  What was
        done while xend was down is found so."""
        loops = {
            "xend-devices": self._watch(_LIBXL, self._in_libxl),
            "xend-targets": self._watch(_VMS, self._in_vms),
            "xend-pci": self._watch(_PCI, self._in_pci),
            "xend-follow": self._work(),
        }
        self._tasks = [asyncio.create_task(loop, name=name) for name, loop in loops.items()]

    async def close(self) -> None:
        tasks = [*self._tasks, *self._looks.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._tasks = []

    # -- Noticing --------------------------------------------------------------------------------

    async def _watch(self, path: str, changed: Callable[[str], None]) -> None:
        try:
            async with self._context.store.watching(path) as watch:
                async for each in watch:
                    if each == path:
                        self.doubt_all()
                    else:
                        changed(each)
        except XendError as error:
            log.warning("changes by others are not followed at %s: %s", path, error)

    def _in_libxl(self, path: str) -> None:
        number, _, rest = path.removeprefix("/libxl/").partition("/")
        if rest.startswith("device") and number.isdecimal():
            self._notice(self._context.snapshot.identity(Domid(int(number))))

    def _in_vms(self, path: str) -> None:
        """libxl writes that node with the target itself (libxl_set_memory_target)."""
        uuid, _, rest = path.removeprefix("/vm/").partition("/")
        if rest == "memory":
            for identity in self._context.snapshot.identities():
                if identity.uuid == uuid:
                    self._notice(identity)

    def _in_pci(self, path: str) -> None:
        number = path.removeprefix(f"{_PCI}/").partition("/")[0]
        if number.isdecimal():
            self._notice(self._context.snapshot.identity(Domid(int(number))))

    def listed(self, before: Mapping[Domid, DomainInfo], now: Mapping[Domid, DomainInfo]) -> None:
        """A list has been taken.  Of vcpus XenStore has only a node each, among all that guests
        write."""
        for domid, info in now.items():
            last = before.get(domid)
            if last is info or last is None or last.vcpus_online == info.vcpus_online:
                continue
            identity = self._context.snapshot.identity(domid)
            config = identity.config if identity is not None else None
            if config is not None and info.vcpus_online != (config.vcpus_online or config.vcpus):
                self._notice(identity)
        for domid in [*self._held]:
            held = now.get(domid)
            if held is None or not (held.paused or held.shutdown or held.dying):
                self._held.discard(domid)
                self._doubt(domid)

    def _notice(self, identity: Identity | None) -> None:
        """What is done while a verb of ours is at work is mostly that verb's doing."""
        if identity is None or identity.config is None or identity.domid in self._touched:
            return
        if self._context.snapshot.is_being_built(identity.uuid):
            return
        if self._jobs.active(identity.uuid) is None:
            self._doubtful.pop(identity.domid, None)
            self._touched[identity.domid] = None
            self._wake.set()
        else:
            self._doubt(identity.domid)

    def _doubt(self, domid: Domid) -> None:
        if domid not in self._touched:
            self._doubtful[domid] = None
            self._wake.set()

    def doubt_all(self) -> None:
        for identity in self._context.snapshot.identities():
            if identity.config is not None:
                self._doubt(identity.domid)

    # -- Looking ---------------------------------------------------------------------------------

    async def caught_up(self, view: DomainView) -> DomainView:
        """The same with what others have changed, if they have; a reader waits for that only so
        long."""
        domid = view.domid
        if domid is None or (domid not in self._touched and domid not in self._looks):
            return view
        identity = self._context.snapshot.identity(domid)
        if identity is None or identity.uuid != view.uuid or self._is_busy(view.uuid):
            return view
        now = asyncio.get_running_loop().time()
        if self._slow.get(domid, now) > now:
            return view
        done, _ = await asyncio.wait([self._look(identity)], timeout=PATIENCE)
        if not done:
            self._slow[domid] = now + ASK_AGAIN
        after = self._context.snapshot.by_domid(domid)
        return after if after is not None and after.uuid == view.uuid else view

    def _is_busy(self, uuid: str) -> bool:
        """With something else than what is waited for."""
        active = self._jobs.active(uuid)
        return active is not None and active.kind != CARRYING_OVER

    async def _work(self) -> None:
        """One at a time: a domain whose configuration is locked holds up no others' verbs."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(SETTLE_SECONDS)
            self._wake.clear()
            busy: list[Domid] = []
            while waiting := self._touched or self._doubtful:
                pace = 0.0 if waiting is self._touched else PACE_SECONDS
                domid = next(iter(waiting))
                del waiting[domid]
                identity = self._context.snapshot.identity(domid)
                if identity is None:
                    self.forget(domid)
                elif self._jobs.active(identity.uuid) or (pace and self._builds):
                    busy.append(domid)
                else:
                    await asyncio.wait([self._look(identity)])
                    await asyncio.sleep(pace)
            for domid in busy:
                self._doubt(domid)

    @property
    def _builds(self) -> bool:
        """Then what nobody waits for can wait."""
        return self._context.snapshot.builds_under_way

    def forget(self, domid: Domid) -> None:
        """It is gone; its number may come again."""
        for known in (self._touched, self._doubtful, self._without, self._slow, self._failed):
            known.pop(domid, None)
        self._held.discard(domid)

    def _look(self, identity: Identity) -> asyncio.Task[None]:
        """Whatever is changed from now on is looked at once more."""
        domid = identity.domid
        task = self._looks.get(domid)
        if task is None or domid in self._touched:
            self._touched.pop(domid, None)
            task = asyncio.create_task(self._compare(identity), name=f"xend-follow-{domid}")
            self._looks[domid] = task
            task.add_done_callback(lambda ended: self._looked(domid, ended))
        return task

    def _looked(self, domid: Domid, task: asyncio.Task[None]) -> None:
        if self._looks.get(domid) is task:
            del self._looks[domid]

    async def _compare(self, identity: Identity) -> None:
        domid = identity.domid
        try:
            if identity.owned is None:
                await self._learn(identity)
            elif await self._changed(identity):
                job = self._jobs.submit(
                    CARRYING_OVER,
                    lambda job: self._carry_over(job, identity),
                    uuid=identity.uuid,
                    name=identity.name,
                    domid=domid,
                    caller=XEND_ITSELF,
                )
                await job.wait()
        except DomainNotFound:
            self.forget(domid)
        except XendError as error:
            self._failed[domid] += 1
            log.info("what others changed of domain %d is not followed yet: %s", domid, error)
            if self._failed[domid] % TRIES:
                self._doubt(domid)
            else:
                asyncio.get_running_loop().call_later(LATER, self._doubt, domid)
        else:
            self._failed.pop(domid, None)

    async def _learn(self, identity: Identity) -> None:
        """A stranger's."""
        seen = await self._seen(identity.domid)
        if identity.config is None or _kept(identity) is not None:
            return
        seen = seen.model_copy(update={"name": identity.name})
        if seen != identity.config:
            identity.config = seen
            self._tell(identity)

    async def _changed(self, identity: Identity) -> Difference | None:
        """What somebody changed of one of ours, as far as that is to be followed; how the domain
        is comes after what it has, since who destroys it pauses it first."""
        domid = identity.domid
        if self._context.snapshot.identity(domid) is not identity or _kept(identity) is None:
            return None
        seen = await self._seen(domid)
        info = await self._context.hypervisor.domain(domid)
        config = _kept(identity)
        if config is None or not identity.is_of(info):
            return None
        found = difference(config, seen)
        if found.gone and (info.paused or info.shutdown or info.dying):
            self._held.add(domid)
            found = found.without_losses()
        return self._with_pci(domid, found)

    async def _seen(self, domid: Domid) -> DomainConfig:
        seen = await self._context.hypervisor.config_of(domid)
        if seen is None:
            if (await self._context.hypervisor.domain(domid)).dying:
                raise DomainNotFound(domid)
            raise OperationFailed(
                f"libxl has no configuration of domain {domid} now", stage="config"
            )
        return seen

    def _with_pci(self, domid: Domid, found: Difference) -> Difference:
        if "pcis" not in found.gone:
            self._without.pop(domid, None)
            return found
        loop = asyncio.get_running_loop()
        since = self._without.setdefault(domid, loop.time())
        if loop.time() - since >= PCI_SECONDS:
            return found
        loop.call_later(PCI_SECONDS, self._doubt, domid)
        return found.without_losses("pcis")

    async def _carry_over(self, job: Job, identity: Identity) -> None:
        """Its turn has come: look again, since a verb of ours may have been at work."""
        found = await self._changed(identity)
        view = self._context.snapshot.by_domid(identity.domid)
        if not found or view is None or view.uuid != identity.uuid:
            return
        await amend_config(self._context, view, found.updates)
        log.info("%s was changed by somebody else: %s", identity.name, found.words)
        self._tell(identity)

    def _tell(self, identity: Identity) -> None:
        ids = {"uuid": identity.uuid, "name": identity.name}
        self._bus.publish("changed", "domain", ids)


def _kept(identity: Identity) -> DomainConfig | None:
    """The configuration that it is built from the next time, if it is ours and alive."""
    owned = identity.owned
    return None if owned is None or owned.preserved else owned.config
