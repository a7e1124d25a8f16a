"""Private calls with texts in xl's own notation: files, and devices of a command line.

The daemon reads them, not the command line: what reads them takes long to import.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, cast
from uuid import uuid4

from xend.api.xmlrpc.context import CallContext
from xend.config import xlcfg, xlcreate, xldevice
from xend.config.problems import InvalidFile
from xend.core.ports import DeviceClass
from xend.errors import InvalidArgument
from xend.model.devices import Disk, Vif
from xend.model.pools import PoolConfig


async def plan(context: CallContext, text: str, filename: str, with_json: bool) -> dict[str, Any]:
    """`{name, json, notes, problems}` of a file in xl's syntax; nothing is made.  `json` is
    libxl's own, only if asked for; with problems there is nothing else.  Values that
    xl computes too, and says nothing of, are in no note."""
    try:
        found = await _read(context, text, filename)
    except InvalidFile as error:
        return {"name": "", "json": "", "notes": [], "problems": str(error).splitlines()}
    json = ""
    if with_json:
        given = xldevice.plain_settings(text, filename)
        json = await context.service.inspector.planned_text(found.config, given)
    return {
        "name": found.config.name,
        "json": json,
        "notes": [each.sentence(filename) for each in found.notes if each.kind != "computed"],
        "problems": [],
    }


async def create(context: CallContext, text: str, filename: str, paused: bool) -> int:
    """Id of the domain that the file describes, which runs (or is left paused)."""
    found = await _read(context, text, filename)
    view = await context.service.create(found.config, paused=paused, caller=context.caller)
    return -1 if view.domid is None else view.domid


async def vm(context: CallContext, text: str, filename: str) -> dict[str, Any]:
    """`{vm, notes, problems}` of a file of xl: the `(vm …)` that xm sends, and sentences."""
    return await asyncio.to_thread(xlcreate.request_of, text, filename, await _nodes(context))


async def _read(context: CallContext, text: str, filename: str) -> xlcfg.XlResult:
    """Long files take long: not on the loop."""
    nodes = await _nodes(context)
    return await asyncio.to_thread(xlcfg.read, text, filename=filename, nodes=nodes)


async def _nodes(context: CallContext) -> dict[int, list[int]]:
    """CPUs of each NUMA node of the host."""
    host = await context.service.host()
    nodes: dict[int, list[int]] = {}
    for cpu, (_, _, node) in enumerate(host.cpu_topology):
        nodes.setdefault(node, []).append(cpu)
    return nodes


_READERS: Final[Mapping[str, Callable[[str], Disk | Vif]]] = {
    "vbd": xldevice.disk,
    "vif": xldevice.vif,
}


def device_class(name: str, value: Any) -> DeviceClass:
    if value not in _READERS:
        raise InvalidArgument(
            f"Unknown device type: {value}", argument=name, value=str(value), expected="vbd or vif"
        )
    return cast(DeviceClass, value)


async def attach(context: CallContext, dom: str | int, kind: DeviceClass, spec: str) -> None:
    """A disk or an interface as `xl` has it on its command line."""
    device = _READERS[kind](spec)
    await context.service.attach_device(dom, kind, device, caller=context.caller)


async def planned_device(context: CallContext, kind: DeviceClass, spec: str) -> str:
    """libxl's JSON of it; nothing is attached."""
    return await context.service.inspector.planned_device(_READERS[kind](spec))


async def settings(context: CallContext, text: str, filename: str) -> dict[str, Any]:
    """Names and values of a file in xl's syntax."""
    return dict(xldevice.plain_settings(text, filename))


async def pool_create(context: CallContext, name: str, scheduler: str, cpus: list[int]) -> None:
    """Active at once."""
    pool = PoolConfig(uuid4(), name, name, scheduler, ncpu=len(cpus), cpus=tuple(cpus))
    await context.service.change_pool("create", caller=context.caller, pool=pool)


async def pool_rename(context: CallContext, pool: str, name: str) -> None:
    """By name or id."""
    await context.service.rename_pool(pool, name, caller=context.caller)
