"""Devices as they are wanted.  What the guest made of them is read from XenStore when asked."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, field_validator

from xend.model.fields import Kind, Setting

RATE = re.compile(r"(\d+)([GMK]?)([bB])/s(?:@(\d+)([mu]?)s)?")
"""xl-network-configuration(5): amount, unit, bits or bytes, window and its unit."""
_RATE_UNITS = {"": 1, "K": 1000, "M": 1000**2, "G": 1000**3}
_RATE_WINDOW = 50_000
"""Microseconds, where none is named (xl-network-configuration(5))."""
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


def bytes_per_window(rate: str) -> tuple[int, int]:
    """(bytes, microseconds) of `10Mb/s`, `250KB/s@20ms`: M is 1000², b bits, B bytes.
    ValueError when it is no rate, or Xen's back end cannot count it."""
    match = RATE.fullmatch(rate)
    if not match:
        raise ValueError(f"{rate!r} is not a rate")
    amount, unit, what, window, milli_or_micro = match.groups()
    per_second = int(amount) * _RATE_UNITS[unit] // (8 if what == "b" else 1)
    micro = _RATE_WINDOW
    if window:
        micro = int(window) * {"": 1_000_000, "m": 1000, "u": 1}[milli_or_micro]
    if not per_second or not 0 < micro < 2**32:
        raise ValueError(f"{rate!r} is too small or its window too long")
    return per_second * micro // 1_000_000, micro


class Device(BaseModel):
    """Common to all: old clients expect each device to have a uuid of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    uuid: UUID | None = None
    backend: Annotated[
        str,
        Setting(
            xm="backend", xl="backend", sxp="backend", libxl="backend_domname", kind=Kind.SPECIAL
        ),
    ] = ""
    """Name or domid of the backend's domain; empty means Domain-0."""
    other: dict[str, str] = Field(default_factory=dict)
    """Settings of old configurations that nothing here acts on, kept so that they are not lost."""


