"""What the service shows and what it is told at the start: plain frozen values."""

from __future__ import annotations

from dataclasses import dataclass

from xend.model.domain import DomainConfig
from xend.model.status import DomainInfo, Origin, PowerState
from xend.model.units import Domid, KiB, Nanoseconds


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asked: for jobs, the audit and the log."""

    face: str
    """`xmlrpc`, `rest`, `sxp`, `xenapi`, `cli`, or `xend` for what xend does by itself."""
    uid: int | None = None
    label: str = ""
    """A user's or token's name, or the peer's address."""


XEND_ITSELF = Caller("xend")


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """Those options of xend-config.sxp that the core acts on; memory in KiB, times in seconds."""

    dom0_min_mem: KiB = KiB(0)
    """`dom0-min-mem`; the file has MiB."""
    dom0_ballooning: bool = False
    """`enable-dom0-ballooning`."""
    enable_dump: bool = False
    """`enable-dump`: write a core whenever a domain of ours crashes."""
    dump_dir: str = "/var/xen/dump"
    min_restart_seconds: float = 60.0
    """MINIMUM_RESTART_TIME of the original."""
    quick_reboots: int = 3
    """So many reboots in a row may each come sooner than that; crashes may not."""
    parallel_builds: int = 4
    """Builds at once; more than dom0 has vCPUs makes each slower."""
    memory_wait: float = 10.0
    """How long a create waits for memory that is being scrubbed or ballooned out."""
    build_timeout: float = 600.0
    """Of a create without a boot loader (whose menu may wait for a person for ever)."""
    destroy_timeout: float = 300.0
    restart_pauses: tuple[float, ...] = (0.5, 2.0, 5.0, 15.0, 30.0, 60.0)
    """Before each further try of a restart that could not be built."""
    list_max_age: float = 0.02
    """A list this young is not asked for again."""
    relocation_port: int = 8002
    """Of other hosts, unless the caller names one."""
    relocation_tls_port: int = 8003
    relocation_tls: bool = False
    """`xend-relocation-ssl`."""
    jobs_kept: int = 200
    close_grace: float = 2.0
    """How long `close` waits for jobs; the next start settles what it then abandons."""


@dataclass(frozen=True, slots=True)
class DomainView:
    """One domain as it is now: running (of anybody) or managed and halted."""

    name: str
    uuid: str
    """36 characters, lower case."""
    info: DomainInfo | None
    """None: a managed domain that is halted or suspended.  While a domain is being restarted this
    is the last that was seen of its old incarnation, so that it never drops out of a listing."""
    config: DomainConfig | None
    """None: foreign, and not asked for yet (`DomainService.config`)."""
    origin: Origin
    managed: bool = False
    paused_by_admin: bool = False
    started: float | None = None
    """Seconds since the epoch, of this incarnation."""
    restarts: int = 0
    pool: str = "Pool-0"
    rings: tuple[int, int] | None = None
    """(store, console): frames of its rings to xenstored and xenconsoled; None until they have been
    asked for (`DomainService.with_config`), and of Domain-0."""
    suspended: bool = False
    """Managed, and its memory is in checkpoint.chk."""

    @property
    def domid(self) -> Domid | None:
        return self.info.domid if self.info else None

    @property
    def running(self) -> bool:
        """It has a domid (whatever it does with it)."""
        return self.info is not None

    @property
    def power_state(self) -> PowerState:
        if self.info is not None:
            return self.info.power_state
        return PowerState.SUSPENDED if self.suspended else PowerState.HALTED

    @property
    def flags(self) -> str:
        """`rbpscd`, empty when halted."""
        return self.info.flags if self.info else ""

    @property
    def memory(self) -> KiB:
        """Has now; wanted at its start when halted."""
        if self.info is not None:
            return self.info.memory
        return KiB(self.config.memory) if self.config else KiB(0)

    @property
    def max_memory(self) -> KiB:
        if self.info is not None:
            return self.info.max_memory
        return KiB(self.config.max_memory) if self.config else KiB(0)

    @property
    def vcpus(self) -> int:
        """The most it can have."""
        if self.config is not None:
            return self.config.vcpus
        return self.info.vcpu_max_id + 1 if self.info else 1

    @property
    def vcpus_online(self) -> int:
        return self.info.vcpus_online if self.info else self.vcpus

    @property
    def cpu_time(self) -> Nanoseconds:
        return self.info.cpu_time if self.info else Nanoseconds(0)
