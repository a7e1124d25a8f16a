"""Every option of `xm create` and `xm new`: one row each, in the order of the help."""

from __future__ import annotations

from typing import Final

from xend.config.commandline import CommandLine, Option, as_bool, as_int, as_long


def _switch(
    name: str, help_text: str, *, short: str = "", metavar: str | None = None, default: object = 0
) -> Option:
    return Option(name, default, help_text, short=short, metavar=metavar, is_switch=True)


def _text(name: str, metavar: str, default: object, help_text: str) -> Option:
    return Option(name, default, help_text, metavar=metavar)


def _int(name: str, metavar: str, default: object, help_text: str) -> Option:
    return Option(name, default, help_text, metavar=metavar, convert=as_int)


def _bool(name: str, default: object, help_text: str, metavar: str = "no|yes") -> Option:
    return Option(name, default, help_text, metavar=metavar, convert=as_bool)


def _list(name: str, metavar: str, help_text: str) -> Option:
    return Option(name, None, help_text, metavar=metavar, is_list=True)


_ENDINGS: Final = "destroy|restart|preserve|rename-restart"
_ENDING_HELP: Final = (
    "destroy: remove it; restart: remove it and start it anew; preserve: keep it, stopped, to "
    "look at; rename-restart: keep it under another name and start it anew"
)

SWITCHES: Final = [
    _switch("help", "Show the switches of this command.", short="h"),
    _switch("help_config", "Show the variables that a configuration file may set."),
    _switch("quiet", "Say nothing but errors.", short="q"),
    _switch(
        "path",
        "Directories, separated by colons, in which the configuration file is looked for.",
        metavar="PATH",
        default=".:/etc/xen",
    ),
    _switch(
        "defconfig",
        "The configuration file. What the command line sets stays as it is there, whatever the "
        "file says.",
        short="f",
        metavar="FILE",
        default="xmdefconfig",
    ),
    _switch(
        "config",
        "A file with the finished configuration in SXP, as --dryrun prints it.",
        short="F",
        metavar="FILE",
        default=None,
    ),
    _switch("dryrun", "Print the configuration in SXP and do nothing else.", short="n"),
    _switch(
        "xmldryrun", "Print the configuration in XML (Xen-API) and do nothing else.", short="x"
    ),
    _switch("skipdtd", "Do not check the XML against its DTD.", short="s"),
    _switch("paused", "Leave the new domain paused.", short="p"),
    _switch("console_autoconnect", "Attach to the console of the new domain.", short="c"),
    _switch("vncviewer", "Attach to the VNC display of the new domain."),
    _switch("vncviewer-autopass", "Give the viewer the VNC password on its standard input."),
]

