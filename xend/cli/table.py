"""Every subcommand of `xm`, one row each.

A row is the only place that knows a command's name, usage line, help, options, how many words it
takes and which function does it.  Rows stand in the order of `xm help`; usage lines, option names
and counts are the original's, descriptions are ours.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xend.cli.app import Handler

Option = tuple[str, str, str]
Counts = tuple[int, int] | None


class Command:
    """A row.  `doer` is `module.function` under xend.cli, imported when the command runs."""

    __slots__ = (
        "alone",
        "counts",
        "doer",
        "listed",
        "name",
        "options",
        "plain",
        "reads",
        "summary",
        "usage",
    )

    def __init__(
        self,
        name: str,
        usage: str,
        summary: str | None,
        doer: str,
        counts: Counts = None,
        *options: Option,
        listed: bool = True,
        reads: bool = False,
        alone: bool = False,
        plain: bool = False,
    ) -> None:
        self.name = name
        self.usage = usage
        self.summary = summary
        """What it does; None: the original had no help for it, so the short help is shown."""
        self.doer = doer
        self.counts = counts
        """Fewest and most words; None: the command checks for itself."""
        self.options = options
        """For the help; those of create and its like are in tables of their own."""
        self.listed = listed
        """Appears in `xm help`."""
        self.reads = reads
        """Only looks: that it runs a second time does no harm."""
        self.alone = alone
        """Needs the caller's folder or environment, or leaves traces: a warm process that has run
        it runs nothing after it."""
        self.plain = plain
        """Needs the caller's own process: a warm one declines it."""

    def load(self) -> Handler:
        module, _, function = self.doer.partition(".")
        handler: Handler = getattr(__import__(f"xend.cli.{module}", fromlist=[function]), function)
        return handler


_PAUSED: Option = ("-p", "--paused", "Leave the domain paused")
_ALL_TMEM: Option = ("-a", "--all", "All domains")
_HELP: Option = ("-h", "--help", "Show this text.")
_VNC_PASS = "Give the VNC password to the viewer through its stdin, with -autopass."

