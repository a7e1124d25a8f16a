"""What is wanted of a domain: one typed, frozen value that every face decodes to."""

from __future__ import annotations

import json
import re
from enum import StrEnum
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from xend.model.devices import Disk, IoPorts, Irq, OtherDevice, Pci, Vfb, Vif, Vkbd
from xend.model.fields import Kind, Setting
from xend.model.peripherals import (
    P9,
    Channel,
    IoMemory,
    PvCalls,
    UsbController,
    UsbDevice,
    Vdispl,
    VirtualNode,
    Vsnd,
    Vtpm,
)

NAME: Final = re.compile(r"[A-Za-z0-9_\-.:+]+")
NAME_FORM: Final = "letters, digits, and _ - . : +"
"""For people."""
MAX_VCPUS = 8192
"""MAX_VIRT_CPUS of xen/include/asm-x86/config.h: no guest of any type can have more."""
MAX_AFFINITY = 1 << 20
"""CPUs of all rows of an affinity together: 1024 vcpus, each on any of 1024 CPUs."""


class DomainType(StrEnum):
    PV = "pv"
    PVH = "pvh"
    HVM = "hvm"


class ShutdownAction(StrEnum):
    """What to do when a domain ends (libxl_action_on_shutdown; spelling of xm)."""

    DESTROY = "destroy"
    RESTART = "restart"
    PRESERVE = "preserve"
    RENAME_RESTART = "rename-restart"
    COREDUMP_DESTROY = "coredump-destroy"
    COREDUMP_RESTART = "coredump-restart"
    SOFT_RESET = "soft-reset"


class HostAction(StrEnum):
    """What to do with a managed domain when xend starts or stops."""

    IGNORE = "ignore"
    START = "start"
    SHUTDOWN = "shutdown"
    SUSPEND = "suspend"


