"""Every method of the old interface: the contract, in one table.

`xend.api.clisock` serves the same table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from xend.api.xmlrpc import device_calls as devices
from xend.api.xmlrpc import domain_reads as reads
from xend.api.xmlrpc import domain_verbs as verbs
from xend.api.xmlrpc import node_calls as node
from xend.api.xmlrpc import pool_calls as pools
from xend.api.xmlrpc import security_calls as security
from xend.api.xmlrpc.context import CallContext
from xend.api.xmlrpc.method import Handler, Method
from xend.api.xmlrpc.parameters import (
    Parameter,
    anything,
    bind,
    flag,
    integer,
    optional_integer,
    optional_text,
    reference,
    sxp,
    text,
    texts,
)
from xend.api.xmlrpc.private_methods import PRIVATE
from xend.api.xmlrpc.unavailable import UNAVAILABLE

DOM = Parameter("dom", reference)
"""A name, a domain id (number or text) or a uuid."""


POOL = Parameter("pool", text)
"""A CPU pool's name or number."""


def _method(name: str, handler: Handler, *parameters: Parameter, help: str = "") -> Method:
    return Method(name, handler, parameters, help or (handler.__doc__ or "").strip())


_TABLE: Final[tuple[Method, ...]] = (
    # -- questions about domains
    _method("xend.domain", reads.domain, DOM, Parameter("full", flag, False)),
    _method(
        "xend.domains",
        reads.domains,
        Parameter("detail", flag, True),
        Parameter("full", flag, False),
    ),
    _method(
        "xend.domains_with_state",
        reads.domains_with_state,
        Parameter("detail", flag),
        Parameter("state", text),
        Parameter("full", flag),
    ),
    _method("xend.domain.lookup", reads.lookup, DOM),
    _method("xend.domain.lookup_nr", reads.lookup_nr, DOM),
    _method("xend.domain.getVCPUInfo", reads.vcpu_info, DOM),
    _method("xend.domain.getDeviceSxprs", reads.device_sxprs, DOM, Parameter("class", text)),
    _method(
        "xend.domain.getBlockDeviceClass", reads.block_device_class, DOM, Parameter("dev", text)
    ),
    _method("xend.domain.getRestartCount", reads.restart_count, DOM),
    _method("xend.domain.getpauseflag", reads.pause_flag, DOM),
    _method("xend.domain.sched_credit_get", reads.sched_credit_get, DOM),
    _method("xend.domain.sched_credit2_get", reads.sched_credit2_get, DOM),
    # -- making and ending
    _method("xend.domain.create", verbs.create, Parameter("config", sxp)),
    _method("xend.domain.new", verbs.new, Parameter("config", sxp)),
    _method("xend.domain.start", verbs.start, DOM, Parameter("start_paused", flag, True)),
    _method("xend.domain.delete", verbs.delete, DOM),
    _method("xend.domain.suspend", verbs.suspend, DOM),
    _method("xend.domain.resume", verbs.resume, DOM, Parameter("start_paused", flag, False)),
    _method("xend.domain.destroy", verbs.destroy, DOM),
    _method("xend.domain.shutdown", verbs.shutdown, DOM, Parameter("reason", text)),
    _method("xend.domain.reset", verbs.reset, DOM),
    # -- memory to and from disk
    _method(
        "xend.domain.save",
        verbs.save,
        DOM,
        Parameter("path", text),
        Parameter("checkpoint", flag, False),
    ),
    _method(
        "xend.domain.restore",
        verbs.restore,
        Parameter("path", text),
        Parameter("paused", flag, False),
    ),
    _method(
        "xend.domain.migrate",
        verbs.migrate,
        DOM,
        Parameter("host", text),
        Parameter("live", flag, False),
        Parameter("port", integer, 0),
        Parameter("node", integer, -1),
        Parameter("ssl", flag, None),
        Parameter("change_home_server", flag, False),
    ),
    _method(
        "xend.domain.dump",
        verbs.dump,
        DOM,
        Parameter("filename", optional_text, None),
        Parameter("live", flag, False),
        Parameter("crash", flag, False),
        Parameter("reset", flag, False),
    ),
    # -- running ones
    _method("xend.domain.pause", verbs.pause, DOM, Parameter("state", flag, False)),
    _method("xend.domain.unpause", verbs.unpause, DOM),
    _method("xend.domain.setpauseflag", verbs.set_pause_flag, DOM, Parameter("flag", flag, False)),
    _method(
        "xend.domain.setName",
        verbs.set_name,
        DOM,
        Parameter("name", text),
        Parameter("to_store", flag, True),
    ),
    _method("xend.domain.send_sysrq", verbs.send_sysrq, DOM, Parameter("key", text)),
    _method(
        "xend.domain.send_trigger",
        verbs.send_trigger,
        DOM,
        Parameter("name", text),
        Parameter("vcpu", integer, 0),
    ),
    # -- resources
    _method(
        "xend.domain.setMemoryTarget", verbs.set_memory_target, DOM, Parameter("target", integer)
    ),
    _method("xend.domain.maxmem_set", verbs.set_max_memory, DOM, Parameter("memory", integer)),
    _method("xend.domain.setVCpuCount", verbs.set_vcpu_count, DOM, Parameter("vcpus", integer)),
    _method(
        "xend.domain.pincpu", verbs.pin_cpu, DOM, Parameter("vcpu", text), Parameter("cpumap", text)
    ),
    _method(
        "xend.domain.sched_credit_set",
        verbs.sched_credit_set,
        DOM,
        Parameter("weight", optional_integer, None),
        Parameter("cap", optional_integer, None),
    ),
    _method(
        "xend.domain.sched_credit2_set",
        verbs.sched_credit2_set,
        DOM,
        Parameter("weight", optional_integer, None),
    ),
    # -- devices
    _method("xend.domain.waitForDevices", devices.wait_for_devices, DOM),
    _method("xend.domain.device_create", devices.device_create, DOM, Parameter("config", sxp)),
    _method(
        "xend.domain.destroyDevice",
        devices.destroy_device,
        DOM,
        Parameter("class", text),
        Parameter("devid", text),
        Parameter("force", flag, False),
        Parameter("rm_cfg", flag, False),
    ),
    _method(
        "xend.domain.device_configure",
        devices.device_configure,
        DOM,
        Parameter("config", sxp),
        Parameter("devid", optional_text, None),
    ),
    _method("xend.domain.usb_add", devices.usb_add, DOM, Parameter("device", text)),
    _method("xend.domain.usb_del", devices.usb_del, DOM, Parameter("device", text)),
    # -- the host
    _method("xend.node.info", node.info, Parameter("numa", flag, True)),
    _method("xend.node.dmesg.info", node.dmesg_info),
    _method("xend.node.dmesg.clear", node.dmesg_clear),
    _method("xend.node.log", node.log),
    _method("xend.node.pciinfo", node.pci_info),
    _method("xend.node.send_debug_keys", node.send_debug_keys, Parameter("keys", text)),
    # -- CPU pools
    _method("xend.cpu_pool.list", pools.list_pools, Parameter("names", texts, ())),
    _method("xend.cpu_pool.create", pools.create, Parameter("config", sxp)),
    _method("xend.cpu_pool.new", pools.new, Parameter("config", sxp)),
    _method("xend.cpu_pool.start", pools.start, POOL),
    _method("xend.cpu_pool.destroy", pools.destroy, POOL),
    _method("xend.cpu_pool.delete", pools.delete, POOL),
    _method("xend.cpu_pool.cpu_add", pools.cpu_add, POOL, Parameter("cpu", integer)),
    _method("xend.cpu_pool.cpu_remove", pools.cpu_remove, POOL, Parameter("cpu", integer)),
    _method("xend.cpu_pool.migrate", pools.migrate, DOM, POOL),
    # -- security labels, as without a policy
    _method("xend.security.get_xstype", security.policy_type),
    _method("xend.security.get_policy", security.policy),
    _method(
        "xend.security.list_labels",
        security.labels,
        Parameter("policy", anything),
        Parameter("type", anything),
    ),
    _method("xend.security.get_labeled_resources", security.labelled_resources),
    _method("xend.security.get_resource_label", security.label, Parameter("resource", anything)),
    _method("xend.security.get_domain_label", security.label, Parameter("domain", anything)),
)

