"""What `xl` looks at, asked of libxl on the thread that owns the context.

Each function gets the context first and gives plain values.  Blocking, as `ctx` is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

from xend.libxl._xl import ffi, lib
from xend.libxl.ctx import INVALID_ENTRY, Context, VcpuTuple, set_bits
from xend.libxl.handle import XlError, c_text, raw_bytes

NEWER_CAPABILITIES: Final = ("vmtrace", "vpmu", "gnttab-v1", "gnttab-v2")
"""By bit of `xend_newer_capabilities`."""


def labels(context: Context) -> dict[int, str]:
    """Security labels by domid; without FLASK there are none."""
    count = ffi.new("int *")
    listed = lib.libxl_list_domain(context.raw, count)
    if listed == ffi.NULL:
        raise XlError("libxl_list_domain", lib.ERROR_FAIL, context.take_log())
    try:
        return {
            int(each.domid): c_text(each.ssid_label)
            for each in listed[0 : count[0]]
            if each.ssid_label != ffi.NULL
        }
    finally:
        lib.libxl_dominfo_list_free(listed, count[0])


def node_affinity(context: Context, domids: Sequence[int]) -> dict[int, tuple[int, ...]]:
    """NUMA nodes that each domain's memory and vcpus prefer."""
    found = {}
    with _bitmap() as nodes:
        context.check("nodes", lib.libxl_node_bitmap_alloc(context.raw, nodes, 0))
        for domid in domids:
            if lib.libxl_domain_get_nodeaffinity(context.raw, domid, nodes) == 0:
                found[domid] = set_bits(nodes, nodes.size * 8)
    context.drop_log()
    return found


def vcpus(context: Context, domids: Sequence[int]) -> dict[int, list[VcpuTuple]]:
    """By domid, of those that are there."""
    found = {}
    for domid in domids:
        with suppress(XlError):
            found[domid] = context.vcpus(domid)
    context.drop_log()
    return found


def shares(context: Context, domids: Sequence[int]) -> list[tuple[int, str, int, int]]:
    """(domid, scheduler, weight, cap) of those that are there."""
    found = []
    params = ffi.new("libxl_domain_sched_params *")
    for domid in domids:
        lib.libxl_domain_sched_params_init(params)
        if lib.libxl_domain_sched_params_get(context.raw, domid, params) == 0:
            name = c_text(lib.xend_scheduler_name(params.sched))
            found.append((domid, name, int(params.weight), int(params.cap)))
        lib.libxl_domain_sched_params_dispose(params)
    context.drop_log()
    return found


def credit(context: Context, pool: int) -> tuple[int, int, int]:
    """(timeslice in ms, rate limit in us, migration delay in us) of the credit scheduler."""
    params = _credit(context, pool)
    return int(params.tslice_ms), int(params.ratelimit_us), int(lib.xend_migration_delay(params))


def set_credit(
    context: Context, pool: int, timeslice: int | None, limit: int | None, delay: int | None
) -> None:
    """None leaves as it is."""
    params = _credit(context, pool)
    if timeslice is not None:
        params.tslice_ms = timeslice
    if limit is not None:
        params.ratelimit_us = limit
    if delay is not None:
        lib.xend_set_migration_delay(params, delay)
    rc = lib.libxl_sched_credit_params_set(context.raw, pool, params)
    context.check("set the scheduler's parameters", rc)


def _credit(context: Context, pool: int) -> Any:
    params = ffi.new("libxl_sched_credit_params *")
    lib.libxl_sched_credit_params_init(params)
    rc = lib.libxl_sched_credit_params_get(context.raw, pool, params)
    context.check("get the scheduler's parameters", rc)
    return params


def credit2(context: Context, pool: int) -> int:
    """Rate limit of the credit2 scheduler, in us."""
    params = ffi.new("libxl_sched_credit2_params *")
    lib.libxl_sched_credit2_params_init(params)
    rc = lib.libxl_sched_credit2_params_get(context.raw, pool, params)
    context.check("get the scheduler's parameters", rc)
    return int(params.ratelimit_us)


def set_credit2(context: Context, pool: int, limit: int) -> None:
    params = ffi.new("libxl_sched_credit2_params *")
    lib.libxl_sched_credit2_params_init(params)
    params.ratelimit_us = limit
    rc = lib.libxl_sched_credit2_params_set(context.raw, pool, params)
    context.check("set the scheduler's parameters", rc)


def pci_nodes(context: Context) -> list[tuple[int, int, int, int]] | None:
    """(segment, bus, devfn, node) of the devices whose node the firmware names; None when Xen does
    not tell."""
    count = ffi.new("int *")
    listed = lib.libxl_get_pci_topology(context.raw, count)
    if listed == ffi.NULL:
        context.drop_log()
        return None
    try:
        return [
            (each.seg, each.bus, each.devfn, each.node)
            for each in listed[0 : count[0]]
            if each.node != INVALID_ENTRY
        ]
    finally:
        lib.libxl_pcitopology_list_free(listed, count[0])


def planned_text(context: Context, text: str) -> str:
    """A configuration as libxl writes it down, defaults left out."""
    with context.config(text) as config:
        return context.config_json(config)


def planned_device(context: Context, device_class: str, text: str) -> str:
    """A disk or an interface as libxl writes it down."""
    kind = {"vbd": "disk", "vif": "nic"}[device_class]
    device = ffi.new(f"libxl_device_{kind} *")
    getattr(lib, f"libxl_device_{kind}_init")(device)
    try:
        read = getattr(lib, f"libxl_device_{kind}_from_json")
        context.check(f"read {kind}", read(context.raw, device, raw_bytes(text)))
        return context.owned_text(getattr(lib, f"libxl_device_{kind}_to_json")(context.raw, device))
    finally:
        getattr(lib, f"libxl_device_{kind}_dispose")(device)


@contextmanager
def _bitmap() -> Iterator[Any]:
    bitmap = ffi.new("libxl_bitmap *")
    lib.libxl_bitmap_init(bitmap)
    try:
        yield bitmap
    finally:
        lib.libxl_bitmap_dispose(bitmap)
