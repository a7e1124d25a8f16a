"""A new domain out of the SXP that `xm create` sends: a VM, then each of its devices."""

from __future__ import annotations

import contextlib

from xend.cli.failures import Fault
from xend.cli.records import child_value, children
from xend.cli.xenapi.devices import (
    DISKS,
    attach_image,
    attach_pci,
    attach_scsi,
    default_network,
    disk_label,
    local_storage,
)
from xend.cli.xenapi.records import domain
from xend.cli.xenapi.session import Ref, Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

_MIB = 1024 * 1024
_PLATFORM = (
    *("acpi", "apic", "boot", "device_model", "loader", "fda", "fdb", "keymap", "isa"),
    *("localtime", "monitor", "pae", "rtc_timeoffset", "serial", "soundhw", "stdvga", "usb"),
    *("usbdevice", "hpet", "timer_mode", "vpt_align", "viridian", "vhpt", "guest_os_type", "hap"),
    *("oos", "pci_msitranslate", "pci_power_mgmt", "xen_platform_pci", "tsc_mode", "description"),
    "nomigrate",
)
"""What a machine is made of: of the image's settings, those that go to `platform`."""
_DISPLAYS = {
    "vnc": {"vncunused": "1", "vnclisten": "127.0.0.1", "vncdisplay": "0", "vncpasswd": ""},
    "sdl": {"display": "", "xauthority": "", "opengl": "1"},
}
"""Settings of each type of display, and what they are when left out."""


def create(session: Session, config: list[Any]) -> Any:
    """Paused, as the old daemon created it: whoever asked lets it run."""
    vm = _make(session, config, {"transient": "True"})
    try:
        session.call("VM.start", vm, True)
    except Fault:
        _destroy(session, "VM", vm)
        raise
    name = child_value(config, "name")
    return [*domain(session, name), ["name", name]]


def new(session: Session, config: list[Any]) -> None:
    _make(session, config, {})


def _make(session: Session, config: list[Any], others: dict[str, str]) -> str:
    """Reference of the VM; when one of its devices cannot be made nothing is left of it."""
    vm = str(session.call("VM.create", _vm_record(config, others)))
    images: list[str] = []
    complete = False
    try:
        _add_devices(session, vm, config, images)
        complete = True
    finally:
        if not complete:
            _destroy(session, "VM", vm)
            for image in images:
                _destroy(session, "VDI", image)
    return vm


def _destroy(session: Session, kind: str, ref: str) -> None:
    """What went wrong before is what is told."""
    with contextlib.suppress(Fault):
        session.call(f"{kind}.destroy", ref)


def _vm_record(config: list[Any], others: dict[str, str]) -> dict[str, Any]:
    image = child_value(config, "image", [])
    vcpus = str(child_value(config, "vcpus", 1))
    memory = str(int(child_value(config, "memory", 128)) * _MIB)
    most = child_value(config, "maxmem")
    return {
        "name_label": str(child_value(config, "name", "")),
        "name_description": "",
        "user_version": "0",
        "is_a_template": False,
        "auto_power_on": False,
        "s3_integrity": str(child_value(config, "s3_integrity", 0)),
        "superpages": str(child_value(config, "superpages", 0)),
        "memory_static_min": "0",
        "memory_static_max": str(int(most) * _MIB) if most else memory,
        "memory_dynamic_min": memory,
        "memory_dynamic_max": memory,
        "VCPUs_params": _vcpu_params(config, int(vcpus)),
        "VCPUs_max": vcpus,
        "VCPUs_at_startup": vcpus,
        **_actions(config),
        "platform": {
            key: str(value) for key in _PLATFORM if (value := child_value(image, key)) is not None
        },
        "other_config": others,
        "pool_name": str(child_value(config, "pool_name", "Pool-0")),
        **_boot(config, image),
        "PCI_bus": "",
    }


def _actions(config: list[Any]) -> dict[str, str]:
    pairs = (("shutdown", "poweroff", "destroy"), ("reboot", "reboot", "restart"))
    return {
        f"actions_after_{name}": str(child_value(config, f"on_{word}", default)).replace("-", "_")
        for name, word, default in (*pairs, ("crash", "crash", "restart"))
    }


def _boot(config: list[Any], image: list[Any]) -> dict[str, Any]:
    """Of the two ways to boot, the one that is not meant has empty texts."""
    is_hvm = bool(image) and image[0] == "hvm"
    root = child_value(image, "root")
    words = [f"root={root}"] if root else []
    words += [text for text in [child_value(image, "args", "")] if text]
    texts = {
        "PV_bootloader": child_value(config, "bootloader", ""),
        "PV_kernel": child_value(image, "kernel", ""),
        "PV_ramdisk": child_value(image, "ramdisk", ""),
        "PV_args": " ".join(words),
        "PV_bootloader_args": child_value(config, "bootloader_args", ""),
    }
    return {
        **{key: "" if is_hvm else str(value or "") for key, value in texts.items()},
        "HVM_boot_policy": "BIOS order" if is_hvm else "",
        "HVM_boot_params": {"order": str(child_value(image, "boot", "abcd"))} if is_hvm else {},
    }


