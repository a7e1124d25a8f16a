"""Old calls that this daemon knows but cannot do, and what to use instead.

They must be faults.  A method that the old server did not know gives a *successful* answer with a
Failure struct in it, which old clients take for success.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from xend.errors import UnsupportedFeature


class Reason(NamedTuple):
    feature: str
    reason: str
    instead: str

    def error(self) -> UnsupportedFeature:
        return UnsupportedFeature(**self._asdict())


_SEDF = Reason(
    "The SEDF scheduler",
    "Xen removed it in 4.6",
    "the credit or credit2 scheduler (sched_credit_set, sched_credit2_set)",
)
_TMEM = Reason(
    "Transcendent memory (tmem)",
    "Xen removed it in 4.13",
    "ballooning (setMemoryTarget)",
)
_ACM = Reason(
    "The ACM security module",
    "Xen removed it in 4.2",
    "FLASK policies, set with the tools of xen-utils (xl setenforce, xl loadpolicy)",
)
_SHADOW = Reason(
    "Changing shadow memory of a running domain",
    "libxl sets it once, at creation",
    "shadow_memory in the domain's configuration",
)
_HOT_IO = Reason(
    "Granting I/O ports to a running domain",
    "libxl sets them once, at creation",
    "ioports in the domain's configuration",
)
_CONFIGURE = Reason(
    "Replacing the configuration of a running domain",
    "the original refused it too",
    "xend.domain.new while it is halted",
)
_INSIDE = Reason(
    "Handing over an object or an open file",
    "the old server listed this by accident, and no client could call it",
    "xend.domain.create, xend.domain.restore or xend.domain.delete",
)


def _each(prefix: str, names: str, reason: Reason) -> Iterator[tuple[str, Reason]]:
    for name in names.split():
        yield prefix + name, reason


def _all() -> Iterable[tuple[str, Reason]]:
    yield from _each("xend.domain.", "cpu_sedf_get cpu_sedf_set", _SEDF)
    yield from _each(
        "xend.node.tmem_",
        "list thaw freeze flush destroy set_weight set_cap set_compress query_freeable_mb "
        "shared_auth",
        _TMEM,
    )
    yield from _each(
        "xend.security.",
        "set_resource_label set_policy reset_policy activate_policy rm_bootpolicy set_domain_label",
        _ACM,
    )
    yield from _each("xend.domain.", "shadow_control shadow_mem_get shadow_mem_set", _SHADOW)
    yield from _each("xend.domain.", "configure", _CONFIGURE)
    yield from _each("xend.domain.", "ioport_range_enable ioport_range_disable", _HOT_IO)
    yield from _each("xend.domain.", "create_from_dict delete_by_dominfo restore_fd", _INSIDE)


UNAVAILABLE: Final = dict(_all())
