"""What the core needs from outside: the hypervisor, XenStore, a store, a clock.

Adapters implement these; the composition root (`xend.daemon`) chooses them.  One contract suite
(`tests/contract`) runs against every implementation, so that the simulator cannot lie.

Conventions: every coroutine may be cancelled; a cancelled *change* leaves the outside world either
before or after the change, and the journal says which to look for.  Errors are those of
`xend.errors`; an adapter lets no other exception out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Literal, Protocol, TypeVar
from uuid import UUID

from xend.core.inspection import Inspector
from xend.model.devices import Disk, Pci
from xend.model.domain import DomainConfig
from xend.model.pools import PoolConfig, PoolInfo
from xend.model.status import DomainInfo, HostInfo, ShutdownReason, VcpuInfo
from xend.model.units import Domid, KiB

T = TypeVar("T")

ShutdownRequest = Literal["poweroff", "reboot", "suspend", "halt", "crash"]
DeviceClass = Literal["vbd", "vif", "vfb", "vkbd", "pci"]


@dataclass(frozen=True, slots=True)
class Progress:
    """A long operation says where it is.  `domid` is set as soon as it is known, and then stays:
    the core journals it before it goes on."""

    stage: str
    domid: Domid | None = None
    percent: float | None = None
    bytes_done: int | None = None
    info: DomainInfo | None = None
    """Of a domain that has been built: who looks at it then need not ask again."""


ProgressSink = Callable[[Progress], None]
"""Called on the event loop, in order; must not block."""


def ignore_progress(progress: Progress) -> None:
    """A sink for callers that do not care."""


class HypervisorEventKind(StrEnum):
    SHUTDOWN = "shutdown"
    """The guest ended or asked to end; `reason` says why.  The domain still exists."""
    DEATH = "death"
    """The domain is gone (or dying with nothing but its teardown left)."""
    CREATED = "created"
    """A domain, of anybody, became visible."""
    RESYNC = "resync"
    """Events may have been lost (reconnect): look at everything again."""


@dataclass(frozen=True, slots=True)
class HypervisorEvent:
    kind: HypervisorEventKind
    domid: Domid
    uuid: str = ""
    reason: ShutdownReason = ShutdownReason.UNKNOWN


class PoolControl(Protocol):
    """The hypervisor's CPU pools.  A CPU is in one pool or in none (then it is free)."""

    async def list(self) -> Sequence[PoolInfo]:
        """By id; pool 0 is always there and has Domain-0 in it."""

    async def free_cpus(self) -> tuple[int, ...]: ...

    async def create(self, name: str, uuid: UUID, scheduler: str, cpus: Sequence[int]) -> int:
        """The new pool's id; the CPUs must be free.  XenStore has its name and uuid then."""

    async def destroy(self, pool: int) -> None:
        """HypervisorError when a domain is in it.  Its CPUs are free afterwards."""

    async def rename(self, pool: int, name: str) -> None: ...

    async def add_cpu(self, pool: int, cpu: int) -> None: ...

    async def remove_cpu(self, pool: int, cpu: int) -> None: ...

    async def move(self, pool: int, domid: Domid) -> None: ...


class UsbControl(Protocol):
    """Virtual USB controllers of running domains, and what is plugged into their ports."""

    async def bus_id(self, device: str) -> str:
        """Of `1-1.4` itself, `host:BUS.ADDRESS` (decimal) or `host:VENDOR:PRODUCT` (hexadecimal).
        InvalidArgument when the host has no such device."""

    async def attach_controller(self, domid: Domid, version: int, ports: int) -> int:
        """Its devid."""

    async def detach_controller(self, domid: Domid, devid: int, *, force: bool = False) -> None: ...

    async def plug(
        self, domid: Domid, bus_id: str, controller: int | None = None, port: int | None = None
    ) -> None:
        """Without a controller: any free port, of a new controller if need be."""

    async def unplug(self, domid: Domid, controller: int, port: int) -> None: ...


@dataclass(frozen=True, slots=True)
class MemoryOutlook:
    """What a create would take, and what there is: one look, the domains before the host, so that
    what a build gets in between makes the free memory smaller and never larger."""

    needed: KiB
    domains: Sequence[DomainInfo]
    free: KiB
    """Without what is claimed for domains that are being built."""
    scrub: KiB
    """Free once Xen has cleared it."""


