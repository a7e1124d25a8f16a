"""Xen behind the port `Hypervisor`: who runs what, and where.

query lane    one context, one thread: list, info, vcpus, host.  Never waits for a change.
quick lane    two contexts, two threads: pause, unpause, memory, vcpus, rename, configuration
asking lane   HVM guests with paravirtual drivers are asked by libxl, which waits for them
event thread  watcher.Watcher
workers       create, destroy, save, restore, resume, hot-plug, dump: workers.Pool
"""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from uuid import UUID

from xend.core.ports import (
    DeviceClass,
    HypervisorEvent,
    MemoryOutlook,
    Progress,
    ProgressSink,
    ShutdownRequest,
    ignore_progress,
)
from xend.errors import (
    ConfigError,
    DomainNotFound,
    HypervisorError,
    HypervisorUnavailable,
    InvalidArgument,
    OperationFailed,
    UnsupportedFeature,
    WorkerCrashed,
    XendError,
)
from xend.libxl import (
    failures,
    marshal,
    marshal_devices,
    observed,
    probe,
    savefile,
    unmarshal,
)
from xend.libxl.inspector import XenInspector
from xend.libxl.lanes import Lane
from xend.libxl.pools import XenPools
from xend.libxl.usb import XenUsb
from xend.libxl.watcher import Watcher
from xend.libxl.workers import Pool
from xend.model.devices import Disk, Pci
from xend.model.domain import DomainConfig
from xend.model.status import DomainInfo, HostInfo, VcpuInfo
from xend.model.units import DOM0, Domid, KiB

if TYPE_CHECKING:
    from xend.libxl.ctx import Context, DominfoTuple

T = TypeVar("T")
log = logging.getLogger(__name__)

_USERDATA = Path("/var/lib/xen")
_CONTROL = {"poweroff", "reboot", "suspend", "halt", "crash"}