VARIABLES: Final = [
    _text("vncpasswd", "NAME", None, "Password of the VNC display."),
    _bool("vncviewer", None, "Obsolete: have a viewer wait for the domain. Use vncconsole."),
    _bool("vncconsole", None, "Attach a viewer to the domain's display (needs vnc=1)."),
    _text("name", "NAME", None, "Name of the domain; no other may have it."),
    _text("bootloader", "FILE", None, "Program that finds the kernel on the domain's disk."),
    _text("bootargs", "NAME", None, "Arguments of the boot loader."),
    _text("bootentry", "NAME", None, "Obsolete: which entry to boot. Use bootargs."),
    _text("kernel", "FILE", None, "Kernel, or hvmloader for a fully virtualised domain."),
    _text("ramdisk", "FILE", "", "Initial RAM disk."),
    _text("loader", "FILE", "", "Firmware of a fully virtualised domain."),
    _text("features", "FEATURES", "", "Features that the kernel must be told of."),
    _text("builder", "FUNCTION", "linux", "Kind of domain: linux or hvm."),
    _int("memory", "MEMORY", 128, "Memory in MiB."),
    _int("maxmem", "MEMORY", None, "The most memory it may ever have, in MiB."),
    _int("shadow_memory", "MEMORY", 0, "Shadow page tables in MiB."),
    _bool("memory_sharing", 0, "Let memory be shared between domains."),
    _int("cpu", "CPU", None, "CPU of the first VCPU."),
    _text("cpus", "CPUS", None, "CPUs it may run on, such as 0-3,5,^1, or a list per VCPU."),
    _int("rtc_timeoffset", "RTC_TIMEOFFSET", 0, "Offset of its clock in seconds."),
    _int("pae", "PAE", 1, "Physical address extension (hvm): 0 or 1."),
    _int("hpet", "HPET", 0, "High precision event timer (hvm): 0 or 1."),
    _int("timer_mode", "TIMER_MODE", 1, "What happens to missed timer ticks (hvm): 0 to 3."),
    _int(
        "tsc_mode", "TSC_MODE", 0, "Time stamp counter: 0 default, 1 emulate, 2 native, 3 PVRDTSCP."
    ),
    _int("nomigrate", "NOMIGRATE", 0, "1 forbids saving and migrating it."),
    _int("vpt_align", "VPT_ALIGN", 1, "Align its periodic timers (hvm): 0 or 1."),
    _int("viridian", "VIRIDIAN", 0, "Offer the Hyper-V interface (hvm): 0 or 1."),
    _int("acpi", "ACPI", 1, "ACPI (hvm): 0 or 1."),
    _int("apic", "APIC", 1, "APIC (hvm): 0 or 1."),
    _int("vcpus", "VCPUS", 1, "Number of virtual CPUs."),
    Option(
        "vcpu_avail",
        None,
        "Bit mask of the virtual CPUs that are there from the start.",
        metavar="VCPUS",
        convert=as_long,
    ),
    _int("vhpt", "VHPT", 0, "Size of the IA64 page table (IA64 is no longer there)."),
    _int("cpu_cap", "CAP", None, "The most CPU time it gets, in percent of one CPU."),
    _int("cpu_weight", "WEIGHT", None, "Its share of CPU time against other domains."),
    _text(
        "restart",
        "onreboot|always|never",
        None,
        "Obsolete: use on_poweroff, on_reboot and on_crash.",
    ),
    _text("on_poweroff", _ENDINGS, None, f"After it powers off. {_ENDING_HELP}."),
    _text("on_reboot", _ENDINGS, None, f"After it reboots. {_ENDING_HELP}."),
    _text(
        "on_crash",
        f"{_ENDINGS}|coredump-destroy|coredump-restart",
        None,
        f"After it crashes. {_ENDING_HELP}; with coredump- its memory is dumped first.",
    ),
    _bool("blkif", 0, "The domain serves block devices to others."),
    _bool("netif", 0, "The domain serves network interfaces to others."),
    _list(
        "disk",
        "phy:DEV,VDEV,MODE[,DOM]",
        "A disk: DEV is the block device or file on the host (phy:, file:, tap:aio: ...), VDEV "
        "its name in the domain, MODE r or w, DOM the domain that serves it. May be repeated.",
    ),
    _list(
        "pci",
        "BUS:DEV.FUNC[@VSLOT][,msitranslate=0|1][,power_mgmt=0|1]",
        "A PCI device of the host, in hexadecimal, such as c0:02.1; VSLOT is its slot in the "
        "domain. May be repeated.",
    ),
    _list("vscsi", "PDEV,VDEV[,DOM]", "A SCSI device: PDEV of the host, VDEV as h:c:t:l."),
    _list(
        "vusb",
        "usbver=USBVER,numports=NUMPORTS,port_1=PORT1,...,port_16=PORT16",
        "A USB controller: version 1 or 2, 1 to 16 ports, and the bus number behind each.",
    ),
    _list("ioports", "FROM[-TO]", "I/O ports of the host in hexadecimal, such as 02f8-02ff."),
    _list("irq", "IRQ", "An interrupt of the host."),
    _list(
        "vfb",
        "vnc=1,sdl=1,vncunused=1,vncdisplay=N,vnclisten=ADDR,display=DISPLAY,"
        "xauthority=XAUTHORITY,vncpasswd=PASSWORD,opengl=1,keymap=FILE,serial=FILE,monitor=FILE",
        "A virtual display, shown by VNC (on port 5900+N of ADDR) or SDL.",
    ),
    _list(
        "vif",
        "type=TYPE,mac=MAC,bridge=BRIDGE,ip=IPADDR,script=SCRIPT,"
        "backend=DOM,vifname=NAME,rate=RATE,model=MODEL,accel=ACCEL",
        "A network interface; what is left out is chosen: a MAC address, the bridge, the script. "
        "May be repeated.",
    ),
    _list(
        "vif2",
        "front_mac=MAC,back_mac=MAC,backend=DOM,pdev=PDEV,max_bypasses=N,bridge=BRIDGE,"
        "filter_mac=<0|1>,front_filter_mac=<0|1>",
        "A netchannel2 interface (no longer in Xen).",
    ),
    _list("access_control", "policy=POLICY,label=LABEL", "An ACM label (no longer in Xen)."),
    _int("nics", "NUM", -1, "Obsolete: number of interfaces. Use empty entries of vif."),
    _text("root", "DEVICE", "", "Root device: root= of the kernel's command line."),
    _text("extra", "ARGS", "", "More of the kernel's command line."),
    _text("ip", "IPADDR", "", "IP address for the kernel's command line."),
    _text("gateway", "IPADDR", "", "Gateway for the kernel's command line."),
    _text("netmask", "MASK", "", "Network mask for the kernel's command line."),
    _text("hostname", "NAME", "", "Host name for the kernel's command line."),
    _text("interface", "INTF", "eth0", "Interface for the kernel's command line."),
    _text("dhcp", "off|dhcp", "off", "Whether the kernel asks DHCP."),
    _text("nfs_server", "IPADDR", None, "Server of an NFS root."),
    _text("nfs_root", "PATH", None, "Directory of an NFS root."),
    _text("device_model", "FILE", None, "Device model program (hvm)."),
    _text("fda", "FILE", "", "Image of the first floppy disk."),
    _text("fdb", "FILE", "", "Image of the second floppy disk."),
    _text("parallel", "FILE", "", "Where the parallel port leads."),
    _text("serial", "FILE", "", "Where the serial port leads, such as pty."),
    _bool("monitor", 0, "Let the device model have a monitor."),
    _text("monitor_path", "FILE", "", "Where the device model's monitor leads."),
    _bool("localtime", 0, "Its clock shows local time."),
    _text("keymap", "FILE", "", "Keyboard layout."),
    _bool("usb", 0, "Emulated USB."),
    _text("usbdevice", "NAME", "", "Emulated USB device, such as tablet."),
    _text("description", "NAME", "", "Free text about the domain."),
    _text("guest_os_type", "NAME", "default", "Kind of operating system within."),
    _bool("stdvga", 0, "Standard VGA rather than Cirrus."),
    _bool("isa", 0, "Only an ISA bus."),
    _text("boot", "a|b|c|d", "c", "Order of boot devices (hvm)."),
    _bool("nographic", 0, "No graphics card."),
    _text("soundhw", "audiodev", "", "Sound card."),
    _text("vnc", "", None, "Show the display by VNC: 0 or 1."),
    _text("vncdisplay", "", None, "Number of the VNC display."),
    _text("vnclisten", "", None, "Address on which VNC listens."),
    _bool("vncunused", 1, "Take the first free VNC display (needs vnc=1).", ""),
    _int("videoram", "MEMORY", 4, "Memory of the graphics card in MiB."),
    _text("sdl", "", None, "Show the display by SDL: 0 or 1."),
    _text("gfx_passthru", "", None, "Give it the host's graphics card: 0 or 1."),
    _text("opengl", "", None, "OpenGL for SDL: 0 or 1."),
    _text("display", "DISPLAY", None, "X display for SDL."),
    _text("xauthority", "XAUTHORITY", None, "X authority file for SDL."),
    _text("uuid", "", None, "Its UUID; left out, one is made."),
    _text("on_xend_start", "ignore|start", "ignore", "When xend starts: start it, or not."),
    _text(
        "on_xend_stop",
        "ignore|shutdown|suspend",
        "ignore",
        "When xend stops: leave it, shut it down or suspend it.",
    ),
    _int("target", "TARGET", 0, "The domain that this one serves as a device model."),
    _int("hap", "HAP", 1, "Hardware assisted paging (hvm): 0 or 1."),
    _int("nestedhvm", "NESTEDHVM", 0, "Virtualisation within it (hvm): 0 or 1."),
    _int("s3_integrity", "TBOOT_MEMORY_PROTECT", 1, "Check its memory after suspend to RAM."),
    _int("oos", "OOS", 1, "Out of sync shadow page tables: 0 or 1."),
    _list("cpuid", "IN[,SIN]:eax=EAX,ebx=EBX,ecx=ECX,edx=EDX", "What CPUID shows it."),
    _list("cpuid_check", "IN[,SIN]:eax=EAX,ebx=EBX,ecx=ECX,edx=EDX", "What CPUID must show."),
    _int("machine_address_size", "BITS", None, "Width of machine addresses in bits."),
    _bool("suppress_spurious_page_faults", None, "Hide spurious page faults.", "yes|no"),
    _text("pool", "POOL NAME", None, "CPU pool to run in."),
    _int("pci_msitranslate", "TRANSLATE", 1, "MSI-INTx translation of its PCI devices."),
    _int("pci_power_mgmt", "POWERMGMT", 0, "Power management of its PCI devices."),
    _int("xen_platform_pci", "0|1", 1, "Xen platform device (hvm)."),
    _int("superpages", "0|1", 0, "Build it with superpages."),
]

COMMAND_LINE: Final = CommandLine([*SWITCHES, *VARIABLES], "defconfig")

USAGE: Final = (
    "[options] [vars]\n\n"
    "The domain is described by a configuration file, by switches, or by a finished SXP\n"
    "configuration (-F). VAR=VAL sets an option, or a variable of the file: vmid=3.\n\n\n"
)
"""Follows the command's help after an error of the command line."""

_ABOUT: Final = {
    "create": "Creates and starts the domain that ConfigFile describes.",
    "new": "Adds the domain that ConfigFile describes to those that xend manages.",
}


def help_text(command: str) -> str:
    """What `xm COMMAND --help` prints."""
    about = _ABOUT[command]
    switches = COMMAND_LINE.switches_help()
    return f"Usage: xm {command} <ConfigFile> [options] [vars]\n\n{about}\n{switches}\n"
