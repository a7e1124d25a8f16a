"""Devices of a domain: disks, network interfaces, PCI and SCSI devices."""

from __future__ import annotations

from xend.cli.failures import CommandFailed, OptionError
from xend.cli.records import child_value, children, fields
from xend.cli.xenapi.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

DISKS = ("vbd", "tap", "tap2")
_INITIALISING = 1


def device_records(session: Session, domain: str, kind: str) -> Any:
    """As `getDeviceSxprs` gave them: `[number, [[key, value]…]]`, PCI devices as dictionaries."""
    reader = {"vif": _vifs, "vbd": _vbds, "pci": _pcis, "vscsi": _scsis}.get(kind)
    if reader is None:
        return session.rpc("xend.domain.getDeviceSxprs", (domain, kind))
    return reader(session, session.vm(domain))


def _pairs(record: dict[str, Any]) -> list[list[Any]]:
    return [[key, value] for key, value in record.items()]


def _vifs(session: Session, vm: str) -> list[Any]:
    found = []
    for position, ref in enumerate(session.call("VM.get_VIFs", vm)):
        known = session.call("VIF.get_runtime_properties", ref)
        known["mac"] = session.call("VIF.get_MAC", ref)
        found.append([int(known.get("handle", position)), _pairs(known)])
    return found


def _vbds(session: Session, vm: str) -> list[Any]:
    refs = session.call("VM.get_VBDs", vm)
    known = [session.call("VBD.get_runtime_properties", ref) for ref in refs]
    names = [session.call("VBD.get_device", ref) for ref in refs]
    return [[_disk_number(*pair), _pairs(pair[1])] for pair in zip(names, known, strict=True)]


def _disk_number(name: str, known: dict[str, Any]) -> int:
    """As its front end has it; by its name while there is none."""
    if "virtual-device" in known:
        return int(known["virtual-device"])
    from xend.model.vdev import vdev_number

    return vdev_number(name) or 0


def _pcis(session: Session, vm: str) -> Iterator[dict[str, Any]]:
    for ref in session.call("VM.get_DPCIs", vm):
        record = session.call("PPCI.get_record", session.call("DPCI.get_PPCI", ref))
        place = {key: hex(int(record[key])) for key in ("domain", "bus", "slot", "func")}
        slot = int(session.call("DPCI.get_hotplug_slot", ref))
        yield {**place, "vdevfn": hex(slot), "key": session.call("DPCI.get_key", ref)}


def _scsis(session: Session, vm: str) -> list[Any]:
    """Devices by the controller that they hang on."""
    refs = session.call("VM.get_DSCSIs", vm)
    controllers: dict[int, list[Any]] = {}
    for known in [session.call("DSCSI.get_runtime_properties", ref) for ref in refs]:
        device = known.pop("dev")
        pairs = controllers.setdefault(int(device["devid"]), [["devs", []], *_pairs(known)])
        pairs[0][1].append(["dev", *_pairs(device)])
    return [[number, pairs] for number, pairs in controllers.items()]


def block_class(_session: Session, _domain: str, _device: str) -> str:
    """The Xen-API knows one kind of disk."""
    return "vbd"


def device_create(session: Session, domain: str, config: list[Any]) -> None:
    if config[0] in DISKS:
        _attach_disk(session, domain, fields(config))
    elif config[0] == "vif":
        _attach_vif(session, domain, fields(config))
    else:
        session.rpc("xend.domain.device_create", (domain, config))


def disk_label(location: str) -> str:
    """A name for the image at that place, always the same one."""
    import zlib

    return f"vdi{zlib.crc32(location.encode('utf-8', 'surrogateescape'))}"


def local_storage(session: Session) -> str:
    """Where every image is said to be: xend has no other repository for files and volumes."""
    for ref in session.call("SR.get_all"):
        if session.call("SR.get_type", ref) == "local":
            return str(ref)
    raise CommandFailed("the server has no storage repository of the type local")


def _attach_disk(session: Session, domain: str, disk: dict[str, Any]) -> None:
    writable = disk["mode"] == "w"
    image = session.call(
        "VDI.create",
        {
            "name_label": disk_label(disk["uname"]),
            "name_description": "",
            "SR": local_storage(session),
            "virtual_size": 0,
            "sector_size": 512,
            "type": "system",
            "sharable": False,
            "read_only": not writable,
            "other_config": {"location": disk["uname"]},
        },
    )
    attach_image(session, session.vm(domain), image, disk["dev"], "RW" if writable else "RO")


def attach_image(
    session: Session, vm: str, image: str, device: str, mode: str, kind: str = "Disk"
) -> None:
    session.call(
        "VBD.create",
        {
            "VM": vm,
            "VDI": image,
            "device": device,
            "bootable": True,
            "mode": mode,
            "type": kind,
            "qos_algorithm_type": "",
            "qos_algorithm_params": {},
        },
    )


def _attach_vif(session: Session, domain: str, vif: dict[str, Any]) -> None:
    network = session.network(vif["bridge"]) if "bridge" in vif else default_network(session)
    others = {key: vif[key] for key in ("ip", "script", "backend", "accel") if key in vif}
    session.call(
        "VIF.create",
        {
            "device": vif.get("vifname", "eth0"),
            "network": network,
            "VM": session.vm(domain),
            "MAC": vif.get("mac", ""),
            "MTU": "",
            "qos_algorithm_type": "",
            "qos_algorithm_params": {"rate": vif["rate"]} if "rate" in vif else {},
            "other_config": others,
        },
    )


