"""libxl's JSON by xl and ours, compared as values; and where they differ on purpose.

Every difference is explained in docs/compatibility.md, section "Files of xl".
"""

from __future__ import annotations

from typing import Any, Final

from tests.xlcases import Answer, Case
from xend.config.problems import InvalidFile
from xend.config.xlcfg import read
from xend.libxl import marshal

Tree = dict[str, Any]

OF_THE_HOST: Final = frozenset(("b_info.claim_mode", "c_info.run_hotplug_scripts"))
"""xl writes what xl.conf says; xend leaves it to libxl."""

DEFAULTS: Final[dict[str, Any]] = {
    "b_info.max_memkb": 32 * 1024,
    "b_info.target_memkb": 32 * 1024,
    "b_info.avail_vcpus": [0],
    "b_info.max_vcpus": 1,
    "b_info.sched_params.weight": 256,
    "b_info.type.hvm.sdl.enable": "False",
    "b_info.type.hvm.sdl.opengl": "False",
    "b_info.type.hvm.vnc.enable": "True",
    "b_info.type.hvm.vnc.findunused": "True",
    "vfbs[].sdl.opengl": "False",
    "vfbs[].vnc.enable": "True",
    "vfbs[].vnc.findunused": "True",
}
"""One of both writes down what libxl would take anyway (libxl_create.c), the other does not."""

NODES: Final = {0: (0, 1)}
"""NUMA nodes of the lab's host."""
ZERO_IS_SAID: Final = frozenset(
    (
        *("b_info.max_grant_frames", "b_info.max_maptrack_frames", "b_info.max_grant_version"),
        *("b_info.sched_params.extratime", "b_info.sched_params.latency"),
    )
)
"""Numbers whose default is another than 0."""
_QEMU_FORMATS: Final = ("qcow", "qcow2", "vhd", "qed")
_HARD, _SOFT = "vcpu_hard_affinity", "vcpu_soft_affinity"

TAKEN_HERE: Final = {
    "grammar/comment-without-end": "xl's scanner looks for the end of the line",
    "disk/keys-trusted": "xl's scanner does not know the word of its own manual",
    "disk/keys-untrusted": "xl's scanner does not know the word of its own manual",
}
"""Cases that xl refuses and xend takes."""

REFUSED_HERE: Final = {
    "disk/two-with-one-name": "libxl refuses the second when it is attached",
    "grammar/escape-octal": "xl drops the character",
    "grammar/list-for-number": "xl goes on without the setting",
    "grammar/list-for-text": "xl goes on without the setting",
    "grammar/nested-empty-list": "xl goes on without the device",
    "grammar/nested-list-for-text": "xl goes on without the device",
    "grammar/number-in-blanks": "xl goes on without the setting",
    "grammar/number-not-one": "xl goes on without the setting",
    "grammar/number-too-large": "xl goes on without the setting",
    "grammar/plus-equals-number": "xl goes on without the setting",
    "grammar/text-for-list": "xl goes on without the devices",
    "memory/more-than-maxmem": "libxl refuses it when the domain is made",
    "memory/zero": "a domain without memory",
    "pci/rdm-bad": "xl goes on without the setting",
    "ports/ioports-descending": "xl makes a range of a negative length of it",
    "vif/bad-mac": "xl takes another address",
    "vif/bad-type": "xl goes on without the type",
    "vif/short-mac": "xl takes another address",
    "vif/two-with-one-address": "two interfaces that are one",
}
"""Cases that xl takes, mostly with a warning, and xend refuses."""

DIFFERENT: Final[dict[str, tuple[str, ...]]] = {
    "boot/firmware-pvgrub32": ("b_info.kernel",),
    "boot/firmware-pvgrub64": ("b_info.kernel",),
    "boot/hvm-bootloader": ("b_info.bootloader",),
    "cpuid/libxl-arch-caps-bad": ("b_info.cpuid.msr",),
    "cpuid/libxl-bad-value": ("b_info.cpuid.cpuid",),
    "cpuid/xend-bad-register": ("b_info.cpuid.cpuid",),
    "cpuid/xend-short": ("b_info.cpuid.cpuid",),
    "cpus/number": (f"b_info.{_HARD}",),
    "devices/p9-backend": ("p9s[].backend_domname",),
    "disk/prefix-relative": ("disks[].pdev_path",),
    "disk/vdev-path": ("disks[].vdev",),
    "general/hap-pv": ("c_info.hap",),
    "memory/only-maxmem": ("b_info.target_memkb",),
    "memory/videoram-pv": ("b_info.video_memkb",),
    "pci/rdm": (
        *("b_info.type.hvm.rdm.policy", "b_info.type.hvm.rdm.strategy"),
        "pcidevs[].rdm_policy",
    ),
    "pci/rdm-strategy": ("b_info.type.hvm.rdm.policy",),
    "sched/rtds": ("b_info.sched_params.latency", "b_info.sched_params.slice"),
}
"""Where a case differs from xl: its own mistakes, and what has no effect."""


