"""What the operations share: the ports, and the two tables that exist once per host."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from xend.core.events import EventBus
from xend.core.jobs import Job
from xend.core.memory import MemoryBroker
from xend.core.plan import IntentKind
from xend.core.ports import (
    NOTHING,
    Clock,
    HostFiles,
    Hypervisor,
    Intent,
    Journal,
    OwnedDomain,
    Repository,
    XenStore,
)
from xend.core.reservations import Reservations
from xend.core.snapshot import Snapshot
from xend.core.views import DomainView, ServiceSettings
from xend.errors import (
    DomainNotFound,
    DomainStateError,
    HypervisorError,
    JournalError,
    XendError,
    XenStoreUnavailable,
)
from xend.model.status import PowerState
from xend.model.units import DOM0, Domid

log = logging.getLogger("xend.context")

STORE_PATIENCE = 5.0
"""Seconds that xenstored may take for one read."""

Body = Callable[..., Awaitable[Any]]
"""A verb: called with the job, then the ref or configuration, then its arguments by name."""


@dataclass(frozen=True, slots=True)
class Context:
    hypervisor: Hypervisor
    store: XenStore
    repository: Repository
    journal: Journal
    clock: Clock
    files: HostFiles
    settings: ServiceSettings
    snapshot: Snapshot
    memory: MemoryBroker
    events: EventBus
    reserved: Reservations = field(default_factory=Reservations)
    left_open: dict[int, bool] = field(default_factory=dict)
    """Intents of operations that could be neither finished nor taken back
    (`xend.core.unsettled`); True: who asked has been told that it failed."""

    async def store_answers(self) -> None:
        """Before anything is built: libxl would wait for a dead xenstored without end."""
        try:
            async with asyncio.timeout(STORE_PATIENCE):
                await self.store.exists("/local/domain/0")
        except TimeoutError:
            raise XenStoreUnavailable(
                f"xenstored does not answer within {STORE_PATIENCE:.0f} s; nothing was changed. "
                "Is it alive (pidof xenstored)?",
                operation="read",
                path="/local/domain/0",
                reason="no reply",
            ) from None

    async def current(
        self, job: Job, ref: str | int, *, max_age: float | None = None
    ) -> DomainView:
        """The job's domain as it is now that its turn has come; DomainNotFound(ref)."""
        await self.snapshot.refresh(max_age=max_age)
        if job.domid is not None:
            view = self.snapshot.by_domid(job.domid)
            if view is not None and view.uuid == job.uuid:
                return view
        view_now = self.snapshot.by_uuid(job.uuid)
        if view_now is None:
            raise DomainNotFound(ref)
        return view_now

    async def running(self, job: Job, ref: str | int, verb: str) -> tuple[DomainView, Domid]:
        """The same, if it is a guest with a domid.

        `verb` completes "Cannot … privileged domain X", the original's refusal for Domain-0.
        """
        view = await self.current(job, ref)
        if view.domid == DOM0:
            raise DomainStateError(
                f"Cannot {verb} privileged domain {ref}", domain=str(ref), state="dom0", verb=verb
            )
        if view.domid is None:
            raise not_started(ref, view, verb)
        return view, view.domid

    async def unpause(self, domid: Domid) -> None:
        """Quiet when it runs already, which for Xen is an error: it counts pauses."""
        try:
            await self.hypervisor.unpause(domid)
        except HypervisorError:
            if (await self.hypervisor.domain(domid)).paused:
                raise
        self.snapshot.invalidate()

    def leave_open(self, intent: Intent, *, told: bool) -> None:
        """`told`: who asked knows that it failed.  A migration is settled by its two sides."""
        if intent.kind not in ("migrate", "receive"):
            self.left_open[intent.id] = told

    @asynccontextmanager
    async def intent(
        self, job: Job, kind: IntentKind, uuid: str, data: dict[str, Any]
    ) -> AsyncIterator[OpenIntent]:
        """Around a change: on disk before it begins, settled when it has ended, well or not.
        Only when xend goes down in the middle does it stay open, for the next start."""
        try:
            begun = await self.journal.begin(kind, uuid, data)
        except JournalError as error:
            if kind != "destroy":
                raise
            # It frees what others wait for, and can only go forward: a full disk must not stop it.
            log.error("a destroy is not in the journal: %s", error)
            unwritten = OpenIntent(NOTHING)
            yield unwritten
            await self.journal.settle(unwritten.id, drop=unwritten.drop)
            return
        intent = OpenIntent(begun.id)
        try:
            yield intent
        except (Exception, asyncio.CancelledError):
            if not job.abandoned:
                if intent.open:
                    self.leave_open(begun, told=True)
                else:
                    await self.journal.end(begun.id)
            raise
        if kind == "destroy":  # The domain is gone: the next start would see that, too.
            self.journal.settle_soon(begun.id, drop=intent.drop)
        else:
            await self.journal.settle(begun.id, put=intent.put, drop=intent.drop)


@dataclass(slots=True)
class OpenIntent:
    id: int
    put: list[OwnedDomain] = field(default_factory=list)
    drop: list[tuple[str, Domid]] = field(default_factory=list)
    """What changes hands in the transaction that ends the intent."""
    open: bool = False
    """It could be neither finished nor taken back: that is tried again later."""

    @contextmanager
    def kept_if_it_fails(self, kind: type[XendError] = XendError) -> Iterator[None]:
        try:
            yield
        except kind:
            self.open = True
            raise


def not_started(ref: str | int, view: DomainView, verb: str) -> DomainStateError:
    return DomainStateError(
        f"Domain '{ref}' is not started",
        domain=str(ref),
        state=view.power_state.name.lower(),
        verb=verb,
    )


def require_started(ref: str | int, view: DomainView, verb: str, *states: PowerState) -> None:
    """Raises "Domain 'X' is not started", the original's text for every wrong state."""
    if view.power_state not in states:
        raise not_started(ref, view, verb)
