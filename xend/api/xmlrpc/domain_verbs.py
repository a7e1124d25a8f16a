"""Changes to domains.  Each decodes, calls the service once, and encodes."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from xend.api.xmlrpc.context import CallContext
from xend.api.xmlrpc.domain_reads import answer
from xend.config.vmsxp import decode_vm
from xend.errors import (
    DomainNotFound,
    DomainStateError,
    InvalidArgument,
    OperationFailed,
    XendError,
)
from xend.model.units import MiB, kib

log = logging.getLogger("xend.XMLRPCServer")


# -- Making and ending ----------------------------------------------------------------------------


async def create(context: CallContext, config: list[Any]) -> list[Any]:
    """Left paused: the client waits for the devices and then unpauses it."""
    await context.service.look_ahead()
    view = await context.service.create(decode_vm(config), paused=True, caller=context.caller)
    return await answer(context, view, devices=True)


async def launch(context: CallContext, config: list[Any], paused: bool) -> list[Any]:
    """[name, domid] of a new domain that runs (or is left paused), its devices connected: what
    clients else do in three calls, here one job."""
    await context.service.look_ahead()
    wanted = decode_vm(config)
    view = await context.service.create(wanted, paused=paused, caller=context.caller)
    return [view.name, -1 if view.domid is None else view.domid]


async def new(context: CallContext, config: list[Any]) -> None:
    await context.service.new(decode_vm(config), caller=context.caller)


async def start(context: CallContext, dom: str | int, start_paused: bool) -> None:
    view = await context.service.lookup(dom)
    if view.running:
        raise DomainStateError("Domain is already running", domain=view.name, state="running")
    await context.service.start_domain(dom, paused=start_paused, caller=context.caller)


async def delete(context: CallContext, dom: str | int) -> None:
    """An unknown name gives fault 2 with this text, as the original wrapped all errors."""
    try:
        await context.service.delete(dom, caller=context.caller)
    except DomainNotFound as error:
        raise OperationFailed(_as_fault(error)) from error


async def suspend(context: CallContext, dom: str | int) -> None:
    await context.service.suspend(dom, caller=context.caller)


async def resume(context: CallContext, dom: str | int, start_paused: bool) -> None:
    """All errors come wrapped."""
    try:
        await context.service.resume(dom, paused=start_paused, caller=context.caller)
    except XendError as error:
        text = _as_fault(error) if isinstance(error, DomainNotFound) else str(error)
        raise OperationFailed(f"Error occurred when resuming: {text}") from error


def _as_fault(error: DomainNotFound) -> str:
    return f"<Fault 3: '{error.fields['domain']}'>"


async def destroy(context: CallContext, dom: str | int) -> None:
    """An unknown number is fault 2, an unknown name fault 3."""
    try:
        await context.service.destroy(dom, caller=context.caller)
    except DomainNotFound as error:
        if str(dom).isdigit():
            raise OperationFailed(str(error)) from error
        raise


async def shutdown(context: CallContext, dom: str | int, reason: str) -> None:
    await context.service.shutdown(dom, reason, caller=context.caller)


async def reset(context: CallContext, dom: str | int) -> None:
    await context.service.reset(dom, caller=context.caller)


# -- Memory to and from disk ----------------------------------------------------------------------


async def save(context: CallContext, dom: str | int, path: str, checkpoint: bool) -> None:
    await context.service.save(dom, absolute(path), checkpoint=checkpoint, caller=context.caller)


async def restore(context: CallContext, path: str, paused: bool) -> list[Any]:
    view = await context.service.restore(absolute(path), paused=paused, caller=context.caller)
    return await answer(context, view, devices=True)


async def dump(
    context: CallContext,
    dom: str | int,
    filename: str | None,
    live: bool,
    crash: bool,
    reset: bool,
) -> None:
    path = absolute(filename) if filename else None
    await context.service.dump_core(
        dom, path, live=live, crash=crash, reset=reset, caller=context.caller
    )


def absolute(text: str) -> Path:
    """The daemon's working directory is not the client's."""
    path = Path(text)
    if not path.is_absolute() or "\0" in text:
        raise InvalidArgument(
            f"{text!r} is not an absolute path",
            argument="path",
            value=text,
            expected="an absolute path",
        )
    return path


async def migrate(
    context: CallContext,
    dom: str | int,
    host: str,
    live: bool,
    port: int,
    _node: int,
    ssl: bool | None,
    change_home_server: bool,
) -> None:
    """The receiver chooses the NUMA node: libxl places guests by itself."""
    await context.service.migrate(
        dom,
        host,
        port=port,
        live=live,
        tls=ssl,
        change_home=change_home_server,
        caller=context.caller,
    )


# -- Running ones ---------------------------------------------------------------------------------


async def pause(context: CallContext, dom: str | int, state: bool) -> int | None:
    """With `state` the number of the power state that it had before."""
    before = await context.service.pause(dom, caller=context.caller)
    return int(before) if state else None


async def unpause(context: CallContext, dom: str | int) -> None:
    await context.service.unpause(dom, caller=context.caller)


async def set_pause_flag(context: CallContext, dom: str | int, flag: bool) -> None:
    """Never a fault: clients call it after pause or unpause has already succeeded."""
    try:
        await context.service.set_paused_by_admin(dom, flag, caller=context.caller)
    except XendError as error:
        log.info("the pause flag of %s was not set: %s", dom, error)


async def set_name(context: CallContext, dom: str | int, name: str, _to_store: bool) -> None:
    if not name:
        raise InvalidArgument("Missing VM Name", argument="name", value=name)
    await context.service.rename(dom, name, caller=context.caller)


async def send_sysrq(context: CallContext, dom: str | int, key: str) -> None:
    await context.service.send_sysrq(dom, key, caller=context.caller)


async def send_trigger(context: CallContext, dom: str | int, trigger: str, vcpu: int) -> None:
    await context.service.send_trigger(dom, trigger, vcpu, caller=context.caller)


# -- Resources ------------------------------------------------------------------------------------


async def set_memory_target(context: CallContext, dom: str | int, target: int) -> None:
    await context.service.set_memory(dom, kib(MiB(target)), caller=context.caller)


async def set_max_memory(context: CallContext, dom: str | int, limit: int) -> None:
    await context.service.set_max_memory(dom, kib(MiB(limit)), caller=context.caller)


async def set_vcpu_count(context: CallContext, dom: str | int, count: int) -> None:
    await context.service.set_vcpus(dom, count, caller=context.caller)


async def pin_cpu(context: CallContext, dom: str | int, vcpu: str, cpumap: str) -> int:
    """`vcpu` is a number or `all`; `cpumap` has CPU numbers with commas between."""
    try:
        cpus = [int(part) for part in cpumap.split(",")]
        number = None if vcpu.lower() == "all" else int(vcpu)
    except ValueError as error:
        raise InvalidArgument(
            f"Cannot pin vcpu: {vcpu} to cpu: [{cpumap}] - {error}",
            argument="cpumap",
            value=cpumap,
            expected="CPU numbers with commas between",
        ) from error
    await context.service.pin_vcpu(dom, number, cpus, caller=context.caller)
    return 0


async def sched_credit_set(
    context: CallContext, dom: str | int, weight: int | None, cap: int | None
) -> int:
    await context.service.set_scheduler(dom, weight=weight, cap=cap, caller=context.caller)
    return 0


async def sched_credit2_set(context: CallContext, dom: str | int, weight: int | None) -> int:
    if weight is not None and not 1 <= weight <= 65535:
        raise InvalidArgument("weight is out of range", argument="weight", value=weight)
    await context.service.set_scheduler(dom, weight=weight, caller=context.caller)
    return 0
