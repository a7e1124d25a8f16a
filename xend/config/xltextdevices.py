"""Devices of the model as the entries of a file of xl."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from pydantic import BaseModel

from xend.config.xlnetwork import COLO
from xend.config.xlpci import ALL_FUNCTIONS
from xend.model.devices import Disk, Pci, Vfb, Vif
from xend.model.domain import DomainConfig, DomainType
from xend.model.fields import rows
from xend.model.peripherals import SoundParameters, UsbDevice, Vdispl, VirtualNode, Vsnd

_QEMU_FORMATS: Final = ("qcow", "qcow2", "vhd", "qed")


class DeviceWriter:
    """`lost` is added to: (option, sentence) of what a file cannot say."""

    def __init__(self, config: DomainConfig, lost: list[tuple[str, str]]) -> None:
        self.config = config
        self.lost = lost

    def lists(self) -> Iterator[tuple[str, list[str]]]:
        """(option, its entries), without the empty ones."""
        config = self.config
        found: dict[str, list[str]] = {
            "disk": [self._disk(each) for each in config.disks],
            "vif": [self._vif(each) for each in config.vifs],
            "vkb": [self._plain("vkb", each) for each in config.vkbds if each.backend_type],
            "pci": [self._pci(each) for each in config.pcis],
            "ioports": [f"{each.first:x}-{each.last:x}" for each in config.ioports],
            "irqs": [str(each.irq) for each in config.irqs],
            "iomem": [
                f"{each.start:x},{each.number:x}" + ("" if each.gfn is None else f"@{each.gfn:x}")
                for each in config.iomem
            ],
            "dtdev": list(config.dtdevs),
            "usbctrl": [self._plain("usbctrl", each) for each in config.usbctrls],
            "usbdev": [self._usb_device(each) for each in config.usbdevs],
            "vtpm": [self._vtpm(each.uuid, each.backend) for each in config.vtpms],
            "p9": [self._plain("p9", each) for each in config.p9s],
            "pvcalls": [f"backend={each.backend or '0'}" for each in config.pvcallsifs],
            "channel": [self._plain("channel", each) for each in config.channels],
            "vdispl": [self._display(each) for each in config.vdispls],
        }
        fully = config.type is DomainType.HVM
        buffers = [each for each in config.vfbs if each.paravirtual or not fully]
        found["vfb"] = [self._vfb(each) for each in buffers]
        for each in config.other_devices:
            if each.device_class != "console":
                reason = "Xen's current toolstack cannot attach it"
                self.lost.append((each.device_class, f"{each.device_class}: {reason}: {each.sxp}"))
        return ((name, entries) for name, entries in found.items() if entries)

    def nested(self) -> Iterator[tuple[str, list[list[str]]]]:
        """Options whose entries are lists themselves."""
        if self.config.vnuma:
            yield "vnuma", [_node(each) for each in self.config.vnuma]
        if self.config.vsnds:
            yield "vsnd", [self._sound(each) for each in self.config.vsnds]

    def of_the_screen(self) -> Iterator[tuple[str, str | int]]:
        """An HVM guest's display, which xl turns on if nothing is said."""
        if self.config.type is not DomainType.HVM:
            return
        shown = [each for each in self.config.vfbs if not each.paravirtual]
        if not shown:
            yield "vnc", 0
        for each in shown[-1:]:
            yield from _screen(each)

    def _join(self, option: str, pairs: list[tuple[str, Any]]) -> str:
        """`key=value,…`, which cannot hold a comma."""
        words = []
        for key, value in pairs:
            if "," in str(value):
                self.lost.append((option, f"{option}: {key} has a comma: {value}"))
            elif value not in ("", None):
                words.append(f"{key}={value}")
        return ",".join(words)

    def _plain(self, option: str, device: BaseModel) -> str:
        """By the rows of its class, without what is the default."""
        pairs: list[tuple[str, Any]] = []
        for name, row in rows(type(device)):
            value = getattr(device, name)
            default = type(device).model_fields[name].default
            if name == "backend" and option in ("usbctrl", "usbdev"):
                if value:
                    self.lost.append((option, f"{option}: a file has no word for its backend"))
            elif row.xl and (value != default or name == "security_model"):
                pairs.append((row.xl, int(value) if isinstance(value, bool) else value))
        return self._join(option, pairs)

    def _disk(self, disk: Disk) -> str:
        words = [f"format={disk.format}", f"vdev={disk.vdev.removeprefix('/dev/')}"]
        words.append("access=rw" if disk.readwrite else "access=ro")
        if disk.device_type == "cdrom":
            words.append("devtype=cdrom")
        if disk.qdisk or disk.format in _QEMU_FORMATS:
            words.append("backendtype=qdisk")
        elif disk.backend_type:
            words.append(f"backendtype={disk.backend_type}")
        if disk.direct_io_safe:
            words.append("direct-io-safe")
        for value, yes, no in (
            (disk.discard, "discard", "no-discard"),
            (disk.trusted, "trusted", "untrusted"),
        ):
            if value is not None:
                words.append(yes if value else no)
        for key, text in (
            ("specification", disk.specification),
            ("script", disk.script),
            ("backend", _domain(disk.backend)),
        ):
            if text:
                words.append(f"{key}={text}")
        words += _colo(disk)
        # The target comes last, and is all that follows: it may have commas.
        return ",".join([*words, f"target={disk.target}"])

    def _vif(self, vif: Vif) -> str:
        for name in ("accel", "security_label"):
            if getattr(vif, name):
                self.lost.append(("vif", f"vif: {name} is no longer in Xen"))
        kind = {"ioemu": "ioemu", "vif": "vif", "front": "vif", "netfront": "vif"}
        pairs: list[tuple[str, Any]] = [
            ("mac", vif.mac),
            ("bridge", vif.bridge),
            ("script", vif.script),
            ("ip", vif.ip),
            ("vifname", vif.vifname),
            ("type", kind.get(vif.type, "")),
            ("model", vif.model),
            ("rate", vif.rate),
            ("gatewaydev", vif.gatewaydev),
            ("devid", vif.devid),
            ("mtu", vif.mtu),
            ("backend", _domain(vif.backend)),
        ]
        spelled = {libxl: key for key, libxl in COLO.items()}
        pairs += [(spelled[name], value) for name, value in vif.colo.items() if name in spelled]
        words = self._join("vif", pairs)
        if vif.trusted is None:
            return words
        return ",".join(word for word in (words, "trusted" if vif.trusted else "untrusted") if word)

    def _pci(self, pci: Pci) -> str:
        known = ("msitranslate", "power_mgmt", "permissive", "seize", "rdm_policy")
        options = [f"{name}={pci.options[name]}" for name in known if name in pci.options]
        if pci.options.get("name"):
            slot = [] if pci.vslot is None else [f"vslot={pci.vslot:x}"]
            return ",".join([f"name={pci.options['name']}", *slot, *options])
        every = pci.options.get(ALL_FUNCTIONS)
        address = pci.bdf.rpartition(".")[0] + ".*" if every else pci.bdf
        return ",".join([address + ("" if pci.vslot is None else f"@{pci.vslot:x}"), *options])

    def _vfb(self, vfb: Vfb) -> str:
        return self._join("vfb", list(_screen(vfb)))

    def _usb_device(self, device: UsbDevice) -> str:
        return f"type=hostdev,{self._plain('usbdev', device)},hostbus={device.hostbus}" + (
            f",hostaddr={device.hostaddr}"
        )

    def _vtpm(self, uuid: Any, backend: str) -> str:
        return self._join("vtpm", [("backend", backend or "0"), ("uuid", uuid and str(uuid))])

    def _display(self, device: Vdispl) -> str:
        shown = [f"{each.unique_id}:{each.width}x{each.height}" for each in device.connectors]
        pairs: list[tuple[str, Any]] = [("backend", device.backend)]
        if device.be_alloc:
            pairs.append(("be-alloc", 1))
        return self._join("vdispl", [*pairs, ("connectors", ";".join(shown))])

    def _sound(self, card: Vsnd) -> list[str]:
        names: list[tuple[str, Any]] = [
            ("backend", card.backend),
            ("short-name", card.short_name),
            ("long-name", card.long_name),
        ]
        entries = [("CARD", [*names, *_sound_parameters(card.params)])]
        for pcm in card.pcms:
            entries.append(("PCM", [("name", pcm.name), *_sound_parameters(pcm.params)]))
            for stream in pcm.streams:
                of_stream: list[tuple[str, Any]] = [
                    ("unique-id", stream.unique_id),
                    ("type", stream.type),
                ]
                entries.append(("STREAM", [*of_stream, *_sound_parameters(stream.params)]))
        return [
            ",".join(word for word in (kind, self._join("vsnd", pairs)) if word)
            for kind, pairs in entries
        ]