def default_network(session: Session) -> str:
    for ref in session.call("network.get_all"):
        return str(ref)
    raise CommandFailed("the server has no network")


def destroy_device(session: Session, domain: str, kind: str, device: str, *force: object) -> None:
    if kind in DISKS:
        _detach_disk(session, domain, device)
    elif kind == "vif":
        refs = session.call("VM.get_VIFs", session.vm(domain))
        session.call("VIF.destroy", _handle(session, refs, domain, device))
    else:
        session.rpc("xend.domain.destroyDevice", (domain, kind, device, *force))


def _handle(session: Session, refs: list[str], domain: str, device: str) -> str:
    for position, ref in enumerate(refs):
        known = session.call("VIF.get_runtime_properties", ref)
        if str(known.get("handle", position)) == device:
            return ref
    raise OptionError(f"Cannot find device '{device}' in domain '{domain}'")


def _detach_disk(session: Session, domain: str, device: str) -> None:
    """The image goes, too, once no disk is made of it."""
    refs = session.call("VM.get_VBDs", session.vm(domain))
    found = next((ref for ref in refs if session.call("VBD.get_device", ref) == device), None)
    if found is None:
        raise OptionError(f"Cannot find device '{device}' in domain '{domain}'")
    image = session.call("VBD.get_VDI", found)
    session.call("VBD.destroy", found)
    if not session.call("VDI.get_VBDs", image):
        session.call("VDI.destroy", image)


def device_configure(session: Session, domain: str, config: list[Any], *more: Any) -> None:
    """Attach or detach, as the state in it says; a disk is changed by the old method."""
    if config[0] == "pci":
        device = fields(children(config, "dev")[0])
        if child_value(config, "state") == "Closing":
            _detach_pci(session, domain, device)
        else:
            options = [child[1] for child in children(children(config, "dev")[0], "opts")]
            attach_pci(session, domain, device, dict(options))
    elif config[0] == "vscsi":
        devices = [fields(device) for device in children(config, "dev")]
        if devices[0]["state"] == _INITIALISING:
            whole = bool(child_value(config, "feature-host"))
            attach_scsi(session, domain, devices[0], whole)
        else:
            _detach_scsi(session, domain, devices[0]["v-dev"])
    else:
        session.rpc("xend.domain.device_configure", (domain, config, *more))


def _pci_name(device: dict[str, Any]) -> str:
    domain, bus, slot, func = (int(device[key], 16) for key in ("domain", "bus", "slot", "func"))
    return f"{domain:04x}:{bus:02x}:{slot:02x}.{func:01x}"


def attach_pci(
    session: Session, domain: str, device: dict[str, Any], options: dict[str, Any]
) -> None:
    name = _pci_name(device)
    for ref in session.call("PPCI.get_all"):
        if session.call("PPCI.get_name", ref) == name:
            record = {
                "VM": session.vm(domain),
                "PPCI": ref,
                "hotplug_slot": int(device.get("vdevfn", "0"), 16),
                "options": options,
                "key": device.get("key", ""),
            }
            session.call("DPCI.create", record)
            return
    raise OptionError(f"Device {name} not found")


def _detach_pci(session: Session, domain: str, device: dict[str, Any]) -> None:
    name = _pci_name(device)
    for ref in session.call("VM.get_DPCIs", session.vm(domain)):
        if session.call("PPCI.get_name", session.call("DPCI.get_PPCI", ref)) == name:
            session.call("DPCI.destroy", ref)
            return
    raise OptionError(f"Device {name} not assigned")


def attach_scsi(session: Session, domain: str, device: dict[str, Any], whole: bool) -> None:
    """One device, or with `whole` the adapter that it hangs on."""
    if whole:
        for ref in session.call("PSCSI_HBA.get_all"):
            if int(session.call("PSCSI_HBA.get_physical_host", ref)) == int(device["devid"]):
                record = {"VM": session.vm(domain), "PSCSI_HBA": ref, "assignment_mode": "HOST"}
                session.call("DSCSI_HBA.create", record)
                return
        raise OptionError(f"Cannot find SCSI host '{device['devid']}'")
    for ref in session.call("PSCSI.get_all"):
        if session.call("PSCSI.get_physical_HCTL", ref) == device["p-dev"]:
            record = {"VM": session.vm(domain), "PSCSI": ref, "virtual_HCTL": device["v-dev"]}
            session.call("DSCSI.create", record)
            return
    raise OptionError(f"Cannot find device '{device['p-dev']}'")


def _detach_scsi(session: Session, domain: str, place: str) -> None:
    for ref in session.call("VM.get_DSCSIs", session.vm(domain)):
        if session.call("DSCSI.get_virtual_HCTL", ref) != place:
            continue
        adapter = session.call("DSCSI.get_HBA", ref)
        if session.call("DSCSI_HBA.get_assignment_mode", adapter) == "HOST":
            session.call("DSCSI_HBA.destroy", adapter)
        else:
            session.call("DSCSI.destroy", ref)
        return
    raise OptionError(f"Device {place} not assigned")
