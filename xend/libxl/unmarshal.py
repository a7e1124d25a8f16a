"""libxl's JSON of a running domain → `DomainConfig`, as well as can be.

For domains that others made, for adoption, and for what a save file holds.  libxl leaves out
what equals its defaults; what the model cannot say is left out here.  Pure.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from itertools import count
from typing import Any, Final, Literal
from uuid import UUID

from pydantic import ValidationError

from xend.errors import ConfigError
from xend.libxl.marshal import ACTIONS
from xend.libxl.marshal_devices import ALL_FUNCTIONS
from xend.libxl.unmarshal_peripherals import backend, peripherals, virtual_node
from xend.libxl.unmarshal_platform import platform, policies
from xend.model.devices import Disk, IoPorts, Irq, Pci, Vfb, Vif, Vkbd
from xend.model.domain import DomainConfig, DomainType, ShutdownAction
from xend.model.fields import rows
from xend.model.peripherals import IoMemory
from xend.model.pools import DEFAULT_POOL

_FORMATS: Final[dict[str, Literal["qcow", "qcow2", "vhd", "qed", "empty"]]] = {
    "qcow": "qcow",
    "qcow2": "qcow2",
    "vhd": "vhd",
    "qed": "qed",
    "empty": "empty",
}
"""Those that are not plain."""
_BACKENDS: Final[dict[str, Literal["phy", "tap", "standalone"]]] = {
    "tap": "tap",
    "standalone": "standalone",
}
"""Those that libxl does not choose by itself."""
_COLO: Final = (
    *("colo_enable", "colo_restore_enable", "colo_host", "colo_port", "colo_export"),
    *("active_disk", "hidden_disk"),
)
_MEMKB_DEFAULT = 2**64 - 1
_ANY_CPU = 256
_NO_FRAME = 2**64 - 1
"""LIBXL_INVALID_GFN."""
_ACTION_OF = {name: action for action, name in ACTIONS.items()}


def domain(tree: Mapping[str, Any]) -> DomainConfig:
    """Raises ConfigError when there is no domain in it at all (no name, no memory …)."""
    info, build = tree.get("c_info") or {}, tree.get("b_info") or {}
    kind = DomainType(str(info.get("type") or _union(build) or "pv").lower())
    special = build.get(f"type.{kind.value}") or {}
    most = _memory(build, "max_memkb")
    try:
        return DomainConfig(
            name=info.get("name") or "",
            uuid=UUID(info.get("uuid") or "0" * 32),
            type=kind,
            memory=min(_memory(build, "target_memkb") or most, most),
            maxmem=most,
            shadow_memory=_memory(build, "shadow_memkb"),
            vcpus=build.get("max_vcpus") or 1,
            vcpus_online=_online(build),
            affinity=_affinity(build, "vcpu_hard_affinity"),
            affinity_soft=_affinity(build, "vcpu_soft_affinity"),
            **_schedule(build.get("sched_params") or {}),
            pool=info.get("pool_name") or DEFAULT_POOL,
            kernel=build.get("kernel") or special.get("kernel") or "",
            ramdisk=build.get("ramdisk") or special.get("ramdisk") or "",
            cmdline=build.get("cmdline") or special.get("cmdline") or "",
            bootloader=build.get("bootloader") or special.get("bootloader") or "",
            bootloader_args=shlex.join(build.get("bootloader_args") or ()),
            on_poweroff=_action(tree, "on_poweroff"),
            on_reboot=_action(tree, "on_reboot"),
            on_crash=_action(tree, "on_crash"),
            on_watchdog=_action(tree, "on_watchdog"),
            on_soft_reset=_action(tree, "on_soft_reset"),
            platform=_platform(tree, kind),
            other=policies(build),
            **peripherals(tree),
            disks=tuple(map(disk, tree.get("disks") or ())),
            vifs=tuple(map(_numbered, count(), tree.get("nics") or ())),
            vfbs=_screens(tree, special, kind),
            vkbds=tuple(map(_keyboard, tree.get("vkbs") or ())),
            pcis=tuple(map(_passthrough, tree.get("pcidevs") or ())),
            ioports=tuple(
                IoPorts(first=each.get("first", 0), last=each.get("first", 0) + each["number"] - 1)
                for each in build.get("ioports") or ()
            ),
            irqs=tuple(Irq(irq=number) for number in build.get("irqs") or ()),
            iomem=tuple(map(_io_memory, build.get("iomem") or ())),
            vnuma=tuple(map(virtual_node, build.get("vnuma_nodes") or ())),
        )
    except ValidationError as error:
        raise ConfigError(f"libxl's configuration of a domain: {error}") from error


def disk(tree: Mapping[str, Any]) -> Disk:
    kind = str(tree.get("format") or "raw").lower()
    served_by = str(tree.get("backend")).lower()
    return Disk(
        scheme=_scheme(tree, kind),
        path=tree.get("pdev_path") or "",
        vdev=tree.get("vdev") or "",
        access="w" if tree.get("readwrite") else "r",
        device_type="cdrom" if tree.get("is_cdrom") else "disk",
        image_format=_FORMATS.get(kind, ""),
        script=_script(tree, "block"),
        qdisk=served_by == "qdisk" and kind == "raw",
        backend_type=_BACKENDS.get(served_by, ""),
        discard=_three_valued(tree.get("discard_enable")),
        trusted=_three_valued(tree.get("trusted")),
        direct_io_safe=bool(tree.get("direct_io_safe")),
        specification="virtio" if str(tree.get("specification")).lower() == "virtio" else "",
        colo={key: value for key, value in tree.items() if key in _COLO and value},
        backend=backend(tree),
    )


def network(tree: Mapping[str, Any]) -> Vif:
    kind = str(tree.get("nictype") or "").lower()
    return Vif(
        mac=tree.get("mac") or "",
        bridge=tree.get("bridge") or "",
        script=_script(tree, "vif-bridge"),
        ip=tree.get("ip") or "",
        vifname=tree.get("ifname") or "",
        type={"vif_ioemu": "ioemu"}.get(kind, ""),
        model=tree.get("model") or "",
        rate=_rate(tree),
        gatewaydev=tree.get("gatewaydev") or "",
        mtu=tree.get("mtu") or None,
        trusted=_three_valued(tree.get("trusted")),
        colo={key: value for key, value in tree.items() if key.startswith("colo") and value},
        backend=backend(tree),
    )


def _numbered(number: int, tree: Mapping[str, Any]) -> Vif:
    """Its devid only if it is not the one that its place gives it."""
    devid = tree.get("devid", number)
    vif = network(tree)
    return vif if devid in (number, -1) else vif.model_copy(update={"devid": devid})


def _union(build: Mapping[str, Any]) -> str:
    return next((key[5:] for key in build if key.startswith("type.")), "")


def _memory(build: Mapping[str, Any], key: str) -> int:
    value = build.get(key) or 0
    return 0 if value == _MEMKB_DEFAULT else int(value)


def _online(build: Mapping[str, Any]) -> int | None:
    online = build.get("avail_vcpus")
    return None if online is None or len(online) == build.get("max_vcpus") else len(online)


def _affinity(build: Mapping[str, Any], key: str) -> tuple[tuple[int, ...], ...]:
    """A row for each VCPU; libxl has fewer if the last are not bound."""
    rows = [() if len(row) >= _ANY_CPU else tuple(row) for row in build.get(key) or ()]
    missing = (build.get("max_vcpus") or 1) - len(rows)
    return (*rows, *[()] * missing) if any(rows) else ()


def _schedule(params: Mapping[str, int]) -> dict[str, Any]:
    """-1 in libxl means the scheduler's default."""
    names = {"cpu_weight": params.get("weight"), "cpu_cap": params.get("cap")}
    return {name: value for name, value in names.items() if value is not None and value >= 0}