COMMANDS: tuple[Command, ...] = (
    # domains
    Command(
        "console",
        "[-q|--quiet] <Domain>",
        "Attach the terminal to the console of <Domain>; CTRL-] leaves it.",
        "console.console",
        (1, 3),
        ("-q", "--quiet", "No message when there is no such domain"),
    ),
    Command(
        "vncviewer",
        "[--[vncviewer-]autopass] <Domain>",
        "Start a VNC viewer on the display of <Domain>.",
        "console.vncviewer",
        None,
        ("", "--autopass", _VNC_PASS),
        ("", "--vncviewer-autopass", "The same; xm create calls it so"),
        plain=True,
    ),
    Command(
        "create",
        "<ConfigFile> [options] [vars]",
        "Start a new domain as <ConfigFile> describes it.",
        "create.create",
        alone=True,
    ),
    Command(
        "new",
        "<ConfigFile> [options] [vars]",
        "Register a domain to be managed, without starting it.",
        "create.new",
        alone=True,
    ),
    Command(
        "delete",
        "<DomainName>",
        "Forget a managed domain that is not running.",
        "domains.delete",
        (1, 1),
    ),
    Command("destroy", "<Domain>", "End a domain at once.", "domains.destroy", (1, 1)),
    Command(
        "domid", "<DomainName>", "Print the id of a domain.", "listing.domid", (1, 1), reads=True
    ),
    Command(
        "domname", "<DomId>", "Print the name of a domain.", "listing.domname", (1, 1), reads=True
    ),
    Command(
        "dump-core",
        "[-L|--live] [-C|--crash] [-R|--reset] <Domain> [Filename]",
        "Write a core dump of a domain.",
        "checkpoint.dump_core",
        None,
        ("-L", "--live", "Let the domain run meanwhile"),
        ("-C", "--crash", "Crash the domain afterwards"),
        ("-R", "--reset", "Reset the domain afterwards"),
        alone=True,
    ),
    Command(
        "list",
        "[options] [Domain, ...]",
        "Show domains: all of them, or those named. JSON with --json.",
        "listing.list_domains",
        None,
        ("-l", "--long", "Everything about them, as SXP"),
        ("", "--label", "Show security labels too"),
        ("", "--state=<state>", "Only those in this state"),
        ("", "--pool=<pool>", "Only those in this CPU pool"),
        reads=True,
    ),
    Command(
        "mem-max",
        "<Domain> <Mem>",
        "Set how much memory a domain may have at most.",
        "tuning.mem_max",
        (2, 2),
    ),
    Command(
        "mem-set",
        "<Domain> <Mem>",
        "Set how much memory a domain has now.",
        "tuning.mem_set",
        (2, 2),
    ),
    Command(
        "migrate",
        "<Domain> <Host>",
        "Move a domain to another host.",
        "checkpoint.migrate",
        None,
        _HELP,
        ("-l", "--live", "Let the domain run meanwhile."),
        ("-p=portnum", "--port=portnum", "Port of the other host's daemon."),
        ("-n=nodenum", "--node=nodenum", "NUMA node to place the domain on."),
        ("-s", "--ssl", "Encrypt the connection."),
        ("-c", "--change_home_server", "Manage the domain from the other host from now on."),
    ),
    Command("pause", "<Domain>", "Stop a domain's CPUs.", "domains.pause", (1, 1)),
    Command("reboot", "<Domain> [-wa]", "Ask a domain to reboot.", "shutdown.reboot", (1, 3)),
    Command(
        "rename",
        "<Domain> <NewDomainName>",
        "Give a domain another name.",
        "domains.rename",
        (2, 2),
    ),
    Command("reset", "<Domain>", "Destroy a domain and start it again.", "domains.reset", (1, 1)),
    Command(
        "restore",
        "<CheckpointFile> [-p]",
        "Bring back a domain that was saved to a file.",
        "checkpoint.restore",
        (1, 2),
        _PAUSED,
        alone=True,
    ),
    Command(
        "resume",
        "<DomainName>",
        "Bring back a managed domain that was suspended.",
        "domains.resume",
        (1, 2),
        _PAUSED,
    ),
    Command(
        "save",
        "[-c] <Domain> <CheckpointFile>",
        "Write a domain's state to a file and end the domain.",
        "checkpoint.save",
        (2, 3),
        ("-c", "--checkpoint", "Let the domain go on afterwards"),
        alone=True,
    ),
    Command(
        "shutdown", "<Domain> [-waRH]", "Ask a domain to shut down.", "shutdown.shutdown", (1, 4)
    ),
    Command(
        "start",
        "<DomainName>",
        "Start a managed domain.",
        "domains.start",
        None,
        _PAUSED,
        ("-c", "--console_autoconnect", "Attach to its console"),
        ("", "--vncviewer", "Start a VNC viewer on its display"),
        ("", "--vncviewer-autopass", _VNC_PASS),
        alone=True,
    ),
    Command(
        "suspend",
        "<DomainName>",
        "Suspend a managed domain to its own checkpoint.",
        "domains.suspend",
        (1, 1),
    ),
    Command(
        "sysrq",
        "<Domain> <letter>",
        "Send a system request key to a domain.",
        "domains.sysrq",
        (2, 2),
    ),
    Command(
        "trigger",
        "<Domain> <nmi|reset|init|s3resume|power> [<VCPU>]",
        "Send an event to a domain's virtual hardware.",
        "domains.trigger",
        (2, 3),
    ),
    Command("top", "", "Watch the host and its domains.", "console.top", (0, 0)),
    Command("unpause", "<Domain>", "Let a domain run.", "domains.unpause", (1, 1)),
    Command(
        "uptime",
        "[-s] [Domain, ...]",
        "Show for how long domains have been running. JSON with --json.",
        "listing.uptime",
        alone=True,
        reads=True,
    ),
    Command(
        "usb-add",
        "<domain> <[host:bus.addr] [host:vendor_id:product_id]>",
        "Give a USB device of the host to an HVM domain.",
        "usb.add",
        (2, 2),
    ),
    Command(
        "usb-del",
        "<domain> <[host:bus.addr] [host:vendor_id:product_id]>",
        "Take a USB device back from an HVM domain.",
        "usb.delete",
        (2, 2),
    ),
    Command(
        "domstate",
        "<domain> ",
        "Print the state of a domain in one word.",
        "listing.domstate",
        (1, 1),
        reads=True,
    ),
    Command(
        "vcpu-list",
        "[Domain, ...]",
        "Show the virtual CPUs of domains. JSON with --json.",
        "listing.vcpu_list",
        reads=True,
    ),
    Command(
        "vcpu-pin",
        "<Domain> <VCPU|all> <CPUs|all>",
        "Choose the CPUs that a virtual CPU may run on.",
        "tuning.vcpu_pin",
        (3, 3),
    ),
    Command(
        "vcpu-set",
        "<Domain> <vCPUs>",
        "Choose how many virtual CPUs a domain uses.",
        "tuning.vcpu_set",
        (2, 2),
    ),
    # the host
    Command(
        "debug-keys", "<Keys>", "Send debug keys to the hypervisor.", "host.debug_keys", (1, 1)
    ),
    Command(
        "dmesg",
        "[-c|--clear]",
        "Print the hypervisor's messages.",
        "host.dmesg",
        (0, 1),
        ("-c", "--clear", "Print them, then empty the buffer"),
    ),
    Command(
        "info",
        "[-c|--config] [-n|--numa]",
        "Describe the host. JSON with --json.",
        "host.info",
        (0, 1),
        ("-c", "--config", "Print the daemon's configuration instead"),
        ("-n", "--numa", "With the topology of CPUs and memory"),
        reads=True,
    ),
    Command("log", "", "Print the daemon's log.", "host.log", (0, 0), reads=True),
    Command(
        "serve",
        "",
        "Pass XML-RPC between the daemon and stdin and stdout.",
        "relay.serve",
        (0, 0),
        plain=True,
    ),
    # schedulers
    Command(
        "sched-credit2",
        "[-d <Domain> [-w[=WEIGHT]]",
        "Show or set a domain's share under the credit2 scheduler.",
        "tuning.sched_credit2",
        None,
        ("-d DOMAIN", "--domain=DOMAIN", "The domain"),
        ("-w WEIGHT", "--weight=WEIGHT", "Its new weight"),
    ),
    Command(
        "sched-credit",
        "[-d <Domain> [-w[=WEIGHT]|-c[=CAP]]]",
        "Show or set a domain's share under the credit scheduler.",
        "tuning.sched_credit",
        None,
        ("-d DOMAIN", "--domain=DOMAIN", "The domain"),
        ("-w WEIGHT", "--weight=WEIGHT", "Its new weight"),
        ("-c CAP", "--cap=CAP", "Its new cap, in percent of one CPU"),
    ),
    Command(
        "sched-sedf",
        "<Domain> [options]",
        "Dropped by Xen: the SEDF scheduler.",
        "dropped.sedf",
        None,
        ("-p [MS]", "--period[=MS]", "Period"),
        ("-s [MS]", "--slice[=MS]", "Slice"),
        ("-l [MS]", "--latency[=MS]", "Latency"),
        ("-e [FLAG]", "--extra[=FLAG]", "Extra time"),
        ("-w [FLOAT]", "--weight[=FLOAT]", "Share; not together with --period/--slice)"),
    ),
    # devices
    Command(
        "block-attach",
        "<Domain> <BackDev> <FrontDev> <Mode> [BackDomain]",
        "Give a domain another disk.",
        "devices.block_attach",
        (4, 5),
    ),
    Command(
        "block-detach",
        "<Domain> <DevId> [-f|--force]",
        "Take a disk away from a domain.",
        "devices.block_detach",
        (2, 3),
    ),
    Command(
        "block-list",
        "<Domain> [--long]",
        "Show a domain's disks. JSON with --json.",
        "devices.block_list",
        reads=True,
    ),
    Command(
        "block-configure",
        "<Domain> <BackDev> <FrontDev> <Mode> [BackDomain]",
        "Change a disk of a domain, for example the medium of a CD drive.",
        "devices.block_configure",
        (4, 5),
    ),
    Command(
        "network-attach",
        "<Domain> [type=<type>] [mac=<mac>] [bridge=<bridge>] [ip=<ip>] [script=<script>]"
        " [backend=<BackDomain>] [vifname=<name>] [rate=<rate>] [model=<model>][accel=<accel>]",
        "Give a domain another network interface.",
        "devices.network_attach",
        (1, 11),
    ),
    Command(
        "network-detach",
        "<Domain> <DevId|mac> [-f|--force]",
        "Take a network interface away from a domain.",
        "devices.network_detach",
        (2, 3),
    ),
    Command(
        "network-list",
        "<Domain> [--long]",
        "Show a domain's network interfaces. JSON with --json.",
        "devices.network_list",
        None,
        ("-l", "--long", "Everything about them, as SXP"),
        reads=True,
    ),
    Command(
        "network2-attach",
        "<Domain> [front_mac=<mac>] [back_mac=<mac>] [backend=<BackDomain>] [trusted=<0|1>]"
        " [back_trusted=<0|1>] [bridge=<bridge>] [filter_mac=<0|1>] [front_filter_mac=<0|1>]"
        " [pdev=<PDEV>] [max_bypasses=n]",
        "Dropped by Xen: a netchannel2 interface.",
        "dropped.netchannel2",
    ),
    Command(
        "network2-detach",
        "<Domain> <DevId> [-f|--force]",
        "Dropped by Xen: a netchannel2 interface.",
        "dropped.netchannel2",
    ),
    Command(
        "network2-list",
        "<Domain> [--long]",
        "Dropped by Xen: netchannel2 interfaces.",
        "dropped.netchannel2",
    ),
    Command(
        "pci-attach",
        "[-o|--options=<opt>] <Domain> <domain:bus:slot.func> [virtual slot]",
        "Pass a PCI device through to a domain.",
        "pci.attach",
    ),
    Command(
        "pci-detach",
        "<Domain> <domain:bus:slot.func>",
        "Take a passed-through PCI device back.",
        "pci.detach",
        (2, 2),
    ),
    Command(
        "pci-list",
        "<Domain>",
        "Show the PCI devices passed through to a domain. JSON with --json.",
        "pci.list_attached",
        reads=True,
    ),
    Command(
        "pci-list-assignable-devices",
        "",
        "Show the PCI devices that may be passed through.",
        "pci.list_assignable",
        (0, 0),
        reads=True,
    ),
    Command(
        "scsi-attach",
        "<Domain> <PhysDevice> <VirtDevice> [BackDomain]",
        "Give a domain a SCSI device.",
        "scsi.attach",
        (3, 4),
        alone=True,
    ),
    Command(
        "scsi-detach",
        "<Domain> <VirtDevice>",
        "Take a SCSI device away from a domain.",
        "scsi.detach",
        (2, 2),
    ),
    Command(
        "scsi-list",
        "<Domain> [--long]",
        "Show a domain's SCSI devices. JSON with --json.",
        "scsi.list_attached",
        reads=True,
    ),
    Command(
        "usb-attach",
        "<Domain> <DevId> <PortNumber> <BusId>",
        "Plug a USB device of the host into a port of a domain's virtual controller.",
        "usb.attach",
        (4, 4),
    ),
    Command(
        "usb-detach",
        "<Domain> <DevId> <PortNumber>",
        "Unplug the USB device in a port of a domain's virtual controller.",
        "usb.detach",
        (3, 3),
    ),
    Command(
        "usb-list",
        "<Domain>",
        "Show a domain's virtual USB controllers and what is plugged into them.",
        "usb.list_attached",
        (1, 1),
        alone=True,
        reads=True,
    ),
    Command(
        "usb-list-assignable-devices",
        "",
        "Show the USB devices of the host that no domain has.",
        "usb.list_assignable",
        (0, 0),
        alone=True,
        reads=True,
    ),
    Command(
        "usb-hc-create",
        "<Domain> <USBSpecVer> <NumberOfPorts>",
        "Give a domain a virtual USB controller.",
        "usb.controller_create",
        (3, 3),
    ),
    Command(
        "usb-hc-destroy",
        "<Domain> <DevId>",
        "Take a virtual USB controller away from a domain.",
        "usb.controller_destroy",
        (2, 2),
    ),
    # virtual networks
    Command(
        "vnet-list",
        "[-l|--long]",
        "Dropped by Xen: virtual networks.",
        "dropped.vnet",
        None,
        ("-l", "--long", "As SXP"),
    ),
    Command("vnet-create", "<ConfigFile>", "Dropped by Xen: virtual networks.", "dropped.vnet"),
    Command("vnet-delete", "<VnetId>", "Dropped by Xen: virtual networks.", "dropped.vnet"),
    # security
    Command(
        "setpolicy",
        "<policytype> <policyfile> [options]",
        "Dropped by Xen: load an ACM policy.",
        "dropped.acm",
    ),
    Command(
        "labels",
        "[policy] [type=dom|res|any]",
        "Dropped by Xen: ACM labels.",
        "dropped.acm",
    ),
    Command(
        "addlabel",
        "<label> {dom <ConfigFile>|res <resource>|mgt <managed domain>} [<policy>]",
        "Dropped by Xen: give an ACM label.",
        "dropped.acm",
    ),
    Command(
        "rmlabel",
        "{dom <ConfigFile>|res <Resource>|mgt<managed domain>}",
        "Dropped by Xen: remove an ACM label.",
        "dropped.acm",
    ),
    Command(
        "getlabel",
        "{dom <ConfigFile>|res <Resource>|mgt <managed domain>}",
        "Dropped by Xen: show an ACM label.",
        "dropped.acm",
    ),
    Command(
        "dry-run",
        "<ConfigFile>",
        "Dropped by Xen: check a domain against the ACM policy.",
        "dropped.acm",
    ),
    Command("resources", "", "Dropped by Xen: resources with an ACM label.", "dropped.acm"),
    Command("dumppolicy", "", "Dropped by Xen: the hypervisor's ACM state.", "dropped.acm"),
    Command("resetpolicy", "", "Dropped by Xen: go back to the default policy.", "dropped.acm"),
    Command(
        "getpolicy",
        "[options]",
        "Dropped by Xen: show the ACM policy.",
        "dropped.acm",
        None,
        ("", "--dumpxml", "As XML"),
    ),
    Command(
        "getenforce",
        "",
        "Whether the Flask security module enforces its policy: ask xl.",
        "dropped.flask",
    ),
    Command(
        "setenforce",
        "[ (Enforcing|1) | (Permissive|0) ]",
        "Switch the Flask security module's enforcing on or off: ask xl.",
        "dropped.flask",
    ),
    # transcendent memory
    Command(
        "tmem-list",
        "[-l|--long] [<Domain>|-a|--all]",
        "Dropped by Xen: pools of transcendent memory.",
        "dropped.tmem",
        None,
        ("-l", "--long", "With statistics"),
    ),
    Command(
        "tmem-thaw",
        "[<Domain>|-a|--all]",
        "Dropped by Xen: thaw transcendent memory.",
        "dropped.tmem",
        None,
        _ALL_TMEM,
    ),
    Command(
        "tmem-freeze",
        "[<Domain>|-a|--all]",
        "Dropped by Xen: freeze transcendent memory.",
        "dropped.tmem",
        None,
        _ALL_TMEM,
    ),
    Command(
        "tmem-destroy",
        "[<Domain>|-a|--all]",
        "Dropped by Xen: destroy transcendent memory.",
        "dropped.tmem",
        None,
        _ALL_TMEM,
    ),
    Command(
        "tmem-set",
        "[<Domain>|-a|--all] [weight=<weight>] [cap=<cap>] [compress=<compress>]",
        "Dropped by Xen: settings of transcendent memory.",
        "dropped.tmem",
        None,
        _ALL_TMEM,
    ),
    Command(
        "tmem-shared-auth",
        "[<Domain>|-a|--all] [--uuid=<uuid>] [--auth=<0|1>]",
        "Dropped by Xen: share transcendent memory.",
        "dropped.tmem",
        None,
        _ALL_TMEM,
        ("-u", "--uuid", "The pool"),
        ("-A", "--auth", "0 or 1"),
    ),
    Command(
        "tmem-freeable",
        "",
        "Dropped by Xen: how much transcendent memory could be freed.",
        "dropped.tmem",
        listed=False,
    ),
    Command("tmem-flush", "", None, "dropped.tmem", listed=False),
    # CPU pools
    Command(
        "cpupool-create",
        "<ConfigFile> [vars]",
        "Make a CPU pool as <ConfigFile> describes it.",
        "cpupool.create",
        alone=True,
    ),
    Command(
        "cpupool-new",
        "<ConfigFile> [vars]",
        "Register a CPU pool to be managed, without making it.",
        "cpupool.new",
        alone=True,
    ),
    Command("cpupool-start", "<CPU Pool>", "Make a managed CPU pool.", "cpupool.start", (1, 1)),
    Command(
        "cpupool-list",
        "[<CPU Pool>] [-l|--long] [-c|--cpus]",
        "Show CPU pools. JSON with --json.",
        "cpupool.list_pools",
        (0, 2),
        ("-l", "--long", "Everything about them, as SXP"),
        ("-c", "--cpus", "The CPUs of each"),
        reads=True,
    ),
    Command(
        "cpupool-destroy",
        "<CPU Pool>",
        "Dissolve a CPU pool; a managed one stays registered.",
        "cpupool.destroy",
        (1, 1),
    ),
    Command("cpupool-delete", "<CPU Pool>", "Forget a managed CPU pool.", "cpupool.delete", (1, 1)),
    Command(
        "cpupool-cpu-add",
        "<CPU Pool> <CPU nr>",
        "Put a CPU into a pool.",
        "cpupool.cpu_add",
        (2, 2),
    ),
    Command(
        "cpupool-cpu-remove",
        "<CPU Pool> <CPU nr>",
        "Take a CPU out of a pool.",
        "cpupool.cpu_remove",
        (2, 2),
    ),
    Command(
        "cpupool-migrate",
        "<Domain> <CPU Pool>",
        "Move a domain into a CPU pool.",
        "cpupool.migrate",
        (2, 2),
    ),
    # the rest
    Command("shell", "", "Read commands from a prompt.", "relay.shell", None, plain=True),
    Command("help", "", "Print this text.", "help.long_help_command", None, listed=False),
    Command("event-monitor", "", None, "dropped.event_monitor", listed=False),
    Command("network-new", "", None, "dropped.only_xen_api", listed=False),
    Command("network-del", "", None, "dropped.only_xen_api", listed=False),
    Command("network-show", "", None, "dropped.only_xen_api", listed=False),
)

