"""`ports.Hypervisor` over a simulated machine.

Shipped (`xend --hypervisor sim` runs the whole daemon anywhere) and used by the tests.  One
contract suite runs against this and against real Xen; where they differ, this is wrong.

Every operation awaits `faults(operation, stage, domid)` before each of its stages.  What that
raises, the operation fails with (and cleans up, as libxl does); while it hangs, the operation
hangs; and an operation that is cancelled there, or for which WorkerCrashed is raised, leaves what
a killed worker process leaves.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from xend.core.ports import (
    DeviceClass,
    HypervisorEvent,
    HypervisorEventKind,
    MemoryOutlook,
    Progress,
    ProgressSink,
    ShutdownRequest,
    ignore_progress,
)
from xend.errors import InvalidArgument, WorkerCrashed, XendError
from xend.model.devices import Disk, Pci, Vfb, Vif
from xend.model.domain import DomainConfig
from xend.model.status import DomainInfo, HostInfo, ShutdownReason, VcpuInfo
from xend.model.units import DOM0, Domid, KiB
from xend.sim import wire
from xend.sim.guests import OVERHEAD, SimDomain
from xend.sim.host import host_info
from xend.sim.image import Image, read_image, write_half, write_image
from xend.sim.inspector import SimInspector
from xend.sim.machine import SimMachine, refused, vcpu_infos
from xend.sim.pools import SimPools
from xend.sim.publication import disk_number
from xend.sim.usb import SimUsb

FaultHook = Callable[[str, str, Domid | None], Awaitable[None]]
"""(operation, stage, domid): create load domain memory devices; destroy devices domain;
save suspend asked write; restore read domain memory devices; send live|suspend asked write;
receive read domain memory devices; attach, detach, rename …: change."""


async def no_faults(operation: str, stage: str, domid: Domid | None) -> None:
    """Everything goes well."""


class SimHypervisor:
    def __init__(
        self,
        machine: SimMachine,
        *,
        faults: FaultHook = no_faults,
        latency: float = 0.0,
        kernel_exists: Callable[[str], bool] = lambda path: True,
    ) -> None:
        """`latency`: seconds of the machine's clock that each stage takes."""
        self.machine = machine
        self.pools = SimPools(machine, refused)
        self.usb = SimUsb(machine)
        self.faults = faults
        self.latency = latency
        self._kernel_exists = kernel_exists
        self._events: asyncio.Queue[HypervisorEvent | None] = asyncio.Queue()
        self.inspector = SimInspector(machine)

    @property
    def backend(self) -> Literal["xen", "sim"]:
        return "sim"

    async def start(self) -> None:
        self._events = asyncio.Queue()
        self.resync()
        self.machine.listen(self._events.put_nowait)

    async def close(self) -> None:
        self.machine.unlisten(self._events.put_nowait)
        self._events.put_nowait(None)

    def resync(self) -> None:
        """As after events that may have been lost."""
        self._events.put_nowait(HypervisorEvent(HypervisorEventKind.RESYNC, DOM0))

    async def events(self) -> AsyncIterator[HypervisorEvent]:
        while (event := await self._events.get()) is not None:
            yield event

    async def _stage(self, operation: str, stage: str, domid: Domid | None = None) -> None:
        await asyncio.sleep(0)
        if self.latency:
            await self.machine.clock.sleep(self.latency)
        await self.faults(operation, stage, domid)

    # -- Queries ---------------------------------------------------------------------------------

    async def host(self) -> HostInfo:
        return host_info(self.machine)

    async def list_domains(self) -> Sequence[DomainInfo]:
        await asyncio.sleep(0)
        return await self.machine.infos()

    async def domain(self, domid: Domid) -> DomainInfo:
        return self.machine.get(domid).info(self.machine.clock.monotonic())

    async def vcpus(self, domid: Domid) -> Sequence[VcpuInfo]:
        return vcpu_infos(self.machine, domid)

    async def cpupools(self) -> Mapping[int, str]:
        return {number: pool.name for number, pool in self.machine.pools.items()}

    async def scheduler(self, domid: Domid) -> tuple[int, int]:
        domain = self.machine.get(domid)
        return domain.weight, domain.cap

    async def dmesg(self, *, clear: bool = False) -> str:
        text = "\n".join(self.machine.log) + "\n"
        if clear:
            self.machine.log.clear()
        return text

    async def send_debug_keys(self, keys: str) -> None:
        for key in keys:
            self.machine.log.append(f"(XEN) '{key}' pressed")

    async def console_tty(self, domid: Domid) -> str:
        return self.machine.get(domid).tty

    async def retrieve_config(self, domid: Domid) -> Mapping[str, Any]:
        domain = self.machine.get(domid)
        return {
            "c_info": {"name": domain.name, "uuid": domain.uuid, "type": domain.config.kind},
            "b_info": {"max_memkb": domain.config.max_memory, "target_memkb": domain.target},
        }

    async def config_of(self, domid: Domid) -> DomainConfig | None:
        domain = self.machine.get(domid)
        if not domain.name:
            return None  # Still being built: there is no libxl-json yet.
        return domain.config_now

    async def is_whole(self, domid: Domid, uuid: str) -> bool:
        domain = self.machine.get(domid)
        return domain.whole and domain.uuid == uuid

    # -- Quick changes ---------------------------------------------------------------------------

    async def pause(self, domid: Domid) -> None:
        _not_dom0(domid, "pause")
        domain = await self._change("pause", domid)
        self.machine.pause(domain)

    async def unpause(self, domid: Domid) -> None:
        domain = await self._change("unpause", domid)
        self.machine.unpause(domain)

    async def _change(self, operation: str, domid: Domid) -> SimDomain:
        await self._stage(operation, "change", domid)
        return self.machine.get(domid)

    async def request_shutdown(self, domid: Domid, request: ShutdownRequest) -> None:
        _not_dom0(domid, request)
        self.machine.request(await self._change("shutdown", domid), request)

    async def rename(self, domid: Domid, old: str, new: str) -> None:
        domain = await self._change("rename", domid)
        if domain.name != old:
            raise refused("domain rename", f"unexpected old name {domain.name!r}", domid)
        if any(other.name == new for other in self.machine.domains.values() if other != domain):
            raise refused("domain rename", f"domain with name {new!r} already exists.", domid)
        domain.name = new
        self.machine.publication.rename(domain)

    async def set_memory_target(self, domid: Domid, target: KiB) -> None:
        domain = await self._change("set memory", domid)
        if domid != DOM0 and target > domain.config.max_memory:
            raise refused("set memory target", f"memory target {target} exceeds the maximum", domid)
        domain.target, domain.max_memory = target, target + OVERHEAD
        self.machine.publication.memory(domain)
        if domain.behaviour.balloons:
            domain.memory = min(target, domain.memory + int(self.machine.free))

    async def set_max_memory(self, domid: Domid, limit: KiB) -> None:
        domain = await self._change("set maximum memory", domid)
        if limit < domain.memory:  # libxl compares it with the target, where the guest is here.
            reason = "memory_static_max must be greater than or or equal to memory_dynamic_max"
            raise refused("set maximum memory", reason, domid)
        domain.max_memory = limit + OVERHEAD
        domain.config = domain.config.model_copy(update={"maxmem": int(limit)})

    async def set_vcpus(self, domid: Domid, count: int) -> None:
        domain = await self._change("set vcpus", domid)
        if not 1 <= count <= domain.config.vcpus:
            raise refused("set vcpus", f"requested {count} VCPUs, however maximum is less", domid)
        domain.online = count
        self.machine.publication.vcpus(domain)

    async def pin_vcpu(self, domid: Domid, vcpu: int, cpus: Sequence[int]) -> None:
        domain = await self._change("pin vcpu", domid)
        if not 0 <= vcpu < domain.config.vcpus or not set(cpus) & set(range(self.machine.cpus)):
            raise refused("pin vcpu", "setting vcpu affinity: Invalid argument", domid)
        domain.affinity[vcpu] = tuple(sorted(set(cpus)))

    async def prefer_cpus(self, domid: Domid, vcpu: int, cpus: Sequence[int]) -> None:
        domain = await self._change("prefer cpus", domid)
        if not 0 <= vcpu < domain.config.vcpus or not set(cpus) & set(range(self.machine.cpus)):
            raise refused("prefer cpus", "setting vcpu affinity: Invalid argument", domid)
        domain.soft_affinity[vcpu] = tuple(sorted(set(cpus)))

    async def set_scheduler(
        self, domid: Domid, *, weight: int | None = None, cap: int | None = None
    ) -> None:
        domain = await self._change("set scheduler", domid)
        domain.weight = domain.weight if weight is None else weight
        domain.cap = domain.cap if cap is None else cap

    async def send_trigger(self, domid: Domid, trigger: str, vcpu: int = 0) -> None:
        domain = await self._change("trigger", domid)
        if trigger not in ("nmi", "reset", "init", "s3resume", "power", "sleep"):
            raise InvalidArgument(f"no such trigger: {trigger}", argument="trigger", value=trigger)
        if not 0 <= vcpu < domain.config.vcpus:
            raise refused("trigger", f"Send trigger '{trigger}' failed: No such process", domid)
        if trigger == "nmi":
            return
        # Xen's other triggers are the buttons of a machine, and none of them resets it.
        if domain.config.kind != "hvm" or trigger not in ("power", "sleep"):
            raise refused("trigger", f"Send trigger '{trigger}' failed: Invalid argument", domid)
        if trigger == "power":
            self.machine.end(domain, ShutdownReason.POWEROFF)

    async def send_sysrq(self, domid: Domid, key: str) -> None:
        domain = await self._change("sysrq", domid)
        if key == "c":
            self.machine.end(domain, ShutdownReason.CRASH)
        elif key == "b":
            self.machine.end(domain, ShutdownReason.REBOOT)

    # -- Long changes ----------------------------------------------------------------------------

    async def memory_outlook(self, config: DomainConfig | None = None) -> MemoryOutlook:
        needed = KiB(0) if config is None else KiB(config.memory + OVERHEAD)
        infos = await self.list_domains()
        host = await self.host()
        return MemoryOutlook(needed, infos, host.free_memory, host.scrub_memory)

    async def create(
        self,
        config: DomainConfig,
        progress: ProgressSink = ignore_progress,
        ready: Callable[[], Awaitable[object]] | None = None,
    ) -> Domid:
        if ready is not None:
            await ready()
        await self._stage("create", "load")
        self._check_kernel(config)
        return await self._build("create", config, progress)

    def _check_kernel(self, config: DomainConfig) -> None:
        if config.bootloader or not config.kernel or self._kernel_exists(config.kernel):
            return
        raise refused(
            "domain creation",
            f"libxl__build_dom: xc_dom_kernel_file failed: {config.kernel}: "
            "No such file or directory",
        )

    async def _build(
        self, operation: str, config: DomainConfig, progress: ProgressSink, ran: float = 0.0
    ) -> Domid:
        domain = self._new_domain(config)
        try:
            progress(Progress("domain", domain.domid))
            await self._stage(operation, "domain", domain.domid)
            self.machine.populate(domain)
            progress(Progress("memory", domain.domid))
            await self._stage(operation, "memory", domain.domid)
            self.machine.introduce(domain)
            progress(Progress("devices", domain.domid))
            await self._stage(operation, "devices", domain.domid)
        except WorkerCrashed:
            raise  # Nobody is left to clean up.
        except XendError:
            self.machine.remove(domain)
            raise
        domain.whole = True
        domain.ran = domain.ran_before = ran
        domain.restored = ran > 0
        return domain.domid

    def _new_domain(self, config: DomainConfig) -> SimDomain:
        for other in self.machine.domains.values():
            if other.name == config.name:
                line = f'libxl_create.c: Domain with name "{config.name}" already exists.'
                raise refused("domain creation", line)
        return self.machine.add(config)

    async def destroy(self, domid: Domid) -> None:
        _not_dom0(domid, "destroy")
        """In libxl's order: PCI devices go while it still runs (libxl__destroy_domid)."""
        await self._stage("destroy", "devices", domid)
        domain = self.machine.get(domid)
        if domain.pcis:
            domain.pcis = []
            self.machine.publication.passthrough(domain)
            await self._stage("destroy", "pci", domid)
        self.machine.pause(domain)
        self.machine.remove_devices(domain)
        await self._stage("destroy", "domain", domid)
        self.machine.remove(self.machine.get(domid))

    async def save(
        self,
        domid: Domid,
        path: Path,
        *,
        checkpoint: bool = False,
        progress: ProgressSink = ignore_progress,
    ) -> None:
        _not_dom0(domid, "save")
        await self._stage("save", "suspend", domid)
        domain = self.machine.get(domid)
        if not domain.alive or not domain.behaviour.obeys:
            raise refused("domain save", "domain did not respond to suspend request", domid)
        self.machine.request(domain, "suspend")
        await self._stage("save", "asked", domid)
        await self.machine.until_shut_down(domain)
        try:
            write_half(path)
            progress(Progress("save", domid, percent=50.0))
            await self._stage("save", "write", domid)
            write_image(path, Image(domain.config_now, domain.ran))
        except WorkerCrashed:
            raise
        except (XendError, OSError) as error:
            self.machine.wake(domain)
            if isinstance(error, OSError):
                raise refused("domain save", f"{path}: {error.strerror}", domid) from error
            raise
        if checkpoint:
            self.machine.wake(domain)

    async def saved_config(self, path: Path) -> DomainConfig:
        return read_image(path).config

    async def restore(
        self, path: Path, config: DomainConfig | None, progress: ProgressSink = ignore_progress
    ) -> Domid:
        await self._stage("restore", "read")
        image = read_image(path)
        return await self._build("restore", config or image.config, progress, image.ran)

    async def send(
        self, domid: Domid, fd: int, *, live: bool, progress: ProgressSink = ignore_progress
    ) -> None:
        _not_dom0(domid, "send")
        await self._stage("send", "live" if live else "suspend", domid)
        domain = self.machine.get(domid)
        if not domain.alive or not domain.behaviour.obeys:
            raise refused("domain send", "domain did not respond to suspend request", domid)
        self.machine.request(domain, "suspend")
        await self._stage("send", "asked", domid)
        await self.machine.until_shut_down(domain)
        try:
            progress(Progress("send", domid, percent=50.0))
            await self._stage("send", "write", domid)
            await wire.write(fd, Image(domain.config_now, domain.ran))
        except WorkerCrashed:
            raise
        except (XendError, OSError) as error:
            self.machine.wake(domain)
            if isinstance(error, OSError):
                raise refused("domain send", f"stream: {error.strerror}", domid) from error
            raise

    async def receive(
        self, fd: int, config: DomainConfig, progress: ProgressSink = ignore_progress
    ) -> Domid:
        await self._stage("receive", "read")
        try:
            image = await wire.read(fd)
        except OSError as error:
            raise refused("domain creation", f"stream: {error.strerror or error}") from error
        return await self._build("receive", config, progress, image.ran)

    async def resume(self, domid: Domid) -> None:
        domain = await self._change("resume", domid)
        if domain.shutdown is not ShutdownReason.SUSPEND:
            raise refused("domain resume", "the domain is not suspended", domid)
        self.machine.wake(domain)

    async def soft_reset(self, domid: Domid) -> None:
        domain = await self._change("soft reset", domid)
        if domain.config.kind != "hvm":
            raise refused("soft reset", "xc_domain_soft_reset failed: Invalid argument", domid)
        self.machine.pause(domain)
        self.machine.wake(domain)

    async def preserve(self, domid: Domid, name: str, uuid: UUID) -> None:
        domain = await self._change("preserve", domid)
        if any(other.name == name for other in self.machine.domains.values() if other != domain):
            raise refused("domain preserve", f"domain with name {name!r} already exists.", domid)
        domain.vm, domain.name = str(uuid), name
        self.machine.publication.move(domain)

    async def attach_device(
        self, domid: Domid, device_class: DeviceClass, device: Any
    ) -> Mapping[str, str]:
        domain = await self._change("attach", domid)
        found = self._attach(domain, device_class, device)
        await self._stage("attach", "connected", domid)
        return found

    def _attach(
        self, domain: SimDomain, device_class: DeviceClass, device: Any
    ) -> Mapping[str, str]:
        domid, publication = domain.domid, self.machine.publication
        if isinstance(device, Disk):
            number = disk_number(device.vdev)
            if str(number) in publication.attached(domain, "vbd"):
                raise refused("device attach", "device already exists in domain", domid)
            domain.disks[number] = device
            return publication.disk(domain, device)
        if isinstance(device, Vif):
            used = {int(name) for name in publication.attached(domain, "vif")}
            devid = next(number for number in range(len(used) + 1) if number not in used)
            domain.vifs[devid] = device
            return publication.vif(domain, devid, device)
        if isinstance(device, Vfb):
            return publication.vfb(domain, len(publication.attached(domain, "vfb")), device)
        if isinstance(device, Pci):
            if any(
                device.bdf in [pci.bdf for pci in d.pcis] for d in self.machine.domains.values()
            ):
                raise refused("attach pci", "PCI device already assigned to a domain", domid)
            domain.pcis.append(device)
            publication.passthrough(domain)
            return {"devid": "0"}
        raise refused("device attach", f"no {device_class} can be attached while it runs", domid)

    async def detach_device(
        self, domid: Domid, device_class: DeviceClass, devid: int, *, force: bool = False
    ) -> None:
        domain = await self._change("detach", domid)
        if not self.machine.publication.detach(domain, device_class, devid):
            raise refused("device detach", f"no {device_class} {devid}", domid)
        if device_class in ("vbd", "vif"):
            (domain.disks if device_class == "vbd" else domain.vifs).pop(devid, None)
        await self._stage("detach", "gone", domid)

    async def detach_pci(self, domid: Domid, device: Pci, *, force: bool = False) -> None:
        domain = await self._change("detach", domid)
        left = [pci for pci in domain.pcis if pci.bdf != device.bdf]
        if len(left) == len(domain.pcis):
            raise refused("detach pci", f"PCI device {device.bdf} is not assigned", domid)
        domain.pcis = left
        self.machine.publication.passthrough(domain)

    async def change_medium(self, domid: Domid, disk: Disk) -> None:
        domain = await self._change("change medium", domid)
        if domain.config.kind != "hvm":
            raise refused("change the medium", "cdrom-insert requires an HVM domain", domid)
        domain.disks[disk_number(disk.vdev)] = disk
        self.machine.publication.disk(domain, disk)

    async def dump_core(self, domid: Domid, path: Path) -> None:
        domain = await self._change("dump", domid)
        try:
            write_half(path)
        except OSError as error:
            raise refused("core dump", f"{path}: {error.strerror}", domain.domid) from error


def _not_dom0(domid: Domid, verb: str) -> None:
    if domid == DOM0:
        raise InvalidArgument(f"Cannot {verb} privileged domain 0", argument="domain", value=0)
