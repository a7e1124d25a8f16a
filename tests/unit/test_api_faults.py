"""From errors to fault numbers and texts."""

from __future__ import annotations

import pytest

from xend.api.xmlrpc.faults import fault_of
from xend.errors import DomainNotFound, HypervisorError, InvalidArgument, PoolError, XendError
from xend.libxl.failures import hypervisor_error

LOG = (
    "p2m_size < nr_pages -1 (1 < 3ff: Internal error",
    "libxl_domain.c:603:libxl_domain_core_dump: Domain 2:Core dumping domain to /x: No such file",
    "libxl_dom.c:1:f: Domain 2:something else happened",
)


def test_libxls_log_is_told_once() -> None:
    """The sentence has its first lines; the others follow it."""
    code, text = fault_of(hypervisor_error("dump core", -3, "ERROR_FAIL", LOG))
    assert code == 2
    assert text.splitlines() == [
        "dump core failed: p2m_size < nr_pages -1 (1 < 3ff: Internal error; "
        "Core dumping domain to /x: No such file",
        LOG[2],
    ]


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (DomainNotFound("x"), (3, "x")),
        (InvalidArgument("no", argument="a", value=1), (2, "no")),
        (PoolError("in use", pool="p", code="POOL_BAD_STATE"), (2, "POOL_BAD_STATE: in use")),
        (PoolError("unknown pool p", pool="p", code=""), (2, "unknown pool p")),
        (HypervisorError("no reason", operation="x"), (2, "no reason")),
        (XendError("generic"), (2, "generic")),
    ],
)
def test_each_class_has_its_number(error: XendError, fault: tuple[int, str]) -> None:
    assert tuple(fault_of(error)) == fault