class XenHypervisor:
    """Implements `xend.core.ports.Hypervisor`."""

    def __init__(self, *, parallel: int | None = None) -> None:
        """`parallel`: long operations at once; None: as many as Domain-0 has vcpus."""
        # What reads XenStore (names of pools, consoles, configurations) is not on the query lane:
        # a listing does not wait for xenstored.
        self._query = Lane("query", self._open)
        self._quick = Lane("quick", self._open, 2)
        self._asking: Lane | None = None
        self._watcher = Watcher()
        self.inspector = XenInspector(self._ask, self._query, self._quick)
        self._pool = Pool(parallel or os.cpu_count() or 1)
        self.pools = XenPools(partial(self._ask, self._query), partial(self._ask, self._quick))
        self.usb = XenUsb(self._long)
        self._last_list: dict[int, tuple[DominfoTuple, DomainInfo]] = {}
        self._fixed: tuple[dict[str, Any], str, list[tuple[int, int, int]]] | None = None

    @property
    def backend(self) -> Literal["xen", "sim"]:
        return "xen"

    @staticmethod
    def _open() -> Context:
        context: Context = probe.load_binding().Context()
        return context

    async def start(self) -> None:
        binding = probe.load_binding()
        probe.check_host()
        try:
            await self._query.start()
            await self._query.run(probe.check_context)
            await self._quick.start()
        except binding.XlError as error:
            await self.close()
            raise probe.refused(error) from error
        except HypervisorUnavailable:
            await self.close()
            raise
        self._pool.start()
        await self._watcher.start()

    async def close(self) -> None:
        await self._pool.close()
        await self._watcher.close()
        for lane in (self._asking, self._quick, self._query):
            if lane is not None:
                await lane.close()

    @property
    def worker_pids(self) -> list[int]:
        """Of the worker processes, for measurements and tests."""
        return self._pool.pids

    # -- queries -------------------------------------------------------------------------------

    async def host(self) -> HostInfo:
        return await self._ask(self._query, "host", None, self._host)

    def _host(self, context: Context) -> HostInfo:
        if self._fixed is None:
            self._fixed = (context.version(), context.scheduler_name(), context.cpu_topology())
        return observed.host(context.physinfo(), *self._fixed, context.numa())

    async def list_domains(self) -> Sequence[DomainInfo]:
        return await self._ask(self._query, "list", None, self._list)

    def _list(self, context: Context) -> list[DomainInfo]:
        """On the query lane only.  A domain that has not moved since the last list is the same
        object still: of many guests most are idle."""
        before, now = self._last_list, {}
        for record in context.list_domains():
            known = before.get(record[0])
            if known is None or known[0] != record:
                known = (record, observed.domain(record))
            now[record[0]] = known
        self._last_list = now
        return [info for _, info in now.values()]

    async def domain(self, domid: Domid) -> DomainInfo:
        return await self._ask(self._query, "info", None, lambda c: _domain(c, domid))

    async def vcpus(self, domid: Domid) -> Sequence[VcpuInfo]:
        def read(context: Context) -> list[VcpuInfo]:
            return [observed.vcpu(record) for record in context.vcpus(domid)]

        return await self._ask(self._query, "vcpus", domid, read)

    async def cpupools(self) -> Mapping[int, str]:
        return await self._ask(self._quick, "cpupools", None, lambda c: c.cpupools())

    async def scheduler(self, domid: Domid) -> tuple[int, int]:
        return await self._ask(self._query, "scheduler", domid, lambda c: c.scheduler_params(domid))

    async def dmesg(self, *, clear: bool = False) -> str:
        return await self._ask(self._query, "dmesg", None, lambda c: c.dmesg(clear))

    async def send_debug_keys(self, keys: str) -> None:
        if not keys.isascii() or not keys.isprintable() or not keys:
            raise InvalidArgument(f"debug keys: {keys!r}", argument="keys", value=keys)
        await self._ask(self._quick, "debug keys", None, lambda c: c.send_debug_keys(keys))

    async def console_tty(self, domid: Domid) -> str:
        return await self._ask(self._quick, "console", domid, lambda c: c.console_tty(domid))

    async def retrieve_config(self, domid: Domid) -> Mapping[str, Any]:
        text = await self._ask(
            self._quick, "retrieve configuration", domid, lambda c: c.retrieve_config(domid)
        )
        tree: dict[str, Any] = json.loads(text)
        tree.get("c_info", {}).pop("domid", None)
        return tree

    async def config_of(self, domid: Domid) -> DomainConfig | None:
        try:
            return unmarshal.domain(await self.retrieve_config(domid))
        except (HypervisorError, ConfigError) as error:
            log.debug("domain %d: no configuration: %s", domid, error)
            return None

    async def is_whole(self, domid: Domid, uuid: str) -> bool:
        """libxl keeps its configuration as the last step of a build (domcreate_complete of
        libxl_create.c)."""
        kept = _USERDATA / f"userdata-d.{domid}.{uuid}.libxl-json"
        return await self._quick.run(lambda _: kept.exists())

    # -- quick changes ---------------------------------------------------------------------------

    async def pause(self, domid: Domid) -> None:
        _not_dom0(domid, "pause")
        await self._ask(self._quick, "pause", domid, lambda c: c.pause(domid))

    async def unpause(self, domid: Domid) -> None:
        await self._ask(self._quick, "unpause", domid, lambda c: c.unpause(domid))

    async def request_shutdown(self, domid: Domid, request: ShutdownRequest) -> None:
        _not_dom0(domid, request)
        if request not in _CONTROL:
            raise InvalidArgument(f"no such request: {request}", argument="request", value=request)
        info = await self.domain(domid)
        if info.type == "hvm" and request in ("poweroff", "halt", "reboot"):
            await self._ask_hvm(domid, reboot=request == "reboot")
            return
        code = await self._quick.run(lambda c: c.write_control(domid, request))
        if code in (errno.ENOENT, errno.ESRCH):
            raise DomainNotFound(domid)
        if code:
            raise HypervisorError(
                f"{request}: cannot write control/shutdown: {os.strerror(code)}",
                operation=request,
                rc_name=errno.errorcode.get(code, str(code)),
                domid=domid,
            )

    async def _ask_hvm(self, domid: Domid, *, reboot: bool) -> None:
        """By its paravirtual drivers if it has any, else by the ACPI button."""
        if self._asking is None:
            self._asking = Lane("asking", self._open)
            await self._asking.start()
        trigger = "reset" if reboot else "power"

        def ask(context: Context) -> None:
            if not context.shutdown_with_drivers(domid, reboot=reboot):
                context.send_trigger(domid, trigger, 0)

        await self._ask(self._asking, "reboot" if reboot else "shutdown", domid, ask)

    async def rename(self, domid: Domid, old: str, new: str) -> None:
        await self._ask(self._quick, "rename", domid, lambda c: c.rename(domid, old, new))

    async def set_memory_target(self, domid: Domid, target: KiB) -> None:
        await self._ask(
            self._quick, "set memory", domid, lambda c: c.set_memory_target(domid, target)
        )

    async def set_max_memory(self, domid: Domid, limit: KiB) -> None:
        await self._ask(
            self._quick, "set maximum memory", domid, lambda c: c.set_max_memory(domid, limit)
        )

    async def set_vcpus(self, domid: Domid, count: int) -> None:
        if count < 1:
            raise InvalidArgument("a domain needs a vcpu", argument="vcpus", value=count)
        await self._ask(self._quick, "set vcpus", domid, lambda c: c.set_vcpus(domid, count))

    async def pin_vcpu(self, domid: Domid, vcpu: int, cpus: Sequence[int]) -> None:
        """An empty `cpus` means any."""
        bits = list(cpus) or list(range((await self.host()).nr_cpus))
        _check_cpus(vcpu, bits)
        await self._ask(self._quick, "pin vcpu", domid, lambda c: c.pin_vcpu(domid, vcpu, bits))

    async def prefer_cpus(self, domid: Domid, vcpu: int, cpus: Sequence[int]) -> None:
        _check_cpus(vcpu, cpus)
        await self._ask(
            self._quick, "prefer cpus", domid, lambda c: c.prefer_cpus(domid, vcpu, cpus)
        )

    async def set_scheduler(
        self, domid: Domid, *, weight: int | None = None, cap: int | None = None
    ) -> None:
        await self._ask(
            self._quick,
            "set scheduling parameters",
            domid,
            lambda c: c.set_scheduler_params(domid, weight, cap),
        )

    async def send_trigger(self, domid: Domid, trigger: str, vcpu: int = 0) -> None:
        known = probe.load_binding().TRIGGERS
        if trigger not in known:
            raise InvalidArgument(
                f"no such trigger: {trigger}", argument="trigger", value=trigger, expected=[*known]
            )
        await self._ask(
            self._quick, "trigger", domid, lambda c: c.send_trigger(domid, trigger, vcpu)
        )

    async def send_sysrq(self, domid: Domid, key: str) -> None:
        if len(key) != 1 or not key.isascii():
            raise InvalidArgument("sysrq needs one letter", argument="key", value=key)
        await self._ask(self._quick, "sysrq", domid, lambda c: c.send_sysrq(domid, key))

    # -- long changes ----------------------------------------------------------------------------

    async def memory_outlook(self, config: DomainConfig | None = None) -> MemoryOutlook:
        text = None if config is None else json.dumps(marshal.domain(config))

        def look(context: Context) -> MemoryOutlook:
            needed = KiB(0) if text is None else KiB(context.need_memory(text))
            infos = self._list(context)
            free, scrub = context.free_memory()
            return MemoryOutlook(needed, infos, KiB(free), KiB(scrub))

        return await self._ask(self._query, "memory", None, look)

    async def create(
        self,
        config: DomainConfig,
        progress: ProgressSink = ignore_progress,
        ready: Callable[[], Awaitable[object]] | None = None,
    ) -> Domid:
        """The worker reads the configuration meanwhile."""
        if ignored := marshal.ignored_settings(config):
            log.warning("%s: Xen has no such settings: %s", config.name, ", ".join(ignored))
        tree = marshal.domain(config)
        # Xen sets the memory aside in one step before the build takes it page by page, so that
        # whoever else builds meanwhile (xl, libvirt) cannot get it in between.
        tree["b_info"]["claim_mode"] = "True"
        request = {"op": "create", "config": json.dumps(tree), "hold": ready is not None}
        waits = bool(config.bootloader)
        answer = await self._pool.run(request, _sink(progress), waits=waits, ready=ready)
        return _built(answer, progress)

    async def destroy(self, domid: Domid) -> None:
        _not_dom0(domid, "destroy")
        await self._long("destroy", domid)

    async def save(
        self,
        domid: Domid,
        path: Path,
        *,
        checkpoint: bool = False,
        progress: ProgressSink = ignore_progress,
    ) -> None:
        _not_dom0(domid, "save")
        partial = partial_path(path)
        try:
            await self._long(
                "save",
                domid,
                progress,
                path=str(path),
                partial=str(partial),
                checkpoint=checkpoint,
            )
        except WorkerCrashed:
            await self._query.run(lambda _: partial.unlink(missing_ok=True))
            raise

    async def restore(
        self, path: Path, config: DomainConfig | None, progress: ProgressSink = ignore_progress
    ) -> Domid:
        text = None if config is None else json.dumps(marshal.domain(config))
        request = {"op": "restore", "path": str(path), "config": text}
        return _built(await self._pool.run(request, _sink(progress)), progress)

    async def saved_config(self, path: Path) -> DomainConfig:
        return await self._quick.run(lambda _: _saved_config(path))

    async def send(
        self, domid: Domid, fd: int, *, live: bool, progress: ProgressSink = ignore_progress
    ) -> None:
        _not_dom0(domid, "send")
        request = {"op": "send", "domid": domid, "live": live}
        try:
            await self._pool.lend(fd, request, _sink(progress, domid))
        except HypervisorError as error:
            await self.domain(domid)  # Raises DomainNotFound, the better answer.
            if live and any("logdirty" in str(line) for line in error.fields["log"]):
                raise UnsupportedFeature(
                    feature="Live migration of this domain",
                    reason="this Xen was built without shadow paging (CONFIG_SHADOW_PAGING), "
                    "which a PV guest needs for it",
                    instead="xm migrate without --live",
                ) from error
            raise

    async def receive(
        self, fd: int, config: DomainConfig, progress: ProgressSink = ignore_progress
    ) -> Domid:
        request = {"op": "receive", "config": json.dumps(marshal.domain(config))}
        return _built(await self._pool.lend(fd, request, _sink(progress)), progress)

    async def resume(self, domid: Domid) -> None:
        await self._long("resume", domid)

    async def soft_reset(self, domid: Domid) -> None:
        await self._long("soft_reset", domid)

    async def preserve(self, domid: Domid, name: str, uuid: UUID) -> None:
        await self._ask(
            self._quick, "preserve", domid, lambda c: c.preserve(domid, name, uuid.bytes)
        )

    async def attach_device(
        self, domid: Domid, device_class: DeviceClass, device: Any
    ) -> Mapping[str, str]:
        """`device` is the model's; the answer has `devid` and what else libxl chose."""
        tree = marshal_devices.hot_plugged(device_class, device)
        text = await self._long("attach", domid, device_class=device_class, device=json.dumps(tree))
        filled: dict[str, Any] = json.loads(text)
        if device_class == "vbd":
            filled["devid"] = marshal_devices.disk_number(str(tree["vdev"]))
        filled.setdefault("devid", 0)
        return {key: str(value) for key, value in filled.items() if not isinstance(value, dict)}

    async def detach_device(
        self, domid: Domid, device_class: DeviceClass, devid: int, *, force: bool = False
    ) -> None:
        if device_class == "pci":
            raise UnsupportedFeature(
                feature="Detaching a PCI device by number",
                reason="libxl knows PCI devices by their address",
                instead="detach_pci (xm pci-detach)",
            )
        await self._long("detach", domid, device_class=device_class, devid=devid, force=force)

    async def detach_pci(self, domid: Domid, device: Pci, *, force: bool = False) -> None:
        tree = marshal_devices.hot_plugged("pci", device)
        await self._long(
            "detach", domid, device_class="pci", devid=0, force=force, device=json.dumps(tree)
        )

    async def change_medium(self, domid: Domid, disk: Disk) -> None:
        tree = marshal_devices.hot_plugged("vbd", disk)
        await self._long("insert", domid, device=json.dumps(tree))

    async def dump_core(self, domid: Domid, path: Path) -> None:
        await self._long("dump_core", domid, path=str(path))

    # -- events --------------------------------------------------------------------------------

    def events(self) -> AsyncIterator[HypervisorEvent]:
        return self._watcher.events()

    # -- how ---------------------------------------------------------------------------------

    async def _ask(
        self, lane: Lane, operation: str, domid: Domid | None, call: Callable[[Context], T]
    ) -> T:
        def run(context: Context) -> T:
            from xend.libxl.handle import XlError

            try:
                return call(context)
            except XlError as error:
                if domid is not None and context.info(domid) is None:
                    raise DomainNotFound(domid) from error
                raise _typed(operation, error, domid) from error

        return await lane.run(run)

    async def _long(
        self, operation: str, domid: Domid, progress: ProgressSink = ignore_progress, **more: Any
    ) -> Any:
        request = {"op": operation, "domid": domid, **more}
        try:
            return await self._pool.run(request, _sink(progress, domid))
        except XendError:
            await self.domain(domid)  # Raises DomainNotFound, the better answer.
            raise


