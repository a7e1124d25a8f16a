"""What is wanted of a domain: one typed, frozen value that every face decodes to."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from xend.model.devices import Disk, IoPorts, Irq, OtherDevice, Pci, Vfb, Vif, Vkbd
from xend.model.fields import Setting

_NAME = re.compile(r"[A-Za-z0-9_\-.:+]+")


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
    type: Annotated[DomainType, Setting(xm="builder", xl="type", libxl="c_info.type")] = (
        DomainType.PV
    )
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
        ),
    ] = 0
    """The most it can balloon up to, KiB; 0 means the same as `memory`."""
    shadow_memory: Annotated[
        int, Setting(xm="shadow_memory", xl="shadow_memory", libxl="b_info.shadow_memkb")
    ] = 0
    """KiB; 0 lets libxl compute it."""

    vcpus: Annotated[
        int, Setting(xm="vcpus", xl="maxvcpus", xenapi="VCPUs_max", libxl="b_info.max_vcpus")
    ] = 1
    """The most the guest can have."""
    vcpus_online: Annotated[
        int | None, Setting(xm="vcpu_avail", xl="vcpus", libxl="b_info.avail_vcpus")
    ] = None
    """At boot; None means all."""
    affinity: Annotated[tuple[tuple[int, ...], ...], Setting(xm="cpus", xl="cpus", sxp="cpus")] = ()
    """Physical CPUs per vcpu; an empty inner tuple means any, an empty outer one means all any."""
    cpu_weight: Annotated[
        int, Setting(xm="cpu_weight", xl="cpu_weight", libxl="b_info.sched_params.weight")
    ] = 256
    cpu_cap: Annotated[int, Setting(xm="cpu_cap", xl="cap", libxl="b_info.sched_params.cap")] = 0
    pool: Annotated[str, Setting(xm="pool", xl="pool", sxp="pool_name")] = "Pool-0"

    kernel: Annotated[str, Setting(xm="kernel", xl="kernel", libxl="b_info.kernel")] = ""
    ramdisk: Annotated[str, Setting(xm="ramdisk", xl="ramdisk", libxl="b_info.ramdisk")] = ""
    cmdline: Annotated[str, Setting(xm="extra", xl="cmdline", libxl="b_info.cmdline")] = ""
    bootloader: Annotated[
        str, Setting(xm="bootloader", xl="bootloader", libxl="b_info.bootloader")
    ] = ""
    bootloader_args: Annotated[str, Setting(xm="bootargs", xl="bootloader_args")] = ""

    on_poweroff: ShutdownAction = ShutdownAction.DESTROY
    on_reboot: ShutdownAction = ShutdownAction.RESTART
    on_crash: ShutdownAction = ShutdownAction.RESTART
    on_xend_start: HostAction = HostAction.IGNORE
    on_xend_stop: HostAction = HostAction.IGNORE

    features: str = ""
    platform: dict[str, Any] = Field(default_factory=dict)
    """HVM and platform settings by their xm name (acpi, apic, boot, hpet, localtime, nomigrate,
    pae, stdvga, tsc_mode, videoram, viridian …), as JSON values."""
    other: dict[str, Any] = Field(default_factory=dict)
    """Settings of old configs that nothing here acts on, kept so that they are not lost."""

    disks: tuple[Disk, ...] = ()
    vifs: tuple[Vif, ...] = ()
    vfbs: tuple[Vfb, ...] = ()
    vkbds: tuple[Vkbd, ...] = ()
    pcis: tuple[Pci, ...] = ()
    ioports: tuple[IoPorts, ...] = ()
    irqs: tuple[Irq, ...] = ()
    other_devices: tuple[OtherDevice, ...] = ()

    @field_validator("name", mode="after")
    @classmethod
    def _name_form(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError("Invalid VM Name")
        return name

    @field_validator("vcpus", mode="after")
    @classmethod
    def _has_vcpus(cls, vcpus: int) -> int:
        if vcpus < 1:
            raise ValueError("vcpus must be at least 1")
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
