"""What libxl writes to XenStore for a domain (libxl_create.c, libxl_device.c), as far as anything
here reads it: name, vm, console, and for each device the frontend, the backend and libxl's own
record under /libxl."""

from __future__ import annotations

import re

from xend.errors import XenStoreMissing
from xend.model.devices import Disk, Vfb, Vif, bytes_per_window
from xend.sim.guests import SimDomain
from xend.sim.xenstored import SimXenstored

_XVD = re.compile(r"xvd([a-z]+)(\d*)")
_SD_HD = {"hd": (3, 6), "sd": (8, 4)}


def disk_number(vdev: str) -> int:
    """The number of `xvda`, `xvda1`, `hdc`, `sda1` … (docs/man/xen-vbd-interface.7)."""
    match = _XVD.fullmatch(vdev)
    if match:
        disk, part = ord(match[1]) - ord("a"), int(match[2] or 0)
        if disk < 16 and part < 16:
            return (202 << 8) | (disk << 4) | part
        return (1 << 28) | (disk << 8) | part
    match = re.fullmatch(r"(hd|sd)([a-z])(\d*)", vdev)
    if match:
        major, shift = _SD_HD[match[1]]
        disk = ord(match[2]) - ord("a")
        if match[1] == "hd" and disk >= 2:
            major, disk = 22, disk - 2
        return (major << 8) | (disk << shift) | int(match[3] or 0)
    return int(vdev, 0) if vdev.isdigit() else 0


