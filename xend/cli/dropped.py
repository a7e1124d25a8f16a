"""Commands for what Xen no longer has, or never had behind this protocol.

Each says which feature is gone, since when, and what to use instead, and exits with 1.
"""

from __future__ import annotations

from xend.cli.failures import CommandFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from xend.cli.app import Xm


def _gone(feature: str, reason: str, instead: str) -> NoReturn:
    raise CommandFailed(f"{feature} is not available: {reason}. Use instead: {instead}")


def tmem(_xm: Xm, _args: list[str]) -> None:
    _gone(
        "Transcendent memory (tmem)",
        "Xen removed it in 4.13",
        "'xm mem-set' to balloon domains",
    )


def sedf(_xm: Xm, _args: list[str]) -> None:
    _gone(
        "The SEDF scheduler",
        "Xen removed it in 4.6",
        "'xm sched-credit' or 'xm sched-credit2'; for real time, the RTDS scheduler",
    )


def acm(_xm: Xm, _args: list[str]) -> None:
    _gone(
        "The ACM security module (labels and policies)",
        "Xen removed the ACM module in 4.2",
        "XSM with a Flask policy ('seclabel' in xl, loaded by the boot loader)",
    )


def flask(_xm: Xm, _args: list[str]) -> None:
    _gone(
        "Switching Flask's enforcing mode through the daemon",
        "it never had a call for it",
        "'xl getenforce' and 'xl setenforce'",
    )


def vnet(_xm: Xm, _args: list[str]) -> None:
    _gone(
        "The vnet virtual network",
        "its kernel module has not existed since Xen 3",
        "a bridge with VXLAN, or Open vSwitch, named in the domain's 'vif'",
    )


def netchannel2(_xm: Xm, _args: list[str]) -> None:
    _gone(
        "netchannel2 (vif2)",
        "no current kernel has its frontend or backend",
        "'xm network-attach', 'xm network-detach' and 'xm network-list'",
    )


def event_monitor(xm: Xm, _args: list[str]) -> None:
    """Exit status 0, as it was."""
    xm.error("Event monitoring not supported unless using Xen-API.")


def only_xen_api(_xm: Xm, _args: list[str]) -> None:
    raise CommandFailed("This function is only supported by Xen-API")
