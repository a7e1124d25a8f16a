"""CPU pools, as the old interface described them: `(uuid (key value…)…)`."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID, uuid4, uuid5

from xend.api.xmlrpc.context import CallContext
from xend.errors import DomainNotFound, InvalidArgument, OperationFailed, PoolError
from xend.model.pools import PoolConfig, PoolView

_LISTS: Final = frozenset({"proposed_CPUs", "other_config"})


async def list_pools(context: CallContext, names: list[str]) -> list[Any]:
    host = await context.host.uuid()
    return [_record(view, host) for view in await context.service.cpu_pools.list(names)]


def _record(view: PoolView, host: UUID) -> list[Any]:
    """The original's order was that of a hash table; no client relied on it."""
    pool = view.config
    uuid = str(pool.uuid)
    return [
        uuid,
        ["uuid", uuid],
        ["name_label", pool.name],
        ["name_description", pool.description or pool.name],
        ["resident_on", str(host)],
        ["auto_power_on", int(pool.auto_power_on)],
        ["started_VMs", *(uuid for uuid, _name in view.domains)],
        ["host_CPUs", *(str(uuid5(host, f"cpu {cpu}")) for cpu in view.cpus)],
        ["activated", view.active],
        ["ncpu", pool.ncpu],
        ["sched_policy", view.scheduler],
        ["proposed_CPUs", *map(str, pool.cpus)],
        ["other_config", *([key, value] for key, value in pool.other.items())],
        ["host_CPU_numbers", *view.cpus],
        ["started_VM_names", *(name for _uuid, name in view.domains)],
    ]


async def create(context: CallContext, config: list[Any]) -> None:
    await _change(context, "create", pool=_decode(config))


async def new(context: CallContext, config: list[Any]) -> str:
    """The new pool's uuid."""
    return str(await _change(context, "new", pool=_decode(config)))


async def start(context: CallContext, pool: str) -> None:
    await _change(context, "start", pool=pool)


async def destroy(context: CallContext, pool: str) -> None:
    await _change(context, "destroy", pool=pool)


async def delete(context: CallContext, pool: str) -> None:
    await _change(context, "delete", pool=pool)


async def cpu_add(context: CallContext, pool: str, cpu: int) -> None:
    await _change(context, "cpu-add", pool=pool, cpu=cpu)


async def cpu_remove(context: CallContext, pool: str, cpu: int) -> None:
    await _change(context, "cpu-remove", pool=pool, cpu=cpu)


async def migrate(context: CallContext, dom: str | int, pool: str) -> None:
    """A domain that is not there is fault 2 here, and the pool is looked up first."""
    known = await context.service.cpu_pools.list()
    if not any(pool in (view.config.name, str(view.id)) for view in known):
        raise PoolError(f"unknown pool {pool}", pool=pool, code="")
    try:
        await context.service.move_to_pool(dom, pool, caller=context.caller)
    except DomainNotFound as error:
        raise OperationFailed(f"unknown domain {dom}") from error


async def _change(context: CallContext, verb: str, **arguments: Any) -> Any:
    return await context.service.change_pool(verb, caller=context.caller, **arguments)


def _decode(config: list[Any]) -> PoolConfig:
    """`(pool (name_label …) (sched_policy …) (ncpu …) (proposed_CPUs …) (other_config …))`."""
    if not config or config[0] != "pool":
        raise _wrong("the configuration", config[:1], "(pool …)")
    known = {child[0]: child[1:] for child in config[1:] if isinstance(child, list) and child}
    scalars = {key: values[0] for key, values in known.items() if values and key not in _LISTS}
    name = str(scalars.get("name_label", "Pool-Unnamed"))
    ncpu = _whole("ncpu", scalars.get("ncpu", 1))
    if ncpu < 1:
        raise _wrong("ncpu", ncpu, "at least 1")
    return PoolConfig(
        uuid=uuid4(),
        name=name,
        description=str(scalars.get("name_description", name)),
        scheduler=str(scalars.get("sched_policy", "")),
        ncpu=ncpu,
        cpus=tuple(_whole("proposed_CPUs", cpu) for cpu in _flat(known.get("proposed_CPUs", []))),
        auto_power_on=scalars.get("auto_power_on", 0) in (1, True, "1"),
        other=_pairs(known.get("other_config", [])),
    )


def _flat(values: list[Any]) -> list[Any]:
    """Clients send `(proposed_CPUs 0 1)`, `(proposed_CPUs (0 1))` and `(proposed_CPUs ())`."""
    return [
        item for value in values for item in (_flat(value) if isinstance(value, list) else [value])
    ]


def _pairs(values: list[Any]) -> dict[str, str]:
    return {
        str(pair[0]): str(pair[1]) for pair in values if isinstance(pair, list) and len(pair) == 2
    }


def _whole(name: str, value: Any) -> int:
    if not isinstance(value, int | str) or not str(value).isdecimal():
        raise _wrong(name, value, "a number")
    return int(value)


def _wrong(name: str, value: Any, expected: str) -> InvalidArgument:
    shown = repr(value)[:80]
    return InvalidArgument(
        f"Invalid {name}: {shown} is not {expected}", argument=name, value=shown, expected=expected
    )
