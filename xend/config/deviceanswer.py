"""Devices of the model as old clients read them: `(vbd (uname …) (dev …) …)`."""

from __future__ import annotations

from xend.config import sxp
from xend.config.devicesxp import (
    AUTO_SLOT,
    PCI_ADDRESS,
    VFB_FLAGS,
    VFB_NUMBERS,
    VFB_TEXTS,
    VIF_KEYS,
    Fields,
    in_order,
    pci_key,
)
from xend.config.pydict import ordered
from xend.model.devices import Device, Disk, IoPorts, Irq, OtherDevice, Pci, Vfb, Vif


def _identity(device: Device) -> Fields:
    return {"uuid": str(device.uuid)} if device.uuid else {}


def _encode_disk(disk: Disk, running: bool) -> list[sxp.Value]:
    dev = disk.dev or (f"{disk.vdev}:cdrom" if disk.device_type == "cdrom" else disk.vdev)
    fields: Fields = {"uname": disk.uname, "dev": dev, "mode": disk.access}
    for name, value in (("backend", disk.backend), ("protocol", disk.protocol)):
        if value:
            fields[name] = value
    fields.update(disk.other)
    if disk.device_class == "vbd":
        fields["driver"] = "ioemu" if dev.startswith("ioemu:") else "paravirtualised"
    fields |= _identity(disk)
    fields["bootable"] = int(disk.bootable)
    if running:
        fields["dev"] = f"{disk.vdev}:{disk.device_type}"
        fields["backend"] = disk.backend or 0
        fields.setdefault("VDI", "")
    return [disk.device_class, *in_order(fields)]


def _encode_vif(vif: Vif, running: bool) -> list[sxp.Value]:
    fields: Fields = {name: getattr(vif, name) for name in VIF_KEYS if getattr(vif, name)}
    fields.update(vif.other)
    fields |= _identity(vif)
    if running:
        fields["backend"] = vif.backend or 0
    return ["vif", *in_order(fields)]


def _encode_vfb(vfb: Vfb) -> list[sxp.Value]:
    """Only what was given: a client takes an absent key for its own default."""
    fields: Fields = {}
    given = vfb.model_fields_set
    for name in VFB_TEXTS:
        if name in given and (getattr(vfb, name) or name == "vncpasswd"):
            fields[name] = getattr(vfb, name)
    for name in VFB_FLAGS:
        if name in given:
            fields[name] = int(getattr(vfb, name))
    for name in VFB_NUMBERS:
        if getattr(vfb, name) is not None:
            fields[name] = getattr(vfb, name)
    if vfb.backend:
        fields["backend"] = vfb.backend
    if "vnc" not in vfb.other and "sdl" not in vfb.other:
        fields["vnc" if vfb.type == "none" else vfb.type] = int(vfb.type != "none")
    fields.update(vfb.other)
    fields |= _identity(vfb)
    return ["vfb", *in_order(fields)]


def _encode_simple(kind: str, device: Device, fields: Fields) -> list[sxp.Value]:
    if device.backend:
        fields["backend"] = device.backend
    fields.update(device.other)
    return [kind, *in_order(fields | _identity(device))]


def encode_pcis(functions: tuple[Pci, ...], uuid: str) -> list[sxp.Value]:
    """All PCI functions as the one device that old clients know."""
    tree: list[sxp.Value] = ["pci", ["uuid", uuid]]
    for pci in functions:
        address = {name: getattr(pci, name) for name in PCI_ADDRESS}
        vfunc = pci.func if pci.vfunc is None else pci.vfunc
        vdevfn = (AUTO_SLOT if pci.vslot is None else pci.vslot << 3) | vfunc
        fields: Fields = {
            "domain": f"0x{pci.domain:04x}",
            "bus": f"0x{pci.bus:02x}",
            "slot": f"0x{pci.slot:02x}",
            "func": f"0x{pci.func:x}",
            "vdevfn": f"0x{vdevfn:02x}",
            "key": pci.key or pci_key(address),
        }
        fields |= pci.other
        if pci.options:
            fields["opts"] = ""
        dev: list[sxp.Value] = ["dev"]
        for name in ordered(fields | _identity(pci)):
            if name == "opts":
                dev += [["opts", [key, value]] for key, value in pci.options.items()]
            else:
                dev.append([name, (fields | _identity(pci))[name]])
        tree.append(dev)
    return tree


def encode_device(device: Device, *, running: bool = False) -> list[sxp.Value]:
    """`(class …)`.  A running disk or interface shows its backend's id."""
    if isinstance(device, Disk):
        return _encode_disk(device, running)
    if isinstance(device, Vif):
        return _encode_vif(device, running)
    if isinstance(device, Vfb):
        return _encode_vfb(device)
    if isinstance(device, Pci):
        return encode_pcis((device,), str(device.uuid or ""))
    if isinstance(device, IoPorts):
        return _encode_simple(
            "ioports", device, {"from": f"0x{device.first:04x}", "to": f"0x{device.last:04x}"}
        )
    if isinstance(device, Irq):
        return _encode_simple("irq", device, {"irq": device.irq})
    if isinstance(device, OtherDevice):
        tree = sxp.parse_one(device.sxp)
        return tree if isinstance(tree, list) else [device.device_class]
    return _encode_simple("vkbd", device, {})