class Hypervisor(Protocol):
    """Xen, through libxl; or the simulator.  `domid` errors raise `DomainNotFound(domid)`."""

    @property
    def backend(self) -> Literal["xen", "sim"]: ...

    @property
    def inspector(self) -> Inspector:
        """What only `xl` shows."""

    @property
    def pools(self) -> PoolControl: ...

    @property
    def usb(self) -> UsbControl: ...

    async def start(self) -> None:
        """Raises HypervisorUnavailable with the reason and the remedy."""

    async def close(self) -> None:
        """Frees every context and thread; kills spare workers.  Guests are not touched."""

    # -- queries: never wait for an operation that is under way --------------------------------

    async def host(self) -> HostInfo: ...

    async def list_domains(self) -> Sequence[DomainInfo]:
        """All of them, by domid, the dying included; a hypercall, no XenStore."""

    async def domain(self, domid: Domid) -> DomainInfo: ...

    async def vcpus(self, domid: Domid) -> Sequence[VcpuInfo]: ...

    async def cpupools(self) -> Mapping[int, str]:
        """Pool id → name."""

    async def scheduler(self, domid: Domid) -> tuple[int, int]:
        """(weight, cap) of the credit schedulers."""

    async def dmesg(self, *, clear: bool = False) -> str: ...

    async def send_debug_keys(self, keys: str) -> None: ...

    async def console_tty(self, domid: Domid) -> str:
        """Path of the pseudo-terminal of console 0."""

    async def retrieve_config(self, domid: Domid) -> Mapping[str, Any]:
        """libxl's JSON of a running domain, of any toolstack (libxl-json and XenStore)."""

    async def config_of(self, domid: Domid) -> DomainConfig | None:
        """`retrieve_config`, decoded as well as can be; None if it cannot be had."""

    async def is_whole(self, domid: Domid, uuid: str) -> bool:
        """Whether its build has come to its end."""

    # -- quick changes ---------------------------------------------------------------------------

    async def pause(self, domid: Domid) -> None:
        """Xen counts: a domain that was paused twice must be unpaused twice."""

    async def unpause(self, domid: Domid) -> None:
        """HypervisorError when it is not paused."""

    async def request_shutdown(self, domid: Domid, request: ShutdownRequest) -> None:
        """Only asks the guest; for HVM without PV drivers an ACPI button where possible."""

    async def rename(self, domid: Domid, old: str, new: str) -> None: ...

    async def set_memory_target(self, domid: Domid, target: KiB) -> None: ...

    async def set_max_memory(self, domid: Domid, limit: KiB) -> None: ...

    async def set_vcpus(self, domid: Domid, count: int) -> None: ...

    async def pin_vcpu(self, domid: Domid, vcpu: int, cpus: Sequence[int]) -> None: ...

    async def prefer_cpus(self, domid: Domid, vcpu: int, cpus: Sequence[int]) -> None:
        """Soft affinity: where it runs if it can."""

    async def set_scheduler(
        self, domid: Domid, *, weight: int | None = None, cap: int | None = None
    ) -> None: ...

    async def send_trigger(self, domid: Domid, trigger: str, vcpu: int = 0) -> None: ...

    async def send_sysrq(self, domid: Domid, key: str) -> None: ...

    # -- long changes: each in a process of its own, cancelled by killing it ----------------------

    async def memory_outlook(self, config: DomainConfig | None = None) -> MemoryOutlook:
        """In one go; `needed`: what a create of this would take from free memory, the overhead
        included."""

    async def create(
        self,
        config: DomainConfig,
        progress: ProgressSink = ignore_progress,
        ready: Callable[[], Awaitable[object]] | None = None,
    ) -> Domid:
        """Builds it and attaches its devices; it is left paused.  Nothing is changed before `ready`
        has returned; what that raises, this raises.

        On failure nothing is left behind, except when the process itself was killed: then what
        is left carries the domid last reported, and `destroy` removes it.
        """

    async def destroy(self, domid: Domid) -> None:
        """Returns when the domain is gone."""

    async def save(
        self,
        domid: Domid,
        path: Path,
        *,
        checkpoint: bool = False,
        progress: ProgressSink = ignore_progress,
    ) -> None:
        """Writes an `xl save`-compatible file; while it grows it may be called `.NAME.partial`.
        With `checkpoint` the domain runs on; otherwise it is left shut down (suspend) and the
        caller destroys it.  On failure it runs on, except when the process itself was killed: then
        it is suspended, or will be, as far as the guest had got (`core.suspension`)."""

    async def restore(
        self, path: Path, config: DomainConfig | None, progress: ProgressSink = ignore_progress
    ) -> Domid:
        """Left paused.  `config` overrides what the file says."""

    async def saved_config(self, path: Path) -> DomainConfig:
        """What the file of `save` says of its domain, without restoring it.  OperationFailed with
        the cause when it cannot be read or is not such a file."""

    async def send(
        self, domid: Domid, fd: int, *, live: bool, progress: ProgressSink = ignore_progress
    ) -> None:
        """Writes its memory to a connected stream socket and leaves it shut down (suspend), as
        `save` does without `checkpoint`; with `live` it runs on until little is left to send."""

    async def receive(
        self, fd: int, config: DomainConfig, progress: ProgressSink = ignore_progress
    ) -> Domid:
        """What `send` writes, as a new domain, left paused; not a byte after it is read.
        Failures are those of `create`."""

    async def resume(self, domid: Domid) -> None:
        """Brings back a domain that is shut down for suspend (a save that was cut off)."""

    async def soft_reset(self, domid: Domid) -> None:
        """A domain that has shut down for a soft reset goes on as it is, paused, with new event
        channels and devices (libxl_domain_soft_reset).  HypervisorError unless it is HVM."""

    async def preserve(self, domid: Domid, name: str, uuid: UUID) -> None:
        """A dead domain gets another name and another /vm/<uuid> in XenStore, so that its
        successor can have its own (libxl_domain_preserve): rename-restart.  What the hypervisor
        itself reports as its uuid cannot be changed.  May be repeated."""

    async def attach_device(
        self, domid: Domid, device_class: DeviceClass, device: Any
    ) -> Mapping[str, str]: ...

    async def detach_device(
        self, domid: Domid, device_class: DeviceClass, devid: int, *, force: bool = False
    ) -> None: ...

    async def detach_pci(self, domid: Domid, device: Pci, *, force: bool = False) -> None:
        """By its address on the host."""

    async def change_medium(self, domid: Domid, disk: Disk) -> None:
        """Puts another medium (or none: an empty path) into the CD drive `disk.vdev` of an HVM
        guest."""

    async def dump_core(self, domid: Domid, path: Path) -> None:
        """After a failure there is no file."""

    # -- events --------------------------------------------------------------------------------

    def events(self) -> AsyncIterator[HypervisorEvent]:
        """One consumer.  Starts with a RESYNC.  Nothing is lost between RESYNCs."""


