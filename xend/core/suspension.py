"""A guest that was asked to suspend by a save that is no more."""

from __future__ import annotations

from typing import Final

from xend.core.context import Context
from xend.core.ports import XenStoreWriter
from xend.errors import DomainNotFound
from xend.model.status import DomainInfo, ShutdownReason
from xend.model.units import Domid

PATIENCE: Final = 5.0
"""Seconds in which a guest that has taken the request will have suspended."""
LOOK_EVERY: Final = 0.1


async def wake_if_suspended(context: Context, domid: Domid) -> bool:
    """Whether it was; DomainNotFound when it is gone."""
    if not is_suspended(await context.hypervisor.domain(domid)):
        return False
    await context.hypervisor.resume(domid)
    context.snapshot.invalidate()
    return True


def is_suspended(info: DomainInfo) -> bool:
    return info.shutdown and info.shutdown_reason is ShutdownReason.SUSPEND


async def undo_suspend(context: Context, domid: Domid) -> None:
    """Lets a domain run on whose save was cut off, at whatever moment.  Quiet when it is gone.

    A request that the guest has not seen yet is withdrawn, as libxl itself does when it has waited
    long enough.  One that it has seen (it then empties the node) cannot be: it suspends a moment
    later, and nobody would ever wake it, since a suspended domain is taken for somebody's save.
    So that moment is waited for.
    """
    try:
        if await wake_if_suspended(context, domid) or await _withdraw(context, domid):
            return
        deadline = context.clock.monotonic() + PATIENCE
        while context.clock.monotonic() < deadline:
            await context.clock.sleep(LOOK_EVERY)
            if await wake_if_suspended(context, domid):
                return
    except DomainNotFound:
        return


async def _withdraw(context: Context, domid: Domid) -> bool:
    """Whether the request was still there."""
    path = f"/local/domain/{domid}/control/shutdown"

    async def clear(transaction: XenStoreWriter) -> bool:
        if await transaction.read_or(path) != "suspend":
            return False
        await transaction.write(path, "")
        return True

    return await context.store.transact(clear)