COMMON: tuple[str, ...] = (
    *("console", "vncviewer", "create", "new", "delete", "destroy", "dump-core", "help", "list"),
    *("mem-set", "migrate", "pause", "reboot", "reset", "restore", "resume", "save", "shell"),
    *("shutdown", "start", "suspend", "top", "unpause", "uptime", "usb-add", "usb-del"),
    *("domstate", "vcpu-set"),
)
"""What the short help shows."""

ALIASES: dict[str, str] = {
    "balloon": "mem-set",
    "pool-create": "cpupool-create",
    "pool-new": "cpupool-new",
    "pool-start": "cpupool-start",
    "pool-list": "cpupool-list",
    "pool-destroy": "cpupool-destroy",
    "pool-delete": "cpupool-delete",
    "pool-cpu-add": "cpupool-cpu-add",
    "pool-cpu-remove": "cpupool-cpu-remove",
    "pool-migrate": "cpupool-migrate",
    "set-vcpus": "vcpu-set",
    "vif-list": "network-list",
    "vbd-create": "block-attach",
    "vbd-destroy": "block-detach",
    "vbd-list": "block-list",
}

BY_NAME: dict[str, Command] = {command.name: command for command in COMMANDS}


def find(typed: str) -> Command | None:
    """By name, else by a prefix of two letters or more that only one command has."""
    command = BY_NAME.get(typed)
    if command is not None or len(typed) < 2:
        return command
    found = [row for row in COMMANDS if row.name.startswith(typed) and row.name != "help"]
    return found[0] if len(found) == 1 else None