def _action(tree: Mapping[str, Any], when: str) -> ShutdownAction:
    return _ACTION_OF.get(str(tree.get(when) or "").lower(), ShutdownAction.DESTROY)


def _platform(tree: Mapping[str, Any], kind: DomainType) -> dict[str, Any]:
    """With the settings that old versions of libxl have in the part of HVM domains."""
    found = platform(tree, kind)
    special = (tree.get("b_info") or {}).get("type.hvm") or {}
    for name, key in (("acpi", "acpi"), ("apic", "apic"), ("nestedhvm", "nested_hvm")):
        if name not in found and special.get(key) in ("True", "False"):
            found[name] = int(special[key] == "True")
    return found


def _keyboard(tree: Mapping[str, Any]) -> Vkbd:
    keys = {row.libxl: name for name, row in rows(Vkbd) if row.libxl and name != "backend"}
    given = {keys[key]: value for key, value in tree.items() if key in keys and value is not None}
    kind = str(given.pop("backend_type", "")).lower()
    if kind in ("qemu", "linux"):
        given["backend_type"] = kind
    return Vkbd(backend=backend(tree), **given)


def _io_memory(tree: Mapping[str, Any]) -> IoMemory:
    gfn = tree.get("gfn")
    return IoMemory(
        start=tree.get("start") or 0,
        number=tree.get("number") or 1,
        gfn=None if gfn == _NO_FRAME else gfn,
    )


