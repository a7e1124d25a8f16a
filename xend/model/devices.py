"""Devices as they are wanted.  What the guest made of them is read from XenStore when asked."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, field_validator

from xend.model.fields import Setting

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


class Device(BaseModel):
    """Common to all: old clients expect each device to have a uuid of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    uuid: UUID | None = None
    backend: Annotated[str, Setting(xm="backend", xl="backend", sxp="backend")] = ""
    """Name or domid of the backend's domain; empty means Domain-0."""
    other: dict[str, str] = Field(default_factory=dict)
    """Settings of old configurations that nothing here acts on, kept so that they are not lost."""


class Disk(Device):
    """A vbd.  `scheme` and `path` together are the `uname` of old configurations.

    `scheme` keeps the spelling (``tap:aio``, ``tap2:qcow2``, ``file``, ``phy``, or empty), since
    old clients read it back; what libxl does with it is decided when it is marshalled.
    """

    device_class: Literal["vbd", "tap", "tap2"] = "vbd"
    scheme: str = ""
    path: Annotated[str, Setting(xl="target", libxl="disks[].pdev_path")] = ""
    vdev: Annotated[str, Setting(xm="dev", xl="vdev", sxp="dev", libxl="disks[].vdev")]
    dev: str = ""
    """`vdev` as an old configuration spells it (`ioemu:hda`, `hda:disk`), if it is more than
    `vdev` or `vdev:cdrom`; old clients read it back."""
    access: Annotated[Literal["r", "w", "w!", "r!"], Setting(sxp="mode")] = "w"
    device_type: Literal["disk", "cdrom"] = "disk"
    image_format: Annotated[
        Literal["", "raw", "qcow", "qcow2", "vhd", "qed", "empty"], Setting(xl="format")
    ] = ""
    """Empty: follows from the scheme."""
    script: str = ""
    protocol: str = ""
    bootable: bool = False
    qdisk: bool = False
    """Serve it with QEMU's block backend rather than blkback."""

    @property
    def uname(self) -> str:
        return f"{self.scheme}:{self.path}" if self.scheme else self.path

    @property
    def format(self) -> str:
        """raw, qcow, qcow2, vhd, qed or empty."""
        if self.image_format:
            return self.image_format
        last = self.scheme.rpartition(":")[2]
        if last in ("qcow", "qcow2", "vhd", "qed"):
            return last
        return "raw" if self.path else "empty"

    @property
    def readwrite(self) -> bool:
        return self.access.startswith("w")


class Vif(Device):
    """A network interface; `mac` is always set once a domain is created."""

    mac: Annotated[str, Setting(xm="mac", xl="mac", sxp="mac", libxl="nics[].mac")] = ""
    bridge: Annotated[str, Setting(xm="bridge", xl="bridge", sxp="bridge")] = ""
    script: Annotated[str, Setting(xm="script", xl="script", sxp="script")] = ""
    ip: Annotated[str, Setting(xm="ip", xl="ip", sxp="ip")] = ""
    vifname: Annotated[str, Setting(xm="vifname", xl="vifname", sxp="vifname")] = ""
    type: Annotated[str, Setting(xm="type", xl="type", sxp="type")] = ""
    model: Annotated[str, Setting(xm="model", xl="model", sxp="model")] = ""
    rate: Annotated[str, Setting(xm="rate", xl="rate", sxp="rate")] = ""
    accel: str = ""
    security_label: str = ""

    @field_validator("mac", mode="after")
    @classmethod
    def _mac_form(cls, mac: str) -> str:
        mac = mac.lower()
        if mac and not _MAC.fullmatch(mac):
            raise ValueError(f"'{mac}' is not a MAC address (expected 00:16:3e:xx:xx:xx)")
        return mac


class Vfb(Device):
    """A paravirtual frame buffer (or, for HVM, the emulated card's display)."""

    type: Literal["vnc", "sdl"] = "vnc"
    vnclisten: str = ""
    vncdisplay: int | None = None
    vncunused: bool = True
    vncpasswd: str = Field(default="", repr=False)
    display: str = ""
    xauthority: str = ""
    keymap: str = ""
    opengl: bool = False
    videoram: int | None = None
    """MiB."""
    location: str = ""


class Vkbd(Device):
    """A paravirtual keyboard; comes with a vfb."""


class Pci(Device):
    """A PCI device given to the guest, by its address on the host."""

    domain: int = 0
    bus: int
    slot: int
    func: int
    vslot: int | None = None
    """Slot in the guest; None lets the device model choose."""
    vfunc: int | None = None
    """Function in the guest; None is the same as on the host."""
    key: str = ""
    """The address as the configuration spells it; empty for BB:SS.F."""
    options: dict[str, str] = Field(default_factory=dict)

    @property
    def bdf(self) -> str:
        return f"{self.domain:04x}:{self.bus:02x}:{self.slot:02x}.{self.func:x}"


class IoPorts(Device):
    first: int
    last: int


class Irq(Device):
    irq: int


class OtherDevice(Device):
    """A device that this xend keeps (so that nothing of a config is lost) but cannot attach.

    `sxp` is its SXP as it came, e.g. of class vscsi, vusb, vtpm or vif2.
    """

    device_class: str
    sxp: str
