"""The in-memory table of domains: who they are, never what they do.

What a domain *does* (memory, times, state) comes from one list hypercall, shared by all readers
that ask within a few milliseconds.  Who it *is* (name, configuration, whose it is) is kept here,
learnt once per domain and kept fresh by watches, so that a listing reads nothing from XenStore.
Readers take no lock and wait for no operation.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from xend.core.identity import Identity, Naming
from xend.core.portions import portions
from xend.core.ports import Clock, Hypervisor, ManagedDomain, OwnedDomain, XenStore
from xend.core.views import DomainView
from xend.errors import DomainNotFound, XendError, XenStoreError
from xend.model.domain import DomainConfig
from xend.model.status import DomainInfo, Origin
from xend.model.units import DOM0, Domid

log = logging.getLogger("xend.snapshot")

LEARN_PATIENCE = 0.5
"""Seconds that a reader waits for a stranger's configuration; it is learned all the same."""
FOLLOW_SECONDS = 0.1
"""Who asked for a domain is told first; then its name is followed."""
ASK_AGAIN = 5.0
"""Seconds until one that could not be had is asked for again."""

_Entry = tuple[str, str, Domid | None, tuple[Identity, DomainInfo] | DomainView | ManagedDomain]
"""Name, uuid, domid, and what a view of it is made of."""

Changed = Callable[[str, Identity], None]
"""Called with `created`, `renamed` or `destroyed` when a domain is first seen, or gone."""
Listed = Callable[[Mapping[Domid, DomainInfo], Mapping[Domid, DomainInfo]], None]
"""Called with the last list and a new one; what has not moved is the same object in both."""


class _Flight:
    """A list that several wait for."""

    task: asyncio.Task[None]

    def __init__(self, before: _Flight | None) -> None:
        self.before = before
        """The one that is under way, if any: its turn is first."""
        self.age: int | None = None
        """Of the snapshot when it was asked for; None: it is not yet, so it will see all that
        has been done."""
        self.listed = asyncio.Event()


