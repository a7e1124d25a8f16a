"""libxl's JSON of a running domain → `DomainConfig`, as well as can be.

For domains that others made, for adoption, and for what a save file holds.  libxl leaves out
what equals its defaults; what the model cannot say is left out here.  Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal
from uuid import UUID

from pydantic import ValidationError

from xend.errors import ConfigError
from xend.libxl.marshal import ACTIONS, DEFAULT_POOL
from xend.model.devices import Disk, IoPorts, Irq, Pci, Vfb, Vif, Vkbd
from xend.model.domain import DomainConfig, DomainType, ShutdownAction

_FORMATS: Final[dict[str, Literal["qcow", "qcow2", "vhd", "qed", "empty"]]] = {
    "qcow": "qcow",
    "qcow2": "qcow2",
    "vhd": "vhd",
    "qed": "qed",
    "empty": "empty",
}
"""Those that are not plain."""
_MEMKB_DEFAULT = 2**64 - 1
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
            affinity=_affinity(build),
            **_schedule(build.get("sched_params") or {}),
            pool=info.get("pool_name") or DEFAULT_POOL,
            kernel=build.get("kernel") or special.get("kernel") or "",
            ramdisk=build.get("ramdisk") or special.get("ramdisk") or "",
            cmdline=build.get("cmdline") or special.get("cmdline") or "",
            bootloader=build.get("bootloader") or special.get("bootloader") or "",
            bootloader_args=" ".join(build.get("bootloader_args") or ()),
            on_poweroff=_action(tree, "on_poweroff"),
            on_reboot=_action(tree, "on_reboot"),
            on_crash=_action(tree, "on_crash"),
            platform=_platform(build, special),
            disks=tuple(map(disk, tree.get("disks") or ())),
            vifs=tuple(map(network, tree.get("nics") or ())),
            vfbs=_screens(tree, special),
            vkbds=tuple(Vkbd() for _ in tree.get("vkbs") or ()),
            pcis=tuple(map(_passthrough, tree.get("pcidevs") or ())),
            ioports=tuple(
                IoPorts(first=each.get("first", 0), last=each.get("first", 0) + each["number"] - 1)
                for each in build.get("ioports") or ()
            ),
            irqs=tuple(Irq(irq=number) for number in build.get("irqs") or ()),
        )
    except ValidationError as error:
        raise ConfigError(f"libxl's configuration of a domain: {error}") from error


def disk(tree: Mapping[str, Any]) -> Disk:
    kind = str(tree.get("format") or "raw").lower()
    return Disk(
        scheme=_scheme(tree, kind),
        path=tree.get("pdev_path") or "",
        vdev=tree.get("vdev") or "",
        access="w" if tree.get("readwrite") else "r",
        device_type="cdrom" if tree.get("is_cdrom") else "disk",
        image_format=_FORMATS.get(kind, ""),
        script=_script(tree, "block"),
        qdisk=str(tree.get("backend")).lower() == "qdisk" and kind == "raw",
        backend=_backend(tree),
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
        backend=_backend(tree),
    )


def _union(build: Mapping[str, Any]) -> str:
    return next((key[5:] for key in build if key.startswith("type.")), "")


def _memory(build: Mapping[str, Any], key: str) -> int:
    value = build.get(key) or 0
    return 0 if value == _MEMKB_DEFAULT else int(value)


def _online(build: Mapping[str, Any]) -> int | None:
    online = build.get("avail_vcpus")
    return None if online is None or len(online) == build.get("max_vcpus") else len(online)


def _affinity(build: Mapping[str, Any]) -> tuple[tuple[int, ...], ...]:
    rows = tuple(tuple(row) for row in build.get("vcpu_hard_affinity") or ())
    return rows if any(rows) else ()


def _schedule(params: Mapping[str, int]) -> dict[str, Any]:
    """-1 in libxl means the scheduler's default."""
    names = {"cpu_weight": params.get("weight"), "cpu_cap": params.get("cap")}
    return {name: value for name, value in names.items() if value is not None and value >= 0}


def _action(tree: Mapping[str, Any], when: str) -> ShutdownAction:
    return _ACTION_OF.get(str(tree.get(when) or "").lower(), ShutdownAction.DESTROY)


def _platform(build: Mapping[str, Any], special: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in ("acpi", "apic", "localtime"):
        if build.get(name) in ("True", "False"):
            found[name] = int(build[name] == "True")
    for name in ("pae", "nx", "viridian", "hpet", "usb", "xen_platform_pci"):
        if special.get(name) in ("True", "False"):
            found[name] = int(special[name] == "True")
    for name in ("boot", "serial", "usbdevice", "soundhw", "keymap"):
        if special.get(name):
            found[name] = special[name]
    return found


def _screens(tree: Mapping[str, Any], special: Mapping[str, Any]) -> tuple[Vfb, ...]:
    listed: Sequence[Mapping[str, Any]] = tree.get("vfbs") or ()
    if not listed and (special.get("vnc") or {}).get("enable") == "True":
        listed = [special]
    return tuple(map(_screen, listed))


def _screen(tree: Mapping[str, Any]) -> Vfb:
    vnc, sdl = tree.get("vnc") or {}, tree.get("sdl") or {}
    return Vfb(
        type="sdl" if sdl.get("enable") == "True" else "vnc",
        vnclisten=vnc.get("listen") or "",
        vncdisplay=vnc.get("display"),
        vncunused=vnc.get("findunused") != "False",
        vncpasswd=vnc.get("passwd") or "",
        display=sdl.get("display") or "",
        xauthority=sdl.get("xauthority") or "",
        opengl=sdl.get("opengl") == "True",
        keymap=tree.get("keymap") or "",
        backend=_backend(tree),
    )


def _passthrough(tree: Mapping[str, Any]) -> Pci:
    return Pci(
        domain=tree.get("domain", 0),
        bus=tree.get("bus", 0),
        slot=tree.get("dev", 0),
        func=tree.get("func", 0),
        vslot=tree["vdevfn"] >> 3 if tree.get("vdevfn") else None,
        options={
            name: "1" for name in ("msitranslate", "power_mgmt", "permissive") if tree.get(name)
        },
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


def _backend(tree: Mapping[str, Any]) -> str:
    return tree.get("backend_domname") or str(tree.get("backend_domid") or "")


def _rate(tree: Mapping[str, Any]) -> str:
    amount, micro = tree.get("rate_bytes_per_interval"), tree.get("rate_interval_usecs")
    if not amount or not micro:
        return ""
    return f"{amount * 1_000_000 // micro}B/s@{micro}us"