def differences(ours: Tree, theirs: Tree, *, random: frozenset[str] = frozenset()) -> list[str]:
    """`path: our value != theirs`, wherever one of both says what the other does not.

    `random` are paths whose value xl and xend make up.
    """
    found: list[str] = []
    for path, one, other in _pairs(_meaning(ours), _meaning(theirs), ""):
        if path in OF_THE_HOST or (path in random and one and other) or _same(path, one, other):
            continue
        found.append(f"{path}: {one!r} != {other!r}")
    return found


def _pairs(ours: Any, theirs: Any, path: str) -> list[tuple[str, Any, Any]]:
    """Each place that one of both has; a list of other length than the other's is one place."""
    if isinstance(ours, dict) or isinstance(theirs, dict):
        one, other = ours or {}, theirs or {}
        if isinstance(one, dict) and isinstance(other, dict):
            return [
                pair
                for key in sorted({*one, *other})
                for pair in _pairs(one.get(key), other.get(key), f"{path}.{key}" if path else key)
            ]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        pairs = list(zip(ours, theirs, strict=True))
        if any(isinstance(each, dict) for each in ours):
            return [pair for one, other in pairs for pair in _pairs(one, other, f"{path}[]")]
    return [(path, ours, theirs)]


def _same(path: str, ours: Any, theirs: Any) -> bool:
    if not ours and not theirs and path not in ZERO_IS_SAID:
        return True  # libxl leaves out zeros, false, empty texts and lists
    if path in DEFAULTS:
        ours, theirs = (DEFAULTS[path] if each is None else each for each in (ours, theirs))
    if isinstance(ours, str) and isinstance(theirs, str):
        return ours.lower() == theirs.lower()
    return bool(ours == theirs)


def _meaning(tree: Tree) -> Tree:
    """Without what says the same in other words."""
    build = dict(tree.get("b_info") or {})
    bound = False
    for key in (_HARD, _SOFT):
        rows = build.pop(key, None) or []
        bound = bound or bool(rows)
        build[key] = _rows(rows)
    if bound or build.get("vnuma_nodes"):
        build.pop("numa_placement", None)  # libxl places nothing that is bound (libxl_dom.c)
    meant = tree | {"b_info": build}
    for key, change in (
        ("disks", _disk),
        ("p9s", _p9),
        ("pcidevs", _pci),
        ("pvcallsifs", _pvcalls),
    ):
        if key in tree:
            meant[key] = [change(each) for each in tree[key]]
    if "usbdevs" in tree:
        meant["usbdevs"] = [_usb(each) for each in tree["usbdevs"]]
    return meant


def _rows(rows: list[list[int]]) -> list[list[int]]:
    """Xen leaves out CPUs that there are not; the lab's host has two.  A VCPU that may run on
    each of them is not bound."""
    there = [[cpu for cpu in row if cpu in (0, 1)] for row in rows]
    meant = [[] if len(row) == 2 else row for row in there]
    while meant and not meant[-1]:
        meant.pop()
    return meant


def _disk(tree: Tree) -> Tree:
    """libxl serves with QEMU what only QEMU reads (libxl_device.c)."""
    kind = str(tree.get("format")).lower()
    backend = str(tree.get("backend")).lower()
    return {**tree, "backend": None} if kind in _QEMU_FORMATS and backend == "qdisk" else tree


def _p9(tree: Tree) -> Tree:
    """xl forgets the number that it has given; libxl then gives it again."""
    return {key: value for key, value in tree.items() if key != "devid"}


def _pvcalls(tree: Tree) -> Tree:
    """Domain 0 is who serves a device, unless another is named."""
    return {key: value for key, value in tree.items() if (key, value) != ("backend_domname", "0")}


def _pci(tree: Tree) -> Tree:
    """A policy that is `strict` is what xl reads from a field that a PV domain has not."""
    return {key: value for key, value in tree.items() if (key, value) != ("rdm_policy", "strict")}


def _usb(tree: Tree) -> Tree:
    """xl's JSON has the device only if the file says `type=hostdev`, which is the one type."""
    return {key: value for key, value in tree.items() if not key.startswith("type")}


def verdict(case: Case, answer: Answer) -> str:
    """Empty if xend does with a configuration what xl did, but for what is listed above."""
    try:
        config = read(case.text, filename="FILE", nodes=NODES).config
    except InvalidFile as error:
        wrong = answer.tree is not None and case.name not in REFUSED_HERE
        return f"{case.name}: xend refuses it: {error}" if wrong else ""
    if answer.tree is None:
        return "" if case.name in TAKEN_HERE else f"{case.name}: xl refuses it: {answer.complaint}"
    if case.name in REFUSED_HERE or case.name in TAKEN_HERE:
        return f"{case.name}: is listed, but both take it"
    random = {"c_info.uuid"} if "uuid =" not in case.text else set()
    if "generate" in case.text:
        random.add("b_info.type.hvm.ms_vm_genid")
    found = differences(marshal.domain(config), answer.tree, random=frozenset(random))
    places = {each.partition(":")[0] for each in found}
    if places == set(DIFFERENT.get(case.name, ())):
        return ""
    return f"{case.name}: listed as different: {DIFFERENT.get(case.name)}; found: {found}"
