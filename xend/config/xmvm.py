"""The `(vm …)` that `xm create` sends, made from the options."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from xend.config import xmdevices as devices
from xend.config.pydict import ordered
from xend.config.sxp import Long
from xend.config.xmdevices import Tree, Values
from xend.config.xmsource import is_sealed
from xend.errors import ConfigError

_FIRST_KEYS: Final = (
    *("name", "memory", "maxmem", "shadow_memory", "restart", "on_poweroff", "tsc_mode"),
    *("nomigrate", "on_reboot", "on_crash", "features", "on_xend_start", "on_xend_stop"),
    *("target", "cpuid", "cpuid_check", "machine_address_size"),
    *("suppress_spurious_page_faults", "description"),
)
"""Each is there only if it is true: 0 and '' are left out."""

_HVM_KEYS: Final = (
    *("acpi", "apic", "boot", "cpuid", "cpuid_check", "device_model", "display", "fda", "fdb"),
    *("gfx_passthru", "guest_os_type", "hap", "hpet", "isa", "keymap", "localtime"),
    *("nestedhvm", "nographic", "opengl", "oos", "pae", "pci", "pci_msitranslate"),
    *("pci_power_mgmt", "rtc_timeoffset", "sdl", "soundhw", "stdvga", "timer_mode", "usb"),
    *("usbdevice", "vcpus", "vnc", "vncconsole", "vncdisplay", "vnclisten", "vncunused"),
    *("viridian", "vpt_align", "xauthority", "xen_extended_power_mgmt", "xen_platform_pci"),
    *("memory_sharing", "vncpasswd"),
)
_MOST_VCPUS: Final = 4096

_NFS_NOWHERE: Final = "127.0.255.255"
"""Stands for no NFS server in the kernel's ip= argument."""

_TOOL_DIRECTORIES: Final = ("/usr/bin", "/usr/sbin", "/usr/lib/xen/bin", "/usr/lib/xen/boot")
_CPUID_INPUT: Final = re.compile(
    r"(?P<input>(0x)?[0-9A-Fa-f]+(,(0x)?[0-9A-Fa-f]+)?):(?P<registers>.*)"
)
_CPUID_REGISTER: Final = re.compile(r"(?P<register>eax|ebx|ecx|edx)=(?P<value>.*)")


def make_vm(
    given: Mapping[str, object],
    env: Mapping[str, str],
    cwd: str,
    warn: Callable[[str], None],
    *,
    here: bool = True,
) -> Tree:
    """`given`: every option by name.  The order of the checks is the original's, since only the
    first mistake is reported.  `here`: its kernel must be a file of this host."""
    values = dict(given)
    found: list[Tree] = devices.disks(values)
    functions = devices.pci_functions(values)
    wanted_scsi = devices.vscsi_names(values)
    ports = devices.ioports(values)
    ip = _ip_argument(values)
    irqs = devices.irqs(values)
    _add_nfs_root(values)
    label = _access_label(values)
    _read_cpuid(values)
    if functions:
        values["pci"] = devices.pci_tuples(functions)

    vm = _before_image(values)
    image = _image(values, ip, cwd, here)
    vm += _bootloader(values)
    vm.append(["image", image])
    vm.append(["s3_integrity", values["s3_integrity"]])

    found += devices.pcis(functions)
    found += devices.vscsis(wanted_scsi, env)
    found += devices.vusbs(values)
    found += ports + irqs
    found += devices.vifs(values, warn)
    found += devices.vif2s(values)
    found += devices.vfbs(values, env, str(values["xauthority"] or ""))
    _refuse_label(label)
    return vm + [["device", device] for device in found]


def _before_image(values: Values) -> Tree:
    vm: Tree = ["vm"]
    vm += [[key, values[key]] for key in _FIRST_KEYS if values.get(key)]
    vm += _vcpus(values)
    for key in ("uuid", "cpu", "cpus", "cpu_cap", "cpu_weight"):
        if values[key] is not None:
            vm.append([key, values[key]])
    vm += [["backend", [key]] for key in ("blkif", "netif") if values[key]]
    vm += [[key, values[key]] for key in ("localtime", "oos") if values[key]]
    if values["pool"]:
        vm.append(["pool_name", values["pool"]])
    return vm


def _vcpus(values: Values) -> Tree:
    """`maxvcpus` is no option, but files set it: then `vcpus` are those at the start."""
    most, now = values.get("maxvcpus"), values["vcpus"]
    if most and now:
        if not isinstance(now, int) or not 0 <= now <= _MOST_VCPUS:
            raise ConfigError(
                f"vcpus: expected a number, not {now!r}",
                field="vcpus",
                value=now,
                expected=f"a number up to {_MOST_VCPUS}",
            )
        mask = (1 << now) - 1
        shown = mask if now < 64 else Long(mask)
        return [["vcpu_avail", shown], ["vcpus", most]]
    return [["vcpus", most or now]] if most or now else []


def _bootloader(values: Values) -> Tree:
    """Without arguments it is told to be quiet, unless its output goes to a console."""
    program = values["bootloader"]
    if not program:
        return []
    if program == "pygrub":
        program = _tool("pygrub")
    arguments = values["bootargs"] or ("" if values["console_autoconnect"] else "-q")
    return [["bootloader", program], ["bootloader_args", arguments]]


def _tool(name: str) -> str:
    """The path of a tool of Xen; where the original had it, if it is nowhere."""
    for directory in _TOOL_DIRECTORIES:
        if Path(directory, name).exists():
            return posixpath.join(directory, name)
    return posixpath.join(_TOOL_DIRECTORIES[0], name)