class Publication:
    def __init__(self, daemon: SimXenstored) -> None:
        self._daemon = daemon

    def _write(self, root: str, values: dict[str, object]) -> None:
        for name, value in values.items():
            self._daemon.write(f"{root}/{name}", str(value))

    def _exists(self, path: str) -> bool:
        try:
            self._daemon.read(path)
        except XenStoreMissing:
            return False
        return True

    def _remove(self, path: str) -> None:
        if self._exists(path):
            self._daemon.remove(path)

    def pool(self, number: int, name: str, uuid: str) -> None:
        self._write(f"/local/pool/{number}", {"name": name, "uuid": uuid})

    def no_pool(self, number: int) -> None:
        self._remove(f"/local/pool/{number}")

    def dom0(self, domain: SimDomain) -> None:
        self._write(
            "/local/domain/0",
            {"name": domain.name, "vm": f"/vm/{domain.vm}", "domid": 0, "memory/target": 0},
        )
        self._write(f"/vm/{domain.vm}", {"name": domain.name, "uuid": domain.vm})

    def domain(self, domain: SimDomain, now: float) -> None:
        config, domid = domain.config, domain.domid
        self._write(
            f"/vm/{domain.vm}",
            {"name": domain.name, "uuid": domain.vm, "start_time": f"{now:.2f}"},
        )
        root = f"/local/domain/{domid}"
        self._write(
            root,
            {
                "vm": f"/vm/{domain.vm}",
                "name": domain.name,
                "domid": domid,
                "control/shutdown": "",
                "memory/static-max": config.max_memory,
                "memory/target": domain.target,
                "console/type": "xenconsoled",
                "console/limit": 1048576,
                "console/tty": domain.tty,
                "console/ring-ref": 1048575 - 2 * domid,
                "store/ring-ref": 1048576 - 2 * domid,
            },
        )
        self.vcpus(domain)
        self._daemon.write(f"/libxl/{domid}/type", config.kind)
        for disk in config.disks:
            self.disk(domain, disk)
        for devid, vif in enumerate(config.vifs):
            self.vif(domain, devid, vif)
        for devid, vfb in enumerate(config.vfbs):
            self.vfb(domain, devid, vfb)
        self._daemon.introduce(domid)

    def memory(self, domain: SimDomain) -> None:
        """Its target, in one transaction (libxl_set_memory_target of libxl_mem.c)."""
        self._daemon.write(f"/local/domain/{domain.domid}/memory/target", str(domain.target))
        self._daemon.write(f"/vm/{domain.vm}/memory", str(domain.target // 1024))

    def vcpus(self, domain: SimDomain) -> None:
        for number in range(domain.config.vcpus):
            state = "online" if number < domain.online else "offline"
            root = f"/local/domain/{domain.domid}/cpu/{number}"
            self._daemon.write(f"{root}/availability", state)

    def device(
        self,
        domain: SimDomain,
        device_class: str,
        devid: int,
        frontend: dict[str, object],
        backend: dict[str, object],
    ) -> dict[str, str]:
        front = f"/local/domain/{domain.domid}/device/{device_class}/{devid}"
        back = f"/local/domain/0/backend/{device_class}/{domain.domid}/{devid}"
        record = f"/libxl/{domain.domid}/device/{device_class}/{devid}"
        shared: dict[str, object] = {
            "frontend": front,
            "frontend-id": domain.domid,
            "online": 1,
            "state": 4,
            "hotplug-status": "connected",
        }
        self._write(back, shared | backend)
        self._write(record, shared | backend | {"backend": back})
        rest: dict[str, object] = {"backend": back, "backend-id": 0, "state": 4}
        self._write(front, rest | frontend)
        return {"backend": back, "devid": str(devid)}

    def disk(self, domain: SimDomain, disk: Disk) -> dict[str, str]:
        devid = disk_number(disk.vdev)
        return self.device(
            domain,
            "vbd",
            devid,
            {
                "virtual-device": devid,
                "device-type": disk.device_type,
                "event-channel": 10,
                "ring-ref": 8,
                "protocol": "x86_64-abi",
            },
            {
                "dev": disk.vdev,
                "type": "phy",
                "mode": "w" if disk.readwrite else "r",
                "params": disk.path,
                "device-type": disk.device_type,
                "bootable": 1,
                "removable": 0,
            },
        )

    def vif(self, domain: SimDomain, devid: int, vif: Vif) -> dict[str, str]:
        return self.device(
            domain,
            "vif",
            devid,
            {"handle": devid, "mac": vif.mac, "tx-ring-ref": 9, "rx-ring-ref": 768},
            {
                "handle": devid,
                "mac": vif.mac,
                "bridge": vif.bridge or "xenbr0",
                "script": vif.script or "/etc/xen/scripts/vif-bridge",
                "ip": vif.ip,
                "type": "vif",
                **({"rate": "{},{}".format(*bytes_per_window(vif.rate))} if vif.rate else {}),
            },
        )

    def vfb(self, domain: SimDomain, devid: int, vfb: Vfb) -> dict[str, str]:
        backend: dict[str, object] = {
            "vnc": int(vfb.type == "vnc"),
            "vnclisten": vfb.vnclisten or "127.0.0.1",
            "vncunused": int(vfb.vncunused),
        }
        return self.device(domain, "vfb", devid, {}, backend)

    def controller(self, domain: SimDomain, devid: int, version: int, ports: int) -> None:
        """A USB controller with nothing in it."""
        backend: dict[str, object] = {"usb-ver": version, "num-ports": ports, "type": 3}
        backend |= {f"port/{number}": "" for number in range(1, ports + 1)}
        self.device(domain, "vusb", devid, {}, backend)

    def port(self, domain: SimDomain, controller: int, port: int, bus_id: str) -> None:
        back = f"/local/domain/0/backend/vusb/{domain.domid}/{controller}"
        self._daemon.write(f"{back}/port/{port}", bus_id)

    def attached(self, domain: SimDomain, device_class: str) -> list[str]:
        """The devids that there are."""
        try:
            return self._daemon.directory(f"/libxl/{domain.domid}/device/{device_class}")
        except XenStoreMissing:
            return []

    def detach(self, domain: SimDomain, device_class: str, devid: int) -> bool:
        """False if there is none."""
        record = f"/libxl/{domain.domid}/device/{device_class}/{devid}"
        if not self._exists(f"{record}/backend"):
            return False
        for path in (
            record,
            f"/local/domain/0/backend/{device_class}/{domain.domid}/{devid}",
            f"/local/domain/{domain.domid}/device/{device_class}/{devid}",
        ):
            self._remove(path)
        return True

    def rename(self, domain: SimDomain) -> None:
        self._daemon.write(f"/local/domain/{domain.domid}/name", domain.name)
        self._daemon.write(f"/vm/{domain.vm}/name", domain.name)

    def move(self, domain: SimDomain) -> None:
        """To the /vm node that it has now; the old one stays, as with libxl."""
        self._daemon.write(f"/vm/{domain.vm}/uuid", domain.vm)
        self._daemon.write(f"/local/domain/{domain.domid}/vm", f"/vm/{domain.vm}")
        self.rename(domain)

    def passthrough(self, domain: SimDomain) -> None:
        """Its PCI devices, which share one back end."""
        root = f"/local/domain/0/backend/pci/{domain.domid}/0"
        values = {f"dev-{number}": pci.bdf for number, pci in enumerate(domain.pcis)}
        self._remove(root)
        self._write(root, {**values, "num_devs": len(domain.pcis)})

    def remove_devices(self, domain: SimDomain) -> None:
        for device_class in ("vbd", "vif", "vfb", "vkbd", "pci", "vusb"):
            self._remove(f"/local/domain/0/backend/{device_class}/{domain.domid}")
            self._remove(f"/libxl/{domain.domid}/device/{device_class}")
            self._remove(f"/local/domain/{domain.domid}/device/{device_class}")

    def remove(self, domain: SimDomain, *, vm: bool) -> None:
        """`vm`: no other domain has its uuid."""
        domid = domain.domid
        self.remove_devices(domain)
        self._remove(f"/local/domain/{domid}")
        self._remove(f"/libxl/{domid}")
        if vm:
            self._remove(f"/vm/{domain.vm}")
        self._daemon.release(domid)