# -- XenStore -----------------------------------------------------------------------------------


class XenStoreReader(Protocol):
    """What can be asked, in or out of a transaction.  Values are bytes on the wire; these are the
    text forms (UTF-8, surrogateescape)."""

    async def read(self, path: str) -> str:
        """Raises XenStoreMissing."""

    async def read_or(self, path: str, default: str | None = None) -> str | None: ...

    async def directory(self, path: str) -> list[str]:
        """Names of the children; pages when they do not fit one reply.  XenStoreMissing."""

    async def exists(self, path: str) -> bool: ...


class XenStoreWriter(XenStoreReader, Protocol):
    async def write(self, path: str, value: str) -> None:
        """Makes missing parents."""

    async def mkdir(self, path: str) -> None: ...

    async def remove(self, path: str) -> None:
        """The whole subtree; quiet when it is not there but its parent is."""

    async def get_permissions(self, path: str) -> list[str]:
        """`n0`, `r5` … as on the wire: the first names the owner and the default."""

    async def set_permissions(self, path: str, permissions: Sequence[str]) -> None: ...


class XenStoreWatch(Protocol):
    """An asynchronous iterator of paths that changed.  It survives a reconnect: after one, the
    watched path itself is reported (as a new watch does), so nobody misses a change."""

    def __aiter__(self) -> AsyncIterator[str]: ...

    async def close(self) -> None: ...


