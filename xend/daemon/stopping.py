"""What happens to domains when the daemon is stopped: nothing, unless they ask for it."""

from __future__ import annotations

import logging

from xend.core.domains import DomainService
from xend.errors import XendError
from xend.model.domain import HostAction
from xend.model.status import Origin, PowerState

log = logging.getLogger("xend.daemon")


async def apply_stop_policies(service: DomainService) -> None:
    """`on_xend_stop` of managed, running domains: shutdown asks the guest and does not wait;
    suspend waits until its memory is on disk."""
    for view in await service.list("running"):
        action = view.config.on_xend_stop if view.config else HostAction.IGNORE
        if not view.managed or view.origin is not Origin.XEND or action is HostAction.IGNORE:
            continue
        assert view.power_state is PowerState.RUNNING
        log.info("on_xend_stop of domain %s: %s", view.name, action.value)
        try:
            if action is HostAction.SHUTDOWN:
                await service.shutdown(view.uuid, "poweroff")
            elif action is HostAction.SUSPEND:
                await service.suspend(view.uuid)
        except XendError as error:
            log.error("on_xend_stop of domain %s: %s", view.name, error)
