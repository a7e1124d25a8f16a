"""A domain comes from another host (or from this one: `xm migrate DOM localhost`)."""

from __future__ import annotations

import asyncio
import logging
import secrets

from xend.core.context import Body, Context
from xend.core.jobs import Job
from xend.core.plan import plan_receive
from xend.core.ports import Intent, ManagedDomain, OwnedDomain, Progress
from xend.core.relocation import GO_SECONDS, Incoming, Link, Offer, Outcome
from xend.core.reservations import check_unique_devices
from xend.core.steps import Applier
from xend.core.validate import check_devices
from xend.errors import JournalError, MigrationFailed, XendError
from xend.model.domain import DomainConfig
from xend.model.units import Domid

log = logging.getLogger("xend.relocation")

LOOK_EVERY = 0.1
REMEMBERED = 30 * 24 * 3600.0
"""Seconds that an outcome is kept for a sender that never came back for it."""


class Receiving:
    def __init__(self, context: Context, applier: Applier) -> None:
        self._context = context
        self._applier = applier
        self.instance = secrets.token_hex(8)
        self._under_way: dict[str, tuple[Incoming, asyncio.Event]] = {}

    @property
    def bodies(self) -> dict[str, Body]:
        return {"receive": self.receive}

    def is_own(self, offer: Offer) -> bool:
        """Whether it leaves this very host."""
        return offer.instance == self.instance

    async def receive(
        self, job: Job, _config: DomainConfig | None = None, *, link: Link, offer: Offer
    ) -> None:
        """Tells the sender how it went, whatever happens, and closes the link."""
        try:
            await self._receive(job, link, offer)
        finally:
            await link.close()

    async def _receive(self, job: Job, link: Link, offer: Offer) -> None:
        config = offer.config
        job.uuid, job.name = str(config.uuid), config.name
        beside = offer.domid if self.is_own(offer) else None
        incoming, ended = Incoming(link, offer, beside), asyncio.Event()
        self._under_way[offer.token] = incoming, ended
        try:
            await self._take(job, incoming)
        except XendError as error:
            if not job.abandoned:
                await _tell_quietly(link, error=str(error))
            raise
        finally:
            ended.set()
            del self._under_way[offer.token]
        await self._wait_for_sender(incoming)

    async def _take(self, job: Job, incoming: Incoming) -> None:
        config = incoming.offer.config
        check_unique_devices(config)
        with job.may_be_cancelled():
            await self._context.store_answers()
            await check_devices(config, self._context.files)
        await self._applier.apply(plan_receive(incoming), job)
        job.final = True  # The sender has let go.
        await self._let_run(job, incoming)

    async def _let_run(self, job: Job, incoming: Incoming) -> None:
        """The sender has let go: it is ours, and runs.  If it cannot, it is gone from here and the
        sender may have it back."""
        intent, domid = incoming.intent, incoming.domid
        assert intent is not None and domid is not None, "it has been taken over"
        await self._context.journal.note(intent.id, data={**intent.data, "phase": "permitted"})
        job.report(Progress("unpause", domid))
        try:
            await self._own_and_unpause(intent, domid)
        except XendError:
            await self._context.journal.note(intent.id, data=intent.data)
            await self._applier.end_domain(domid, self._context.settings.destroy_timeout)
            await self._context.journal.drop_owned(intent.uuid, domid)
            await self._context.journal.end(intent.id)
            raise
        log.info("domain %s (%d) came from %s", job.name, domid, incoming.link.peer)

    async def _own_and_unpause(self, intent: Intent, domid: Domid) -> None:
        """May be repeated."""
        context = self._context
        config = DomainConfig.model_validate(intent.data["config"])
        if intent.data["change_home"]:
            await context.repository.save(config)
            known = context.snapshot.managed.get(intent.uuid)
            context.snapshot.managed[intent.uuid] = known or ManagedDomain(config)
        owned = OwnedDomain(
            intent.uuid,
            domid,
            config,
            started=context.clock.time(),
            managed=intent.uuid in context.snapshot.managed,
            since=context.clock.monotonic(),
        )
        await context.journal.put_owned(owned)
        if intent.data["beside"] is not None:
            await context.journal.drop_owned(intent.uuid, Domid(intent.data["beside"]))
        context.snapshot.own(owned)
        await context.unpause(domid)
        try:
            await context.journal.note(intent.id, data={**intent.data, "phase": "running"})
        except JournalError as error:
            log.error("%s runs, but that is not in the journal: %s", config.name, error)

    async def _wait_for_sender(self, incoming: Incoming) -> None:
        """The outcome is kept until it knows."""
        assert incoming.intent is not None, "it has been taken over"
        try:
            await incoming.link.tell(done=True)
            await incoming.link.hear(self._context.settings.destroy_timeout, "settled")
        except MigrationFailed as error:
            log.warning("%s did not say that it has let go: %s", incoming.link.peer, error)
            return
        await self._context.journal.end(incoming.intent.id)

    # -- What became of it -------------------------------------------------------------------------

    async def ended(self, token: str) -> None:
        """Returns when nothing is under way under that token, nor left of it from before a restart:
        what was half made is removed then.  What cannot be removed keeps nobody waiting forever."""
        under_way = self._under_way.get(token)
        if under_way is not None:
            await under_way[1].wait()
        clock = self._context.clock
        deadline = clock.monotonic() + self._context.settings.destroy_timeout
        while await self._intent(token) is not None and clock.monotonic() < deadline:
            await clock.sleep(LOOK_EVERY)

    async def outcome(self, token: str) -> Outcome:
        """Who asks has lost the connection: what still waits for it is taken back."""
        under_way = self._under_way.get(token)
        if under_way is not None:
            under_way[0].link.abort()
            return "undecided"
        intent = await self._intent(token)
        if intent is None:
            return "never"
        return "runs" if intent.data["phase"] in ("permitted", "running") else "undecided"

    async def settled(self, token: str) -> None:
        """The sender knows, and has none any more."""
        intent = await self._intent(token)
        if intent is not None:
            await self._context.journal.end(intent.id)

    async def _intent(self, token: str) -> Intent | None:
        for intent in await self._context.journal.open_intents():
            if intent.kind == "receive" and intent.data["token"] == token:
                return intent
        return None

    async def reconcile(self, intent: Intent, *, alive: bool) -> bool:
        """At the start: of one that was permitted to run.  `alive`: it is there."""
        if intent.data["phase"] == "permitted" and alive and intent.domid is not None:
            await self._own_and_unpause(intent, intent.domid)
        return self._context.clock.time() - intent.created > REMEMBERED


async def answer_outcome(receiving: Receiving, link: Link, token: str) -> None:
    """One question, and the word that it has been heard."""
    outcome = await receiving.outcome(token)
    await link.tell(outcome=outcome)
    if outcome == "runs":
        await link.hear(GO_SECONDS * 10, "settled")
        await receiving.settled(token)


async def _tell_quietly(link: Link, **message: str) -> None:
    try:
        await link.tell(**message)
    except MigrationFailed as error:
        log.debug("%s: %s", link.peer, error)