class XenStore(XenStoreWriter, Protocol):
    async def start(self) -> None:
        """Raises XenStoreUnavailable."""

    async def close(self) -> None: ...

    async def transact(
        self, body: Callable[[XenStoreWriter], Awaitable[T]], *, tries: int = 20
    ) -> T:
        """Runs the coroutine function `body`, again when the commit conflicts (EAGAIN);
        XenStoreConflict after `tries`.  An exception in `body` aborts and goes out."""

    async def watch(self, path: str) -> XenStoreWatch:
        """`path` may be @introduceDomain or @releaseDomain.  The path itself is reported at once.

        A path that waits to be taken is not queued again; when too many wait, the watched path
        takes their place and means: look at everything under it."""

    def watching(self, path: str) -> AbstractAsyncContextManager[XenStoreWatch]: ...

    async def get_domain_path(self, domid: int) -> str:
        """/local/domain/N, whether or not there is such a domain."""

    async def is_domain_introduced(self, domid: int) -> bool:
        """Whether xenstored talks to the domain: it was introduced and is not gone."""


# -- Managed domains on disk -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ManagedDomain:
    """One directory of /var/lib/xend/domains."""

    config: DomainConfig
    checkpoint: Path | None = None
    """Its memory, if it was suspended."""


@dataclass(frozen=True, slots=True)
class BrokenEntry:
    """A directory that could not be read: named and skipped, never deleted."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class FoundEntry:
    """One directory of another host's managed domains."""

    path: Path
    config: DomainConfig | None = None
    """None: it cannot be read, for `reason`."""
    reason: str = ""
    changes: tuple[str, ...] = ()
    """What of its configuration reads otherwise than it was written."""
    checkpoint: Path | None = None


class Repository(Protocol):
    """Managed domains; writes are atomic and fsynced."""

    async def examine(self, folder: Path) -> Sequence[FoundEntry]:
        """What a copied directory of managed domains holds; nothing in it is touched.
        OperationFailed when it cannot be read, or is this host's own."""

    async def copy_checkpoint(self, uuid: UUID, source: Path) -> None:
        """To where `checkpoint_path` says, durably; the source stays."""

    async def load(self) -> tuple[list[ManagedDomain], list[BrokenEntry]]: ...

    async def save(self, config: DomainConfig) -> None: ...

    async def delete(self, uuid: UUID) -> None: ...

    def checkpoint_path(self, uuid: UUID) -> Path: ...

    async def rescue(self, config: DomainConfig) -> Path:
        """Keeps the configuration of a domain that is not managed and could not be built again,
        durably, beside those of managed domains; the directory, from which `examine` reads it."""


class PoolRepository(Protocol):
    """Registered CPU pools; a write is atomic and fsynced."""

    async def load(self) -> Sequence[PoolConfig]:
        """Nothing when there is no file; a file that cannot be read is logged and left alone."""

    async def save(self, pools: Sequence[PoolConfig]) -> None:
        """All of them.  OperationFailed with the cause."""


# -- The journal ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Intent:
    """A change that has begun.  It is on disk before its first side effect and until its last."""

    id: int
    kind: str
    uuid: str
    domid: Domid | None
    data: Mapping[str, Any]
    created: float
    """Seconds since the epoch."""
    former_boot: bool = False
    """It began before the host was booted: of its domains nothing is left, whatever has their
    domids and uuids now."""


@dataclass(frozen=True, slots=True)
class OwnedDomain:
    """A running domain whose policies are ours to apply."""

    uuid: str
    domid: Domid
    config: DomainConfig
    started: float
    """Seconds since the epoch, of this incarnation."""
    restarts: int = 0
    paused_by_admin: bool = False
    managed: bool = False
    preserved: bool = False
    """It ended and was kept for inspection: its policy has been applied."""
    handle: str = ""
    """What the hypervisor goes on calling it, when that is not `uuid` (after `preserve`)."""
    quick: int = 0
    """Restarts in a row that each came too soon after the one before."""
    since: float = 0.0
    """When this incarnation began by the host's monotonic clock, which nobody sets; it goes on
    over restarts of xend, and rows of a former boot are dropped."""


NOTHING: Final = 0
"""The intent of what needs none."""


