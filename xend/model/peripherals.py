"""Devices that only files of xl (and REST) know.  Each field's row names its key in libxl's JSON.

Sources: xl.cfg(5) and libxl_types.idl of Xen 4.17.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from xend.model.devices import Device
from xend.model.fields import Setting


class Part(BaseModel):
    """A piece of a device or of the machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Peripheral(Device):
    """A device of one of libxl's lists."""

    LIST: ClassVar[str]
    """The key of the list in libxl's JSON of a domain."""
    NUMBERED: ClassVar[bool] = True
    """Whether each has a devid."""


class UsbController(Peripheral):
    LIST = "usbctrls"

    type: Annotated[
        Literal["auto", "pv", "devicemodel", "qusb"],
        Setting(xl="type", libxl="type", xl_default="auto"),
    ] = "auto"
    version: Annotated[
        int, Setting(xm="usbver", xl="version", sxp="usb-ver", libxl="version", xl_default="2")
    ] = Field(default=0, ge=0, le=3)
    """1 to 3; 0 leaves it to libxl."""
    ports: Annotated[
        int, Setting(xm="numports", xl="ports", sxp="num-ports", libxl="ports", xl_default="8")
    ] = Field(default=0, ge=0, le=31)
    """0 leaves it to libxl."""


class UsbDevice(Peripheral):
    """A USB device of the host, at bus and address."""

    LIST = "usbdevs"
    NUMBERED = False

    hostbus: Annotated[int, Setting(xl="hostbus", libxl="type.hostdev.hostbus")] = Field(
        ge=0, le=255
    )
    hostaddr: Annotated[int, Setting(xl="hostaddr", libxl="type.hostdev.hostaddr")] = Field(
        ge=0, le=255
    )
    controller: Annotated[int | None, Setting(xl="controller", libxl="ctrl")] = None
    """Number of its controller; None: the first with a free port."""
    port: Annotated[int, Setting(xm="port_N", xl="port", sxp="port", libxl="port")] = 0
    """0: the first free one."""


class Vtpm(Peripheral):
    """Its `uuid` names the instance."""

    LIST = "vtpms"


class P9(Peripheral):
    """A directory of the host, shared by the 9P protocol."""

    LIST = "p9s"

    tag: Annotated[str, Setting(xl="tag", libxl="tag")]
    path: Annotated[str, Setting(xl="path", libxl="path")]
    security_model: Annotated[str, Setting(xl="security_model", libxl="security_model")] = "none"


class PvCalls(Peripheral):
    LIST = "pvcallsifs"


class Channel(Peripheral):
    """A console with a name, for programs (docs/misc/channels.txt of Xen)."""

    LIST = "channels"

    name: Annotated[str, Setting(xl="name", libxl="name")]
    connection: Annotated[
        Literal["pty", "socket"], Setting(xl="connection", libxl="connection.pty, .socket")
    ]
    path: Annotated[str, Setting(xl="path", libxl="connection.socket.path")] = ""
    """Of the socket."""


class Connector(Part):
    """A screen of a virtual display."""

    unique_id: str
    width: int = Field(ge=0)
    height: int = Field(ge=0)


class Vdispl(Peripheral):
    LIST = "vdispls"

    be_alloc: Annotated[bool, Setting(xl="be-alloc", libxl="be_alloc")] = False
    connectors: Annotated[
        tuple[Connector, ...], Setting(xl="connectors", libxl="connectors", note="ID:WxH;ID:WxH")
    ] = ()


class SoundParameters(Part):
    """What a card, its device or a stream of that can do; 0 and () leave it to the other end."""

    sample_rates: tuple[int, ...] = ()
    sample_formats: tuple[str, ...] = ()
    channels_min: int = 0
    channels_max: int = 0
    buffer_size: int = 0


class SoundStream(Part):
    unique_id: str = ""
    type: Literal["", "p", "c"] = ""
    """Playback or capture."""
    params: SoundParameters = SoundParameters()


class SoundDevice(Part):
    name: str = ""
    params: SoundParameters = SoundParameters()
    streams: tuple[SoundStream, ...] = ()


class Vsnd(Peripheral):
    LIST = "vsnds"

    short_name: Annotated[str, Setting(xl="short-name", libxl="short_name")] = ""
    long_name: Annotated[str, Setting(xl="long-name", libxl="long_name")] = ""
    params: Annotated[
        SoundParameters,
        Setting(
            xl="sample-rates, sample-formats, channels-min, channels-max, buffer-size",
            libxl="params",
        ),
    ] = SoundParameters()
    pcms: Annotated[
        tuple[SoundDevice, ...], Setting(xl="pcm, stream, name, unique-id, type", libxl="pcms")
    ] = ()


class IoMemory(Part):
    """Pages of the host's memory given to the guest; numbers of 4 KiB frames."""

    start: Annotated[int, Setting(xl="IOMEM_START", libxl="start")] = Field(ge=0)
    number: Annotated[int, Setting(xl="NUM_PAGES", libxl="number")] = Field(ge=1)
    gfn: Annotated[int | None, Setting(xl="GFN", libxl="gfn")] = None
    """Where the guest sees them; None: at `start`."""


class VirtualNode(Part):
    """A NUMA node of the guest."""

    memory: Annotated[int, Setting(xl="size", libxl="memkb", unit="MiB")] = Field(ge=0)
    """KiB."""
    vcpus: Annotated[tuple[int, ...], Setting(xl="vcpus", libxl="vcpus")] = ()
    distances: Annotated[tuple[int, ...], Setting(xl="vdistances", libxl="distances")] = ()
    """To each node of the guest, itself included."""
    pnode: Annotated[int | None, Setting(xl="pnode", libxl="pnode")] = None
    """The host's node that its memory comes from."""