def _built(answer: Sequence[Any], progress: ProgressSink) -> Domid:
    """The domid in a worker's answer; what the domain looked like then is reported."""
    from xend.libxl.ctx import DOMINFO

    domid, seen = Domid(answer[0]), str(answer[1])
    if seen:
        info = observed.domain(DOMINFO.unpack(bytes.fromhex(seen)))
        progress(Progress("built", domid, info=info))
    return domid


def partial_path(path: Path) -> Path:
    """Where a save file grows until it is whole; the same every time, so that leftovers of a
    killed daemon are overwritten and not gathered."""
    return path.with_name(f".{path.name}.partial")


def _saved_config(path: Path) -> DomainConfig:
    try:
        with path.open("rb", buffering=0) as stream:
            text, _ = savefile.read(stream)
        return unmarshal.domain(json.loads(text))
    except OSError as error:
        raise OperationFailed(f"can't read guest state file {path}: {error.strerror}") from error
    except (savefile.BadSaveFile, ValueError, ConfigError) as error:
        raise OperationFailed(f"{path} cannot be restored: {error}") from error


def _domain(context: Context, domid: Domid) -> DomainInfo:
    record = context.info(domid)
    if record is None:
        raise DomainNotFound(domid)
    return observed.domain(record)


def _typed(operation: str, error: Any, domid: Domid | None) -> XendError:
    return failures.hypervisor_error(operation, error.rc, error.rc_name, error.errors, domid)


def _check_cpus(vcpu: int, cpus: Sequence[int]) -> None:
    if any(not 0 <= cpu < 4096 for cpu in cpus) or vcpu < 0:
        raise InvalidArgument("no such CPU", argument="cpus", value=list(cpus))


def _not_dom0(domid: Domid, verb: str) -> None:
    if domid == DOM0:
        raise InvalidArgument(f"Cannot {verb} privileged domain 0", argument="domain", value=0)


def _sink(
    progress: ProgressSink, domid: Domid | None = None
) -> Callable[[Mapping[str, Any]], None]:
    known = [domid]

    def forward(message: Mapping[str, Any]) -> None:
        if message["domid"]:
            known[0] = Domid(message["domid"])
        percent = message["percent"]
        progress(
            Progress(
                stage=message["progress"],
                domid=known[0],
                percent=percent if percent >= 0 else None,
                bytes_done=message["done"] or None,
            )
        )

    return forward