class Disk(Device):
    """A vbd.  `scheme` and `path` together are the `uname` of old configurations.

    `scheme` keeps the spelling (``tap:aio``, ``tap2:qcow2``, ``file``, ``phy``, or empty), since
    old clients read it back; what libxl does with it is decided when it is marshalled.
    """

    device_class: Literal["vbd", "tap", "tap2"] = "vbd"
    scheme: Annotated[
        str, Setting(xm="uname", xl="prefix of the target", sxp="uname", note="deprecated in xl")
    ] = ""
    path: Annotated[str, Setting(xm="uname", xl="target", sxp="uname", libxl="pdev_path")] = ""
    vdev: Annotated[str, Setting(xm="dev", xl="vdev", sxp="dev", libxl="vdev")]
    dev: str = ""
    """`vdev` as an old configuration spells it (`ioemu:hda`, `hda:disk`), if it is more than
    `vdev` or `vdev:cdrom`; old clients read it back."""
    access: Annotated[
        Literal["r", "w", "w!", "r!"],
        Setting(xm="mode", xl="access", sxp="mode", libxl="readwrite", xl_default="w"),
    ] = "w"
    device_type: Annotated[
        Literal["disk", "cdrom"],
        Setting(xm="suffix of dev", xl="devtype", sxp="suffix of dev", libxl="is_cdrom"),
    ] = "disk"
    image_format: Annotated[
        Literal["", "raw", "qcow", "qcow2", "vhd", "qed", "empty"],
        Setting(xm="prefix of uname", xl="format", libxl="format", xl_default="raw"),
    ] = ""
    """Empty: follows from the scheme."""
    script: Annotated[str, Setting(xl="script", libxl="script")] = ""
    protocol: Annotated[
        str, Setting(xm="protocol", sxp="protocol", note="the guest tells it itself nowadays")
    ] = ""
    bootable: Annotated[bool, Setting(sxp="bootable", note="the disk the boot loader reads")] = (
        False
    )
    qdisk: Annotated[bool, Setting(xl="backendtype", libxl="backend")] = False
    """Serve it with QEMU's block backend rather than blkback."""
    backend_type: Annotated[
        Literal["", "phy", "tap", "standalone"], Setting(xl="backendtype", libxl="backend")
    ] = ""
    """Another back end than the one libxl would choose; QEMU's is `qdisk`."""
    discard: Annotated[
        bool | None, Setting(xl="discard, no-discard", libxl="discard_enable", kind=Kind.FLAG)
    ] = None
    direct_io_safe: Annotated[bool, Setting(xl="direct-io-safe", libxl="direct_io_safe")] = False
    trusted: Annotated[
        bool | None, Setting(xl="trusted, untrusted", libxl="trusted", kind=Kind.FLAG)
    ] = None
    specification: Annotated[
        Literal["", "xen", "virtio"], Setting(xl="specification", libxl="specification")
    ] = ""
    colo: Annotated[
        dict[str, str | int],
        Setting(
            xl="colo, colo-host, colo-port, colo-export, active-disk, hidden-disk",
            note="by the names of libxl's JSON",
        ),
    ] = Field(default_factory=dict)
    """COLO replication: libxl's `colo_host`, `colo_port`, `colo_export`, `active_disk` …"""

    @property
    def uname(self) -> str:
        return f"{self.scheme}:{self.path}" if self.scheme else self.path

    @property
    def target(self) -> str:
        """The file or device itself; `phy:` names are relative to /dev."""
        relative = self.scheme == "phy" and self.path and not self.path.startswith("/")
        return f"/dev/{self.path}" if relative else self.path

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

    mac: Annotated[str, Setting(xm="mac", xl="mac", sxp="mac", libxl="mac")] = ""
    bridge: Annotated[str, Setting(xm="bridge", xl="bridge", sxp="bridge", libxl="bridge")] = ""
    script: Annotated[str, Setting(xm="script", xl="script", sxp="script", libxl="script")] = ""
    ip: Annotated[str, Setting(xm="ip", xl="ip", sxp="ip", libxl="ip")] = ""
    vifname: Annotated[str, Setting(xm="vifname", xl="vifname", sxp="vifname", libxl="ifname")] = ""
    type: Annotated[
        str, Setting(xm="type", xl="type", sxp="type", libxl="nictype", note="ioemu or vif")
    ] = ""
    model: Annotated[str, Setting(xm="model", xl="model", sxp="model", libxl="model")] = ""
    rate: Annotated[
        str,
        Setting(
            xm="rate", xl="rate", sxp="rate", libxl="rate_bytes_per_interval", note="10Mb/s@20ms"
        ),
    ] = ""
    accel: Annotated[
        str, Setting(xm="accel", sxp="accel", note="no longer in Xen; kept and shown")
    ] = ""
    security_label: Annotated[
        str, Setting(xm="policy, label", sxp="security_label", note="ACM: no longer in Xen")
    ] = ""
    gatewaydev: Annotated[str, Setting(xl="gatewaydev", libxl="gatewaydev")] = ""
    devid: Annotated[int | None, Setting(xl="devid", libxl="devid")] = None
    """Its number; None: the next."""
    mtu: Annotated[int | None, Setting(xl="mtu", libxl="mtu", unit="bytes")] = None
    trusted: Annotated[
        bool | None, Setting(xl="trusted, untrusted", libxl="trusted", kind=Kind.FLAG)
    ] = None
    colo: Annotated[
        dict[str, str], Setting(xl="forwarddev, colo_…", note="by the names of libxl's JSON")
    ] = Field(default_factory=dict)
    """COLO replication: libxl's `coloft_forwarddev`, `colo_sock_mirror_id` …"""

    @field_validator("mac", mode="after")
    @classmethod
    def _mac_form(cls, mac: str) -> str:
        mac = mac.lower()
        if mac and not _MAC.fullmatch(mac):
            raise ValueError(f"'{mac}' is not a MAC address (expected 00:16:3e:xx:xx:xx)")
        return mac


class Vfb(Device):
    """A paravirtual frame buffer (or, for HVM, the emulated card's display)."""

    type: Annotated[
        Literal["vnc", "sdl", "none"],
        Setting(xm="vnc, sdl", xl="vnc, sdl", sxp="vnc, sdl", libxl="vnc"),
    ] = "vnc"
    """`none`: shown nowhere (`vnc=0` in an xl file)."""
    sdl_too: Annotated[bool, Setting(xl="sdl", libxl="sdl", kind=Kind.FLAG)] = False
    """Beside VNC also in a window."""
    paravirtual: Annotated[bool, Setting(xl="vfb", note="an HVM guest's, beside its card")] = False
    """Of an HVM guest: this is no emulated card's display, but a frame buffer beside it."""
    vnclisten: Annotated[
        str, Setting(xm="vnclisten", xl="vnclisten", sxp="vnclisten", libxl="vnc.listen")
    ] = ""
    vncdisplay: Annotated[
        int | None,
        Setting(xm="vncdisplay", xl="vncdisplay", sxp="vncdisplay", libxl="vnc.display"),
    ] = None
    vncunused: Annotated[
        bool,
        Setting(
            xm="vncunused",
            xl="vncunused",
            sxp="vncunused",
            libxl="vnc.findunused",
            kind=Kind.FLAG,
            xl_default="1",
        ),
    ] = True
    vncpasswd: Annotated[
        str, Setting(xm="vncpasswd", xl="vncpasswd", sxp="vncpasswd", libxl="vnc.passwd")
    ] = Field(default="", repr=False)
    display: Annotated[
        str, Setting(xm="display", xl="display", sxp="display", libxl="sdl.display")
    ] = ""
    xauthority: Annotated[
        str, Setting(xm="xauthority", xl="xauthority", sxp="xauthority", libxl="sdl.xauthority")
    ] = ""
    keymap: Annotated[str, Setting(xm="keymap", xl="keymap", sxp="keymap", libxl="keymap")] = ""
    opengl: Annotated[
        bool, Setting(xm="opengl", xl="opengl", sxp="opengl", libxl="sdl.opengl", kind=Kind.FLAG)
    ] = False
    videoram: Annotated[int | None, Setting(xm="videoram", sxp="videoram", unit="MiB")] = None
    """MiB."""
    location: Annotated[str, Setting(sxp="location", note="where it was shown")] = ""