METHODS: Final[Mapping[str, Method]] = {method.name: method for method in _TABLE}


class UnknownMethod(LookupError):
    """The old server had no such method either."""


async def call(context: CallContext, name: str, arguments: Sequence[Any]) -> Any:
    """Runs one method.  UnknownMethod; else whatever xend.errors has."""
    method = METHODS.get(name) or PRIVATE.get(name)
    if method is None:
        introspection = _INTROSPECTION.get(name)
        if introspection is not None:
            return introspection(name, arguments)
        reason = UNAVAILABLE.get(name)
        if reason is not None:
            raise reason.error()
        raise UnknownMethod(name)
    return await method.handler(context, *bind(name, method.parameters, arguments))


# -- Introspection (http://xmlrpc-c.sourceforge.net/introspection.html) ----------------------------


def _list_methods(name: str, arguments: Sequence[Any]) -> list[str]:
    bind(name, (), arguments)
    return sorted([*METHODS, *UNAVAILABLE, *_INTROSPECTION])


def _method_help(name: str, arguments: Sequence[Any]) -> str:
    [asked] = bind(name, (Parameter("name", text),), arguments)
    if (reason := UNAVAILABLE.get(asked)) is not None:
        return str(reason.error())
    if (method := METHODS.get(asked)) is None:
        return ""
    signature = ", ".join(parameter.name for parameter in method.parameters)
    return f"{asked}({signature})\n{method.help}".strip()


def _method_signature(name: str, arguments: Sequence[Any]) -> str:
    """The old server had no signatures either, and said it so."""
    bind(name, (Parameter("name", text),), arguments)
    return "signatures not supported"


_INTROSPECTION: Final[Mapping[str, Callable[[str, Sequence[Any]], Any]]] = {
    "system.listMethods": _list_methods,
    "system.methodHelp": _method_help,
    "system.methodSignature": _method_signature,
}
