"""Quick verbs on a domain: pause, unpause, shutdown, destroy, rename, trigger, sysrq."""

from __future__ import annotations

from dataclasses import replace
from typing import cast, get_args

from xend.core.changes import change_config
from xend.core.context import Body, Context, not_started, require_started
from xend.core.jobs import Job
from xend.core.ports import ShutdownRequest
from xend.core.steps import Applier
from xend.errors import DomainStateError, InvalidArgument, XendError
from xend.model.domain import NAME, NAME_FORM
from xend.model.status import PowerState
from xend.model.units import DOM0

WHICH_MAX_AGE = 0.2
"""Seconds: which domain is meant does not change as quickly as what it does."""
_TRIGGERS = frozenset({"nmi", "reset", "init", "s3resume", "power", "sleep"})


class Verbs:
    def __init__(self, context: Context, applier: Applier) -> None:
        self._context = context
        self._applier = applier

    @property
    def bodies(self) -> dict[str, Body]:
        return {
            "pause": self.pause,
            "unpause": self.unpause,
            "set-pause-flag": self.set_pause_flag,
            "shutdown": self.shutdown,
            "destroy": self.destroy,
            "rename": self.rename,
            "trigger": self.trigger,
            "sysrq": self.sysrq,
        }

    async def pause(self, job: Job, ref: str | int) -> PowerState:
        view, domid = await self._context.running(job, ref, "pause")
        require_started(
            ref, view, "pause", PowerState.RUNNING, PowerState.PAUSED, PowerState.CRASHED
        )
        if view.power_state is PowerState.RUNNING:
            await self._context.hypervisor.pause(domid)
            self._context.snapshot.invalidate()
        return view.power_state

    async def unpause(self, job: Job, ref: str | int) -> None:
        view, domid = await self._context.running(job, ref, "unpause")
        require_started(ref, view, "unpause", PowerState.PAUSED, PowerState.RUNNING)
        if view.power_state is PowerState.PAUSED:
            await self._context.unpause(domid)

    async def set_pause_flag(self, job: Job, ref: str | int, *, flag: bool) -> None:
        view = await self._context.current(job, ref)
        identity = self._context.snapshot.identity(view.domid) if view.domid is not None else None
        if identity is None:
            return
        identity.paused_by_admin = flag
        if identity.owned is not None:
            identity.owned = replace(identity.owned, paused_by_admin=flag)
            await self._context.journal.put_owned(identity.owned)

    async def shutdown(self, job: Job, ref: str | int, *, request: str = "poweroff") -> None:
        view = await self._context.current(job, ref)
        if view.domid == DOM0:
            raise DomainStateError("Domain 0 cannot be shutdown", domain=str(ref), verb="shutdown")
        if view.domid is None or view.power_state is PowerState.SHUTDOWN:
            raise DomainStateError(
                "Domain cannot be shutdown",
                domain=str(ref),
                state=view.power_state.name.lower(),
                verb="shutdown",
            )
        if request not in get_args(ShutdownRequest):
            raise InvalidArgument(f"Invalid reason: {request}", argument="reason", value=request)
        await self._context.hypervisor.request_shutdown(view.domid, cast(ShutdownRequest, request))

    async def destroy(self, job: Job, ref: str | int) -> None:
        view = await self._context.current(job, ref, max_age=WHICH_MAX_AGE)
        if view.domid == DOM0:
            raise DomainStateError(
                f"Cannot destroy privileged domain {ref}", domain=str(ref), verb="destroy"
            )
        if view.domid is None:
            return  # Halted already; the original was content, too.
        domid = view.domid
        data = {"domid": domid}
        job.final = True  # Half a domain is nobody's wish.
        async with self._context.intent(job, "destroy", view.uuid, data) as intent:
            await self._applier.end_domain(domid, self._context.settings.destroy_timeout)
            intent.drop.append((view.uuid, domid))
        identity = self._context.snapshot.identity(domid)
        if identity is not None and intent.id:
            identity.owned = None  # That goes from the journal with the intent.
        self._context.snapshot.forget(domid)

    async def rename(self, job: Job, ref: str | int, *, new: str) -> None:
        view = await self._context.current(job, ref)
        if not new:
            raise InvalidArgument("Missing VM Name", argument="name", value=new)
        if not NAME.fullmatch(new):
            raise InvalidArgument(
                "Invalid VM Name",
                argument="name",
                value=new,
                expected=NAME_FORM,
            )
        if view.name == new:
            return
        snapshot = self._context.snapshot
        self._context.reserved.check_name(new, view.uuid, snapshot.views())
        with self._context.reserved.name(new, view.uuid):
            data = {"old": view.name, "new": new, "domid": view.domid}
            async with self._context.intent(job, "rename", view.uuid, data):
                if view.domid is not None:
                    await self._context.hypervisor.rename(view.domid, view.name, new)
                try:
                    await change_config(self._context, view, name=new)
                except XendError:
                    if view.domid is not None:
                        await self._context.hypervisor.rename(view.domid, new, view.name)
                    raise
            identity = snapshot.identity(view.domid) if view.domid is not None else None
            if identity is not None:
                identity.name = new

    async def trigger(self, job: Job, ref: str | int, *, trigger: str, vcpu: int = 0) -> None:
        view = await self._context.current(job, ref)
        if trigger.lower() not in _TRIGGERS:
            raise InvalidArgument(
                f"Invalid trigger: {trigger}",
                argument="trigger",
                value=trigger,
                expected=", ".join(sorted(_TRIGGERS)),
            )
        if view.domid is None:
            raise not_started(ref, view, "trigger")
        await self._context.hypervisor.send_trigger(view.domid, trigger.lower(), vcpu)

    async def sysrq(self, job: Job, ref: str | int, *, key: str) -> None:
        view = await self._context.current(job, ref)
        if view.domid is None:
            raise not_started(ref, view, "sysrq")
        if len(key) != 1 or not key.isascii():
            raise InvalidArgument(
                f"Invalid sysrq key: '{key}'", argument="key", value=key, expected="one character"
            )
        await self._context.hypervisor.send_sysrq(view.domid, key)
