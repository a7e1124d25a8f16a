"""CPU pools: `ports.PoolControl` over libxl."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from uuid import UUID

from xend.errors import InvalidArgument
from xend.model.pools import PoolInfo
from xend.model.units import Domid

if TYPE_CHECKING:
    from xend.libxl.ctx import Context

T = TypeVar("T")

_ANY_ID = 0xFFFFFFFF
"""LIBXL_CPUPOOL_POOLID_ANY"""
MAX_CPUS = 4096


class Ask(Protocol):
    """Runs a call on a thread that has a context; `domid`, if given, must exist."""

    async def __call__(
        self, operation: str, domid: Domid | None, call: Callable[[Context], T]
    ) -> T: ...


class XenPools:
    def __init__(self, look: Ask, ask: Ask) -> None:
        """`look` is for hypercalls alone; what `ask` runs may wait for XenStore."""
        self._look = look
        self._ask = ask

    async def list(self) -> Sequence[PoolInfo]:
        return await self._ask("list CPU pools", None, read)

    async def free_cpus(self) -> tuple[int, ...]:
        return await self._look("list free CPUs", None, free_cpus)

    async def create(self, name: str, uuid: UUID, scheduler: str, cpus: Sequence[int]) -> int:
        _check_cpus(cpus)

        def make(context: Context) -> int:
            return create(context, name, uuid.bytes, scheduler, cpus)

        return await self._ask("create CPU pool", None, make)

    async def destroy(self, pool: int) -> None:
        await self._change("destroy", pool)

    async def rename(self, pool: int, name: str) -> None:
        await self._ask("CPU pool rename", None, lambda context: rename(context, pool, name))

    async def add_cpu(self, pool: int, cpu: int) -> None:
        _check_cpus([cpu])
        await self._change("cpuadd", pool, cpu)

    async def remove_cpu(self, pool: int, cpu: int) -> None:
        _check_cpus([cpu])
        await self._change("cpuremove", pool, cpu)

    async def move(self, pool: int, domid: Domid) -> None:
        await self._change("movedomain", pool, domid, domid=domid)

    async def _change(self, verb: str, *numbers: int, domid: Domid | None = None) -> None:
        await self._ask(f"CPU pool {verb}", domid, lambda context: call(context, verb, *numbers))


def _check_cpus(cpus: Sequence[int]) -> None:
    if any(not 0 <= cpu < MAX_CPUS for cpu in cpus):
        raise InvalidArgument("no such CPU", argument="cpus", value=[*cpus])


# -- On the context's thread ----------------------------------------------------------------


def read(context: Context) -> list[PoolInfo]:
    from xend.libxl._xl import ffi, lib
    from xend.libxl.ctx import set_bits
    from xend.libxl.handle import XlError, c_text

    count = ffi.new("int *")
    pools = lib.libxl_list_cpupool(context.raw, count)
    if pools == ffi.NULL:
        raise XlError("list CPU pools", lib.ERROR_FAIL, context.take_log())
    try:
        return [
            PoolInfo(
                id=pool.poolid,
                name=c_text(pool.pool_name),
                scheduler=c_text(lib.xend_scheduler_name(pool.sched)) or "unknown",
                cpus=set_bits(pool.cpumap, MAX_CPUS),
                domains=pool.n_dom,
            )
            for pool in pools[0 : count[0]]
        ]
    finally:
        lib.libxl_cpupoolinfo_list_free(pools, count[0])


def free_cpus(context: Context) -> tuple[int, ...]:
    from xend.libxl._xl import ffi, lib
    from xend.libxl.ctx import set_bits

    # libxl allocates it: what libxl_bitmap_alloc had made would be lost.
    bitmap = ffi.new("libxl_bitmap *")
    lib.libxl_bitmap_init(bitmap)
    try:
        context.check("list free CPUs", lib.libxl_get_freecpus(context.raw, bitmap))
        return set_bits(bitmap, MAX_CPUS)
    finally:
        lib.libxl_bitmap_dispose(bitmap)


def create(context: Context, name: str, uuid: bytes, scheduler: str, cpus: Sequence[int]) -> int:
    """InvalidArgument for a scheduler that libxl does not know."""
    from xend.libxl._xl import ffi, lib
    from xend.libxl.handle import raw_bytes

    policy = ffi.new("libxl_scheduler *")
    if lib.libxl_scheduler_from_string(raw_bytes(scheduler), policy):
        raise InvalidArgument(
            f"no such scheduler: {scheduler}", argument="scheduler", value=scheduler
        )
    identity: Any = ffi.new("libxl_uuid *")
    ffi.memmove(identity.uuid, uuid, 16)
    pool = ffi.new("uint32_t *", _ANY_ID)
    with context.bitmap(cpus) as chosen:
        rc = lib.libxl_cpupool_create(
            context.raw, raw_bytes(name), policy[0], chosen[0], identity, pool
        )
        context.check("create CPU pool", rc)
    return int(pool[0])


def rename(context: Context, pool: int, name: str) -> None:
    from xend.libxl._xl import lib
    from xend.libxl.handle import raw_bytes

    rc = lib.libxl_cpupool_rename(context.raw, raw_bytes(name), pool)
    context.check("CPU pool rename", rc)


def call(context: Context, verb: str, *numbers: int) -> None:
    """libxl_cpupool_VERB."""
    from xend.libxl._xl import lib

    rc = getattr(lib, f"libxl_cpupool_{verb}")(context.raw, *numbers)
    context.check(f"CPU pool {verb}", rc)