def _three_valued(value: Any) -> bool | None:
    return value == "True" if value in ("True", "False") else None


def _screens(
    tree: Mapping[str, Any], special: Mapping[str, Any], kind: DomainType
) -> tuple[Vfb, ...]:
    """What an HVM guest's emulated card shows, and the frame buffers."""
    fully = kind is DomainType.HVM
    shown = [(special.get(how) or {}).get("enable") for how in ("vnc", "sdl")]
    card = [_screen(special)] if fully and "True" in shown else []
    return (*card, *(_screen(each, paravirtual=fully) for each in tree.get("vfbs") or ()))


def _screen(tree: Mapping[str, Any], *, paravirtual: bool = False) -> Vfb:
    vnc, sdl = tree.get("vnc") or {}, tree.get("sdl") or {}
    by_vnc, in_window = vnc.get("enable") != "False", sdl.get("enable") == "True"
    return Vfb(
        type="vnc" if by_vnc else "sdl" if in_window else "none",
        sdl_too=by_vnc and in_window,
        paravirtual=paravirtual,
        vnclisten=vnc.get("listen") or "",
        vncdisplay=vnc.get("display"),
        vncunused=vnc.get("findunused") != "False",
        vncpasswd=vnc.get("passwd") or "",
        display=sdl.get("display") or "",
        xauthority=sdl.get("xauthority") or "",
        opengl=sdl.get("opengl") == "True",
        keymap=tree.get("keymap") or "",
        backend=backend(tree),
    )


def _passthrough(tree: Mapping[str, Any]) -> Pci:
    every = {"all_functions": "1"} if tree.get("vfunc_mask") == ALL_FUNCTIONS else {}
    return Pci(
        domain=tree.get("domain", 0),
        bus=tree.get("bus", 0),
        slot=tree.get("dev", 0),
        func=tree.get("func", 0),
        vslot=tree["vdevfn"] >> 3 if tree.get("vdevfn") else None,
        options={
            name: "1"
            for name in ("msitranslate", "power_mgmt", "permissive", "seize")
            if tree.get(name)
        }
        | {name: str(tree[name]) for name in ("rdm_policy", "name") if tree.get(name)}
        | every,
    )


def _scheme(tree: Mapping[str, Any], kind: str) -> str:
    """The closest spelling in an old configuration."""
    path = tree.get("pdev_path") or ""
    if not path:
        return ""
    if kind in _FORMATS:
        return f"tap2:{kind}"
    return "phy" if path.startswith("/dev/") else "file"


def _script(tree: Mapping[str, Any], usual: str) -> str:
    """Without the one that is used anyway, and without the folder of all of them."""
    name = str(tree.get("script") or "").removeprefix("/etc/xen/scripts/")
    return "" if name == usual else name


def _rate(tree: Mapping[str, Any]) -> str:
    amount, micro = tree.get("rate_bytes_per_interval"), tree.get("rate_interval_usecs")
    if not amount or not micro:
        return ""
    return f"{amount * 1_000_000 // micro}B/s@{micro}us"