class DomainConfig(BaseModel):
    """A domain as it is wanted.  Memory is in KiB, as in libxl."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[
        str, Setting(xm="name", xl="name", sxp="name", xenapi="name_label", libxl="c_info.name")
    ]
    uuid: Annotated[
        UUID, Setting(xm="uuid", xl="uuid", sxp="uuid", xenapi="uuid", libxl="c_info.uuid")
    ]
    type: Annotated[
        DomainType,
        Setting(
            xm="builder",
            xl="type, builder",
            sxp="image",
            xenapi="HVM_boot_policy",
            libxl="c_info.type",
            xm_default="linux",
            xl_default="pv",
            note="xm: linux or hvm; xl: also `builder`, generic or hvm",
        ),
    ] = DomainType.PV
    description: Annotated[
        str, Setting(xm="description", sxp="description", xenapi="name_description")
    ] = ""

    memory: Annotated[
        int,
        Setting(
            xm="memory",
            xl="memory",
            sxp="memory",
            xenapi="memory_dynamic_max",
            libxl="b_info.target_memkb",
            unit="MiB",
            kind=Kind.MIB,
            low=1,
            xm_default="128",
        ),
    ] = 128 * 1024
    """Wanted now, KiB."""
    maxmem: Annotated[
        int,
        Setting(
            xm="maxmem",
            xl="maxmem",
            sxp="maxmem",
            xenapi="memory_static_max",
            libxl="b_info.max_memkb",
            unit="MiB",
            kind=Kind.MIB,
            low=0,
            xm_default="memory",
            xl_default="memory",
        ),
    ] = 0
    """The most it can balloon up to, KiB; 0 means the same as `memory`."""
    shadow_memory: Annotated[
        int,
        Setting(
            xm="shadow_memory",
            xl="shadow_memory",
            sxp="shadow_memory",
            libxl="b_info.shadow_memkb",
            unit="MiB",
            kind=Kind.MIB,
            low=0,
            xm_default="0",
        ),
    ] = 0
    """KiB; 0 lets libxl compute it."""

    vcpus: Annotated[
        int,
        Setting(
            xm="vcpus, maxvcpus",
            xl="maxvcpus",
            sxp="vcpus",
            xenapi="VCPUs_max",
            libxl="b_info.max_vcpus",
            low=1,
            high=4096,
            xm_default="1",
            xl_default="vcpus",
            note="in xm files `maxvcpus`, if it is set, is the number and `vcpus` those at boot",
        ),
    ] = 1
    """The most the guest can have."""
    vcpus_online: Annotated[
        int | None,
        Setting(
            xm="vcpu_avail",
            xl="vcpus",
            sxp="vcpu_avail",
            libxl="b_info.avail_vcpus",
            xm_default="all",
            xl_default="1",
            note="a bit mask in xm files and SXP",
        ),
    ] = None
    """At boot; None means all."""
    affinity: Annotated[
        tuple[tuple[int, ...], ...],
        Setting(
            xm="cpus",
            xl="cpus",
            sxp="cpus",
            xenapi="vcpus_params.mask",
            libxl="b_info.vcpu_hard_affinity",
            kind=Kind.SPECIAL,
            note="`0-3,5,^1`, or a list, one per VCPU",
        ),
    ] = ()
    """Physical CPUs per vcpu; an empty inner tuple means any, an empty outer one means all any."""
    affinity_soft: Annotated[
        tuple[tuple[int, ...], ...],
        Setting(xl="cpus_soft", libxl="b_info.vcpu_soft_affinity", kind=Kind.SPECIAL),
    ] = ()
    """Physical CPUs that each vcpu would rather run on."""
    cpu_weight: Annotated[
        int,
        Setting(
            xm="cpu_weight",
            xl="cpu_weight",
            sxp="cpu_weight",
            xenapi="vcpus_params.weight",
            libxl="b_info.sched_params.weight",
            low=1,
            high=65535,
            xm_default="256",
            xl_default="256",
        ),
    ] = 256
    cpu_cap: Annotated[
        int,
        Setting(
            xm="cpu_cap",
            xl="cap",
            sxp="cpu_cap",
            xenapi="vcpus_params.cap",
            libxl="b_info.sched_params.cap",
            unit="percent of a CPU",
            low=0,
            xm_default="0",
            xl_default="0",
        ),
    ] = 0
    pool: Annotated[
        str,
        Setting(
            xm="pool",
            xl="pool",
            sxp="pool_name",
            xenapi="pool_name",
            libxl="c_info.pool_name",
            xm_default="Pool-0",
            xl_default="Pool-0",
        ),
    ] = "Pool-0"
    vnuma: Annotated[
        tuple[VirtualNode, ...],
        Setting(xl="vnuma", libxl="b_info.vnuma_nodes", kind=Kind.SPECIAL),
    ] = ()

    kernel: Annotated[
        str,
        Setting(
            xm="kernel", xl="kernel", sxp="image.kernel", xenapi="PV_kernel", libxl="b_info.kernel"
        ),
    ] = ""
    ramdisk: Annotated[
        str,
        Setting(
            xm="ramdisk",
            xl="ramdisk",
            sxp="image.ramdisk",
            xenapi="PV_ramdisk",
            libxl="b_info.ramdisk",
        ),
    ] = ""
    cmdline: Annotated[
        str,
        Setting(
            xm="extra, root, ip, gateway, netmask, hostname, interface, dhcp, nfs_server, nfs_root",
            xl="cmdline, extra, root",
            sxp="image.args",
            xenapi="PV_args",
            libxl="b_info.cmdline",
        ),
    ] = ""
    bootloader: Annotated[
        str,
        Setting(
            xm="bootloader",
            xl="bootloader",
            sxp="bootloader",
            xenapi="PV_bootloader",
            libxl="b_info.bootloader",
        ),
    ] = ""
    bootloader_args: Annotated[
        str,
        Setting(
            xm="bootargs",
            xl="bootloader_args",
            sxp="bootloader_args",
            xenapi="PV_bootloader_args",
            libxl="b_info.bootloader_args",
            note="words, quoted as in a shell; in xl files a list",
        ),
    ] = ""

    on_poweroff: Annotated[
        ShutdownAction,
        Setting(
            xm="on_poweroff",
            xl="on_poweroff",
            sxp="on_poweroff",
            xenapi="actions_after_shutdown",
            libxl="on_poweroff",
            xm_default="destroy",
            xl_default="destroy",
        ),
    ] = ShutdownAction.DESTROY
    on_reboot: Annotated[
        ShutdownAction,
        Setting(
            xm="on_reboot",
            xl="on_reboot",
            sxp="on_reboot",
            xenapi="actions_after_reboot",
            libxl="on_reboot",
            xm_default="restart",
            xl_default="restart",
        ),
    ] = ShutdownAction.RESTART
    on_crash: Annotated[
        ShutdownAction,
        Setting(
            xm="on_crash",
            xl="on_crash",
            sxp="on_crash",
            xenapi="actions_after_crash",
            libxl="on_crash",
            xm_default="restart",
            xl_default="destroy",
        ),
    ] = ShutdownAction.RESTART
    on_watchdog: Annotated[
        ShutdownAction,
        Setting(xl="on_watchdog", libxl="on_watchdog", xl_default="destroy"),
    ] = ShutdownAction.DESTROY
    on_soft_reset: Annotated[
        ShutdownAction,
        Setting(xl="on_soft_reset", libxl="on_soft_reset", xl_default="soft-reset"),
    ] = ShutdownAction.SOFT_RESET
    on_xend_start: Annotated[
        HostAction,
        Setting(
            xm="on_xend_start", sxp="on_xend_start", xenapi="auto_power_on", xm_default="ignore"
        ),
    ] = HostAction.IGNORE
    on_xend_stop: Annotated[
        HostAction, Setting(xm="on_xend_stop", sxp="on_xend_stop", xm_default="ignore")
    ] = HostAction.IGNORE

    features: Annotated[
        str,
        Setting(
            xm="features",
            sxp="features",
            note="without effect: Xen reads the kernel's notes; kept and shown",
        ),
    ] = ""
    platform: dict[str, Any] = Field(default_factory=dict)
    """Settings of the machine, as JSON values, by the names of `xend.model.platform`."""
    other: dict[str, Any] = Field(default_factory=dict)
    """Settings of old configs that nothing here acts on, kept so that they are not lost; and
    `cpuid`, leaves to registers to 32 characters of `01xks`, and `msr`, numbers to 64 of them."""

    disks: tuple[Disk, ...] = ()
    vifs: tuple[Vif, ...] = ()
    vfbs: tuple[Vfb, ...] = ()
    vkbds: tuple[Vkbd, ...] = ()
    pcis: tuple[Pci, ...] = ()
    ioports: tuple[IoPorts, ...] = ()
    irqs: tuple[Irq, ...] = ()
    iomem: tuple[IoMemory, ...] = ()
    usbctrls: tuple[UsbController, ...] = ()
    usbdevs: tuple[UsbDevice, ...] = ()
    vtpms: tuple[Vtpm, ...] = ()
    p9s: tuple[P9, ...] = ()
    pvcallsifs: tuple[PvCalls, ...] = ()
    channels: tuple[Channel, ...] = ()
    vdispls: tuple[Vdispl, ...] = ()
    vsnds: tuple[Vsnd, ...] = ()
    dtdevs: Annotated[tuple[str, ...], Setting(xl="dtdev", libxl="dtdevs", kind=Kind.SPECIAL)] = ()
    """Paths in the host's device tree (Arm)."""
    other_devices: tuple[OtherDevice, ...] = ()

    @field_validator("affinity", "affinity_soft", mode="before")
    @classmethod
    def _bearable(cls, rows: Any) -> Any:
        """One list of a short text may be meant for each of thousands of vcpus."""
        if not isinstance(rows, (list, tuple)):
            return rows  # which is said to be wrong
        total = sum([len(row) for row in rows if isinstance(row, (list, tuple))])
        if total > MAX_AFFINITY:
            raise ValueError(f"at most {MAX_AFFINITY} CPUs for all vcpus together")
        return tuple(tuple(row) if isinstance(row, list) else row for row in rows)

    @field_validator("platform", "other", mode="after")
    @classmethod
    def _in_utf8(cls, settings: dict[str, Any]) -> dict[str, Any]:
        """Bytes that are none come from files as lone surrogates, which no JSON can hold."""
        try:
            json.dumps(settings, ensure_ascii=False, default=str).encode()
        except UnicodeEncodeError as error:
            raise ValueError("text that is not UTF-8") from error
        return settings

    @field_validator("name", mode="after")
    @classmethod
    def _name_form(cls, name: str) -> str:
        if not NAME.fullmatch(name):
            raise ValueError("Invalid VM Name")
        return name

    @field_validator("vcpus", mode="after")
    @classmethod
    def _has_vcpus(cls, vcpus: int) -> int:
        if vcpus < 1:
            raise ValueError("vcpus must be at least 1")
        if vcpus > MAX_VCPUS:
            raise ValueError(f"vcpus must be at most {MAX_VCPUS}")
        return vcpus

    @model_validator(mode="after")
    def _memory_order(self) -> DomainConfig:
        if self.memory <= 0:
            raise ValueError("memory must be greater than zero")
        if self.maxmem and self.memory > self.maxmem:
            raise ValueError("memory must be less than or equal to maxmem")
        return self

    @property
    def max_memory(self) -> int:
        """KiB."""
        return self.maxmem or self.memory

    @property
    def kind(self) -> Literal["pv", "pvh", "hvm"]:
        return self.type.value
