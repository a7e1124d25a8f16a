"""What to do about an error: one line each, for people, by the error's stable key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from xend.errors import DomainStateError, XendError

HINTS: Final[Mapping[str, str]] = {
    "argument.invalid": "fields.expected says what can be there.",
    "bootloader.failed": "Look at script_stderr; pygrub needs the first disk to be bootable.",
    "conflict": "Choose another value, or look at the domain that has it (fields.domain).",
    "device.failed": "Look at script_stderr and at /var/log/xen/xen-hotplug.log in dom0.",
    "domain.bad-state": "What can be done in this state is in `possible`.",
    "domain.not-found": "GET /v1/domains lists names, uuids and domids.",
    "events.gone": "GET what you follow anew, then subscribe without a number.",
    "http.malformed-body": "fields.line and fields.column say where, if they are there.",
    "http.unsupported-media-type": "Name one of fields.expected in Content-Type.",
    "hypervisor.error": "libxl.log has libxl's own words; GET /v1/host/dmesg those of Xen.",
    "hypervisor.unavailable": "Boot the host under Xen, or run xend --hypervisor sim.",
    "hypervisor.worker-crashed": "Nothing of the operation is left; it may be tried again.",
    "idempotency.in-progress": "Repeat the same request a little later.",
    "idempotency.key-reused": "Keys are kept for 24 hours: use a fresh one, a uuid for example.",
    "operation.timeout": "Look at the domain's console and at GET /v1/domains/{ref}/logs.",
    "origin-refused": "xend-rest-cors-origins in xend-config.sxp names who may.",
    "precondition.failed": "GET it again, apply your change to what it is now, and send its ETag.",
    "precondition.required": "Send If-Match with the ETag of the GET.",
    "resource.insufficient": "GET /v1/host/memory shows what is free.",
    "too-many-failures": "Wait as long as Retry-After says; a right token is let in at any time.",
    "unauthenticated": "Send Authorization: Bearer TOKEN, or use the Unix socket.",
    "xenstore.unavailable": "Is xenstored alive (pidof xenstored)?  Without it no guest can start.",
}

_ANY_LIFE: Final = ("destroy", "reset", "rename", "dump-core")
POSSIBLE: Final[Mapping[str, tuple[str, ...]]] = {
    "halted": ("start", "rename", "delete"),
    "suspended": ("resume", "rename"),
    "running": ("shutdown", "reboot", "pause", "save", "suspend", "trigger", "sysrq", *_ANY_LIFE),
    "paused": ("unpause", *_ANY_LIFE),
    "crashed": _ANY_LIFE,
    "shutdown": _ANY_LIFE,
    "dom0": (),
}
"""What can be asked of a domain in each state: actions, and the method DELETE."""


def hint_of(error: XendError) -> str | None:
    for cls in type(error).__mro__:
        found = HINTS.get(getattr(cls, "key", ""))
        if found:
            return found
    return None


def possible_in(error: XendError) -> tuple[str, ...] | None:
    if not isinstance(error, DomainStateError):
        return None
    return POSSIBLE.get(str(error.fields.get("state", "")))
