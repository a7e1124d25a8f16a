"""A domain leaves for another host (`xm migrate`).

Until the receiver has been told `go` everything can be taken back, and whatever fails is: the
guest runs on here.  From then on the receiver decides; see `xend.core.relocation`.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from dataclasses import asdict, dataclass
from typing import Any, Final
from uuid import UUID, uuid4

from xend.core.context import Body, Context
from xend.core.jobs import Job, JobRunner
from xend.core.ports import Intent, OwnedDomain, Progress
from xend.core.receiving import Receiving
from xend.core.relocation import GO_SECONDS, Connector, Link, Offer, Outcome
from xend.core.steps import Applier
from xend.core.suspension import undo_suspend, wake_if_suspended
from xend.core.views import XEND_ITSELF, DomainView
from xend.errors import (
    DomainNotFound,
    DomainStateError,
    InvalidArgument,
    MigrationFailed,
    OperationFailed,
    WorkerCrashed,
    XendError,
)
from xend.model.status import PowerState
from xend.model.units import DOM0, Domid

log = logging.getLogger("xend.relocation")

ASK_EVERY: Final = 5.0
ASK_SECONDS: Final = 30.0
"""How long the caller waits until it is known what became of the domain; then a job goes on."""
LAST_WORDS: Final = 0.5
"""Seconds in which it is seen that the other side has closed the connection, and why."""


@dataclass(frozen=True, slots=True)
class Destination:
    host: str
    port: int
    tls: bool


@dataclass(frozen=True, slots=True)
class _Leaving:
    """One migration, as its intent has it."""

    intent: int
    uuid: str
    name: str
    domid: Domid
    token: str
    to: Destination
    aside: bool
    """It goes to this very host, so its name and /vm/<uuid> are lent to the one that comes."""
    forget: bool
    """Its configuration goes along."""

    def data(self, phase: str) -> dict[str, Any]:
        return {
            "name": self.name,
            "domid": self.domid,
            "token": self.token,
            "to": asdict(self.to),
            "aside": self.aside,
            "forget": self.forget,
            "phase": phase,
        }

    @classmethod
    def of(cls, intent: Intent) -> _Leaving:
        data = intent.data
        return cls(
            intent.id,
            intent.uuid,
            str(data["name"]),
            Domid(data["domid"]),
            str(data["token"]),
            Destination(**data["to"]),
            bool(data["aside"]),
            bool(data["forget"]),
        )


@dataclass(slots=True)
class _Attempt:
    killed: bool = False
    """The process that sent it was: the guest may be about to suspend still."""


class Migrating:
    def __init__(
        self,
        context: Context,
        applier: Applier,
        jobs: JobRunner,
        connector: Connector,
        receiving: Receiving,
    ) -> None:
        self._context = context
        self._applier = applier
        self._jobs = jobs
        self._connector = connector
        self._receiving = receiving

    @property
    def bodies(self) -> dict[str, Body]:
        return {"migrate": self.migrate}

    async def migrate(
        self,
        job: Job,
        ref: str | int,
        *,
        host: str,
        port: int = 0,
        live: bool = False,
        tls: bool | None = None,
        change_home: bool = False,
    ) -> None:
        """`port` 0 and `tls` None: as xend-config.sxp says."""
        view, domid = await self._movable(job, ref, change_home)
        to = self._destination(host, port, tls)
        assert view.config is not None, "checked"
        offer = Offer(
            secrets.token_hex(16),
            self._receiving.instance,
            domid,
            view.config.model_copy(update={"name": view.name, "uuid": UUID(view.uuid)}),
            change_home,
            live,
        )
        job.report(Progress("connect", domid))
        with job.may_be_cancelled():
            link = await self._connector.connect(to.host, to.port, tls=to.tls, purpose="receive")
        try:
            with job.may_be_cancelled():
                await link.tell(**offer.message())
                # It may have to free memory first.
                answer = await link.hear(GO_SECONDS + self._context.settings.memory_wait, "send")
            aside = bool(answer.get("same_host"))
            await self._hand_over(job, view, offer, to, link, aside=aside)
        finally:
            await link.close()

    async def _movable(
        self, job: Job, ref: str | int, change_home: bool
    ) -> tuple[DomainView, Domid]:
        """The original's refusals, in its words and order."""
        view = await self._context.current(job, ref)
        domid = view.domid
        if domid == DOM0:
            raise DomainStateError(
                f"Cannot migrate privileged domain {ref}", domain=view.name, verb="migrate"
            )
        if domid is None or view.power_state is not PowerState.RUNNING:
            raise DomainStateError(
                "Domain is not running",
                domain=view.name,
                state=view.power_state.name.lower(),
                verb="migrate",
            )
        if change_home and not view.managed:
            raise DomainStateError(
                "Domain is not a managed domain", domain=view.name, verb="migrate"
            )
        view = await self._context.snapshot.learn_config(view)
        if view.config is None:
            raise OperationFailed(
                f"The configuration of domain '{ref}' cannot be read, so the other host would not "
                "know what to make of it",
                stage="config",
            )
        return view, domid

    def _destination(self, host: str, port: int, tls: bool | None) -> Destination:
        settings = self._context.settings
        if not host or host.startswith("-") or any(sign.isspace() for sign in host):
            raise InvalidArgument(f"'{host}' is no host", argument="host", value=host)
        if not 0 <= port <= 65535:
            raise InvalidArgument(f"{port} is no port", argument="port", value=port)
        encrypted = settings.relocation_tls if tls is None else tls
        usual = settings.relocation_tls_port if encrypted else settings.relocation_port
        return Destination(host, port or usual, encrypted)

    # -- Away --------------------------------------------------------------------------------------

    async def _hand_over(
        self,
        job: Job,
        view: DomainView,
        offer: Offer,
        to: Destination,
        link: Link,
        *,
        aside: bool,
    ) -> None:
        forget = offer.change_home and not aside
        leaving = _Leaving(0, view.uuid, view.name, offer.domid, offer.token, to, aside, forget)
        begun = await self._context.journal.begin("migrate", view.uuid, leaving.data("sending"))
        leaving = _Leaving.of(begun)
        identity = self._context.snapshot.identity(offer.domid)
        owned = identity.owned if identity is not None else None
        attempt = _Attempt()
        try:
            with job.may_be_cancelled():
                await self._send(job, leaving, link, attempt, live=offer.live)
            await self._context.journal.note(leaving.intent, data=leaving.data("go"))
        except (Exception, asyncio.CancelledError) as error:
            if not job.abandoned:
                link.abort()
                cut_off = attempt.killed or isinstance(error, WorkerCrashed)
                await self._take_back(leaving, owned, cut_off=cut_off)
            raise
        try:
            with job.may_be_cancelled():
                await link.tell(go=True)
                await link.hear(GO_SECONDS, "done")
        except (XendError, asyncio.CancelledError) as error:
            if not job.abandoned:
                link.abort()
                await self._find_out(job, leaving, owned, error)
                return
            raise
        await self._let_go(leaving, link)

    async def _send(
        self, job: Job, leaving: _Leaving, link: Link, attempt: _Attempt, *, live: bool
    ) -> None:
        """Returns when the other side has all of it."""
        if leaving.aside:
            away = f"migrating-{leaving.name}"
            await self._context.hypervisor.preserve(leaving.domid, away, uuid4())
        await link.tell(sending=True)
        job.report(Progress("send", leaving.domid))
        async with link.stream(writing=True) as fd:
            sending = asyncio.create_task(
                self._context.hypervisor.send(leaving.domid, fd, live=live, progress=job.report),
                name=f"xend-send-{leaving.domid}",
            )
            trouble = asyncio.create_task(link.trouble(), name=f"xend-trouble-{leaving.domid}")
            try:
                await _first_to_end(sending, trouble)
            finally:
                attempt.killed = not sending.done()
                for task in (sending, trouble):
                    task.cancel()
                await asyncio.gather(sending, trouble, return_exceptions=True)
        await link.hear(self._context.settings.build_timeout, "ready")
        job.report(Progress("hand-over", leaving.domid))

    async def _let_go(self, leaving: _Leaving, link: Link) -> None:
        """It runs over there.  May be repeated."""
        context = self._context
        await self._applier.end_domain(leaving.domid, context.settings.destroy_timeout)
        if leaving.forget:
            await context.repository.delete(UUID(leaving.uuid))
            context.snapshot.managed.pop(leaving.uuid, None)
        # First: whoever is cut off after that asks in vain, but for a domain that is gone.
        await _tell_settled(link)
        await context.journal.settle(leaving.intent, drop=[(leaving.uuid, leaving.domid)])
        context.snapshot.forget(leaving.domid)
        log.info("domain %s went to %s", leaving.name, leaving.to.host)

    async def _take_back(
        self, leaving: _Leaving, owned: OwnedDomain | None, *, cut_off: bool
    ) -> None:
        """It runs on here as if nobody had asked.  May be repeated.  `cut_off`: it may be about to
        suspend still."""
        context = self._context
        try:
            if cut_off:
                await undo_suspend(context, leaving.domid)
            else:
                await wake_if_suspended(context, leaving.domid)
            if leaving.aside:
                # Its name is free when the one that came is gone.
                await self._receiving.ended(leaving.token)
                uuid = UUID(leaving.uuid)
                await context.hypervisor.preserve(leaving.domid, leaving.name, uuid)
        except DomainNotFound:
            log.warning("%s ended while it was to migrate", leaving.name)
        if owned is not None:
            await context.journal.put_owned(owned)
        await context.journal.end(leaving.intent)
        context.snapshot.invalidate()

    # -- Who has it? -------------------------------------------------------------------------------

    async def _find_out(
        self, job: Job, leaving: _Leaving, owned: OwnedDomain | None, error: BaseException
    ) -> None:
        """It had been given away, but there was no `done`.  Raises what is wrong if it runs here
        again, or if that cannot be known now; then a job goes on asking."""
        job.report(Progress("settle", leaving.domid))
        deadline = self._context.clock.monotonic() + ASK_SECONDS
        try:
            while not isinstance(error, asyncio.CancelledError):
                outcome = await self._ask(leaving, owned)
                if outcome == "never":
                    raise error
                if outcome == "runs":
                    return
                if self._context.clock.monotonic() >= deadline:
                    break
                with job.may_be_cancelled():
                    await self._context.clock.sleep(1.0)
        except asyncio.CancelledError:
            if not job.abandoned:
                self._go_on_asking(leaving, owned)
            raise
        self._go_on_asking(leaving, owned)
        raise MigrationFailed(
            f"{leaving.to.host} does not say whether it has taken {leaving.name}, which stays "
            f"suspended here until it does ({error}). If that host is dead for good, destroy "
            f"{leaving.name} here",
            host=leaving.to.host,
            stage="settle",
        ) from error

    def _go_on_asking(self, leaving: _Leaving, owned: OwnedDomain | None) -> None:
        async def body(job: Job) -> None:
            while await self._ask(leaving, owned) == "undecided":
                await self._context.clock.sleep(ASK_EVERY)

        self._jobs.submit(
            "settle-migration", body, uuid=leaving.uuid, name=leaving.name, caller=XEND_ITSELF
        )

    async def _ask(self, leaving: _Leaving, owned: OwnedDomain | None) -> Outcome:
        """Asks once, and does what follows from the answer.  No answer is undecided, too."""
        to = leaving.to
        try:
            link = await self._connector.connect(to.host, to.port, tls=to.tls, purpose="outcome")
        except MigrationFailed as error:
            log.info("%s: %s", to.host, error)
            return "undecided"
        try:
            await link.tell(token=leaving.token)
            outcome = str((await link.hear(GO_SECONDS, "outcome"))["outcome"])
            if outcome == "runs":
                await self._let_go(leaving, link)
                return "runs"
        except MigrationFailed as error:
            log.info("%s: %s", to.host, error)
            return "undecided"
        finally:
            await link.close()
        if outcome != "never":
            return "undecided"
        await self._take_back(leaving, owned, cut_off=False)
        return "never"

    # -- At the start ------------------------------------------------------------------------------

    async def reconcile(self, intent: Intent, owned: OwnedDomain | None, *, alive: bool) -> bool:
        """`alive`: it is still here.  Jobs end the intent; the start does not wait for them."""
        leaving = _Leaving.of(intent)
        if not alive:
            if intent.data["phase"] == "sending":
                return True
            self._go_on_asking(leaving, owned)  # The other side keeps the outcome until then.
            return False
        if intent.data["phase"] == "go":
            self._go_on_asking(leaving, owned)
            return False

        async def body(job: Job) -> None:
            await self._take_back(leaving, owned, cut_off=True)

        self._jobs.submit(
            "undo-migrate", body, uuid=leaving.uuid, name=leaving.name, caller=XEND_ITSELF
        )
        return False


async def _first_to_end(
    sending: asyncio.Task[None], trouble: asyncio.Task[MigrationFailed]
) -> None:
    """Raises what the other side says, the better reason, or why it could not be sent."""
    await asyncio.wait([sending, trouble], return_when=asyncio.FIRST_COMPLETED)
    if sending.done() and not trouble.done() and sending.exception() is not None:
        await asyncio.wait([trouble], timeout=LAST_WORDS)
    if trouble.done() and not (sending.done() and sending.exception() is None):
        raise trouble.result()
    sending.result()


async def _tell_settled(link: Link) -> None:
    try:
        await link.tell(settled=True)
    except MigrationFailed as error:
        log.info("%s: %s", link.peer, error)
