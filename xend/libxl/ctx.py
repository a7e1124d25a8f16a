"""The only door to C: one libxl context, and what can be asked of it.

The few modules beside this one that call libxl (operations, poller, pools) get at it by
`Context.raw`.

Blocking: every method does hypercalls, XenStore requests or the whole build of a domain, so a
`Context` refuses to be used on a thread that runs an event loop.  One thread at a time: whoever
owns the context sees to that.  Values that come out are plain Python; whoever is outside turns
them into the model.

Worker processes import this too: nothing heavy may be imported here (no dataclasses, no asyncio).

Naming as in libxl's CODING_STYLE: `rc` is a libxl code and nothing else.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from xend.libxl import roundtrip
from xend.libxl._xl import ffi, lib
from xend.libxl.handle import (
    Handle,
    XlError,
    c_text,
    raw_bytes,
    refuse_event_loop,
)

INVALID_DOMID = 0xFFFFFFFF
PAGE_KIB = 4
DOMINFO = struct.Struct("=IIiiIIIIQQQQ16s")
"""domid, flags, shutdown reason, type, vcpus online, highest vcpu, pool, -, KiB now, KiB at most,
KiB claimed, CPU ns, uuid: `xend_dominfo` of decl/shim.c."""

RUNNING, BLOCKED, PAUSED, SHUTDOWN, DYING, NEVER_STOP = (1 << bit for bit in range(6))

DominfoTuple = tuple[int, int, int, int, int, int, int, int, int, int, int, int, bytes]
VcpuTuple = tuple[int, bool, bool, bool, int, int, tuple[int, ...], tuple[int, ...]]
if DOMINFO.size != lib.XEND_DOMINFO_SIZE:
    raise ImportError(f"xend_dominfo has {lib.XEND_DOMINFO_SIZE} bytes, not {DOMINFO.size}")


class Context(Handle):
    """What can be asked of libxl; plain values in and out."""

    # -- domains: hot -------------------------------------------------------------------------

    def list_domains(self) -> list[DominfoTuple]:
        count = ffi.new("int *")
        records = lib.xend_list(self.raw, count)
        if records == ffi.NULL:
            raise XlError("libxl_list_domain", lib.ERROR_FAIL, self.take_log())
        try:
            packed = ffi.buffer(records, count[0] * DOMINFO.size)
            return list(DOMINFO.iter_unpack(packed))
        finally:
            lib.xend_free(records)

    def info(self, domid: int) -> DominfoTuple | None:
        """None when there is no such domain."""
        out = ffi.new("xend_dominfo *")
        rc = lib.xend_info(self.raw, domid, out)
        if rc == lib.ERROR_DOMAIN_NOTFOUND:
            self.drop_log()
            return None
        self.check("libxl_domain_info", rc)
        return DOMINFO.unpack(ffi.buffer(out))

    # -- JSON ---------------------------------------------------------------------------------

    @contextmanager
    def config(self, text: str | None = None, *, check: bool = True) -> Iterator[Any]:
        """A libxl_domain_config, from JSON when `text` is given; freed at the end.

        libxl's parser drops what it does not know or what has another type, and says nothing
        (LIBXL_types: "the parser is lenient"), hence the way back: what went in must come out.
        Raises roundtrip.Dropped; without `check` whoever builds from it finds that out.
        """
        config = ffi.new("libxl_domain_config *")
        lib.libxl_domain_config_init(config)
        try:
            if text is not None:
                rc = lib.libxl_domain_config_from_json(self.raw, config, raw_bytes(text))
                self.check("libxl_domain_config_from_json", rc)
                if check:
                    roundtrip.check(json.loads(text), json.loads(self.config_json(config)))
            yield config
        finally:
            lib.libxl_domain_config_dispose(config)

    def config_json(self, config: Any) -> str:
        return self.owned_text(lib.libxl_domain_config_to_json(self.raw, config))

    def owned_text(self, pointer: Any) -> str:
        """A string that libxl allocated, freed."""
        if pointer == ffi.NULL:
            raise XlError("to_json", lib.ERROR_FAIL, self.take_log())
        try:
            return c_text(pointer)
        finally:
            lib.xend_free(pointer)

    def retrieve_config(self, domid: int) -> str:
        """JSON of a running domain's configuration, of any toolstack."""
        with self.config() as config:
            rc = lib.libxl_retrieve_domain_configuration(self.raw, domid, config, ffi.NULL)
            self.check("libxl_retrieve_domain_configuration", rc)
            return self.config_json(config)

    def need_memory(self, text: str) -> int:
        """KiB that a create of this configuration would take."""
        need = ffi.new("uint64_t *")
        with self.config(text, check=False) as config:
            rc = lib.libxl_domain_need_memory(self.raw, config, INVALID_DOMID, need)
            self.check("libxl_domain_need_memory", rc)
        return int(need[0])

    # -- quick changes ------------------------------------------------------------------------

    def pause(self, domid: int) -> None:
        self.check("pause", lib.libxl_domain_pause(self.raw, domid, ffi.NULL))

    def unpause(self, domid: int) -> None:
        self.check("unpause", lib.libxl_domain_unpause(self.raw, domid, ffi.NULL))

    def rename(self, domid: int, old: str, new: str) -> None:
        rc = lib.libxl_domain_rename(self.raw, domid, raw_bytes(old), raw_bytes(new))
        self.check("rename", rc)

    def preserve(self, domid: int, name: str, uuid: bytes) -> None:
        """Another name, and another /vm/<uuid>, for a dead domain.  May be repeated."""
        rc = lib.libxl_domain_rename(self.raw, domid, ffi.NULL, raw_bytes(name))
        self.check("rename", rc)
        self.check("preserve", lib.xend_preserve(self.raw, domid, raw_bytes(name), uuid))

    def write_control(self, domid: int, request: str) -> int:
        """Asks a guest by its control/shutdown node; an errno, 0 when it was written."""
        refuse_event_loop()
        return int(lib.xend_control_write(domid, raw_bytes(request)))

    def shutdown_with_drivers(self, domid: int, *, reboot: bool) -> bool:
        """Of an HVM guest: False when it has no paravirtual drivers to be asked by.

        Waits up to 60 s for the guest to acknowledge.
        """
        call = lib.libxl_domain_reboot if reboot else lib.libxl_domain_shutdown
        rc = call(self.raw, domid, ffi.NULL)
        if rc == lib.ERROR_NOPARAVIRT:
            self.drop_log()
            return False
        self.check("reboot" if reboot else "shutdown", rc)
        return True

    def send_trigger(self, domid: int, trigger: str, vcpu: int) -> None:
        """`trigger` is one of TRIGGERS."""
        number = TRIGGERS[trigger]
        self.check("trigger", lib.libxl_send_trigger(self.raw, domid, number, vcpu, ffi.NULL))

    def send_sysrq(self, domid: int, key: str) -> None:
        self.check("sysrq", lib.libxl_send_sysrq(self.raw, domid, key.encode("ascii")))

    def set_memory_target(self, domid: int, kib: int) -> None:
        self.check("set memory target", lib.libxl_set_memory_target(self.raw, domid, kib, 0, 1))

    def set_max_memory(self, domid: int, kib: int) -> None:
        rc = lib.libxl_domain_setmaxmem(self.raw, domid, kib)
        # It alone says 1 for a failure, for example for less than the domain's target.
        self.check("set maximum memory", rc if rc <= 0 else lib.ERROR_FAIL)

    def set_vcpus(self, domid: int, count: int) -> None:
        with self.bitmap(range(count)) as online:
            rc = lib.libxl_set_vcpuonline(self.raw, domid, online, ffi.NULL)
            self.check("set vcpus", rc)

    def pin_vcpu(self, domid: int, vcpu: int, cpus: Sequence[int]) -> None:
        with self.bitmap(cpus) as hard:
            rc = lib.libxl_set_vcpuaffinity(self.raw, domid, vcpu, hard, ffi.NULL)
            self.check("pin vcpu", rc)

    def prefer_cpus(self, domid: int, vcpu: int, cpus: Sequence[int]) -> None:
        with self.bitmap(cpus) as soft:
            rc = lib.libxl_set_vcpuaffinity(self.raw, domid, vcpu, ffi.NULL, soft)
            self.check("prefer cpus", rc)

    @contextmanager
    def bitmap(self, bits: Sequence[int]) -> Iterator[Any]:
        bitmap = ffi.new("libxl_bitmap *")
        lib.libxl_bitmap_init(bitmap)
        try:
            size = max(bits, default=0) + 1
            self.check("bitmap", lib.libxl_bitmap_alloc(self.raw, bitmap, size))
            for bit in bits:
                lib.libxl_bitmap_set(bitmap, bit)
            yield bitmap
        finally:
            lib.libxl_bitmap_dispose(bitmap)

    def scheduler_params(self, domid: int) -> tuple[int, int]:
        """(weight, cap)."""
        params = ffi.new("libxl_domain_sched_params *")
        lib.libxl_domain_sched_params_init(params)
        rc = lib.libxl_domain_sched_params_get(self.raw, domid, params)
        self.check("get scheduling parameters", rc)
        return int(params.weight), int(params.cap)

    def set_scheduler_params(self, domid: int, weight: int | None, cap: int | None) -> None:
        params = ffi.new("libxl_domain_sched_params *")
        lib.libxl_domain_sched_params_init(params)
        if weight is not None:
            params.weight = weight
        if cap is not None:
            params.cap = cap
        rc = lib.libxl_domain_sched_params_set(self.raw, domid, params)
        self.check("set scheduling parameters", rc)

    # -- queries that are not hot -------------------------------------------------------------

    def vcpus(self, domid: int) -> list[VcpuTuple]:
        """(number, online, blocked, running, cpu, ns, hard affinity, soft affinity)."""
        count, cpus = ffi.new("int *"), ffi.new("int *")
        listed = lib.libxl_list_vcpu(self.raw, domid, count, cpus)
        if listed == ffi.NULL:
            raise XlError("list vcpus", lib.ERROR_FAIL, self.take_log())
        try:
            return [
                (
                    v.vcpuid,
                    v.online,
                    v.blocked,
                    v.running,
                    v.cpu,
                    v.vcpu_time,
                    set_bits(v.cpumap, cpus[0]),
                    set_bits(v.cpumap_soft, cpus[0]),
                )
                for v in listed[0 : count[0]]
            ]
        finally:
            lib.libxl_vcpuinfo_list_free(listed, count[0])

    def cpupools(self) -> dict[int, str]:
        count = ffi.new("int *")
        pools = lib.libxl_list_cpupool(self.raw, count)
        if pools == ffi.NULL:
            raise XlError("list cpupools", lib.ERROR_FAIL, self.take_log())
        try:
            return {pool.poolid: c_text(pool.pool_name) for pool in pools[0 : count[0]]}
        finally:
            lib.libxl_cpupoolinfo_list_free(pools, count[0])

    def console_tty(self, domid: int) -> str:
        path = ffi.new("char **")
        rc = lib.libxl_primary_console_get_tty(self.raw, domid, path)
        self.check("console", rc)
        try:
            return c_text(path[0])
        finally:
            lib.xend_free(path[0])

    def dmesg(self, clear: bool) -> str:
        reader = lib.libxl_xen_console_read_start(self.raw, int(clear))
        if reader == ffi.NULL:
            raise XlError("read Xen's console", lib.ERROR_FAIL, self.take_log())
        line = ffi.new("char **")
        text = []
        try:
            while (rc := lib.libxl_xen_console_read_line(self.raw, reader, line)) > 0:
                text.append(c_text(line[0]))
            self.check("read Xen's console", rc)
        finally:
            lib.libxl_xen_console_read_finish(self.raw, reader)
        return "".join(text)

    def send_debug_keys(self, keys: str) -> None:
        self.check("debug keys", lib.libxl_send_debug_keys(self.raw, raw_bytes(keys)))

    def physinfo(self) -> dict[str, Any]:
        """Counts, KiB and flags of libxl_physinfo."""
        info = ffi.new("libxl_physinfo *")
        lib.libxl_physinfo_init(info)
        self.check("libxl_get_physinfo", lib.libxl_get_physinfo(self.raw, info))
        names = (name for name, _ in ffi.typeof("libxl_physinfo").fields if name != "hw_cap")
        found = {name: getattr(info, name) for name in names}
        found["hw_cap"] = tuple(info.hw_cap)
        found["newer_capabilities"] = lib.xend_newer_capabilities(info)
        lib.libxl_physinfo_dispose(info)
        return found

    def free_memory(self) -> tuple[int, int]:
        """KiB: (free and not claimed for a domain that is being built, waiting to be cleared)."""
        info = ffi.new("libxl_physinfo *")
        lib.libxl_physinfo_init(info)
        self.check("libxl_get_physinfo", lib.libxl_get_physinfo(self.raw, info))
        free = (info.free_pages - info.outstanding_pages) * PAGE_KIB
        scrub = info.scrub_pages * PAGE_KIB
        lib.libxl_physinfo_dispose(info)
        return int(free), int(scrub)

    def version(self) -> dict[str, Any]:
        """libxl_version_info; strings as they are."""
        info = lib.libxl_get_version_info(self.raw)
        if info == ffi.NULL:
            raise XlError("libxl_get_version_info", lib.ERROR_FAIL, self.take_log())
        found: dict[str, Any] = {}
        for name, field in ffi.typeof("libxl_version_info").fields:
            value = getattr(info, name)
            found[name] = c_text(value) if field.type.kind == "pointer" else value
        return found

    def scheduler_name(self) -> str:
        """credit, credit2, null …"""
        number = lib.libxl_get_scheduler(self.raw)
        self.check("libxl_get_scheduler", number)
        return c_text(lib.xend_scheduler_name(number)) or "unknown"

    def cpu_topology(self) -> list[tuple[int, int, int]]:
        """(core, socket, node) of each CPU."""
        count = ffi.new("int *")
        cpus = lib.libxl_get_cpu_topology(self.raw, count)
        if cpus == ffi.NULL:
            raise XlError("libxl_get_cpu_topology", lib.ERROR_FAIL, self.take_log())
        try:
            return [
                (cpu.core, cpu.socket, cpu.node)
                for cpu in cpus[0 : count[0]]
                if cpu.core != INVALID_ENTRY
            ]
        finally:
            lib.libxl_cputopology_list_free(cpus, count[0])

    def numa(self) -> list[tuple[int, int, tuple[int, ...]]]:
        """(bytes, free bytes, distances) of each node."""
        count = ffi.new("int *")
        nodes = lib.libxl_get_numainfo(self.raw, count)
        if nodes == ffi.NULL:
            raise XlError("libxl_get_numainfo", lib.ERROR_FAIL, self.take_log())
        try:
            return [
                (node.size, node.free, tuple(node.dists[0 : node.num_dists]))
                for node in nodes[0 : count[0]]
                if node.size != 0xFFFFFFFFFFFFFFFF
            ]
        finally:
            lib.libxl_numainfo_list_free(nodes, count[0])


INVALID_ENTRY = 0xFFFFFFFF
TRIGGERS = {
    "power": lib.LIBXL_TRIGGER_POWER,
    "sleep": lib.LIBXL_TRIGGER_SLEEP,
    "nmi": lib.LIBXL_TRIGGER_NMI,
    "init": lib.LIBXL_TRIGGER_INIT,
    "reset": lib.LIBXL_TRIGGER_RESET,
    "s3resume": lib.LIBXL_TRIGGER_S3RESUME,
}


def set_bits(bitmap: Any, limit: int) -> tuple[int, ...]:
    """Numbers of the set bits, below `limit`."""
    data = bytes(ffi.buffer(bitmap.map, bitmap.size)) if bitmap.size else b""
    return tuple(
        number * 8 + bit
        for number, byte in enumerate(data)
        for bit in range(8)
        if byte >> bit & 1 and number * 8 + bit < limit
    )
