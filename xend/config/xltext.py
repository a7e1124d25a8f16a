"""The model as a file of xl (xl.cfg(5) of Xen 4.17), and what of it such a file cannot say."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from typing import Any, Final
from uuid import UUID

from xend.config.xltextdevices import DeviceWriter
from xend.config.xlwrite import text_of
from xend.model.domain import DomainConfig, DomainType, ShutdownAction
from xend.model.fields import Kind
from xend.model.platform import BY_NAME, PLATFORM, PlatformSetting
from xend.model.values import choice

NO_UUID: Final = UUID(int=0)
"""Of a domain whose file gives none: each create makes a new one."""

_OF_THE_SCREEN: Final = frozenset(
    (
        *("vnc", "vnclisten", "vncdisplay", "vncunused", "vncpasswd", "sdl", "opengl"),
        *("display", "xauthority"),
    )
)
_QEMU_OPTIONS: Final = {
    "fda": "-fda",
    "fdb": "-fdb",
    "parallel": "-parallel",
    "monitor_path": "-monitor",
}
_LEAST_VIDEORAM: Final = 8
_UNSAID: Final = {
    "guest_os_type": "default",
    "isa": 0,
    "vhpt": 0,
    "monitor": 0,
    "pci_msitranslate": 1,
    "pci_power_mgmt": 0,
}
"""xm's defaults of what xl has no word for: nothing is lost with them."""
_EVENTS: Final = (
    ("on_poweroff", ShutdownAction.DESTROY),
    ("on_reboot", ShutdownAction.RESTART),
    ("on_crash", ShutdownAction.DESTROY),
    ("on_watchdog", ShutdownAction.DESTROY),
    ("on_soft_reset", ShutdownAction.SOFT_RESET),
)
"""With xl's defaults."""


def list_of(values: Iterable[str]) -> str:
    """One a line, if there is more than one."""
    shown = [text_of(value) for value in values]
    if len(shown) < 2:
        return f"[ {', '.join(shown)} ]" if shown else "[ ]"
    return "[\n" + "".join(f"    {value},\n" for value in shown) + "]"