def _vcpu_params(config: list[Any], count: int) -> dict[str, str]:
    cpus = child_value(config, "cpus", [])
    maps = cpus if isinstance(cpus, list) else [cpus] * count
    return {
        "weight": str(child_value(config, "cpu_weight", 256)),
        "cap": str(child_value(config, "cpu_cap", 0)),
        **{f"cpumap{number}": _cpu_text(cpu) for number, cpu in enumerate(maps) if cpu},
    }


def _cpu_text(cpus: Any) -> str:
    return ",".join(map(str, cpus)) if isinstance(cpus, list) else str(cpus)


def _add_devices(session: Session, vm: str, config: list[Any], images: list[str]) -> None:
    devices = [child[1] for child in children(config, "device")]
    add_vif = _interfaces(session, vm)
    disks: dict[str, Any] = {}
    if any(device[0] in DISKS for device in devices):
        disks = session.call("VDI.get_all_records")
    for device in devices:
        if device[0] in DISKS:
            _add_disk(session, vm, device, disks, images)
        elif device[0] == "vif":
            add_vif(device)
        elif device[0] == "vfb":
            for kind in _displays_of(device):
                _add_display(session, vm, kind, device)
        elif device[0] == "pci":
            for function in children(device, "dev"):
                options = dict(child[1] for child in children(function, "opts"))
                attach_pci(session, Ref(vm), _known(function), options)
        elif device[0] == "vscsi":
            whole = bool(child_value(device, "feature-host"))
            for unit in children(device, "dev")[: 1 if whole else None]:
                attach_scsi(session, Ref(vm), _known(unit), whole)
    image = child_value(config, "image", [])
    # Of a machine whose display is its own and not a frame buffer's.
    for kind in [] if int(child_value(image, "nographic", 1)) else _displays_of(image):
        _add_display(session, vm, kind, image)


def _known(device: list[Any]) -> dict[str, Any]:
    return {child[0]: child[1] for child in device[1:] if len(child) == 2}


def _add_disk(
    session: Session, vm: str, device: list[Any], disks: dict[str, Any], images: list[str]
) -> None:
    """The image at the same place is used again."""
    location, mode = child_value(device, "uname", ""), child_value(device, "mode", "r")
    writable = mode in ("w", "w!")
    image = next(
        (
            ref
            for ref, record in disks.items()
            if record.get("other_config", {}).get("location") == location
        ),
        None,
    )
    if image is None:
        label = disk_label(location)
        record = {
            "name_label": label,
            "name_description": "",
            "SR": local_storage(session),
            "virtual_size": "-1",
            "type": "system",
            "sharable": mode == "w!",
            "read_only": not writable,
            "other_config": {"location": location},
        }
        image = str(session.call("VDI.create", record))
        images.append(image)
        disks[image] = record
    name, _, kind = str(child_value(device, "dev")).partition(":")
    attach_image(
        session, vm, image, name, "RW" if writable else "RO", "CD" if kind == "cdrom" else "Disk"
    )


def _interfaces(session: Session, vm: str) -> Callable[[list[Any]], None]:
    """Those without a name are called eth0, eth1 and so on."""
    numbers: Iterator[int] = iter(range(1000))

    def add(device: list[Any]) -> None:
        name = child_value(device, "vifname") or f"eth{next(numbers)}"
        bridge = child_value(device, "bridge")
        record = {
            "device": name,
            "network": session.network(bridge) if bridge else default_network(session),
            "VM": vm,
            "MAC": child_value(device, "mac", ""),
            "MTU": str(child_value(device, "mtu", "")),
            "qos_algorithm_type": "",
            "qos_algorithm_params": {},
            "security_label": "",
        }
        session.call("VIF.create", record)

    return add


def _displays_of(settings: list[Any]) -> list[str]:
    return [kind for kind in _DISPLAYS if int(child_value(settings, kind, 0))]


def _add_display(session: Session, vm: str, kind: str, settings: list[Any]) -> None:
    others = {
        key: str(child_value(settings, key, default))
        for key, default in _DISPLAYS.get(kind, {}).items()
    }
    record = {"VM": vm, "protocol": "rfb", "other_config": {"type": kind, **others}}
    session.call("console.create", record)