class Journal(Protocol):
    """SQLite; every method returns when the data are on disk."""

    async def begin(self, kind: str, uuid: str, data: Mapping[str, Any]) -> Intent: ...

    async def note(
        self,
        intent: int,
        *,
        domid: Domid | None = None,
        data: Mapping[str, Any] | None = None,
        put: Sequence[OwnedDomain] = (),
    ) -> None:
        """What it has come to; and whose a domain is, in the same transaction."""

    async def end(self, intent: int) -> None: ...

    async def open_intents(self) -> Sequence[Intent]: ...

    async def put_owned(self, owned: OwnedDomain) -> None: ...

    async def drop_owned(self, uuid: str, domid: Domid) -> None: ...

    async def owned(self) -> Sequence[OwnedDomain]:
        """Those of this boot of the host."""

    async def settle(
        self,
        intent: int,
        *,
        put: Sequence[OwnedDomain] = (),
        drop: Sequence[tuple[str, Domid]] = (),
    ) -> None:
        """Ends the intent (`NOTHING`: none) and changes who owns what, in one transaction.

        Neither this nor `end` fails: what was to be done has been done.  What the disk does not
        take now is written before whatever it takes next."""

    def settle_soon(self, intent: int, *, drop: Sequence[tuple[str, Domid]] = ()) -> None:
        """The same, in the next transaction or a moment later: for what the next start would find
        out by itself, so that nobody has to wait for it."""

    async def close(self) -> None: ...


class JobLog(Protocol):
    """The records of jobs, for people: a crash of the host may cost the last of them."""

    async def put_jobs(self, jobs: Sequence[Mapping[str, Any]]) -> None:
        """Keyed by `id`; the whole record is replaced.  All in one transaction."""

    async def jobs(self, limit: int = 200) -> Sequence[Mapping[str, Any]]:
        """Newest first."""


@dataclass(frozen=True, slots=True)
class Userdata:
    """A file that libxl keeps for a domain, as long as that lives."""

    path: Path
    domid: int
    uuid: str


class HostFiles(Protocol):
    """What of dom0's file system a plan must know before anything is built."""

    async def exists(self, path: Path) -> bool: ...

    async def bridge_exists(self, bridge: str) -> bool: ...

    async def reason_unreadable(self, path: Path) -> str:
        """Why a file cannot be read ("No such file or directory" …); empty when it can."""

    async def reason_unwritable(self, path: Path) -> str:
        """Why a file cannot be made or overwritten there; empty when it can."""

    async def make_directory(self, path: Path) -> None:
        """With its parents, mode 0700."""

    async def remove(self, path: Path) -> None:
        """Quiet when it is not there."""

    async def rename(self, old: Path, new: Path) -> None:
        """Durably: the file and the directory are fsynced.  Quiet when it has been done already
        (`old` is not there but `new` is); else raises OperationFailed."""

    async def userdata(self) -> Sequence[Userdata]:
        """/var/lib/xen/userdata-X.DOMID.UUID.NAME (libxl__userdata_path of libxl_dom.c).  They
        outlive a crash of their toolstack, and of the host."""

    async def end_watchers(self, name: str) -> list[int]:
        """Ends the processes that `xl create` left behind to apply the policies of the domain of
        that name (main_create of xl_vmcontrol.c: it daemonizes with /var/log/xen/xl-NAME.log as
        its output); their pids."""

    async def is_plain(self, path: Path) -> bool:
        """A regular file, or nothing at all: so it can be replaced by a rename."""


class Clock(Protocol):
    """Time, so that the simulator can have its own."""

    def time(self) -> float:
        """Seconds since the epoch."""

    def monotonic(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...


class Records(Protocol):
    """Small JSON documents that a face keeps on disk (keys of requests, tokens …), by kind and
    key.  Every method returns when the data are on disk; what has expired is not there."""

    async def get(self, kind: str, key: str) -> Mapping[str, Any] | None: ...

    async def add(
        self, kind: str, key: str, value: Mapping[str, Any], expires: float | None = None
    ) -> bool:
        """False, and nothing is changed, when there is one already.  `expires`: seconds since
        the epoch."""

    async def put(
        self, kind: str, key: str, value: Mapping[str, Any], expires: float | None = None
    ) -> None:
        """New or in place of the old."""

    async def drop(self, kind: str, key: str) -> bool:
        """Whether there was one."""

    async def all(self, kind: str) -> Sequence[tuple[str, Mapping[str, Any]]]:
        """(key, value), the oldest first."""

    async def close(self) -> None: ...
