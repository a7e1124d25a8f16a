"""Domains as the old daemon told of them, out of the Xen-API's records."""

from __future__ import annotations

from datetime import UTC, datetime

from xend.cli.failures import CommandFailed
from xend.cli.xenapi.session import Ref, Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    Record = dict[str, Any]

_MIB = 1024 * 1024
_STATES = ("running", "blocked", "paused", "shutdown", "crashed", "dying")
"""Their first letters stand in this order."""
_WORDS = "_states"
"""Key of what a domain can be chosen by; not shown."""


def domain(session: Session, name: Any, full: Any = None) -> Any:
    """Asked without more, which id it has; else all of it."""
    if full is not None:
        return named(session, [name])[0]
    return ["domain", ["domid", session.call("VM.get_domid", session.vm(str(name)))]]


def named(session: Session, names: list[Any]) -> list[Any]:
    """Those that there are, as ever: only when there is none it is an error."""
    found = [record for record in _all(session) if record["name"] in names]
    if not found:
        many = "s" if len(names) > 1 else ""
        text = f"Error: no domain{many} named {', '.join(map(str, names))}"
        raise CommandFailed(text, 255, on_stdout=True)
    return [_as_sxp(record) for record in found]


def with_state(session: Session, details: bool, state: str, _full: int) -> list[Any]:
    """Records, or references for `vcpus`."""
    if not details:
        return [Ref(ref) for ref in session.call("VM.get_all")]
    return [
        _as_sxp(record) for record in _all(session) if state == "all" or state in record[_WORDS]
    ]


def _all(session: Session) -> Iterable[Record]:
    domains = session.call("VM.get_all_records")
    metrics = session.call("VM_metrics.get_all_records")
    return [_described(record, metrics[record["metrics"]]) for record in domains.values()]


def _described(record: Record, metrics: Record) -> Record:
    states = metrics["state"]
    seconds = [float(value) for value in metrics["VCPUs_utilisation"].values()]
    return {
        **record,
        "name": record["name_label"],
        "memory": int(metrics["memory_actual"]) // _MIB,
        "memory_actual": int(metrics["memory_actual"]) // 1024,
        "vcpus": metrics["VCPUs_number"],
        "state": "".join(word[0] if word in states else "-" for word in _STATES),
        _WORDS: [str(record.get("power_state", "")).lower(), *states],
        "cpu_time": sum(seconds) / len(seconds) if seconds else 0.0,
        "start_time": _seconds(str(metrics["start_time"])),
    }


def _seconds(text: str) -> float:
    """Since the epoch, of the UTC time `20140512T14:56:55`; -1 for what is none."""
    digits = "".join(letter for letter in text if letter.isdigit())
    try:
        parts = (int(digits[:4]), *(int(digits[at : at + 2]) for at in range(4, 14, 2)))
        return datetime(*parts, tzinfo=UTC).timestamp()  # type: ignore[arg-type,misc]
    except ValueError:
        return -1.0


def _as_sxp(record: Record) -> list[Any]:
    """A list stays one value, as it was."""
    known = {key: value for key, value in record.items() if key != _WORDS}
    lists = {key: [value] for key, value in known.items() if isinstance(value, list)}
    return as_sxp("domain", known | lists)


def as_sxp(head: str, record: Record) -> list[Any]:
    return [head, *([key, *_sxp_values(value)] for key, value in record.items())]


def _sxp_values(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [[key, *_sxp_values(item)] for key, item in value.items()]
    return list(value) if isinstance(value, list) else [value]


def vcpus(session: Session, name: str) -> list[Any]:
    """None of a domain that does not run."""
    record = session.call("VM.get_record", session.vm(name))
    metrics = session.call("VM_metrics.get_record", record["metrics"])
    head = ["domain", ["domid", record["domid"]], ["name", record["name_label"]]]
    if record["power_state"] == "Halted":
        return head
    numbers = [str(number) for number in range(int(record["VCPUs_max"]))]
    return [*head, *(_vcpu(number, metrics) for number in numbers)]


def _vcpu(number: str, metrics: Record) -> list[Any]:
    flags = metrics["VCPUs_flags"][number]
    return [
        "vcpu",
        ["number", number],
        *([flag, int(flag in flags)] for flag in ("online", "blocked", "running")),
        ["cpu_time", metrics["VCPUs_utilisation"][number]],
        ["cpu", metrics["VCPUs_CPU"][number]],
        ["cpumap", metrics["VCPUs_params"][f"cpumap{number}"].split(",")],
    ]
