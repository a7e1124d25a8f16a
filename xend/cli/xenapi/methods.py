"""The methods of the old daemon, each by calls of the Xen-API."""

from __future__ import annotations

from xend.cli.failures import Fault
from xend.cli.xenapi.session import Ref, Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Method = Callable[..., Any]

_MIB = 1024 * 1024

OF_VM = {
    "xend.domain.delete": "VM.destroy",
    "xend.domain.destroy": "VM.hard_shutdown",
    "xend.domain.pause": "VM.pause",
    "xend.domain.reset": "VM.hard_reboot",
    "xend.domain.resume": "VM.resume",
    "xend.domain.save": "VM.save",
    "xend.domain.send_sysrq": "VM.send_sysrq",
    "xend.domain.send_trigger": "VM.send_trigger",
    "xend.domain.setName": "VM.set_name_label",
    "xend.domain.setVCpuCount": "VM.set_VCPUs_number_live",
    "xend.domain.setpauseflag": "VM.set_pauseflag",
    "xend.domain.start": "VM.start",
    "xend.domain.suspend": "VM.suspend",
    "xend.domain.unpause": "VM.unpause",
}
"""The first argument is the domain, the others are the same."""
OF_HOST = {
    "xend.node.dmesg.clear": "host.dmesg_clear",
    "xend.node.dmesg.info": "host.dmesg",
    "xend.node.log": "host.get_log",
    "xend.node.send_debug_keys": "host.send_debug_keys",
}
OTHERS = {
    "xend.cpu_pool.cpu_add": "pools.cpu_add",
    "xend.cpu_pool.cpu_remove": "pools.cpu_remove",
    "xend.cpu_pool.create": "pools.create",
    "xend.cpu_pool.delete": "pools.delete",
    "xend.cpu_pool.destroy": "pools.destroy",
    "xend.cpu_pool.list": "pools.list_pools",
    "xend.cpu_pool.migrate": "pools.migrate",
    "xend.cpu_pool.new": "pools.new",
    "xend.cpu_pool.start": "pools.start",
    "xend.domain": "records.domain",
    "xend.domain.create": "create.create",
    "xend.domain.destroyDevice": "devices.destroy_device",
    "xend.domain.device_configure": "devices.device_configure",
    "xend.domain.device_create": "devices.device_create",
    "xend.domain.getBlockDeviceClass": "devices.block_class",
    "xend.domain.getDeviceSxprs": "devices.device_records",
    "xend.domain.getVCPUInfo": "records.vcpus",
    "xend.domain.maxmem_set": "methods.set_maximum",
    "xend.domain.migrate": "methods.migrate",
    "xend.domain.new": "create.new",
    "xend.domain.pincpu": "methods.pin",
    "xend.domain.restore": "methods.restore",
    "xend.domain.sched_credit2_get": "methods.shares",
    "xend.domain.sched_credit2_set": "methods.set_shares",
    "xend.domain.sched_credit_get": "methods.shares",
    "xend.domain.sched_credit_set": "methods.set_shares",
    "xend.domain.setMemoryTarget": "methods.set_target",
    "xend.domain.waitForDevices": "methods.nothing",
    "xend.domains_with_state": "records.with_state",
    "xend.node.info": "host.info",
    "xend.security.get_domain_label": "methods.nothing",
}
"""`module.function` of this package; its first argument is the session."""


class Translator:
    """Answers the old daemon's methods."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def call(self, method: str, params: tuple[Any, ...]) -> Any:
        """A method that the Xen-API has no word for goes to the server as it is: xend answered both
        on one socket.  Only what nobody but this project's daemon has is refused here."""
        call = self.session.call
        if method in OF_VM:
            domain, *others = params
            return call(OF_VM[method], self.session.vm(domain), *others)
        if method in OF_HOST:
            return call(OF_HOST[method], self.session.host(), *params)
        if method in OTHERS:
            return _function(OTHERS[method])(self.session, *params)
        if method.startswith("xend.private."):
            raise Fault(0, f"{method} is for xend's own client")
        self.session.log_in()
        return self.session.rpc(method, params)

    def call_each(self, method: str, calls: list[tuple[Any, ...]]) -> list[Any]:
        """Several domains come in one answer."""
        if method == "xend.domain":
            from xend.cli.xenapi.records import named

            return named(self.session, [params[0] for params in calls])
        return [self.call(method, params) for params in calls]


def _function(place: str) -> Method:
    module, _, name = place.partition(".")
    found: Method = getattr(__import__(f"xend.cli.xenapi.{module}", fromlist=[name]), name)
    return found


def nothing(_session: Session, *_params: Any) -> str:
    """There is no such thing here, and nobody misses it."""
    return ""


def restore(session: Session, path: str, paused: bool) -> None:
    session.call("VM.restore", path, paused)


def set_maximum(session: Session, domain: str, mib: int) -> None:
    session.call("VM.set_memory_static_max", session.vm(domain), mib * _MIB)


def set_target(session: Session, domain: str, mib: int) -> None:
    """Both bounds of the balloon are where it shall be."""
    for bound in ("max", "min"):
        session.call(f"VM.set_memory_dynamic_{bound}_live", session.vm(domain), mib * _MIB)


def migrate(
    session: Session,
    domain: str,
    host: str,
    live: int,
    port: int,
    node: int,
    ssl: int | None,
    change_home: int,
) -> None:
    others = {"port": port, "node": node, "ssl": ssl, "change_home_server": change_home}
    session.call("VM.migrate", session.vm(domain), host, bool(live), others)


def pin(session: Session, domain: str, vcpu: str, cpus: str) -> None:
    number = int(vcpu)
    session.call("VM.add_to_VCPUs_params_live", session.vm(domain), f"cpumap{number}", cpus)


def shares(session: Session, domain: str) -> Any:
    metrics = session.call("VM.get_metrics", session.vm(domain))
    return session.call("VM_metrics.get_VCPUs_params", metrics)


def set_shares(session: Session, domain: str, weight: int | None, cap: int | None = None) -> int:
    """Of a domain that runs at once, of another one for its next start."""
    ref = Ref(session.vm(domain))
    live = "_live" if int(session.call("VM.get_domid", ref)) >= 0 else ""
    for name, value in (("weight", weight), ("cap", cap)):
        if value is not None:
            session.call(f"VM.add_to_VCPUs_params{live}", ref, name, value)
    return 0
