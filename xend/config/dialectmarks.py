"""In which language a domain file is written.

Most plain files are right for xm and for xl.  They are xm's, as they always were, unless they say
something that only xl understands.  Imports no model: the command line asks this of every file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal

from xend.config.problems import Report
from xend.config.xlgrammar import XlList, XlSetting, XlText, parse

Dialect = Literal["xm", "xl", "sxp", "json"]

XL_ONLY: Final = frozenset(
    (
        *("acpi_firmware", "acpi_laptop_slate", "acpi_s3", "acpi_s4", "altp2m", "altp2mhvm"),
        *("bios", "bios_path_override", "bootloader_args", "cap", "channel", "cmdline"),
        *("cpus_soft", "device_model_args", "device_model_args_hvm", "device_model_args_pv"),
        *("device_model_override", "device_model_stubdomain_override"),
        *("device_model_stubdomain_seclabel", "device_model_user", "device_model_version"),
        *("device_tree", "dm_restrict", "driver_domain", "dtdev", "e820_host", "extratime"),
        *("firmware", "firmware_override", "gic_version", "hdtype", "init_seclabel", "iomem"),
        *("irqs", "latency", "max_event_channels", "max_grant_frames", "max_grant_version"),
        *("max_maptrack_frames", "mca_caps", "mmio_hole", "ms_vm_genid", "msr_relaxed", "nx"),
        *("on_soft_reset", "on_watchdog", "p9", "passthrough", "pci_permissive", "pci_seize"),
        *("period", "pvcalls", "pvshim", "pvshim_cmdline", "pvshim_extra", "pvshim_path", "rdm"),
        *("rdm_mem_boundary", "seclabel", "slice", "smbios_firmware", "spice"),
        *("spice_clipboard_sharing", "spice_image_compression", "spice_streaming_video"),
        *("spiceagent_mouse", "spicedisable_ticketing", "spicehost", "spicepasswd", "spiceport"),
        *("spicetls_port", "spiceusbredirection", "spicevdagent", "stubdomain_cmdline"),
        *("stubdomain_kernel", "stubdomain_memory", "stubdomain_ramdisk", "tee", "type"),
        *("usbctrl", "usbdev", "usbversion", "vdispl", "vendor_device", "vga", "vkb"),
        *("vkb_device", "vmtrace_buf_kb", "vnuma", "vpmu", "vsnd", "vuart"),
        "xend_suspend_evtchn_compat",
    )
)
"""Settings of xl that xm never had: xm took them for variables of the file and went on without.
`maxvcpus` and `vtpm` are not here, since old files of xm have them."""

XM_ONLY: Final = frozenset(
    (
        *("access_control", "blkif", "bootargs", "bootentry", "cpu", "cpu_cap", "cpuid_check"),
        *("description", "dhcp", "fda", "fdb", "features", "gateway", "guest_os_type"),
        *("hostname", "interface", "ip", "irq", "isa", "loader", "machine_address_size"),
        *("memory_sharing", "monitor", "monitor_path", "netif", "netmask", "nfs_root"),
        *("nfs_server", "nics", "on_xend_start", "on_xend_stop", "parallel", "restart"),
        *("s3_integrity", "superpages", "suppress_spurious_page_faults", "target"),
        *("vcpu_avail", "vhpt", "vncconsole", "vscsi", "vusb"),
    )
)
"""Settings of xm that xl never had, and does not look at."""

_SXP: Final = re.compile(r"\s*\(\s*(vm|domain)\b")
_JSON: Final = re.compile(r'\s*\{\s*["}]')
_MODE: Final = re.compile(r"\s*(r|w|ro|rw)!?\s*")
_FORMATS: Final = frozenset(("", "raw", "qcow", "qcow2", "vhd", "qed", "empty"))
_MARKS: Final = {
    "cpuid": re.compile("host(,|$)"),
    "cpus": re.compile(".*node"),
    "disk": re.compile(
        r"(.*,)?\s*((format|vdev|access|devtype|backendtype|specification|script|target)=|discard|"
        "no-discard|direct-io-safe|colo)"
    ),
    "pci": re.compile(".*\\b(permissive|seize|rdm_policy|name|bdf|vslot)="),
    "timer_mode": re.compile("[a-z]"),
    "tsc_mode": re.compile("[a-z]"),
    "vif": re.compile("(.*,)? *((gatewaydev|netdev|mtu|devid|forwarddev|colo_\\w+)=|(un)?trusted)"),
}
"""Settings of both, and what only xl understands in them."""
_NO_LIST_IN_XM: Final = ("serial", "usbdevice", "viridian")


def told(text: str) -> Dialect | None:
    """The language, as far as the text tells it; None: xm's first, and xl's if that fails."""
    if _SXP.match(text):
        return "sxp"
    if _JSON.match(text):
        return "json"
    settings = _plain_settings(text)
    if settings is None:
        return "xm"
    return "xl" if _for_xl(settings) and not settings.keys() & XM_ONLY else None


def could_be_xl(text: str) -> bool:
    """Whether a file that xm refuses may be one of xl: it says something that only xl
    understands."""
    settings = _plain_settings(text)
    return settings is not None and _for_xl(settings)


def _plain_settings(text: str) -> dict[str, XlSetting] | None:
    """None if it is not in xl's grammar."""
    report = Report("")
    settings = parse(text, report)
    return None if report.wrong else settings


def _for_xl(settings: Mapping[str, XlSetting]) -> bool:
    if settings.keys() & XL_ONLY:
        return True
    if any(isinstance(settings[name].value, XlList) for name in _NO_LIST_IN_XM if name in settings):
        return True
    if any(text == "generic" for text in _texts(settings, "builder")):
        return True
    marked = any(
        mark.match(text) for name, mark in _MARKS.items() for text in _texts(settings, name)
    )
    return marked or any(_is_position_of_xl(text) for text in _texts(settings, "disk"))


def _texts(settings: Mapping[str, XlSetting], name: str) -> list[str]:
    """A setting's text, or those of its list."""
    setting = settings.get(name)
    if setting is None:
        return []
    value = setting.value
    items = value.items if isinstance(value, XlList) else (value,)
    return [item.text for item in items if isinstance(item, XlText)]


def _is_position_of_xl(disk: str) -> bool:
    """`target,format,device[,access]`.  xm's is `target,device,mode[,backend]`, and took xl's
    device for a mode, with which no domain could start."""
    parts = disk.split(",")
    return len(parts) in (3, 4) and parts[1] in _FORMATS and not _MODE.fullmatch(parts[2])