class XlText:
    """One file: `lines` of (option, value as it stands), and `lost`, sentences by option."""

    def __init__(self, config: DomainConfig) -> None:
        self.config = config
        self.lines: list[tuple[str, str]] = []
        self.lost: list[tuple[str, str]] = []
        self._identity()
        self._size()
        self._boot()
        self._events()
        self._platform()
        self._cpuid()
        self.devices = DeviceWriter(config, self.lost)
        for name, entries in self.devices.lists():
            self.lines.append((name, list_of(entries)))
        self._nested()
        self._others()

    def text(self, comments: Mapping[str, list[str]], head: list[str]) -> str:
        """`comments`: lines to stand before an option; those of others come at the end."""
        out = [f"# {line}\n" for line in head]
        told = set()
        for name, value in self.lines:
            told.add(name)
            out += [f"# {line}\n" for line in comments.get(name, ())]
            out.append(f"{name} = {value}\n")
        for name, remarks in comments.items():
            if name not in told:
                out += [f"# {line}\n" for line in remarks]
        return "".join(out)

    def _put(self, name: str, value: str | int) -> None:
        bare = isinstance(value, int) and value >= 0  # xl's numbers have no sign
        self.lines.append((name, str(value) if bare else text_of(str(value))))

    def _lose(self, name: str, reason: str) -> None:
        self.lost.append((name, reason))

    def _identity(self) -> None:
        config = self.config
        self._put("name", config.name)
        self._put("type", config.type.value)
        if config.uuid != NO_UUID:
            self._put("uuid", str(config.uuid))
        if config.pool != "Pool-0":
            self._put("pool", config.pool)
        if config.description:
            self._lose("description", f"xl has no description: {config.description!r}")

    def _size(self) -> None:
        config = self.config
        self._put("memory", _mib(config.memory))
        if config.maxmem and config.maxmem != config.memory and not config.vnuma:
            self._put("maxmem", _mib(config.maxmem))
        if config.shadow_memory:
            self._put("shadow_memory", _mib(config.shadow_memory))
        online = config.vcpus if config.vcpus_online is None else config.vcpus_online
        self._put("vcpus", min(online, config.vcpus))
        if online < config.vcpus or config.vnuma:
            self._put("maxvcpus", config.vcpus)
        for name, rows in (("cpus", config.affinity), ("cpus_soft", config.affinity_soft)):
            if any(rows):
                turns = [rows[vcpu % len(rows)] for vcpu in range(config.vcpus)]
                words = [",".join(map(str, row)) or "all" for row in turns]
                same = len(set(words)) == 1
                self.lines.append((name, text_of(words[0]) if same else list_of(words)))
        if config.cpu_weight != 256:
            self._put("cpu_weight", config.cpu_weight)
        if config.cpu_cap:
            self._put("cap", config.cpu_cap)

    def _boot(self) -> None:
        config = self.config
        hvm = config.type is DomainType.HVM
        if config.kernel and not (hvm and "hvmloader" in config.kernel):
            self._put("kernel", config.kernel)
        if config.ramdisk:
            self._put("ramdisk", config.ramdisk)
        if config.cmdline:
            self._put("cmdline", config.cmdline)
        if config.bootloader and not hvm:
            self._put("bootloader", config.bootloader)
            if config.bootloader_args:
                arguments = shlex.split(config.bootloader_args)
                self.lines.append(("bootloader_args", list_of(arguments)))
        if config.features:
            self._lose("features", "features: Xen reads the kernel's own notes instead")

    def _events(self) -> None:
        for name, default in _EVENTS:
            action: ShutdownAction = getattr(self.config, name)
            if action is not default:
                self._put(name, action.value)
        for name in ("on_xend_start", "on_xend_stop"):
            if getattr(self.config, name) != "ignore":
                self._lose(name, f"{name}: xl does not manage domains; link it in /etc/xen/auto")

    def _platform(self) -> None:
        arguments: list[str] = []
        for row in PLATFORM:
            value = self.config.platform.get(row.name)
            if value in (None, "") or row.name in _OF_THE_SCREEN:
                continue
            if row.name in _QEMU_OPTIONS:
                arguments += [_QEMU_OPTIONS[row.name], str(value)]
            elif row.setting.xl:
                self._platform_row(row, value)
            elif _UNSAID.get(row.name) != value and row.name not in ("device_model", "pci"):
                self._lose(row.name, f"{row.name}: {row.setting.note}")
        if arguments:
            self._add_arguments(arguments)
        for name in sorted(self.config.platform.keys() - BY_NAME.keys()):
            self._lose(name, f"{name}: nothing is known of it")

    def _add_arguments(self, arguments: list[str]) -> None:
        given = self.config.platform.get("device_model_args_hvm") or []
        given = [given] if isinstance(given, str) else given
        self.lines = [line for line in self.lines if line[0] != "device_model_args_hvm"]
        self.lines.append(("device_model_args_hvm", list_of([*map(str, given), *arguments])))

    def _platform_row(self, row: PlatformSetting, value: Any) -> None:
        name, part = row.setting.xl or row.name, (row.setting.libxl or "").partition(".")[0]
        if part in ("hvm", "pv", "pvh") and part != self.config.type.value:
            return
        if self.config.type is DomainType.PV and row.name in ("hap", "oos", "timer_mode"):
            return
        if row.name == "videoram" and (
            self.config.type is not DomainType.HVM or int(value) < _LEAST_VIDEORAM
        ):
            return
        if row.name == "loader" and str(value).rpartition("/")[2] == "hvmloader":
            return
        if isinstance(value, list):
            self.lines.append((name, list_of([str(item) for item in value])))
        elif row.name == "ms_vm_genid":
            self._put(name, "generate")
            self._lose(name, f"a file of xl cannot say which: {value}")
        elif row.kind is Kind.CHOICE:
            self._put(name, _SPELLINGS.get(word := choice(name, row.setting, value), word))
        elif row.kind in (Kind.FLAG, Kind.INT, Kind.MIB):
            self._put(name, int(value))
        elif row.kind is Kind.TEXTS:
            self.lines.append((name, list_of([str(value)])))
        else:
            self._put(name, value if isinstance(value, int) else str(value))

    def _cpuid(self) -> None:
        leaves = self.config.other.get("cpuid")
        if leaves:
            entries = [
                f"{leaf}:" + ",".join(f"{name}={bits}" for name, bits in registers.items())
                for leaf, registers in leaves.items()
            ]
            self.lines.append(("cpuid", list_of(entries)))
        if self.config.other.get("msr"):
            self._lose("msr", "policies of MSRs have no words in a file")

    def _nested(self) -> None:
        """Lists within lists: nodes and sound cards."""
        for name, cards in self.devices.nested():
            shown = ",\n".join(f"    [ {', '.join(map(text_of, card))} ]" for card in cards)
            self.lines.append((name, f"[\n{shown},\n]"))
        for name, value in self.devices.of_the_screen():
            self._put(name, value)

    def _others(self) -> None:
        told = {"cpuid", "msr", "pci_uuid", "other_config", "vcpus_params", "image_type"}
        for name in sorted(self.config.other.keys() - told):
            self._lose(name, f"{name}: Xen's current toolstack has no such setting")


def _mib(kib: int) -> int:
    return max(1, kib // 1024)


_SPELLINGS: Final = {
    "qemu_xen": "qemu-xen",
    "qemu_xen_traditional": "qemu-xen-traditional",
    "std": "stdvga",
}
"""Where a file's word is another than libxl's."""