def _sound_parameters(params: SoundParameters) -> list[tuple[str, Any]]:
    return [
        ("sample-rates", ";".join(map(str, params.sample_rates))),
        ("sample-formats", ";".join(params.sample_formats)),
        ("channels-min", params.channels_min or ""),
        ("channels-max", params.channels_max or ""),
        ("buffer-size", params.buffer_size or ""),
    ]


def _node(node: VirtualNode) -> list[str]:
    entries = [] if node.pnode is None else [f"pnode={node.pnode}"]
    entries += [f"size={node.memory // 1024}", "vcpus=" + ",".join(map(str, node.vcpus))]
    return [*entries, "vdistances=" + ",".join(map(str, node.distances))]


def _screen(vfb: Vfb) -> Iterator[tuple[str, str | int]]:
    yield "vnc", int(vfb.type == "vnc")
    if vfb.type == "vnc":
        yield "vncunused", int(vfb.vncunused)
    if vfb.type == "sdl" or vfb.sdl_too:
        yield "sdl", 1
        if vfb.opengl:
            yield "opengl", 1
    for name in ("vnclisten", "vncdisplay", "vncpasswd", "display", "xauthority", "keymap"):
        value = getattr(vfb, name)
        if value not in ("", None):
            yield name, value


def _colo(disk: Disk) -> list[str]:
    """libxl's names as the file spells them."""
    if not disk.colo:
        return []
    words = ["colo"] if disk.colo.get("colo_enable") == "True" else []
    return words + [
        f"{name.replace('_', '-')}={value}"
        for name, value in disk.colo.items()
        if name not in ("colo_enable", "colo_restore_enable")
    ]


def _domain(backend: str) -> str:
    return "" if backend in ("0", "Domain-0") else backend
