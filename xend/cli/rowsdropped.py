"""Rows of the commands for what Xen no longer has."""

from __future__ import annotations

from xend.cli.command import Command, Option

_ALL_TMEM: Option = ("-a", "--all", "All domains")

NETCHANNEL2: tuple[Command, ...] = (
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
)

DROPPED: tuple[Command, ...] = (
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
    Command(
        "setpolicy",
        "<policytype> <policyfile> [options]",
        "Dropped by Xen: load an ACM policy.",
        "dropped.acm",
    ),
    Command("labels", "[policy] [type=dom|res|any]", "Dropped by Xen: ACM labels.", "dropped.acm"),
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
)
