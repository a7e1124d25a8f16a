"""Names, orders and types of what a domain's SXP holds, as the original had them.

The orders are those of its Python 2 dictionaries (see `pydict`), hence their look.
"""

from __future__ import annotations

from typing import Final, Literal

Kind = Literal["int", "text", "flag"]

PLATFORM_ORDER: Final = (
    *("videoram", "hpet", "monitor_path", "stdvga", "vnclisten", "loader", "xen_platform_pci"),
    *("monitor", "opengl", "nestedhvm", "rtc_timeoffset", "parallel", "pci", "hap", "localtime"),
    *("timer_mode", "xen_extended_power_mgmt", "vncdisplay", "pci_msitranslate", "oos", "apic"),
    *("sdl", "fda", "fdb", "usbdevice", "display", "vpt_align", "vncconsole", "serial"),
    *("vncunused", "soundhw", "gfx_passthru", "boot", "vncpasswd", "pae", "vhpt", "viridian"),
    *("acpi", "vnc", "nographic", "nomigrate", "usb", "tsc_mode", "guest_os_type"),
    *("device_model", "keymap", "pci_power_mgmt", "xauthority", "isa"),
)
"""The platform settings in the order in which an image shows them."""

PLATFORM_TEXTS: Final = frozenset(
    (
        *("boot", "device_model", "loader", "display", "fda", "fdb", "keymap", "monitor_path"),
        *("parallel", "serial", "soundhw", "usbdevice", "vnclisten", "vncpasswd", "xauthority"),
        *("pci", "guest_os_type"),
    )
)
"""Those that are text; the others are whole numbers."""

HVM_DEFAULTS: Final = (
    ("timer_mode", 1),
    ("viridian", 0),
    ("rtc_timeoffset", 0),
    ("hpet", 0),
    ("xen_platform_pci", 1),
    ("vpt_align", 1),
)
ALWAYS_DEFAULTS: Final = (("tsc_mode", 0), ("nomigrate", 0))
"""What the original added to a configuration that said nothing."""

DEVICE_MODEL: Final = "/usr/lib/xen/bin/qemu-dm"
LOADER: Final = "/usr/lib/xen/boot/hvmloader"
"""Where the original had its device model and firmware.  They stand for this host's own in what
old clients see, whatever that is; the model holds neither."""

DEVICE_ORDER: Final = (
    *("tap2", "vif", "vkbd", "ioports", "tap", "vif2", "console", "vscsi", "vbd", "irq", "vfb"),
    *("pci", "vusb"),
)
"""The classes of devices, in the order of an answer."""

LONG_ORDER: Final = (
    *("vcpus_params", "PV_args", "memory_static_min", "HVM_boot_policy", "PV_bootloader"),
    *("pool_name", "auto_power_on", "memory_static_max", "cpus", "actions_after_shutdown", "pci"),
    *("memory_dynamic_max", "user_version", "memory_sharing", "superpages", "is_a_template"),
    *("PV_bootloader_args", "name_description", "security_label", "memory_dynamic_min"),
    *("VCPUs_live", "target", "actions_after_crash", "uuid", "PV_ramdisk"),
    *("suppress_spurious_page_faults", "PCI_bus", "machine_address_size", "other_config"),
    *("name_label", "PV_kernel", "actions_after_reboot", "VCPUs_at_startup", "HVM_boot_params"),
    *("platform", "resident_on", "tools_version", "VCPUs_max", "s3_integrity", "Description"),
)
"""The Xen-API names at the top of a config.sxp."""

KEPT: Final[dict[str, Kind]] = {
    "auto_power_on": "flag",
    "is_a_template": "flag",
    "machine_address_size": "int",
    "memory_sharing": "int",
    "name_description": "text",
    "PCI_bus": "text",
    "resident_on": "text",
    "s3_integrity": "int",
    "security_label": "text",
    "superpages": "int",
    "suppress_spurious_page_faults": "flag",
    "target": "int",
    "user_version": "text",
    "change_home_server": "text",
}
"""Settings that are kept in `DomainConfig.other` under their own name."""

KEPT_DEFAULTS: Final[dict[str, object]] = {
    "auto_power_on": False,
    "is_a_template": False,
    "memory_sharing": 0,
    "superpages": 0,
    "target": 0,
}
"""What is shown of those that are not set."""

ON_CRASH_NAMES: Final = {
    "coredump_and_destroy": "coredump-destroy",
    "coredump_and_restart": "coredump-restart",
    "rename_restart": "rename-restart",
}
"""The Xen-API's names for what old clients write with a hyphen."""

RESTART: Final = {
    "onreboot": ("destroy", "restart", "destroy"),
    "always": ("restart", "restart", "restart"),
    "never": ("never", "never", "never"),
}
"""The obsolete `restart`: on_poweroff, on_reboot, on_crash ("never" is then refused)."""

TAP_TYPES: Final = frozenset(
    ("aio", "sync", "vmdk", "ram", "qcow", "qcow2", "ioemu", "vhd", "remus")
)
