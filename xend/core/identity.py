"""Who a running domain is, and how its name is learnt and followed in XenStore."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from xend.core.ports import OwnedDomain, XenStore
from xend.core.views import DomainView
from xend.errors import XenStoreError
from xend.model.domain import DomainConfig
from xend.model.status import DomainInfo, Origin
from xend.model.units import DOM0, DOM0_NAME, Domid

log = logging.getLogger("xend.snapshot")


@dataclass(slots=True, eq=False)
class Identity:
    domid: Domid
    uuid: str
    name: str
    origin: Origin = Origin.FOREIGN
    config: DomainConfig | None = None
    owned: OwnedDomain | None = None
    """What the journal has of it; None unless `origin` is xend (and while it is being built)."""
    started: float | None = None
    paused_by_admin: bool = False
    ask_again: float = float("-inf")
    """Monotonic seconds before which a stranger's configuration is not asked for again."""
    rings: tuple[int, int] | None = None
    """Guest frames of its rings to xenstored and xenconsoled; None until they have been read."""
    handle: str = ""
    """The hypervisor's uuid of it: another than `uuid` for a dead one that was set aside."""
    view: DomainView | None = None
    """As it was shown last.  Most domains have not changed since: making a view of each for each
    listing would be most of the listing."""

    def __setattr__(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)
        if name != "view":
            object.__setattr__(self, "view", None)

    def is_of(self, info: DomainInfo) -> bool:
        return (self.handle or self.uuid) == info.uuid

    @property
    def ids(self) -> dict[str, str]:
        return {"uuid": self.uuid, "name": self.name, "domid": str(self.domid)}


def nameless(domid: Domid) -> str:
    """What a domain is called that has no name yet (xl shows `(null)`), or never gets one."""
    return DOM0_NAME if domid == DOM0 else f"Domain-{domid}"


class Naming:
    """Reads names when a domain appears, and follows them with one watch per domain.

    /local/domain/N/name is what `libxl_domain_rename` writes, whoever calls it.
    """

    def __init__(self, store: XenStore, renamed: Callable[[Identity, str], None]) -> None:
        self._store = store
        self._renamed = renamed
        self._followers: dict[Identity, asyncio.Task[None]] = {}

    async def read(self, domid: Domid, uuid: str) -> tuple[str, float | None]:
        """(name, start time); XenStore out of order or slow must not fail a listing."""
        name: str | None = None
        started: str | None = None
        with suppress(XenStoreError, TimeoutError):
            async with asyncio.timeout(1.0):
                name = await self._store.read_or(f"/local/domain/{domid}/name")
                started = await self._store.read_or(f"/vm/{uuid}/start_time")
        seconds: float | None = None
        with suppress(ValueError):
            seconds = float(started) if started else None
        return name or nameless(domid), seconds

    def follow(self, identity: Identity, *, after: float = 0.0) -> None:
        """`after` so many seconds: the watch begins with the name of then."""
        if identity in self._followers:
            return
        follower = self._follow(identity, after)
        task = asyncio.create_task(follower, name=f"xend-name-{identity.domid}")
        self._followers[identity] = task

    async def _follow(self, identity: Identity, after: float) -> None:
        await asyncio.sleep(after)
        path = f"/local/domain/{identity.domid}/name"
        try:
            async with self._store.watching(path) as watch:
                async for _ in watch:
                    name = await self._store.read_or(path)
                    if name:
                        self._renamed(identity, name)
        except XenStoreError as error:
            log.warning("the name of domain %d is not followed: %s", identity.domid, error)

    def unfollow(self, identity: Identity) -> None:
        task = self._followers.get(identity)
        if task is not None:
            task.cancel()
            task.add_done_callback(lambda _: self._followers.pop(identity, None))

    async def close(self) -> None:
        tasks = [*self._followers.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._followers.clear()
