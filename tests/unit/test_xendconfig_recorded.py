"""`(vm …)` and `(domain …)` against recorded runs of the original's XendConfig.

The order of the children of an answer is compared; that of the keys within a device, or within
another of the original's dictionaries, is none.  UUIDs and MAC addresses that the input does not
name are made up on both sides.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests import recorded
from xend.config import sxp
from xend.config.domainsxp import decode_managed, encode_domain, encode_managed
from xend.config.vmsxp import decode_vm
from xend.errors import ConfigError
from xend.model.domain import DomainConfig

CASES = recorded.cases("xendconfig")

REFUSED = {
    "xc-ex-xlexample.hvm-4.2.0-branched": "mode: 'xvda' is not the mode of a disk",
    "xc-ex-xlexample.pvlinux-4.2.0-branched": "mode: 'xvda' is not the mode of a disk",
    "xc-misc-mem-float": "memory: '192.7' is not a whole number",
    "xc-own-badmac": "vif.mac: 'zz' is not a MAC address",
    "xc-own-min": "memory_dynamic_max must be greater than zero",
}
"""What is refused here at once, or in clearer words (docs/compatibility.md)."""

DIFFERENT = {
    "xc-cpuid": {"cpuid"},
    "xc-cpuid-check": {"cpuid", "cpuid_check"},
    "xc-cpuid-sub": {"cpuid"},
    "xc-cpuid-two": {"cpuid"},
    "xc-disk-many": {"xend"},
    "xc-disk-spaces": {"device"},
    "xc-misc-backends": {"xend"},
    "xc-own-backend": {"xend"},
    "xc-own-hvmmin": {"image", "platform", "HVM_boot_policy", "PV_kernel"},
    "xc-own-hvmold": {"image", "platform"},
    "xc-own-hvmvnc": {"image", "platform", "HVM_boot_policy", "PV_kernel", "device"},
    "xc-own-status": {"start_time", "cpu_time"},
    "xc-sxp-22": {"description", "Description", "image", "PV_args"},
    "xc-vfb-empty": {"device"},
}
"""The children that differ on purpose (docs/compatibility.md)."""

DICTIONARIES = ("platform", "vcpus_params")


def masked(value: sxp.Value, known: str) -> sxp.Value:
    if isinstance(value, list):
        return [masked(item, known) for item in value]
    if isinstance(value, str) and value not in known:
        if re.fullmatch(r"[0-9a-f-]{36}", value):
            return "a uuid"
        if re.fullmatch(r"([0-9a-f]{2}:){5}[0-9a-f]{2}", value):
            return "a MAC address"
    return value


def comparable(tree: sxp.Value) -> Any:
    """The tree, with the keys of dictionaries in one order."""
    if not isinstance(tree, list):
        return tree
    kids = [comparable(kid) for kid in tree]
    name = tree[0] if tree else None
    if name == "device":
        return (name, kids[1][0], *sorted(map(repr, kids[1][1:])))
    if name in DICTIONARIES:
        return (name, *sorted(map(repr, kids[1])))
    if name == "notes":
        return (name, *sorted(map(repr, kids[1:])))
    return tuple(kids)


def names_that_differ(got: str, expected: str, known: str) -> set[Any]:
    ours, theirs = (comparable(masked(sxp.parse_one(text), known)) for text in (got, expected))
    if ours == theirs:
        return set()
    found = {kid[0] for kid in [*ours[1:], *theirs[1:]] if (kid in ours) != (kid in theirs)}
    return found or {"the order"}


def decoded(case: dict[str, Any]) -> DomainConfig:
    return decode_vm(sxp.parse_one(recorded.from_latin1(case["input"])))


if CASES:

    @pytest.mark.parametrize("name", CASES)
    def test_as_the_original(name: str) -> None:
        case = CASES[name]
        if "error" in case or name in REFUSED:
            expected = f"Invalid Configuration: {REFUSED[name]}" if name in REFUSED else ""
            with pytest.raises(ConfigError) as caught:
                decoded(case)
            assert str(caught.value).startswith(expected or case["message"])
            assert caught.value.fields["field"]
            return
        config = decoded(case)
        assert decode_managed(encode_managed(config)) == config
        decode_managed(recorded.from_latin1(case["sxp_full"]))
        differing = set()
        for key, text in (
            ("sxp_legacy", sxp.show(encode_domain(config, devices=True))),
            ("sxp_no_devices", sxp.show(encode_domain(config, devices=False))),
            ("sxp_full", encode_managed(config)),
        ):
            differing |= names_that_differ(text, case[key], case["input"])
        assert differing == DIFFERENT.get(name, set())
