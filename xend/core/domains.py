"""The one service that every face calls.

Reads answer from the snapshot and wait for nothing but one shared list hypercall, whatever else
is under way.  Every change is a job (`xend.core.jobs`): `submit` returns it at once, and the
coroutines named after the verbs submit and wait.  `ref` is what a caller typed: a name, a domid
or a uuid; errors quote it as it was typed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, cast

from xend.core.building import Building
from xend.core.clock import SystemClock
from xend.core.context import Context
from xend.core.devices import read_devices
from xend.core.events import EventBus, EventLog
from xend.core.following import Following
from xend.core.hotplug import Hotplug
from xend.core.identity import Identity
from xend.core.importing import Importing, ImportReport
from xend.core.inspection import Inspector
from xend.core.jobs import Body as JobBody
from xend.core.jobs import Job, JobRunner, JobStatus
from xend.core.managed import Managed
from xend.core.memory import MemoryBroker
from xend.core.migrating import Migrating
from xend.core.policies import Policies
from xend.core.pools import CpuPools, Unregistered
from xend.core.ports import (
    BrokenEntry,
    Clock,
    DeviceClass,
    HostFiles,
    Hypervisor,
    JobLog,
    Journal,
    PoolRepository,
    Repository,
    XenStore,
)
from xend.core.receiving import Receiving
from xend.core.reconcile import Reconciliation
from xend.core.reconfigure import Reconfiguring
from xend.core.relocation import Connector, Link, NoConnector, Offer
from xend.core.saving import Saving
from xend.core.snapshot import Snapshot
from xend.core.tuning import Tuning
from xend.core.unsettled import Unsettled
from xend.core.usb import Usb
from xend.core.verbs import Verbs
from xend.core.views import XEND_ITSELF, Caller, DomainView, ServiceSettings
from xend.errors import DomainNotFound, DomainStateError, InvalidArgument
from xend.model.devices import Device, Disk, Pci
from xend.model.domain import DomainConfig, HostAction
from xend.model.pools import DEFAULT_POOL, PoolConfig
from xend.model.status import DeviceView, HostInfo, PowerState, VcpuInfo
from xend.model.units import DOM0, Domid, KiB

__all__ = ["Caller", "DomainService", "DomainView", "Job", "JobStatus", "ServiceSettings"]

# The words of `xm list --state`; the original had no word for "shutting down" but halted.
STATES: Mapping[str, frozenset[PowerState]] = {
    "halted": frozenset({PowerState.HALTED, PowerState.SHUTDOWN}),
    "paused": frozenset({PowerState.PAUSED}),
    "running": frozenset({PowerState.RUNNING}),
    "suspended": frozenset({PowerState.SUSPENDED}),
    "crashed": frozenset({PowerState.CRASHED}),
    "unknown": frozenset({PowerState.UNKNOWN}),
}


_CHANGES = frozenset(
    {
        *("pause", "unpause", "set-pause-flag", "set-memory", "set-max-memory", "set-vcpus"),
        *("pin-vcpu", "set-scheduler", "new", "delete", "suspend", "resume", "adopt"),
    }
)
"""Verbs after which a domain is another, but neither came nor went nor got another name."""

_STOPPED_BY_DESTROY = frozenset(
    {"create", "start", "restore", "resume", "receive", "migrate", "reset", "restart"}
)
"""Verbs that a destroy of the same domain does not wait for; nor for a policy's restart."""


class History(EventLog, JobLog, Protocol):
    """What happened, on disk."""