class Vkbd(Device):
    """A paravirtual keyboard; comes with a vfb, or by itself in a file of xl."""

    backend_type: Annotated[
        Literal["", "qemu", "linux"], Setting(xl="backend-type", libxl="backend_type")
    ] = ""
    unique_id: Annotated[str, Setting(xl="unique-id", libxl="unique_id")] = ""
    feature_disable_keyboard: Annotated[
        bool, Setting(xl="feature-disable-keyboard", libxl="feature_disable_keyboard")
    ] = False
    feature_disable_pointer: Annotated[
        bool, Setting(xl="feature-disable-pointer", libxl="feature_disable_pointer")
    ] = False
    feature_abs_pointer: Annotated[
        bool, Setting(xl="feature-abs-pointer", libxl="feature_abs_pointer")
    ] = False
    feature_raw_pointer: Annotated[
        bool, Setting(xl="feature-raw-pointer", libxl="feature_raw_pointer")
    ] = False
    feature_multi_touch: Annotated[
        bool, Setting(xl="feature-multi-touch", libxl="feature_multi_touch")
    ] = False
    width: Annotated[int, Setting(xl="width", libxl="width", unit="pixels")] = 0
    height: Annotated[int, Setting(xl="height", libxl="height", unit="pixels")] = 0
    multi_touch_width: Annotated[
        int, Setting(xl="multi-touch-width", libxl="multi_touch_width", unit="pixels")
    ] = 0
    multi_touch_height: Annotated[
        int, Setting(xl="multi-touch-height", libxl="multi_touch_height", unit="pixels")
    ] = 0
    multi_touch_num_contacts: Annotated[
        int, Setting(xl="multi-touch-num-contacts", libxl="multi_touch_num_contacts")
    ] = 0


class Pci(Device):
    """A PCI device given to the guest, by its address on the host."""

    domain: Annotated[
        int,
        Field(ge=0, lt=1 << 31),
        Setting(xm="address", xl="bdf", sxp="domain", libxl="domain"),
    ] = 0
    bus: Annotated[
        int, Field(ge=0, le=0xFF), Setting(xm="address", xl="bdf", sxp="bus", libxl="bus")
    ]
    slot: Annotated[
        int, Field(ge=0, le=0x1F), Setting(xm="address", xl="bdf", sxp="slot", libxl="dev")
    ]
    func: Annotated[
        int, Field(ge=0, le=7), Setting(xm="address", xl="bdf", sxp="func", libxl="func")
    ]
    vslot: Annotated[
        int | None,
        Field(ge=0, le=0x1F),
        Setting(xm="@VSLOT", xl="vslot", sxp="vdevfn", libxl="vdevfn"),
    ] = None
    """Slot in the guest; None lets the device model choose."""
    vfunc: Annotated[int | None, Field(ge=0, le=7), Setting(xm="@VSLOT", sxp="vdevfn")] = None
    """Function in the guest; None is the same as on the host."""
    key: Annotated[str, Setting(sxp="key", note="the address as it was spelt")] = ""
    """The address as the configuration spells it; empty for BB:SS.F."""
    options: Annotated[
        dict[str, str],
        Setting(
            xm="msitranslate, power_mgmt",
            xl="msitranslate, power_mgmt, permissive, seize, rdm_policy, name",
            sxp="opts",
            libxl="msitranslate …",
        ),
    ] = Field(default_factory=dict)
    """`msitranslate`, `power_mgmt`, `permissive`, `seize` (0 or 1), `rdm_policy`, `name`."""

    @property
    def bdf(self) -> str:
        return f"{self.domain:04x}:{self.bus:02x}:{self.slot:02x}.{self.func:x}"


class IoPorts(Device):
    """I/O ports of the host, both ends included."""

    first: Annotated[int, Setting(xm="FROM", xl="FROM", sxp="from", libxl="first")]
    last: Annotated[int, Setting(xm="TO", xl="TO", sxp="to", libxl="number")]


class Irq(Device):
    irq: Annotated[int, Setting(xm="IRQ", xl="IRQ", sxp="irq", libxl="irqs[]")]


class OtherDevice(Device):
    """A device that this xend keeps (so that nothing of a config is lost) but cannot attach.

    `sxp` is its SXP as it came, e.g. of class vscsi, vusb, console or vif2.
    """

    device_class: str
    sxp: str
