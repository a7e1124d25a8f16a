"""The settings in `DomainConfig.platform`: machine, firmware, device model, limits.  A row each.

A row's name is the key in `platform`: xm's name where xm had the setting, else that of xl.cfg.
Sources: xl.cfg(5) and tools/libs/light/libxl_types.idl of Xen 4.17; for xm its own option table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from xend.model.fields import Kind, Setting

F, I, M, T, TS, TT, C, S = (  # noqa: E741 - short for the table
    *(Kind.FLAG, Kind.INT, Kind.MIB, Kind.TEXT, Kind.TEXTS, Kind.TEXT_OR_TEXTS),
    *(Kind.CHOICE, Kind.SPECIAL),
)

TSC_MODES: Final = ("default", "always_emulate", "native", "native_paravirt")
TIMER_MODES: Final = (
    "delay_for_missed_ticks",
    "no_delay_for_missed_ticks",
    "no_missed_ticks_pending",
    "one_missed_tick_pending",
)
VIRIDIAN: Final = (
    *("base", "freq", "time_ref_count", "reference_tsc", "hcall_remote_tlb_flush"),
    *("apic_assist", "crash_ctl", "synic", "stimer", "hcall_ipi", "ex_processor_masks"),
    *("no_vp_limit", "cpu_hotplug"),
)
"""libxl_viridian_enlightenment, whose numbers are bits of two masks."""


@dataclass(frozen=True, slots=True)
class PlatformSetting:
    """A row of `platform`."""

    name: str
    setting: Setting

    @property
    def kind(self) -> Kind:
        return self.setting.kind or Kind.TEXT

    @property
    def unsaid(self) -> str:
        """The choice that is the same as none: libxl does not show it again."""
        choices = self.setting.choices
        return choices[0] if choices and self.name != "timer_mode" else ""


def _both(
    name: str,
    kind: Kind,
    libxl: str | None,
    note: str,
    *,
    xl: str | None = None,
    xm_default: str = "",
    xl_default: str = "",
    choices: tuple[str, ...] = (),
    low: int | None = None,
    high: int | None = None,
) -> PlatformSetting:
    """Known to xm and to xl."""
    return PlatformSetting(
        name,
        Setting(
            xm=name,
            xl=xl or name,
            sxp=f"image.{name}",
            xenapi=f"platform.{name}",
            libxl=libxl,
            kind=kind,
            note=note,
            choices=choices,
            low=low,
            high=high,
            xm_default=xm_default,
            xl_default=xl_default,
        ),
    )


def _xm(
    name: str,
    kind: Kind,
    note: str,
    *,
    libxl: str | None = None,
    xm_default: str = "",
    choices: tuple[str, ...] = (),
) -> PlatformSetting:
    """Known to xm only."""
    return PlatformSetting(
        name,
        Setting(
            xm=name,
            sxp=f"image.{name}",
            xenapi=f"platform.{name}",
            libxl=libxl,
            kind=kind,
            note=note,
            choices=choices,
            xm_default=xm_default,
        ),
    )


def _xl(
    name: str,
    kind: Kind,
    libxl: str | None,
    note: str,
    *,
    xl_default: str = "",
    choices: tuple[str, ...] = (),
    low: int | None = None,
    high: int | None = None,
) -> PlatformSetting:
    """Known to xl only; in an SXP it is in the child `(xend …)`."""
    return PlatformSetting(
        name,
        Setting(
            xl=name,
            libxl=libxl,
            kind=kind,
            note=note,
            choices=choices,
            low=low,
            high=high,
            xl_default=xl_default,
        ),
    )


def _rest(name: str, kind: Kind, libxl: str, note: str) -> PlatformSetting:
    """In no file of xm or xl, but in libxl (xl has some of them in its own xl.conf)."""
    return PlatformSetting(name, Setting(libxl=libxl, kind=kind, note=note))


_MACHINE: Final = (
    _both("pae", F, "hvm.pae", "physical address extension", xm_default="1", xl_default="1"),
    _both("acpi", F, "b_info.acpi", "ACPI tables", xm_default="1", xl_default="1"),
    _both("apic", F, "b_info.apic", "local and I/O APIC", xm_default="1", xl_default="1"),
    _both("hpet", F, "hvm.hpet", "high precision event timer", xm_default="0", xl_default="1"),
    _both("vpt_align", F, "hvm.vpt_align", "align periodic timers", xm_default="1", xl_default="1"),
    _both(
        "viridian",
        S,
        "hvm.viridian",
        "Hyper-V interface: 0, 1, or a list of groups of it (`!` takes one away)",
        xm_default="0",
        xl_default="0",
        choices=VIRIDIAN,
    ),
    _both(
        "timer_mode",
        C,
        "b_info.timer_mode",
        "what happens to missed timer ticks; not for PV",
        xm_default="1",
        xl_default="no_delay_for_missed_ticks",
        choices=TIMER_MODES,
    ),
    _both(
        "tsc_mode",
        C,
        "b_info.tsc_mode",
        "time stamp counter",
        xm_default="0",
        xl_default="default",
        choices=TSC_MODES,
    ),
    _both(
        "rtc_timeoffset", I, "b_info.rtc_timeoffset", "seconds its clock is ahead", xm_default="0"
    ),
    _both("localtime", F, "b_info.localtime", "clock in local time", xm_default="0"),
    _both("nomigrate", F, "b_info.disable_migrate", "no saving, no migration", xm_default="0"),
    _both("nestedhvm", F, "b_info.nested_hvm", "virtualisation within the guest", xm_default="0"),
    _both("hap", F, "c_info.hap", "hardware assisted paging; not for PV", xm_default="1"),
    _both("oos", F, "c_info.oos", "out of sync shadow page tables", xm_default="1"),
    _both("boot", T, "hvm.boot", "order of boot devices: a, c, d, n", xm_default="c"),
    _both("xen_platform_pci", F, "hvm.xen_platform_pci", "Xen platform device", xm_default="1"),
    _xl("nx", F, "hvm.nx", "no-execute pages", xl_default="1"),
    _xl("acpi_s3", F, "hvm.acpi_s3", "suspend to RAM", xl_default="1"),
    _xl("acpi_s4", F, "hvm.acpi_s4", "suspend to disk", xl_default="1"),
    _xl("acpi_laptop_slate", F, "hvm.acpi_laptop_slate", "laptop/slate switch", xl_default="0"),
    _xl("mmio_hole", M, "hvm.mmio_hole_memkb", "hole below 4 GiB", low=256, high=3840),
    _xl("rdm", S, "hvm.rdm", "reserved device memory: `strategy=host,policy=relaxed`"),
    _xl("rdm_mem_boundary", M, "hvm.rdm_mem_boundary_memkb", "limit of that", xl_default="2048"),
    _xl("mca_caps", S, "hvm.mca_caps", "machine check capabilities", choices=("lmce",)),
    _xl(
        "altp2m",
        C,
        "b_info.altp2m",
        "alternate page tables",
        xl_default="disabled",
        choices=("disabled", "mixed", "external", "limited"),
    ),
    _xl("altp2mhvm", F, "hvm.altp2m", "the same, older (use altp2m)"),
    _xl("ms_vm_genid", S, "hvm.ms_vm_genid", "VM generation ID: generate or none"),
    _xl("e820_host", F, "pv.e820_host", "the host's memory map", xl_default="0"),
    _xl("vpmu", F, "b_info.vpmu", "virtual performance counters", xl_default="0"),
    _xl("vmtrace_buf_kb", I, "b_info.vmtrace_buf_kb", "processor trace buffer in KiB", low=0),
    _xl("msr_relaxed", F, "b_info.arch_x86.msr_relaxed", "unknown MSRs read as 0"),
    _xl(
        "gic_version",
        C,
        "b_info.arch_arm.gic_version",
        "interrupt controller (Arm)",
        choices=("default", "v2", "v3"),
    ),
    _xl(
        "vuart",
        C,
        "b_info.arch_arm.vuart",
        "virtual UART (Arm)",
        choices=("unknown", "sbsa_uart"),
    ),
    _xl("tee", C, "b_info.tee", "trusted environment (Arm)", choices=("none", "optee", "ffa")),
    _xl("device_tree", T, "b_info.device_tree", "partial device tree (Arm)"),
)

_FIRMWARE: Final = (
    _both("loader", T, "hvm.firmware", "firmware instead of hvmloader", xl="firmware_override"),
    _xl(
        "bios",
        C,
        "hvm.bios",
        "rombios, seabios or ovmf",
        choices=("unknown", "rombios", "seabios", "ovmf"),
    ),
    _xl("bios_path_override", T, "hvm.system_firmware", "file of that BIOS"),
    _xl("smbios_firmware", T, "hvm.smbios_firmware", "file with SMBIOS structures"),
    _xl("acpi_firmware", T, "hvm.acpi_firmware", "file with ACPI tables"),
    _xl("pvshim", F, "pvh.pvshim", "run a PV kernel in a PVH shim", xl_default="0"),
    _xl("pvshim_path", T, "pvh.pvshim_path", "the shim"),
    _xl("pvshim_cmdline", T, "pvh.pvshim_cmdline", "its command line, all of it"),
    _xl("pvshim_extra", T, "pvh.pvshim_extra", "more of its command line"),
)

_SCREEN: Final = (
    _both("stdvga", F, None, "standard VGA rather than Cirrus (use vga)", xm_default="0"),
    _xl(
        "vga",
        C,
        "hvm.vga.kind",
        "emulated card; xl.cfg calls std stdvga",
        xl_default="cirrus",
        choices=("unknown", "cirrus", "std", "none", "qxl"),
    ),
    _both(
        "videoram",
        M,
        "b_info.video_memkb",
        "memory of the card; less than Xen's least is left to Xen",
        xm_default="4",
    ),
    _both("nographic", F, "hvm.nographic", "no graphics card", xm_default="0"),
    _both("gfx_passthru", S, "hvm.gfx_passthru", "the host's card: 0, 1 or igd", choices=("igd",)),
    _both("keymap", T, "hvm.keymap", "keyboard layout"),
    _both("vnc", F, "hvm.vnc.enable", "show the screen by VNC (in the model: a vfb)"),
    _both("vnclisten", T, "hvm.vnc.listen", "address VNC listens on (in the model: of the vfb)"),
    _both("vncdisplay", I, "hvm.vnc.display", "VNC display; port 5900 + N (… of the vfb)", low=0),
    _both("vncunused", F, "hvm.vnc.findunused", "take a free display (… of the vfb)"),
    _both("vncpasswd", T, "hvm.vnc.passwd", "password of VNC (… of the vfb)"),
    _both("sdl", F, "hvm.sdl.enable", "show the screen in a window (… of the vfb)"),
    _both("opengl", F, "hvm.sdl.opengl", "OpenGL for that (… of the vfb)"),
    _xm("display", T, "X display of the window (… of the vfb)", libxl="hvm.sdl.display"),
    _xm("xauthority", T, "its X authority (… of the vfb)", libxl="hvm.sdl.xauthority"),
    _xm("vncconsole", F, "xm create attaches a viewer"),
    _xl("spice", F, "hvm.spice.enable", "show the screen by SPICE", xl_default="0"),
    _xl("spicehost", T, "hvm.spice.host", "address SPICE listens on"),
    _xl("spiceport", I, "hvm.spice.port", "its port", low=0, high=65535),
    _xl("spicetls_port", I, "hvm.spice.tls_port", "its TLS port", low=0, high=65535),
    _xl("spicedisable_ticketing", F, "hvm.spice.disable_ticketing", "no password"),
    _xl("spicepasswd", T, "hvm.spice.passwd", "its password"),
    _xl("spiceagent_mouse", F, "hvm.spice.agent_mouse", "mouse through the agent"),
    _xl("spicevdagent", F, "hvm.spice.vdagent", "the agent"),
    _xl("spice_clipboard_sharing", F, "hvm.spice.clipboard_sharing", "shared clipboard"),
    _xl("spiceusbredirection", I, "hvm.spice.usbredirection", "redirected USB devices", low=0),
    _xl("spice_image_compression", T, "hvm.spice.image_compression", "compression of images"),
    _xl("spice_streaming_video", T, "hvm.spice.streaming_video", "detection of video"),
)

_EMULATED: Final = (
    _both("serial", TT, "hvm.serial", "where the serial ports lead: pty, file:/x …"),
    _both("usb", F, "hvm.usb", "emulated USB controller", xm_default="0"),
    _both("usbdevice", TT, "hvm.usbdevice", "emulated USB devices: tablet, mouse …"),
    _both("soundhw", T, "hvm.soundhw", "sound card"),
    _xm("parallel", T, "where the parallel port leads", libxl="b_info.extra_hvm"),
    _xm("fda", T, "image of the first floppy disk", libxl="b_info.extra_hvm"),
    _xm("fdb", T, "image of the second floppy disk", libxl="b_info.extra_hvm"),
    _xm("monitor_path", T, "where the device model's monitor leads", libxl="b_info.extra_hvm"),
    _xm("monitor", F, "the device model has a monitor (with monitor_path)"),
    _xl("usbversion", I, "hvm.usbversion", "version of the USB controller", low=0, high=3),
    _xl("vkb_device", F, "hvm.vkb_device", "Xen's keyboard beside the emulated one"),
    _xl("hdtype", C, "hvm.hdtype", "how hd* disks are attached", choices=("ide", "ahci")),
    _xl(
        "vendor_device",
        C,
        "hvm.vendor_device",
        "PCI device for drivers of a vendor",
        xl_default="none",
        choices=("none", "xenserver"),
    ),
)

_MODEL: Final = (
    _xm("device_model", T, "device model program; Xen's own is used (see device_model_override)"),
    _xl("device_model_override", T, "b_info.device_model", "device model program"),
    _xl(
        "device_model_version",
        C,
        "b_info.device_model_version",
        "qemu-xen or qemu-xen-traditional",
        choices=("unknown", "qemu_xen_traditional", "qemu_xen"),
    ),
    _xl(
        "device_model_stubdomain_override",
        F,
        "b_info.device_model_stubdomain",
        "run it in a domain of its own",
        xl_default="0",
    ),
    _xl("device_model_stubdomain_seclabel", T, "b_info.device_model_ssid_label", "label of that"),
    _xl("device_model_user", T, "b_info.device_model_user", "user it runs as"),
    _xl("device_model_args", TS, "b_info.extra", "more of its arguments"),
    _xl("device_model_args_pv", TS, "b_info.extra_pv", "the same, for PV guests"),
    _xl("device_model_args_hvm", TS, "b_info.extra_hvm", "the same, for HVM guests"),
    _xl("dm_restrict", F, "b_info.dm_restrict", "take its rights away", xl_default="0"),
    _xl("stubdomain_kernel", T, "b_info.stubdomain_kernel", "kernel of the stub domain"),
    _xl("stubdomain_cmdline", T, "b_info.stubdomain_cmdline", "its command line"),
    _xl("stubdomain_ramdisk", T, "b_info.stubdomain_ramdisk", "its RAM disk"),
    _xl("stubdomain_memory", M, "b_info.stubdomain_memkb", "its memory", low=0),
)

_LIMITS: Final = (
    _xl("max_event_channels", I, "b_info.event_channels", "most event channels", xl_default="1023"),
    _xl("max_grant_frames", I, "b_info.max_grant_frames", "most grant frames", low=0),
    _xl("max_maptrack_frames", I, "b_info.max_maptrack_frames", "most maptrack frames", low=0),
    _xl("max_grant_version", I, "b_info.max_grant_version", "newest grant table", low=0),
    _xl("seclabel", S, "c_info.ssid_label", "Flask label (after start, with init_seclabel)"),
    _xl("init_seclabel", S, "c_info.ssid_label", "Flask label while it is built"),
    _xl("driver_domain", F, "c_info.driver_domain", "it serves devices to others"),
    _xl(
        "passthrough",
        C,
        "c_info.passthrough",
        "whether devices can be given to it",
        xl_default="default",
        choices=("default", "disabled", "enabled", "sync_pt", "share_pt"),
    ),
    _xl(
        "xend_suspend_evtchn_compat",
        F,
        "c_info.xend_suspend_evtchn_compat",
        "the suspend event channel is only in XenStore",
        xl_default="0",
    ),
    _rest("blkdev_start", T, "b_info.blkdev_start", "first disk of Domain-0 that pygrub may use"),
    _rest("claim_mode", F, "b_info.claim_mode", "stake its memory out before building"),
    _xl("period", I, "b_info.sched_params.period", "rtds: period in µs", low=0),
    _rest("budget", I, "b_info.sched_params.budget", "rtds: budget in µs"),
    _xl("extratime", I, "b_info.sched_params.extratime", "rtds: unused time too", low=0),
)

_ONLY_KEPT: Final = (
    _xm("isa", F, "only an ISA bus: no longer there", xm_default="0"),
    _xm("guest_os_type", T, "kind of operating system: nobody reads it", xm_default="default"),
    _xm("vhpt", I, "IA64 page table: IA64 is no longer there", xm_default="0"),
    _xm("pci", T, "a copy of the PCI devices"),
    _both("pci_msitranslate", F, None, "of every PCI device: MSI-INTx", xm_default="1"),
    _both("pci_power_mgmt", F, None, "of every PCI device: power states", xm_default="0"),
    _xm("xen_extended_power_mgmt", I, "power states of the guest: no longer there"),
    _xl("pci_permissive", F, None, "of every PCI device: full config space", xl_default="0"),
    _xl("pci_seize", F, None, "of every PCI device: take it from its driver", xl_default="0"),
)

PLATFORM: Final[tuple[PlatformSetting, ...]] = (
    *(*_MACHINE, *_FIRMWARE, *_SCREEN, *_EMULATED, *_MODEL, *_LIMITS, *_ONLY_KEPT),
)
BY_NAME: Final = {row.name: row for row in PLATFORM}