def _image(values: Values, ip: str, cwd: str, here: bool) -> Tree | None:
    builder = values["builder"]
    if not builder:
        return None
    image: Tree = [builder]
    has_loader = bool(values["bootloader"])
    for key, bare, checked in (
        ("kernel", True, here and not has_loader),
        ("ramdisk", False, here and not has_loader),
        ("loader", True, here),
    ):
        if values[key]:
            name = values[key]
            image.append([key, find_file(key, name, cwd, bare) if checked else name])
    if ip:
        image.append(["ip", ip.removeprefix("ip=")])
    if values["root"]:
        image.append(["root", _text(values, "root").removeprefix("root=")])
    image += [[key, values[key]] for key in ("videoram", "parallel", "serial") if values[key]]
    if values["monitor_path"]:
        image += [["monitor_path", values["monitor_path"]], ["monitor", 1]]
    elif values["monitor"]:
        image.append(["monitor", values["monitor"]])
    if values["extra"]:
        image.append(["args", values["extra"]])
    if values["superpages"]:
        image.append(["superpages", values["superpages"]])
    if builder == "hvm":
        image += [[key, values[key]] for key in _HVM_KEYS if values.get(key) is not None]
    return image + _image_end(values)


def _image_end(values: Values) -> Tree:
    end: Tree = []
    if values["vhpt"] != 0:
        end.append(["vhpt", values["vhpt"]])
    for key in ("machine_address_size", "suppress_spurious_page_faults"):
        if values[key]:
            end.append([key, values[key]])
    return end + [[key, values[key]] for key in ("tsc_mode", "nomigrate")]


def find_file(kind: str, name: object, cwd: str, may_be_bare: bool) -> str:
    """The file of a kernel, RAM disk or firmware, which must exist.

    `hvmloader` stays bare: the host that builds the domain finds its own.  A file from elsewhere
    (`sealed`) is not told which files there are.
    """
    if isinstance(name, str):
        if is_sealed() and posixpath.isabs(name):
            return posixpath.normpath(name)
        if posixpath.dirname(name) and Path(cwd, name).exists():
            return name
        if may_be_bare and name == "hvmloader":
            return name
        path = posixpath.normpath(posixpath.join(cwd, name))
        if Path(path).exists():
            return path
    raise ConfigError(
        f'Cannot find {kind} "{name}"', field=kind, value=name, expected="a file that exists"
    )


def _text(values: Values, key: str) -> str:
    value = values[key]
    if isinstance(value, str):
        return value
    raise ConfigError(
        f"{key}: expected text, not {value!r}", field=key, value=value, expected="text in quotes"
    )


def _ip_argument(values: Values) -> str:
    """The kernel's ip= argument; '' if neither an address nor DHCP is asked for."""
    if not values["ip"] and values["dhcp"] == "off":
        return ""
    server = _text(values, "nfs_server") if values["nfs_server"] else _NFS_NOWHERE
    rest = ("gateway", "netmask", "hostname", "interface", "dhcp")
    return ":".join([_text(values, "ip"), server, *(_text(values, key) for key in rest)])


def _add_nfs_root(values: dict[str, object]) -> None:
    if not values["nfs_root"]:
        return
    if not values["nfs_server"]:
        raise ConfigError(
            "Must set nfs root and nfs server", field="nfs_server", expected="an IP address"
        )
    root = f"nfsroot={_text(values, 'nfs_server')}:{_text(values, 'nfs_root')}"
    values["extra"] = f"{root} {_text(values, 'extra')}"


def _access_label(values: Values) -> str:
    """The policy that an access_control entry names."""
    texts = devices.entries(values, "access_control")
    if len(texts) > 1:
        raise ConfigError("Multiple access_control definitions.", field="access_control")
    for text in texts:
        match = re.match("policy=(.*),label=(.*)", text)
        if match is None:
            raise ConfigError(
                f"Invalid access_control specifier: {text}",
                field="access_control",
                value=text,
                expected="policy=POLICY,label=LABEL",
            )
        return match.group(1)
    return ""


def _refuse_label(policy: str) -> None:
    """No policy is ever active: Xen dropped ACM."""
    if policy:
        raise ConfigError(
            f"Security policy ({policy}) incompatible with enforced policy ().",
            field="access_control",
            value=policy,
            expected="no access_control",
        )


def _read_cpuid(values: dict[str, object]) -> None:
    """Turns `1:eax=0x…` texts into dictionaries; cpuid_check only if there is a cpuid."""
    if not values["cpuid"]:
        return
    for key in ("cpuid", "cpuid_check"):
        found = _cpuid(values, key)
        if found:
            values[key] = found


def _cpuid(values: Values, key: str) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for text in devices.entries(values, key):
        match = _CPUID_INPUT.match(text)
        if match is None:
            continue
        leaf = match["input"]
        found[leaf] = _cpuid_registers(match["registers"], leaf)
    return {leaf: found[leaf] for leaf in ordered(found)}


def _cpuid_registers(text: str, leaf: str) -> dict[str, str]:
    registers: dict[str, str] = {}
    for part in text.split(","):
        match = _CPUID_REGISTER.match(part)
        if match is None:
            raise ConfigError(
                "cpuid's syntax is (eax|ebx|ecx|edx)=value",
                field="cpuid",
                value=part,
                expected="eax, ebx, ecx or edx = 0x… or 32 characters",
            )
        register, value = match.group("register", "value")
        if not value.startswith("0x") and len(value) != 32:
            raise ConfigError(
                f"cpuid: We should specify all the bits of the register {register} "
                f"for input {leaf}\n",
                field="cpuid",
                value=value,
                expected="0x… or 32 characters",
            )
        registers[register] = value
    return {register: registers[register] for register in ordered(registers)}
