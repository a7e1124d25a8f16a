"""Rows of the commands for the host, its schedulers and its CPU pools."""

from __future__ import annotations

from xend.cli.command import Command

HOST: tuple[Command, ...] = (
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
    Command(
        "sched-credit2",
        "[-d <Domain> [-w[=WEIGHT]]",
        "Show or set a domain's share under the credit2 scheduler. JSON with --json.",
        "tuning.sched_credit2",
        None,
        ("-d DOMAIN", "--domain=DOMAIN", "The domain"),
        ("-w WEIGHT", "--weight=WEIGHT", "Its new weight"),
    ),
    Command(
        "sched-credit",
        "[-d <Domain> [-w[=WEIGHT]|-c[=CAP]]]",
        "Show or set a domain's share under the credit scheduler. JSON with --json.",
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
)

POOLS: tuple[Command, ...] = (
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
)