class DomainService:
    def __init__(
        self,
        hypervisor: Hypervisor,
        store: XenStore,
        repository: Repository,
        journal: Journal,
        clock: Clock | None = None,
        settings: ServiceSettings | None = None,
        *,
        files: HostFiles,
        history: History | None = None,
        pools: PoolRepository | None = None,
        connector: Connector | None = None,
    ) -> None:
        """Without a `history` events and jobs are only in memory; without `pools` CPU pools that
        are not active are forgotten with this object; without a `connector` no domain is sent to
        other hosts."""
        clock = clock or SystemClock()
        settings = settings or ServiceSettings()
        self.events = EventBus(clock.time, history)
        self.jobs = JobRunner(history, clock, self.events, kept=settings.jobs_kept)
        self._policies: Policies
        self._following: Following
        snapshot = Snapshot(
            hypervisor,
            store,
            clock,
            max_age=settings.list_max_age,
            changed=self._changed,
            listed=lambda before, now: self._following.listed(before, now),
        )
        memory = MemoryBroker(hypervisor, snapshot, clock, settings)
        self._context = context = Context(
            hypervisor,
            store,
            repository,
            journal,
            clock,
            files,
            settings,
            snapshot,
            memory,
            self.events,
        )
        self._snapshot = snapshot
        self._following = Following(context, self.jobs, self.events)
        building = self._building = Building(context)
        saving = Saving(context, building.applier)
        self._policies = Policies(context, self.jobs, self.events, building, saving)
        self.receiving = Receiving(context, building.applier)
        migrating = Migrating(
            context, building.applier, self.jobs, connector or NoConnector(), self.receiving
        )
        self._reconciliation = Reconciliation(
            context, building, self._policies, self.jobs, migrating, self.receiving
        )
        self._unsettled = Unsettled(context, self.jobs, self._reconciliation.settle)
        self.cpu_pools = CpuPools(context, pools or Unregistered())
        hotplug = Hotplug(context)
        self._bodies = (
            building.bodies
            | Verbs(context, building.applier).bodies
            | saving.bodies
            | migrating.bodies
            | self.receiving.bodies
            | Tuning(context).bodies
            | Managed(context, building).bodies
            | Importing(context).bodies
            | hotplug.bodies
            | Reconfiguring(context, hotplug).bodies
            | Usb(context).bodies
            | self.cpu_pools.bodies
        )

    # -- Life ------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Settles what a former run left behind, adopts the running domains of ours, follows
        events.  The hypervisor and the store have been started.  Domains with
        `on_xend_start = start` are started by jobs, after this has returned."""
        await self.events.start()
        await self.jobs.start()
        await self._reconciliation.run()
        await self._policies.start()
        await self._following.start()
        self._unsettled.start()
        await self.cpu_pools.start()
        # Domains of others may have come and gone meanwhile: a reader looks at everything again.
        self.events.publish("started", "host", {})
        for view in self._snapshot.views():
            wanted = view.config.on_xend_start if view.config else HostAction.IGNORE
            if wanted is HostAction.START and view.power_state is PowerState.HALTED:
                self.submit("start", view.uuid, paused=False, caller=XEND_ITSELF)

    async def close(self) -> None:
        """Jobs get `close_grace` seconds and are then left to the next start.  Guests are never
        touched; the hypervisor, the store and the journal are the composition root's to close."""
        self.events.publish("stopping", "host", {})
        await self.cpu_pools.close()
        await self._unsettled.close()
        await self._following.close()
        await self._policies.close()
        await self.jobs.close(self._context.settings.close_grace)
        await self._snapshot.close()
        await self.events.close()

    @property
    def broken(self) -> Sequence[BrokenEntry]:
        """Managed domains on disk that could not be read: named, skipped, never deleted."""
        return self._reconciliation.broken

    def _changed(self, kind: str, identity: Identity) -> None:
        self._policies.changed(kind, identity)
        if kind == "destroyed":
            self._following.forget(identity.domid)

    # -- Reads -----------------------------------------------------------------------------------

    @property
    def version(self) -> tuple[int, int]:
        """Another one when something may have changed that xend did or was told of; what guests
        do by themselves (their CPU time, their memory) changes without it."""
        return self._snapshot.age, self.events.newest

    async def list(self, state: str | None = None) -> list[DomainView]:
        """The running by domid, then the halted by name.  `state`: None or `all`, or a word of
        `xm list --state`; an unknown word matches nothing, as in the original."""
        await self._snapshot.refresh()
        views = await self._snapshot.all()
        if state is None or state == "all":
            return views
        wanted = STATES.get(state, frozenset())
        return [view for view in views if view.power_state in wanted]

    async def look_ahead(self) -> None:
        """Asks for the list that a verb will want in a moment, while its arguments are read."""
        await self._snapshot.look_ahead()

    async def lookup(self, ref: str | int) -> DomainView:
        """Running by name, managed by name, by domid, running by uuid, managed by uuid.
        Raises DomainNotFound(ref)."""
        await self._snapshot.refresh()
        return self._snapshot.find(ref)

    async def who(self, ref: str | int) -> tuple[str, Domid | None]:
        """Name and domid of what `lookup` finds, for those who want no more.  Of a running domain
        only that one is asked for: a list takes the longer the more there are."""
        identity = self._snapshot.running(ref)
        if identity is not None:
            with suppress(DomainNotFound):
                info = await self._context.hypervisor.domain(identity.domid)
                if identity.is_of(info) and self._snapshot.running(ref) is identity:
                    return identity.name, identity.domid
        view = await self.lookup(ref)
        return view.name, view.domid

    async def with_config(self, view: DomainView) -> DomainView:
        """The same, with what others have changed of it, a stranger's configuration as well as
        libxl knows it, and what is read from XenStore once per domain."""
        view = await self._following.caught_up(view)
        return await self._snapshot.learn_rings(await self._snapshot.learn_config(view))

    async def devices(self, ref: str | int, device_class: str) -> Sequence[DeviceView]:
        """Attached devices from XenStore, by devid; class vbd covers tap and tap2.  Nothing when
        the domain is halted (its configuration has them)."""
        view = await self.lookup(ref)
        if view.domid is None:
            return []
        return await read_devices(self._context.store, view.domid, device_class)

    async def vcpus(self, ref: str | int) -> Sequence[VcpuInfo]:
        """Empty when the domain is halted."""
        view = await self.lookup(ref)
        return [] if view.domid is None else await self._context.hypervisor.vcpus(view.domid)

    async def console_tty(self, ref: str | int) -> str:
        view = await self.lookup(ref)
        if view.domid is None:
            raise DomainNotFound(ref)
        return await self._context.hypervisor.console_tty(view.domid)

    async def vnc_address(self, ref: str | int) -> tuple[str, int]:
        """Host and port of its display; DomainStateError when it has none.  Both nodes are the
        device model's and the toolstack's: the guest cannot write them (libxl_device.c)."""
        view = await self.lookup(ref)
        base = f"/local/domain/{view.domid}/console"
        port = None
        if view.domid is not None:
            port = await self._context.store.read_or(f"{base}/vnc-port")
        if port is None or not port.isdecimal():
            raise DomainStateError(
                f"Domain '{ref}' has no VNC display that runs",
                domain=str(ref),
                state=view.power_state.name.lower(),
                verb="vnc",
            )
        listen = await self._context.store.read_or(f"{base}/vnc-listen") or ""
        return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(listen, listen), int(port)

    async def scheduler(self, ref: str | int) -> tuple[int, int]:
        """(weight, cap); of a halted domain what its configuration says."""
        view = await self.lookup(ref)
        if view.domid is not None:
            return await self._context.hypervisor.scheduler(view.domid)
        return (view.config.cpu_weight, view.config.cpu_cap) if view.config else (256, 0)

    async def check(self, config: DomainConfig) -> None:
        """Raises what a create of it would find wrong before it changes anything."""
        await self._building.check(config)

    async def host(self) -> HostInfo:
        return await self._context.hypervisor.host()

    @property
    def inspector(self) -> Inspector:
        """What only `xl` shows: reads that wait for nothing."""
        return self._context.hypervisor.inspector

    async def dmesg(self, *, clear: bool = False) -> str:
        return await self._context.hypervisor.dmesg(clear=clear)

    async def pools(self) -> Mapping[int, str]:
        return await self._context.hypervisor.cpupools()

    async def send_debug_keys(self, keys: str) -> None:
        """Letters that Xen's serial console would take (see key h)."""
        if not keys or not keys.isascii() or not keys.isprintable():
            raise InvalidArgument(
                f"Invalid debug keys: {keys!r}", argument="keys", value=keys, expected="letters"
            )
        await self._context.hypervisor.send_debug_keys(keys)

    # -- Jobs ------------------------------------------------------------------------------------

    @property
    def verbs(self) -> frozenset[str]:
        """What `submit` knows."""
        return frozenset(self._bodies)

    def submit(
        self,
        kind: str,
        target: str | int | DomainConfig | None = None,
        /,
        *,
        caller: Caller = XEND_ITSELF,
        job_id: str | None = None,
        check: Callable[[], Awaitable[None]] | None = None,
        **arguments: Any,
    ) -> Job:
        """Starts a job and returns at once.

        `target` is a ref (DomainNotFound at once), or the configuration for `create` and `new`,
        or None for `restore` and what is done to CPU pools.  `arguments` are those of the coroutine
        of that name.  `check` is awaited when the job's turn has come; if it raises, nothing is
        done.
        """
        verb = self._bodies.get(kind)
        if verb is None:
            raise InvalidArgument(f"Unknown verb '{kind}'", argument="verb", value=kind)
        targets = () if target is None else (target,)

        async def body(job: Job) -> Any:
            if check is not None:
                await check()
            result = await verb(job, *targets, **arguments)
            if kind in _CHANGES:
                self.events.publish("changed", "domain", {"uuid": job.uuid, "name": job.name})
            return result

        if target is None:
            label = _label(arguments)
            return self.jobs.submit(kind, body, uuid="", name=label, caller=caller, id=job_id)
        if isinstance(target, DomainConfig):
            uuid, name = str(target.uuid), target.name
            return self.jobs.submit(kind, body, uuid=uuid, name=name, caller=caller, id=job_id)
        view = self._snapshot.find(target)
        stopped = kind == "destroy" and self._stop_for_destroy(view.uuid)
        return self.jobs.submit(
            kind,
            _content_without(body) if stopped else body,
            uuid=view.uuid,
            name=view.name,
            domid=view.domid,
            caller=caller,
            id=job_id,
        )

    def _stop_for_destroy(self, uuid: str) -> bool:
        """Whether something was to be stopped."""
        active = self.jobs.active(uuid)
        if active is None:
            return False
        if active.kind not in _STOPPED_BY_DESTROY and not active.kind.startswith("on-"):
            return False
        active.cancel()
        return True

    async def _do(
        self, kind: str, ref: str | int, caller: Caller = XEND_ITSELF, **arguments: Any
    ) -> Any:
        """Submits with a snapshot that is young enough, and waits."""
        await self._snapshot.refresh()
        return await self.submit(kind, ref, caller=caller, **arguments).wait()

    # -- Making and ending -----------------------------------------------------------------------

    async def create(
        self, config: DomainConfig, *, paused: bool = False, caller: Caller = XEND_ITSELF
    ) -> DomainView:
        """Builds and starts a domain; left paused if `paused`.  Missing MACs are made up."""
        job = self.submit("create", config, paused=paused, caller=caller)
        return cast(DomainView, await job.wait())

    async def destroy(self, ref: str | int, *, caller: Caller = XEND_ITSELF) -> None:
        """Ends it at once.  One that is just being built is not built any further, and one that is
        on its way stays where it is."""
        await self._snapshot.refresh()
        await self.submit("destroy", ref, caller=caller).wait()

    async def shutdown(
        self, ref: str | int, request: str = "poweroff", *, caller: Caller = XEND_ITSELF
    ) -> None:
        """Asks the guest (poweroff, reboot, suspend, halt, crash) and returns at once."""
        await self._do("shutdown", ref, caller, request=request)

    async def reset(self, ref: str | int, *, caller: Caller = XEND_ITSELF) -> DomainView:
        """Destroys and creates it anew, without asking the guest."""
        return cast(DomainView, await self._do("reset", ref, caller))

    async def wait_for_devices(self, ref: str | int) -> None:
        """Raises DeviceFailed if a backend reports an error.  `create` has already waited."""
        view = await self.lookup(ref)
        if view.domid is not None:
            for device_class in ("vbd", "vif"):
                await read_devices(self._context.store, view.domid, device_class, strict=True)

    # -- Running ones ----------------------------------------------------------------------------

    async def pause(self, ref: str | int, *, caller: Caller = XEND_ITSELF) -> PowerState:
        """The state that it had before.  Pausing a paused domain is fine."""
        return cast(PowerState, await self._do("pause", ref, caller))

    async def unpause(self, ref: str | int, *, caller: Caller = XEND_ITSELF) -> None:
        await self._do("unpause", ref, caller)

    async def set_paused_by_admin(
        self, ref: str | int, flag: bool, *, caller: Caller = XEND_ITSELF
    ) -> None:
        await self._do("set-pause-flag", ref, caller, flag=flag)

    async def rename(self, ref: str | int, new: str, *, caller: Caller = XEND_ITSELF) -> None:
        await self._do("rename", ref, caller, new=new)

    async def send_trigger(
        self, ref: str | int, trigger: str, vcpu: int = 0, *, caller: Caller = XEND_ITSELF
    ) -> None:
        """nmi, reset, init, s3resume or power, in any case."""
        await self._do("trigger", ref, caller, trigger=trigger, vcpu=vcpu)

    async def send_sysrq(self, ref: str | int, key: str, *, caller: Caller = XEND_ITSELF) -> None:
        await self._do("sysrq", ref, caller, key=key)

    # -- Resources -------------------------------------------------------------------------------

    async def set_memory(
        self, ref: str | int, target: KiB, *, caller: Caller = XEND_ITSELF
    ) -> None:
        await self._do("set-memory", ref, caller, target=target)

    async def set_max_memory(
        self, ref: str | int, limit: KiB, *, caller: Caller = XEND_ITSELF
    ) -> None:
        await self._do("set-max-memory", ref, caller, limit=limit)

    async def set_vcpus(self, ref: str | int, count: int, *, caller: Caller = XEND_ITSELF) -> None:
        """Of a halted domain this changes the maximum."""
        await self._do("set-vcpus", ref, caller, count=count)

    async def pin_vcpu(
        self,
        ref: str | int,
        vcpu: int | None,
        cpus: Sequence[int],
        *,
        caller: Caller = XEND_ITSELF,
    ) -> None:
        """`vcpu` None: all of them."""
        await self._do("pin-vcpu", ref, caller, vcpu=vcpu, cpus=tuple(cpus))

    async def prefer_cpus(
        self,
        ref: str | int,
        vcpu: int | None,
        cpus: Sequence[int],
        *,
        caller: Caller = XEND_ITSELF,
    ) -> None:
        """Soft affinity, of a running domain; `vcpu` None: all of them."""
        await self._do("prefer-cpus", ref, caller, vcpu=vcpu, cpus=tuple(cpus))

    async def set_scheduler(
        self,
        ref: str | int,
        *,
        weight: int | None = None,
        cap: int | None = None,
        caller: Caller = XEND_ITSELF,
    ) -> None:
        await self._do("set-scheduler", ref, caller, weight=weight, cap=cap)

    # -- Memory to and from disk -----------------------------------------------------------------

    async def save(
        self,
        ref: str | int,
        path: Path,
        *,
        checkpoint: bool = False,
        paused: bool = False,
        caller: Caller = XEND_ITSELF,
    ) -> None:
        """The file appears under its name when it is complete; then the domain ends, or runs on
        if it is only a `checkpoint`, or stays as it was saved, `paused`."""
        await self._do("save", ref, caller, path=path, checkpoint=checkpoint, paused=paused)

    async def restore(
        self, path: Path, *, paused: bool = False, caller: Caller = XEND_ITSELF
    ) -> DomainView:
        job = self.submit("restore", None, path=path, paused=paused, caller=caller)
        return cast(DomainView, await job.wait())

    async def migrate(
        self,
        ref: str | int,
        host: str,
        *,
        port: int = 0,
        live: bool = False,
        tls: bool | None = None,
        change_home: bool = False,
        caller: Caller = XEND_ITSELF,
    ) -> None:
        """To the xend of another host.  `port` 0 and `tls` None: as xend-config.sxp says;
        `change_home`: a managed domain's configuration goes along."""
        await self._do(
            "migrate",
            ref,
            caller,
            host=host,
            port=port,
            live=live,
            tls=tls,
            change_home=change_home,
        )

    async def receive(self, link: Link, offer: Offer, *, caller: Caller) -> None:
        """The other side of `migrate`; the sender has been told how it went when this returns."""
        # Of a domain that comes back to its own host, the job that sends it has the lock.
        target = None if self.receiving.is_own(offer) else offer.config
        await self.submit("receive", target, link=link, offer=offer, caller=caller).wait()

    async def dump_core(
        self,
        ref: str | int,
        path: Path | None = None,
        *,
        live: bool = False,
        crash: bool = False,
        reset: bool = False,
        caller: Caller = XEND_ITSELF,
    ) -> Path:
        """Where the core went.  `crash` destroys it afterwards, `reset` restarts it."""
        done = await self._do("dump-core", ref, caller, path=path, live=live)
        if crash:
            await self.destroy(ref, caller=caller)
        elif reset:
            await self.reset(ref, caller=caller)
        return cast(Path, done)

    # -- Devices ---------------------------------------------------------------------------------

    async def attach_device(
        self,
        ref: str | int,
        device_class: DeviceClass,
        device: Device,
        *,
        caller: Caller = XEND_ITSELF,
    ) -> Mapping[str, str]:
        """Of a halted domain only its configuration changes."""
        found = await self._do("attach", ref, caller, device_class=device_class, device=device)
        return cast(Mapping[str, str], found)

    async def detach_device(
        self,
        ref: str | int,
        device_class: DeviceClass,
        device: str | int,
        *,
        force: bool = False,
        caller: Caller = XEND_ITSELF,
    ) -> None:
        """`device`: its number, or for disks the name that the guest sees (xvda)."""
        await self._do("detach", ref, caller, device_class=device_class, device=device, force=force)

    async def detach_pci(
        self, ref: str | int, device: Pci, *, caller: Caller = XEND_ITSELF
    ) -> None:
        await self._do("detach-pci", ref, caller, device=device)

    async def change_medium(
        self, ref: str | int, disk: Disk, *, caller: Caller = XEND_ITSELF
    ) -> None:
        """Of a CD drive; `disk` with an empty path takes the medium out."""
        await self._do("change-medium", ref, caller, disk=disk)

    async def change_usb(
        self, verb: str, ref: str | int, *, caller: Caller = XEND_ITSELF, **arguments: Any
    ) -> Any:
        """`verb` is a body of `Usb` without its `usb-`."""
        return await self._do(f"usb-{verb}", ref, caller, **arguments)

    # -- CPU pools -------------------------------------------------------------------------------

    async def change_pool(
        self, verb: str, *, caller: Caller = XEND_ITSELF, **arguments: Any
    ) -> Any:
        """`verb` is a body of `CpuPools` without its `pool-`; PoolError says what is wrong."""
        return await self.submit(f"pool-{verb}", None, caller=caller, **arguments).wait()

    async def rename_pool(self, pool: str, name: str, *, caller: Caller = XEND_ITSELF) -> None:
        """Domains whose configurations name it follow, each as its turn comes; one that names
        none is in pool 0, whatever that is called."""
        old = await self.change_pool("rename", caller=caller, pool=pool, name=name)
        for view in self._snapshot.views():
            named = view.config is not None and view.config.pool == old
            if named and old != DEFAULT_POOL and view.domid != DOM0:
                self.submit("pool-migrate", view.uuid, caller=caller, pool=name)

    async def move_to_pool(
        self, ref: str | int, pool: str, *, caller: Caller = XEND_ITSELF
    ) -> None:
        await self._do("pool-migrate", ref, caller, pool=pool)

    # -- Managed domains -------------------------------------------------------------------------

    async def new(self, config: DomainConfig, *, caller: Caller = XEND_ITSELF) -> DomainView:
        """Registers a managed domain, or replaces the configuration of a halted one."""
        return cast(DomainView, await self.submit("new", config, caller=caller).wait())

    async def start_domain(
        self, ref: str | int, *, paused: bool = True, caller: Caller = XEND_ITSELF
    ) -> DomainView:
        return cast(DomainView, await self._do("start", ref, caller, paused=paused))

    async def delete(self, ref: str | int, *, caller: Caller = XEND_ITSELF) -> None:
        await self._do("delete", ref, caller)

    async def suspend(self, ref: str | int, *, caller: Caller = XEND_ITSELF) -> None:
        await self._do("suspend", ref, caller)

    async def resume(
        self, ref: str | int, *, paused: bool = False, caller: Caller = XEND_ITSELF
    ) -> DomainView:
        return cast(DomainView, await self._do("resume", ref, caller, paused=paused))

    async def adopt(self, ref: str | int, *, caller: Caller = XEND_ITSELF) -> DomainView:
        """Takes a stranger's domain over: from now on its policies are ours to apply."""
        view = cast(DomainView, await self._do("adopt", ref, caller))
        await self._policies.look_at_all()  # It may have ended already.
        return view

    async def import_domains(
        self, folder: Path, *, dry_run: bool = False, caller: Caller = XEND_ITSELF
    ) -> Sequence[ImportReport]:
        """The managed domains of another host; see `xend.core.importing`."""
        job = self.submit("import", None, folder=folder, dry_run=dry_run, caller=caller)
        return cast(Sequence[ImportReport], await job.wait())


def _content_without(body: JobBody) -> JobBody:
    """A destroy of what the job that it has stopped has taken back."""

    async def destroy(job: Job) -> Any:
        try:
            return await body(job)
        except DomainNotFound:
            return None

    return destroy


def _label(arguments: Mapping[str, Any]) -> str:
    """What a job without a domain is called: its file, or its CPU pool."""
    pool = arguments.get("pool", "")
    return str(arguments.get("path", pool.name if isinstance(pool, PoolConfig) else pool))
