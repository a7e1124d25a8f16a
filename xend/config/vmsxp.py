"""The `(vm …)` that xm and old clients send, and the `(domain …)` they send back, to the model.

Everything of a configuration is kept: what the model has no field for goes to
`DomainConfig.other`.  What an answer says of a running domain (domid, state, times) is no
configuration and is left out.
"""

from __future__ import annotations

import re
from typing import Any, Final
from uuid import UUID

from xend.config import sxp
from xend.config.beyond import apply_beyond
from xend.config.cpuidsxp import read_cpuid
from xend.config.cpulists import parse_affinity
from xend.config.devicelists import add_device, mark_bootable, sort_devices
from xend.config.devicesxp import Maker, character_devices, decode_device
from xend.config.modelbuild import build_config
from xend.config.sxpkeys import (
    ALWAYS_DEFAULTS,
    DEVICE_MODEL,
    HVM_DEFAULTS,
    KEPT,
    KEPT_DEFAULTS,
    LOADER,
    ON_CRASH_NAMES,
    PLATFORM_ORDER,
    PLATFORM_TEXTS,
    RESTART,
)
from xend.config.sxpvalues import child_text, child_whole, invalid, pairs, text, typed, whole
from xend.model.devices import (
    Device,
    Vfb,
)
from xend.model.domain import DomainConfig, DomainType, HostAction, ShutdownAction

_MIB: Final = 1 << 20
_EVENTS: Final = (("on_poweroff", "shutdown"), ("on_reboot", "reboot"), ("on_crash", "crash"))
_LONG_EVENTS: Final = {
    "on_poweroff": "actions_after_shutdown",
    "on_reboot": "actions_after_reboot",
    "on_crash": "actions_after_crash",
}
_NOT_PLATFORM: Final = frozenset(
    (
        *("kernel", "ramdisk", "args", "ip", "root", "superpages", "memory_sharing", "notes"),
        *("vcpus", "vcpu_avail", "cpuid", "cpuid_check"),
    )
)
"""Children of an image that are no settings of the machine."""
_TOOLS: Final = DEVICE_MODEL.rpartition("/")[0]
_SCREEN_KEYS: Final = ("vncpasswd", "vncunused", "vncdisplay", "vnclisten", "keymap")


def decode_vm(tree: sxp.Value, maker: Maker | None = None) -> DomainConfig:
    """A new domain; what it leaves out is given the original's defaults."""
    return Decoder(tree, maker or Maker(), fresh=True).config()


