"""The table of the private calls; `xend.api.xmlrpc.methods` looks here last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from xend.api.xmlrpc import private_calls as calls
from xend.api.xmlrpc import private_files as files
from xend.api.xmlrpc.domain_verbs import launch
from xend.api.xmlrpc.method import Handler, Method
from xend.api.xmlrpc.parameters import (
    Parameter,
    flag,
    integer,
    optional_integer,
    reference,
    sxp,
    text,
)

PREFIX: Final = "xend.private."
_DOM = Parameter("dom", reference)
_TEXT = Parameter("text", text)
_FILENAME = Parameter("filename", text)
_CLASS = Parameter("class", files.device_class)
_DOMIDS = Parameter("domids", calls.domids)


def _method(name: str, handler: Handler, *parameters: Parameter) -> Method:
    return Method(PREFIX + name, handler, parameters, (handler.__doc__ or "").strip())


_TABLE: Final = (
    _method("launch", launch, Parameter("config", sxp), Parameter("paused", flag)),
    _method("domains", calls.domains),
    _method("listing", calls.listing, Parameter("state", text)),
    _method("who", calls.who, _DOM),
    _method("configurations", calls.configurations, _DOMIDS),
    _method("vcpus", calls.vcpus, _DOMIDS),
    _method("labels", calls.labels),
    _method("nodes", calls.nodes, _DOMIDS),
    _method("devices", calls.devices, Parameter("domid", integer), Parameter("class", text)),
    _method("host", calls.host, Parameter("numa", flag, False)),
    _method("pools", calls.pools),
    _method("shares", calls.shares, _DOMIDS),
    _method(
        "pool_schedule", calls.pool_schedule, Parameter("pool", integer), Parameter("sched", text)
    ),
    _method(
        "set_pool_schedule",
        calls.set_pool_schedule,
        Parameter("pool", integer),
        Parameter("sched", text),
        Parameter("timeslice", optional_integer, None),
        Parameter("ratelimit", optional_integer, None),
        Parameter("delay", optional_integer, None),
    ),
    _method("set_memory", calls.set_memory, _DOM, Parameter("target", integer)),
    _method("set_max_memory", calls.set_max_memory, _DOM, Parameter("limit", integer)),
    _method("plan", files.plan, _TEXT, _FILENAME, Parameter("json", flag, False)),
    _method("vm", files.vm, _TEXT, _FILENAME),
    _method("create", files.create, _TEXT, _FILENAME, Parameter("paused", flag, False)),
    _method("attach", files.attach, _DOM, _CLASS, Parameter("spec", text)),
    _method("planned_device", files.planned_device, _CLASS, Parameter("spec", text)),
    _method("settings", files.settings, _TEXT, _FILENAME),
    _method(
        "pool_create",
        files.pool_create,
        Parameter("name", text),
        Parameter("scheduler", text),
        Parameter("cpus", calls.cpus),
    ),
    _method("pool_rename", files.pool_rename, Parameter("pool", text), Parameter("name", text)),
    _method(
        "save",
        calls.save,
        _DOM,
        Parameter("path", text),
        Parameter("checkpoint", flag, False),
        Parameter("paused", flag, False),
    ),
    _method(
        "prefer_cpus",
        calls.prefer_cpus,
        _DOM,
        Parameter("vcpu", calls.vcpu),
        Parameter("cpus", calls.cpus),
    ),
)

PRIVATE: Final[Mapping[str, Method]] = {method.name: method for method in _TABLE}
