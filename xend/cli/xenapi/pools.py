"""CPU pools."""

from __future__ import annotations

from xend.cli.failures import CommandFailed
from xend.cli.xenapi.records import as_sxp
from xend.cli.xenapi.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _pool(session: Session, name: str) -> str:
    refs: list[str] = session.call("cpu_pool.get_by_name_label", name)
    if not refs:
        raise CommandFailed("unknown pool name")
    return refs[0]


def _cpu(session: Session, number: str) -> str:
    for record in session.call("host_cpu.get_all_records").values():
        if str(record["number"]) == number:
            return str(record["uuid"])
    raise CommandFailed("cpu number unknown")


def start(session: Session, name: str) -> None:
    session.call("cpu_pool.activate", _pool(session, name))


def destroy(session: Session, name: str) -> None:
    session.call("cpu_pool.deactivate", _pool(session, name))


def delete(session: Session, name: str) -> None:
    session.call("cpu_pool.destroy", _pool(session, name))


def cpu_add(session: Session, name: str, number: str) -> None:
    session.call("cpu_pool.add_host_CPU_live", _pool(session, name), _cpu(session, number))


def cpu_remove(session: Session, name: str, number: str) -> None:
    session.call("cpu_pool.remove_host_CPU_live", _pool(session, name), _cpu(session, number))


def migrate(session: Session, domain: str, name: str) -> None:
    pool = _pool(session, name)
    session.call("VM.cpu_pool_migrate", session.vm(domain), pool)


def create(session: Session, config: list[Any]) -> None:
    pool = new(session, config)
    if pool:
        session.call("cpu_pool.activate", pool)


def new(session: Session, config: list[Any]) -> Any:
    record: dict[str, Any] = {}
    for key, *values in config[1:]:
        if not values:
            continue
        if key == "proposed_CPUs":
            lists = [value if isinstance(value, list) else [value] for value in values]
            record[key] = [cpu for numbers in lists for cpu in numbers]
        elif key == "other_config":
            record[key] = dict(values)
        else:
            record[key] = values[0]
    return session.call("cpu_pool.create", record)


def list_pools(session: Session, names: list[str]) -> list[Any]:
    pools = session.call("cpu_pool.get_all_records")
    cpus = session.call("host_cpu.get_all_records")
    found = []
    for pool in pools.values():
        if names and pool["name_label"] not in names:
            continue
        domains = [session.call("VM.get_name_label", ref) for ref in pool["started_VMs"]]
        numbers = [cpus[ref]["number"] for ref in pool["host_CPUs"]]
        found.append(
            [
                *as_sxp(pool["uuid"], pool),
                ["host_CPU_numbers", *numbers],
                ["started_VM_names", *domains],
            ]
        )
    return found