class Decoder:
    """Reads one configuration.

    `fresh`: it is a client's, to be checked for contradictions and completed with the platform
    defaults; a stored one is taken as it is.
    """

    def __init__(self, tree: sxp.Value, maker: Maker, *, fresh: bool) -> None:
        if sxp.name_of(tree) not in ("vm", "domain") or not isinstance(tree, list):
            invalid("expected (vm ...)", field="vm", value=sxp.show(tree)[:60], expected="(vm ...)")
        self.tree = sxp.Indexed(tree)
        self.maker = maker
        self.fresh = fresh
        image = sxp.child_value(self.tree, "image")
        self.image = sxp.Indexed(image if isinstance(image, list) else [])
        self.other: dict[str, Any] = {}
        self.params = pairs(sxp.child_value(tree, "vcpus_params"))

    def config(self) -> DomainConfig:
        kind = self.domain_type()
        vcpus = child_whole(self.tree, "vcpus")
        if vcpus is None:
            vcpus = child_whole(self.tree, "VCPUs_max") or child_whole(self.image, "vcpus") or 1
        fields: dict[str, Any] = {
            "name": self.name(),
            "uuid": self.uuid(),
            "type": kind,
            "description": self.either("description", "Description"),
            **self.memory(),
            "vcpus": vcpus,
            "vcpus_online": self.online(vcpus),
            "cpu_weight": self.share("cpu_weight", "weight", 256),
            "cpu_cap": self.share("cpu_cap", "cap", 0),
            "affinity": self.affinity(vcpus),
            "pool": child_text(self.tree, "pool_name") or "Pool-0",
            **self.boot(kind),
            **self.events(),
            "features": child_text(self.tree, "features"),
            **sort_devices(self.devices()),
        }
        platform = fields["platform"] = self.platform(kind)
        if kind is DomainType.HVM and not fields["vfbs"]:
            fields["vfbs"] = self.emulated_screen(platform)
        self.keep()
        return apply_beyond(build_config(fields | {"other": self.other}), self.tree)

    def either(self, first: str, second: str, default: str = "") -> str:
        return child_text(self.tree, first) or child_text(self.tree, second, default)

    def name(self) -> str:
        return self.either("name", "name_label", "Domain-Unnamed")

    def uuid(self) -> UUID:
        given = child_text(self.tree, "uuid")
        try:
            return UUID(given) if given else self.maker.new_uuid()
        except ValueError:
            invalid(
                f"uuid: '{given}' is not a UUID",
                field="uuid",
                value=given,
                expected="32 hexadecimal digits",
            )

    def domain_type(self) -> DomainType:
        """By the image, or by a boot order, which only fully virtualised domains have."""
        image = str(sxp.name_of(self.image) or "")
        if image == "pvh":
            return DomainType.PVH
        if image not in ("", "linux", "hvm"):
            self.other["image_type"] = image
        is_hvm = image == "hvm" or any(
            child_text(self.tree, key) for key in ("HVM_boot", "HVM_boot_policy")
        )
        return DomainType.HVM if is_hvm else DomainType.PV

    def memory(self) -> dict[str, int]:
        """KiB.  The file's unit is MiB, under the Xen-API's names bytes."""
        now = child_whole(self.tree, "memory")
        if now is None:
            now = (child_whole(self.tree, "memory_dynamic_max") or 0) // _MIB
        most = child_whole(self.tree, "maxmem")
        if most is None:
            most = (child_whole(self.tree, "memory_static_max") or 0) // _MIB or now
        if now > most:
            invalid(
                "memory_dynamic_max must be less than or equal to memory_static_max",
                field="memory",
                value=now,
                expected=f"at most maxmem, {most} MiB",
            )
        if now <= 0:
            invalid(
                "memory_dynamic_max must be greater than zero",
                field="memory",
                value=now,
                expected="memory in MiB",
            )
        shadow = child_whole(self.tree, "shadow_memory") or 0
        return {"memory": now * 1024, "maxmem": most * 1024, "shadow_memory": shadow * 1024}

    def online(self, vcpus: int) -> int | None:
        """The bit mask of VCPUs as a number of them; an odd mask is kept as it is."""
        mask = child_whole(self.tree, "vcpu_avail")
        if mask is None or mask == (1 << vcpus) - 1:
            return None
        count = max(1, min(vcpus, mask.bit_count()))
        if mask != (1 << count) - 1:
            self.other["vcpu_avail"] = mask
        return count

    def share(self, name: str, param: str, default: int) -> int:
        """A scheduling parameter; old answers show `1.0`."""
        value = self.params.pop(param, None)
        value = sxp.child_value(self.tree, name) if value is None else value
        if value is None:
            return default
        shown = text(value, name)
        head, _, tail = shown.partition(".")
        return whole(head if tail and not tail.strip("0") else shown, name)

    def affinity(self, vcpus: int) -> tuple[tuple[int, ...], ...]:
        cpus = sxp.child_value(self.tree, "cpus")
        cpu = sxp.child_value(self.tree, "cpu")
        if cpu is not None:
            first = text(cpu, "cpu")
            cpus = first if cpus is None else f"{first},{_shown(cpus)}"
        return () if cpus is None else parse_affinity(cpus, vcpus)

    def boot(self, kind: DomainType) -> dict[str, str]:
        """Kernel, arguments and boot loader; firmware of this host's own is nobody's setting."""
        kernel = child_text(self.image, "kernel") or child_text(self.tree, "PV_kernel")
        if kind is DomainType.HVM and not sxp.child_value(self.image, "loader"):
            if kernel and not is_default_loader(kernel):
                self.other["loader"] = kernel
            kernel = ""
        return {
            "kernel": kernel,
            "ramdisk": child_text(self.image, "ramdisk") or child_text(self.tree, "PV_ramdisk"),
            "cmdline": self.cmdline(),
            "bootloader": self.either("bootloader", "PV_bootloader"),
            "bootloader_args": self.either("bootloader_args", "PV_bootloader_args"),
        }

    def cmdline(self) -> str:
        """What the user gave comes last: some kernels rely on it."""
        arguments = child_text(self.image, "args") or child_text(self.tree, "PV_args")
        address, root = child_text(self.image, "ip"), child_text(self.image, "root")
        if address and not re.search(r"ip=[^ ]+", arguments):
            arguments = f"ip={address} {arguments}"
        if root and "root=" not in arguments:
            arguments = f"root={root} {arguments}"
        return arguments

    def events(self) -> dict[str, Any]:
        modes: dict[str, Any] = {}
        restart = RESTART.get(child_text(self.tree, "restart"))
        for index, (key, event) in enumerate(_EVENTS):
            found = self.either(key, _LONG_EVENTS[key]) or (restart[index] if restart else "")
            found = ON_CRASH_NAMES.get(found, found)
            if found and found not in set(ShutdownAction):
                invalid(
                    f"Invalid event handling mode: {event}",
                    field=key,
                    value=found,
                    expected=", ".join(action.value for action in ShutdownAction),
                )
            if found:
                modes[key] = ShutdownAction(found)
        for key in ("on_xend_start", "on_xend_stop"):
            found = child_text(self.tree, key) or HostAction.IGNORE.value
            if found not in set(HostAction):
                invalid(
                    f"{key}: '{found}' is not an action",
                    field=key,
                    value=found,
                    expected=", ".join(action.value for action in HostAction),
                )
            modes[key] = HostAction(found)
        return modes

    def platform(self, kind: DomainType) -> dict[str, Any]:
        """Settings of the machine; the stored form has them twice, and the image wins."""
        found: dict[str, Any] = {}
        stored = pairs(sxp.child_value(self.tree, "platform"))
        image_type = stored.pop("image_type", None)
        if image_type is not None:
            self.other["image_type"] = text(image_type, "image_type")
        for name, value in stored.items():
            self.put_platform(found, name, value)
        localtime = sxp.child_value(self.tree, "localtime")
        if localtime is not None:
            self.put_platform(found, "localtime", localtime)
        boot = child_text(self.tree, "HVM_boot")
        if boot:
            found["boot"] = boot
        for child in sxp.children(self.image):
            name = str(sxp.name_of(child))
            if isinstance(child, list) and len(child) == 2 and name not in _NOT_PLATFORM:
                self.put_platform(found, name, child[1])
        loader = self.other.pop("loader", "")
        if loader:
            found["loader"] = loader
        if self.fresh:
            for name, default in ALWAYS_DEFAULTS + (HVM_DEFAULTS if kind == "hvm" else ()):
                found.setdefault(name, default)
        return found

    def emulated_screen(self, platform: dict[str, Any]) -> tuple[Device, ...]:
        """`vnc=1` of a fully virtualised domain as the frame buffer that clients look for."""
        if platform.get("vnc") in (None, 0, "", "0"):
            return ()
        shared = [[name, platform[name]] for name in _SCREEN_KEYS if name in platform]
        return tuple(decode_device(["vfb", ["vnc", "1"], *shared], self.maker))

    def put_platform(self, platform: dict[str, Any], name: str, value: sxp.Value) -> None:
        """A number where one is meant; an empty text means that nothing was said."""
        if value == "":
            return
        if name == "loader" and isinstance(value, str) and is_default_loader(value):
            return
        if name == "device_model" and isinstance(value, str):
            value = value if "/" in value else f"{_TOOLS}/{value}"
            if value == DEVICE_MODEL:
                return
        if isinstance(value, list) or name in PLATFORM_TEXTS or name not in PLATFORM_ORDER:
            platform[name] = value
            return
        shown = text(value, name)
        platform[name] = int(shown) if re.fullmatch(r"-?[0-9]{1,18}", shown) else shown

    def keep(self) -> None:
        """Everything that no field of the model is made for."""
        for name, kind in KEPT.items():
            value = sxp.child_value(self.tree, name)
            if value is None and name in ("superpages", "memory_sharing"):
                value = sxp.child_value(self.image, name)
            if value not in (None, ""):
                self.other[name] = typed(value, kind, name)
        for name in ("superpages", "memory_sharing"):
            value = sxp.child_value(self.image, name)
            if value is not None:
                self.other[name] = whole(value, name)
        sharing = self.fresh and self.other.get("memory_sharing")
        if sharing and self.domain_type() is not DomainType.HVM:
            invalid(
                "memory_sharing can only be enabled for HVM domains",
                field="memory_sharing",
                value=1,
                expected="0",
            )
        for name in ("cpuid", "cpuid_check"):
            leaves = read_cpuid(sxp.child_value(self.tree, name))
            if leaves:
                self.other[name] = leaves
        notes = pairs(sxp.children(sxp.child(self.image, "notes") or []))
        if notes:
            self.other["notes"] = {name: _shown(value) for name, value in notes.items()}
        backends = [
            str(sxp.name_of(child[1]))
            for child in sxp.children(self.tree, "backend")
            if isinstance(child, list) and len(child) > 1
        ]
        if backends:
            self.other["backend"] = backends
        if self.params:
            self.other["vcpus_params"] = {name: _shown(v) for name, v in self.params.items()}
        for name in ("other_config", "tools_version"):
            stored = pairs(sxp.child_value(self.tree, name))
            if stored:
                self.other[name] = {key: _shown(item) for key, item in stored.items()}
        for name, default in KEPT_DEFAULTS.items():
            if self.other.get(name) == default:
                del self.other[name]

    def devices(self) -> list[Device]:
        found: list[Device] = []
        for child in sxp.children(self.tree, "device"):
            kids = sxp.children(child)
            if not kids:
                continue
            for device in decode_device(kids[0], self.maker):
                if self.fresh:
                    add_device(found, device)
                else:
                    found.append(device)
                if self.fresh and isinstance(device, Vfb):
                    found += character_devices(device, self.maker)
            if sxp.name_of(kids[0]) == "pci":
                uuid = child_text(kids[0], "uuid") or str(self.maker.new_uuid())
                self.other["pci_uuid"] = uuid
        return mark_bootable(found)


def _shown(value: sxp.Value) -> str:
    """As the original's `str` had it."""
    return value if isinstance(value, str) else sxp.show(value)


def is_default_loader(name: str) -> bool:
    return name in ("hvmloader", LOADER)