class Snapshot:
    def __init__(
        self,
        hypervisor: Hypervisor,
        store: XenStore,
        clock: Clock,
        *,
        max_age: float,
        changed: Changed,
        listed: Listed,
    ) -> None:
        self._hypervisor = hypervisor
        self._store = store
        self._clock = clock
        self._max_age = max_age
        self._changed = changed
        self._listed_now = listed
        self._naming = Naming(store, self._renamed)
        self._known: dict[Domid, Identity] = {}
        self._building: dict[str, DomainConfig] = {}
        self._kept: dict[str, DomainView] = {}
        self._halted: dict[str, tuple[ManagedDomain, DomainView]] = {}
        self.managed: dict[str, ManagedDomain] = {}
        """By uuid; written only by those who also write the repository."""
        self._infos: dict[Domid, DomainInfo] = {}
        self._pools: dict[int, str] = {0: "Pool-0"}
        self._pools_stale = False
        self._taken_at = float("-inf")
        self._age = 0
        self._flight: _Flight | None = None
        """The last one."""
        self._flights: set[asyncio.Task[None]] = set()
        self._rings_ask_again = float("-inf")
        self._learning: dict[Domid, asyncio.Task[None]] = {}

    # -- What the hypervisor says ------------------------------------------------------------------

    async def refresh(self, *, force: bool = False, max_age: float | None = None) -> None:
        """Makes the table at most `max_age` s old (None: as the settings say).  A refresh that
        began before the last change of ours (`invalidate`) is not shared: who changes a domain
        then sees the change."""
        allowed = self._max_age if max_age is None or self._max_age < 0 else max_age
        if not force and self._clock.monotonic() - self._taken_at <= allowed:
            return
        await asyncio.shield(self._flying().task)

    async def look_ahead(self) -> None:
        """Begins a refresh that somebody will soon wait for, or not."""
        task = self._flying().task
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.sleep(0)

    def _flying(self) -> _Flight:
        """A refresh that sees the last change of ours."""
        flight = self._flight
        if flight is None or flight.age not in (None, self._age) or flight.task.done():
            flight = self._flight = _Flight(before=flight)
            flight.task = asyncio.create_task(self._take(flight), name="xend-list")
            self._flights.add(flight.task)
            flight.task.add_done_callback(self._flights.discard)
        return flight

    @property
    def age(self) -> int:
        """Counts the changes of ours."""
        return self._age

    def forget_pools(self) -> None:
        """The next list asks for their names again: numbers are used again for other pools."""
        self._pools_stale = True
        self.invalidate()

    def invalidate(self) -> None:
        self._age += 1
        self._taken_at = float("-inf")

    def unpaused(self, domid: Domid) -> None:
        """We have built it and let it go, so that it had been paused once: what a list would say
        that is asked for now."""
        info = self._infos.get(domid)
        if info is None:
            self.invalidate()
            return
        self._age += 1  # A list that was asked for before has it paused still: it is dropped.
        self._infos[domid] = replace(info, paused=False)

    @property
    def builds_under_way(self) -> bool:
        return bool(self._building)

    def is_being_built(self, uuid: str) -> bool:
        return uuid in self._building

    async def _take(self, flight: _Flight) -> None:
        infos, asked, age = await self._listed(flight)
        if self._pools_stale or any(info.cpupool not in self._pools for info in infos.values()):
            self._pools_stale = False
            self._pools = dict(await self._hypervisor.cpupools())
        strangers = [info for info in infos.values() if not self._is_known(info)]
        await asyncio.gather(*(self._meet(info) for info in strangers))
        if age != self._age and self._taken_at != float("-inf"):
            return  # A younger list has been taken meanwhile.
        before, self._infos = self._infos, infos
        self._listed_now(before, infos)
        if age == self._age:  # Else a domain may have been bound that this list is too old to have.
            self._taken_at = asked
            for domid in [domid for domid in self._known if domid not in infos]:
                self.forget(domid)

    async def _listed(self, flight: _Flight) -> tuple[dict[Domid, DomainInfo], float, int]:
        """What runs, when that was asked for, and the age then.  One list at a time: however many
        ask while domains change, each waits for the one under way and for its own at most."""
        try:
            if flight.before is not None:
                await flight.before.listed.wait()
                flight.before = None
            age = flight.age = self._age
            asked = self._clock.monotonic()
            return {info.domid: info for info in await self._hypervisor.list_domains()}, asked, age
        finally:
            flight.listed.set()

    def _is_known(self, info: DomainInfo) -> bool:
        identity = self._known.get(info.domid)
        return identity is not None and (identity.is_of(info) or info.dying)

    async def _meet(self, info: DomainInfo) -> None:
        """A domain that was not there before: ours in the making, or a stranger's."""
        config = self._building.get(info.uuid)
        if config is not None:
            self.bind(info.domid, config)
            return
        name, started = await self._naming.read(info.domid, info.uuid)
        present = self._known.get(info.domid)
        if present is not None and present.is_of(info):
            return  # Bound meanwhile, with better knowledge than XenStore's.
        origin = Origin.HOST if info.domid == DOM0 else Origin.FOREIGN
        identity = Identity(info.domid, info.uuid, name, origin=origin, started=started)
        self._admit(identity)

    def _admit(self, identity: Identity) -> None:
        before = self._known.get(identity.domid)
        self._known[identity.domid] = identity
        if before is None or before.uuid != identity.uuid:
            if identity.uuid not in self._building:  # Its build has better use for xenstored.
                self._naming.follow(identity)
            self._changed("created", identity)

    def _renamed(self, identity: Identity, name: str) -> None:
        """The watch on a name fired: somebody (we, xl, libvirt) renamed that domain."""
        if self._known.get(identity.domid) is not identity or identity.name == name:
            return
        identity.name = name
        if identity.config is not None:
            identity.config = identity.config.model_copy(update={"name": name})
        self._changed("renamed", identity)

    # -- What we know better -----------------------------------------------------------------------

    def building(self, config: DomainConfig) -> None:
        """From now on a domain with that uuid is shown under this name."""
        self._building[str(config.uuid)] = config

    def built(self, uuid: str) -> None:
        """Well or not: from now on it is what XenStore says, also in what it is called."""
        self._building.pop(uuid, None)
        for identity in self._known.values():
            if identity.uuid == uuid:
                self._naming.follow(identity, after=FOLLOW_SECONDS)

    def bind(self, domid: Domid, config: DomainConfig) -> None:
        """A domain that we make has got its domid."""
        known = identity = self._known.get(domid)
        if identity is None or identity.uuid != str(config.uuid):
            identity = Identity(domid, str(config.uuid), config.name)
        identity.origin = Origin.XEND
        identity.config = config
        identity.name = config.name
        self._admit(identity)
        if known is None and domid not in self._infos:
            self.invalidate()

    def place(self, info: DomainInfo) -> None:
        """What has just been seen of a domain that we have built, ahead of the next list."""
        identity = self._known.get(info.domid)
        if identity is not None and identity.is_of(info):
            self._infos[info.domid] = info

    def own(self, owned: OwnedDomain) -> None:
        self.bind(owned.domid, owned.config)
        identity = self._known[owned.domid]
        identity.owned = owned
        identity.handle = owned.handle
        identity.started = owned.started
        identity.paused_by_admin = owned.paused_by_admin

    def forget(self, domid: Domid) -> None:
        """It is gone."""
        identity = self._known.pop(domid, None)
        self._infos.pop(domid, None)
        if identity is not None:
            self._naming.unfollow(identity)
            self._changed("destroyed", identity)

    def keep_visible(self, view: DomainView) -> None:
        """While it is restarted a domain stays in every listing as it was last."""
        self._kept[view.uuid] = view

    def let_go(self, uuid: str) -> None:
        self._kept.pop(uuid, None)

    def identity(self, domid: Domid) -> Identity | None:
        return self._known.get(domid)

    def identities(self) -> Sequence[Identity]:
        return [*self._known.values()]

    # -- Views -------------------------------------------------------------------------------------

    def views(self) -> list[DomainView]:
        """The running by domid, then the halted by name; as of the last refresh."""
        return [self._seen(entry) for entry in self._entries()]

    async def all(self) -> list[DomainView]:
        """`views`, for who need not have all of many domains at one moment."""
        views: list[DomainView] = []
        async for part in portions(self._entries()):
            views += map(self._seen, part)
        return views

    def _entries(self) -> list[_Entry]:
        """What `views` shows, and in its order, but before anything is made of it: a thousand
        views take milliseconds, and who looks for one domain needs one."""
        found: list[_Entry] = [
            (identity.name, identity.uuid, domid, (identity, info))
            for domid, info in sorted(self._infos.items())
            if (identity := self._known.get(domid)) is not None
        ]
        present = {entry[1] for entry in found}
        found += [
            (view.name, uuid, view.domid, view)
            for uuid, view in self._kept.items()
            if uuid not in present
        ]
        present |= self._kept.keys()
        halted: list[_Entry] = [
            (each.config.name, uuid, None, each)
            for uuid, each in self.managed.items()
            if uuid not in present
        ]
        return found + sorted(halted, key=lambda entry: entry[0])

    def _seen(self, entry: _Entry) -> DomainView:
        source = entry[3]
        if isinstance(source, DomainView):
            return source
        if isinstance(source, ManagedDomain):
            return self._view_of_halted(entry[1], source)
        return self._view(*source)

    def _view(self, identity: Identity, info: DomainInfo) -> DomainView:
        managed = identity.uuid in self.managed
        pool = self._pools.get(info.cpupool) or f"Pool-{info.cpupool}"
        view = identity.view
        if view is not None and view.info is info and view.managed is managed and view.pool == pool:
            return view
        owned = identity.owned
        identity.view = view = DomainView(
            name=identity.name,
            uuid=identity.uuid,
            info=info,
            config=identity.config,
            origin=identity.origin,
            managed=managed,
            paused_by_admin=identity.paused_by_admin,
            started=identity.started,
            restarts=owned.restarts if owned else 0,
            rings=identity.rings,
            pool=pool,
        )
        return view

    def _view_of_halted(self, uuid: str, managed: ManagedDomain) -> DomainView:
        known = self._halted.get(uuid)
        if known is not None and known[0] is managed:
            return known[1]
        view = DomainView(
            name=managed.config.name,
            uuid=str(managed.config.uuid),
            info=None,
            config=managed.config,
            origin=Origin.XEND,
            managed=True,
            pool=managed.config.pool,
            suspended=managed.checkpoint is not None,
        )
        if len(self._halted) > 2 * len(self.managed):
            self._halted.clear()
        self._halted[uuid] = (managed, view)
        return view

    def find(self, ref: str | int) -> DomainView:
        """Running by name, managed by name, domid, running by uuid, managed by uuid; as of the
        last refresh.  Raises DomainNotFound(ref)."""
        entries = self._entries()
        text = str(ref)
        if isinstance(ref, str):
            for entry in entries:
                if entry[0] == ref:
                    return self._seen(entry)
        if text.isascii() and text.isdigit():
            for entry in entries:
                if entry[2] == int(text):
                    return self._seen(entry)
        wanted = text.lower()
        for entry in entries:
            if entry[1] == wanted:
                return self._seen(entry)
        raise DomainNotFound(ref)

    def running(self, ref: str | int) -> Identity | None:
        """The one that `find` would find, if that runs, as far as is known without a refresh."""
        known = [each for each in self._known.values() if each.domid in self._infos]
        if isinstance(ref, str):
            for identity in known:
                if identity.name == ref:
                    return identity
        text = str(ref)
        if not (text.isascii() and text.isdigit()):
            return None
        if any(managed.config.name == ref for managed in self.managed.values()):
            return None
        return next((identity for identity in known if identity.domid == int(text)), None)

    def by_uuid(self, uuid: str) -> DomainView | None:
        """That domain; of several with this uuid (a preserved one keeps it for a moment) ours."""
        matches = [self._seen(entry) for entry in self._entries() if entry[1] == uuid]
        for view in matches:
            if view.origin is Origin.XEND:
                return view
        return matches[0] if matches else None

    def by_domid(self, domid: Domid) -> DomainView | None:
        """As of the last refresh; None when that had no such domain."""
        identity, info = self._known.get(domid), self._infos.get(domid)
        return None if identity is None or info is None else self._view(identity, info)

    async def learn_config(self, view: DomainView) -> DomainView:
        """With its configuration, read from libxl if it is a stranger's.

        A reader waits for that only so long: XenStore may be slow, or not answer at all.
        """
        if view.config is not None or view.domid is None:
            return view
        identity = self._known.get(view.domid)
        if identity is None or identity.uuid != view.uuid:
            return view
        if identity.config is None and self._clock.monotonic() >= identity.ask_again:
            task = self._learning.get(view.domid)
            if task is None:
                task = asyncio.create_task(self._learn(identity), name=f"xend-learn-{view.domid}")
                self._learning[view.domid] = task
                task.add_done_callback(lambda _: self._learning.pop(identity.domid, None))
            await asyncio.wait([task], timeout=LEARN_PATIENCE)
        return replace(view, config=identity.config)

    async def learn_rings(self, view: DomainView) -> DomainView:
        """With the frames of its rings, which are read once per domain.  While XenStore does not
        answer they are left out."""
        identity = self._known.get(view.domid) if view.domid else None
        if identity is None or identity.uuid != view.uuid or view.rings is not None:
            return view
        if identity.rings is None and self._clock.monotonic() >= self._rings_ask_again:
            home = f"/local/domain/{view.domid}"
            try:
                async with asyncio.timeout(LEARN_PATIENCE):
                    found = await asyncio.gather(
                        self._store.read_or(f"{home}/store/ring-ref", ""),
                        self._store.read_or(f"{home}/console/ring-ref", ""),
                    )
            except (TimeoutError, XenStoreError) as error:
                log.info("no rings of domain %d: %s", view.domid, repr(error))
                self._rings_ask_again = self._clock.monotonic() + ASK_AGAIN
            else:
                identity.rings = _frames(*found)
        return replace(view, rings=identity.rings)

    async def _learn(self, identity: Identity) -> None:
        try:
            identity.config = await self._hypervisor.config_of(identity.domid)
        except XendError as error:
            log.info("no configuration of domain %d: %s", identity.domid, error)
        if identity.config is None:
            identity.ask_again = self._clock.monotonic() + ASK_AGAIN

    async def close(self) -> None:
        learning = [*self._learning.values()]
        for task in learning:
            task.cancel()
        if learning:
            await asyncio.wait(learning)
        for task in self._flights:
            task.cancel()
        if self._flights:
            await asyncio.wait(self._flights)
        await self._naming.close()


def _frames(store: str | None, console: str | None) -> tuple[int, int] | None:
    """None while its builder has not written both."""
    if store and console and store.isdecimal() and console.isdecimal():
        return int(store), int(console)
    return None
