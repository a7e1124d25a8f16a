"""The host as the old daemon told of it."""

from __future__ import annotations

from xend.cli.xenapi.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MIB = 1024 * 1024
_OF_RECORD = {
    "cpu_configuration": ("nr_cpus", "nr_nodes", "cores_per_socket", "threads_per_core"),
    "other_config": ("xen_pagesize", "platform_params", "xen_commandline"),
    "software_version": (
        *("release", "version", "machine", "xen_major", "xen_minor", "xen_extra"),
        *("xen_changeset", "cc_compiler", "cc_compile_by", "cc_compile_domain"),
        *("cc_compile_date", "xend_config_format"),
    ),
}


def info(session: Session, numa: int | None = None) -> list[Any]:
    """`(node (name value)…)`, last name first; asked without more, what commands look up in it."""
    if numa is None:
        count = len(session.once("host.get_host_CPUs", session.host()))
        policy = session.once("host.get_sched_policy", session.host())
        return ["node", ["nr_cpus", count], ["xen_scheduler", policy]]
    record = session.call("host.get_record", session.host())
    cpus = [session.call("host_cpu.get_record", ref) for ref in record["host_CPUs"]]
    metrics = session.call("host_metrics.get_record", record["metrics"])
    speeds = [int(cpu["speed"]) for cpu in cpus if "speed" in cpu]
    known: dict[str, Any] = {
        "host": record.get("name_label", ""),
        "cpu_mhz": sum(speeds) // len(speeds) if speeds else 0,
        "hw_caps": cpus[0].get("features", "") if cpus else "",
        "free_cpus": sum(1 for cpu in cpus if not cpu.get("cpu_pool")),
        "total_memory": int(metrics["memory_total"]) // _MIB,
        "free_memory": int(metrics["memory_free"]) // _MIB,
        "xen_caps": " ".join(record.get("capabilities", [])),
        "xen_scheduler": record.get("sched_policy", ""),
    }
    for part, names in _OF_RECORD.items():
        known |= {name: record.get(part, {}).get(name, "") for name in names}
    return ["node", *([name, known[name]] for name in sorted(known, reverse=True))]
