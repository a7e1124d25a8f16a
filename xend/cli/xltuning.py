"""xl's commands that give a domain more or less: memory, vcpus, where they run."""

from __future__ import annotations

from xend.cli.failures import Exit
from xend.cli.xlcommand import ERROR_FAIL, number_at_start, rest_after_number, set_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xend.cli.xlcommand import Xl

_SHIFTS = {"t": 30, "g": 20, "m": 10, "": 10, "k": 0, "b": -10}
"""To KiB, by the unit's letter; none means MiB."""
_INT_MAX = 2**31 - 1


def mem_max(xl: Xl, args: list[str]) -> None:
    _, operands = xl.flags("mem-max", args, least=2)
    domid = xl.find(operands[0])
    message = f"cannot set domid {domid} static max memory to : {operands[1]}"
    xl.require(message, "xend.private.set_max_memory", domid, _kib(xl, operands[1]))


def mem_set(xl: Xl, args: list[str]) -> None:
    _, operands = xl.flags("mem-set", args, least=2)
    domid = xl.find(operands[0])
    message = f"cannot set domid {domid} dynamic max memory to : {operands[1]}"
    xl.require(message, "xend.private.set_memory", domid, _kib(xl, operands[1]))


def _kib(xl: Xl, text: str) -> int:
    """A number and at most one letter (parse_mem_size_kb of xl_parse.c)."""
    number = number_at_start(text)
    unit = (text if number is None else rest_after_number(text)).lower()
    if unit not in _SHIFTS:
        xl.complain(f"invalid memory size: {text}")
        raise Exit(1)
    shift = _SHIFTS[unit]
    return (number or 0) << shift if shift >= 0 else (number or 0) >> -shift


def vcpu_set(xl: Xl, args: list[str]) -> None:
    flags, operands = xl.flags("vcpu-set", args, "i/ignore-host", least=2)
    domid = xl.find(operands[0])
    count = number_at_start(operands[1])
    if count is None or not 0 <= count <= _INT_MAX:
        xl.complain("Error: Invalid argument.")
        raise Exit(1)
    if "i" not in flags:
        _check_host(xl, domid, count)
    elif xl.row(domid) is None:
        xl.complain(f"Domain {domid} does not exist.")
        raise Exit(1)
    failed = f"libxl_set_vcpuonline failed domid={domid} max_vcpus={count}"
    message = f"{failed}, rc: {ERROR_FAIL}"
    xl.require(message, "xend.domain.setVCpuCount", domid, count)


def _check_host(xl: Xl, domid: int, count: int) -> None:
    row = xl.row(domid)
    cpus = xl.call("xend.private.host")["max_cpu_id"] + 1
    if row is None:
        raise Exit(1)
    if count > row.vcpus and count > cpus:
        xl.complain(
            f"You are overcommmitting! You have {cpus} physical CPUs and want {count} vCPUs! "
            "Aborting, use --ignore-host to continue"
        )
        raise Exit(1)


def vcpu_pin(xl: Xl, args: list[str]) -> None:
    flags, operands = xl.flags("vcpu-pin", args, "f/force i/ignore-global-affinity-masks", least=3)
    domid = xl.find(operands[0])
    vcpu = _vcpu(xl, operands[1], force="f" in flags)
    hard = _affinity(xl, operands[2])
    soft = _affinity(xl, operands[3]) if len(operands) > 3 else None
    if xl.dry_run:
        _show_plan(xl, hard, soft)
        return
    if "f" in flags:
        xl.complain("xl: xend does not undo what a guest's kernel pinned: leave --force out")
        raise Exit(1)
    message = "Could not set affinity" + ("." if vcpu == "all" else f" for vcpu `{vcpu}'.")
    if (vcpu == "all" or (hard is not None and "i" not in flags)) and xl.row(domid) is None:
        asked = hard is not None and "i" not in flags
        xl.complain("Could not get domain info" if asked else "libxl_list_vcpu failed.")
        raise Exit(1)
    if hard is not None:
        # libxl's bitmaps are of whole bytes: CPU 5 of two is for the hypervisor to refuse.
        if not hard and "i" not in flags and not cpu_map(xl, operands[2]):
            xl.complain("vcpu hard affinity map is empty")
            raise Exit(1)
        cpus = ",".join(map(str, sorted(hard)))
        _pin(xl, message, vcpu, "xend.domain.pincpu", domid, vcpu, cpus)
    if soft is not None:
        _pin(xl, message, vcpu, "xend.private.prefer_cpus", domid, vcpu, sorted(soft))


def _pin(xl: Xl, message: str, vcpu: str, method: str, *params: object) -> None:
    """For all vcpus together a failure is told, but xl's status is 0."""
    if vcpu != "all":
        xl.require(message, method, *params)
    elif not xl.tolerate(method, *params):
        xl.complain(message)


def _vcpu(xl: Xl, word: str, *, force: bool) -> str:
    number = number_at_start(word)
    if number is not None and number >= 0:
        return str(number)
    if word != "all":
        xl.complain(f"Error: Invalid argument {word} as VCPU.")
        raise Exit(1)
    if force:
        xl.complain("Error: --force and 'all' as VCPU not allowed.")
        raise Exit(1)
    return word


def _show_plan(xl: Xl, hard: set[int] | None, soft: set[int] | None) -> None:
    cpus = xl.call("xend.private.host")["max_cpu_id"] + 1
    text = "-" if hard is None else set_text(hard, cpus)
    xl.print(f"cpumap: {text}" + ("" if soft is None else " " + set_text(soft, cpus)))


def _affinity(xl: Xl, word: str) -> set[int] | None:
    """None for `-`: it stays as it is."""
    return None if word == "-" else cpu_set(xl, word)


def cpu_set(xl: Xl, text: str) -> set[int]:
    """The host's CPUs in `cpu_map`."""
    highest = xl.call("xend.private.host")["max_cpu_id"]
    return {cpu for cpu in cpu_map(xl, text) if cpu <= highest}


def cpu_map(xl: Xl, text: str) -> set[int]:
    """`0-3,^1`, `nodes:0`, `all` (parse_cpurange of xl_parse.c); Exit when it is none of these.

    Like libxl's bitmaps, which are of whole bytes, it may have CPUs that the host has not.
    """
    host = xl.call("xend.private.host", True)
    last_bit = host["max_cpu_id"] | 7
    cpus: set[int] = set()
    for part in filter(None, text.split(",")):
        remove = part.startswith("^")
        word = part[remove:]
        by_node = word.startswith(("node:", "nodes:"))
        word = word.partition(":")[2] if by_node else word
        if word == "all":
            if remove:
                xl.complain('Can\'t combine "^" and "all".')
                raise Exit(1)
            cpus |= set(range(last_bit + 1))
            continue
        numbers = _range(xl, word, last_bit)
        if by_node:
            members = enumerate(host["cpu_topology"])
            numbers = {cpu for cpu, (_, _, node) in members if node in numbers}
        cpus = cpus - numbers if remove else cpus | numbers
    return cpus


def _range(xl: Xl, word: str, highest: int) -> set[int]:
    """Larger numbers are ignored."""
    first, dash, last = word.partition("-")
    words = (first, last) if dash else (first, first)
    if not all(each.isascii() and each.isdigit() for each in words) or int(words[1]) < int(first):
        xl.complain(f"Invalid pcpu range: {word}.")
        raise Exit(1)
    return set(range(int(first), min(int(words[1]), highest) + 1))
