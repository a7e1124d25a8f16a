"""What to do with a domain that has ended: pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from xend.core.ports import OwnedDomain
from xend.core.views import ServiceSettings
from xend.model.domain import DomainConfig, ShutdownAction
from xend.model.status import ShutdownReason

Then = Literal["leave", "destroy", "restart", "rename-restart", "preserve", "soft-reset"]


@dataclass(frozen=True, slots=True)
class Decision:
    then: Then
    dump: bool = False
    """Write a core first."""
    quick: int = 0
    """Restarts in a row that came too soon, this one included."""
    why: str = ""
    """Said in the log when it is not what the configuration asks for."""


_LEAVE = Decision("leave")
_CRASHES = frozenset({ShutdownReason.CRASH, ShutdownReason.WATCHDOG})


def decide(
    reason: ShutdownReason, owned: OwnedDomain, now: float, settings: ServiceSettings
) -> Decision:
    """For a domain of ours that has ended for `reason`; `now` by the monotonic clock.

    A suspend is somebody's save: who began it ends it.  For crashes a restart that comes sooner
    than `min_restart_seconds` after the start is refused, as in the original; reboots that a guest
    or an administrator asks for may come as quickly, but only `quick_reboots` times in a row.
    """
    if owned.preserved or reason is ShutdownReason.SUSPEND:
        return _LEAVE
    action = _action(reason, owned.config)
    crashed = reason in _CRASHES
    dump = crashed and (settings.enable_dump or action.value.startswith("coredump-"))
    match action:
        case ShutdownAction.PRESERVE:
            return Decision("preserve", dump)
        case ShutdownAction.DESTROY | ShutdownAction.COREDUMP_DESTROY:
            return Decision("destroy", dump)
        case _:
            return _restart(action, crashed, dump, owned, now, settings)


def _action(reason: ShutdownReason, config: DomainConfig) -> ShutdownAction:
    """For a reason that nobody knows the original destroyed."""
    if reason is ShutdownReason.POWEROFF:
        return config.on_poweroff
    if reason is ShutdownReason.REBOOT:
        return config.on_reboot
    if reason is ShutdownReason.SOFT_RESET:
        return config.on_soft_reset
    if reason is ShutdownReason.WATCHDOG:
        return config.on_watchdog
    if reason is ShutdownReason.CRASH:
        return config.on_crash
    return ShutdownAction.DESTROY


def _restart(
    action: ShutdownAction,
    crashed: bool,
    dump: bool,
    owned: OwnedDomain,
    now: float,
    settings: ServiceSettings,
) -> Decision:
    elapsed = now - owned.since
    soon = elapsed < settings.min_restart_seconds
    quick = owned.quick + 1 if soon else 0
    if soon and (crashed or quick > settings.quick_reboots):
        why = (
            f"VM {owned.config.name} restarting too fast (Elapsed time: {elapsed:f} seconds). "
            "Refusing to restart to avoid loops."
        )
        return Decision("destroy", dump, why=why)
    then: Then = "restart"
    if action is ShutdownAction.RENAME_RESTART:
        then = "rename-restart"
    elif action is ShutdownAction.SOFT_RESET and owned.config.kind == "hvm":
        # Xen resets no PV domain (arch_domain_soft_reset of xen/arch/x86/domain.c), and for PVH
        # libxl waits a minute for a device model that is not there (libxl_dom_suspend.c).
        then = "soft-reset"
    return Decision(then, dump, quick)
