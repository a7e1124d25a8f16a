"""Every error that xend raises on purpose.

    XendError
    ├── ConfigError               a setting is wrong: names file, line, field, value, remedy
    ├── DomainNotFound            no domain has that name, domid or uuid
    ├── DomainStateError          the domain is in the wrong state for the verb
    ├── ConflictError             a name, uuid, MAC or file is taken
    ├── ResourceError             not enough memory, no such pool …
    ├── PoolError                 a CPU pool is in the wrong state, or wants what is not there
    ├── InvalidArgument           a call's argument is wrong (not a configuration's)
    ├── UnsupportedFeature        Xen dropped it, or this host lacks it: says what to use instead
    ├── PermissionDenied
    ├── OperationFailed           a step of a job failed
    │   ├── HypervisorError       libxl said no: operation, rc, and libxl's own log lines
    │   │   ├── WorkerCrashed     the process that ran a long operation died
    │   │   └── BootloaderFailed  pygrub and friends; carries their stderr
    │   ├── MigrationFailed       the other host said no, or is out of reach
    │   ├── JournalError          xend's own file: disk full, read-only …
    │   ├── DeviceFailed          a backend or its hotplug script failed; carries its stderr
    │   └── OperationTimeout
    ├── OperationCancelled
    ├── HypervisorUnavailable     no Xen here, or its tools do not answer
    └── XenStoreError             XenStore's errno; see its subclasses in this module

An error has a stable `key` (for programs) and `fields` (for programs and for the text).  No
face's status code or fault number is in here: each face has one table from class to code.
"""

from __future__ import annotations

from typing import Any, ClassVar


class XendError(Exception):
    """Base of all; `str()` is the sentence a user sees."""

    key: ClassVar[str] = "xend"
    template: ClassVar[str] = "{message}"

    def __init__(self, message: str = "", /, **fields: Any) -> None:
        self.fields: dict[str, Any] = fields
        self.message = message or self.template.format_map(_Blank(fields, message=message))
        super().__init__(self.message)

    def __str__(self) -> str:
        return self.message


class _Blank(dict[str, Any]):
    """Formats a template although a field is missing: an error about an error helps nobody."""

    def __init__(self, fields: dict[str, Any], **more: Any) -> None:
        super().__init__(more)
        self.update(fields)

    def __missing__(self, name: str) -> str:
        return f"<{name}>"


class ConfigError(XendError):
    """A configuration is wrong.

    Fields, each may be absent: `file`, `line`, `column`, `field` (the setting's name in the
    caller's dialect), `value`, `expected` (what would be right).
    """

    key = "config.invalid"


class DomainNotFound(XendError):
    """`domain` is exactly what was asked for (old clients read it from the fault text)."""

    key = "domain.not-found"
    template = "Domain '{domain}' does not exist."

    def __init__(self, domain: str | int, /) -> None:
        super().__init__(domain=str(domain))


class DomainStateError(XendError):
    """Fields: `domain`, `state`, `verb`, `possible` (verbs that would work)."""

    key = "domain.bad-state"
    template = "Domain '{domain}' is {state}: cannot {verb}"


class ConflictError(XendError):
    """Fields: `what` (name, uuid, mac, file), `value`, `domain` (who has it)."""

    key = "conflict"
    template = "The {what} '{value}' is already in use by domain '{domain}'"


class ResourceError(XendError):
    """Fields: `what`, `needed`, `available` (memory in KiB)."""

    key = "resource.insufficient"


class PoolError(XendError):
    """Fields: `pool` (its name) and `code`: one of the Xen-API's words POOL_BAD_STATE,
    PARAMETER_ERROR, INSUFFICIENT_CPUS, UNKOWN_SCHED_POLICY, INVAILD_CPU and
    LAST_CPU_NOT_REMOVEABLE, spelled as old clients know them."""

    key = "pool"


class InvalidArgument(XendError):
    """Fields: `argument`, `value`, `expected`."""

    key = "argument.invalid"


class UnsupportedFeature(XendError):
    """Fields: `feature`, `reason`, `instead`."""

    key = "unsupported"
    template = "{feature} is not available: {reason}. Use instead: {instead}"


class PermissionDenied(XendError):
    key = "permission-denied"


class OperationFailed(XendError):
    """A step failed and what was done before it has been undone.  Field: `stage`."""

    key = "operation.failed"


class HypervisorError(OperationFailed):
    """libxl refused.

    Fields: `operation`, `rc` (libxl's negative code), `rc_name` (e.g. ERROR_FAIL), `log`
    (libxl's own ERROR lines of this operation, oldest first), `domid` if known.
    """

    key = "hypervisor.error"
    template = "{operation} failed: {rc_name}"

    def __init__(self, message: str = "", /, **fields: Any) -> None:
        fields.setdefault("log", ())
        super().__init__(message, **fields)


class WorkerCrashed(HypervisorError):
    """The process that ran a long operation died; fields: `operation`, `status`."""

    key = "hypervisor.worker-crashed"
    template = "{operation}: the worker process died ({status})"


class BootloaderFailed(HypervisorError):
    """Fields: `bootloader`, `stderr`."""

    key = "bootloader.failed"
    template = "Boot loader {bootloader} failed: {stderr}"


class DeviceFailed(OperationFailed):
    """Fields: `device` (e.g. vif/0), `script`, `status`, `stderr`."""

    key = "device.failed"


class OperationTimeout(OperationFailed):
    """Fields: `operation`, `seconds`."""

    key = "operation.timeout"
    template = "{operation} did not finish within {seconds} s"


class RestartFailed(OperationFailed):
    """A guest that was to come back could not be built.  Fields: `domain`, `tries`, `reason`,
    `path` (of its configuration; empty when it is a managed domain, or that could not be kept)."""

    key = "restart.failed"


class MigrationFailed(OperationFailed):
    """Fields: `host`, `stage`."""

    key = "migration.failed"


class JournalError(OperationFailed):
    """A file of xend's own could not be read or written.  Fields: `path`, `reason`."""

    key = "journal.error"
    template = "The journal {path} cannot be used: {reason}"


class OperationCancelled(XendError):
    key = "operation.cancelled"
    template = "{operation} was cancelled"


class HypervisorUnavailable(XendError):
    """Fields: `reason`, `remedy`."""

    key = "hypervisor.unavailable"
    template = "No Xen hypervisor: {reason}. {remedy}"


class XenStoreError(XendError):
    """xenstored answered an error.  Fields: `errno_name` (ENOENT …), `path`, `operation`."""

    key = "xenstore.error"
    template = "XenStore {operation} {path}: {errno_name}"


class XenStoreMissing(XenStoreError):
    """ENOENT: there is no such node."""

    key = "xenstore.missing"


class XenStoreQuota(XenStoreError):
    """Field `limit`: `domain` (ENOSPC, EDQUOT: nodes or transactions of a domain), `size` (E2BIG
    from xenstored: a message, or the number of watches) or `payload` (too long to be sent)."""

    key = "xenstore.quota"


class XenStoreConflict(XenStoreError):
    """EAGAIN on commit: a transaction lost the race as often as it may."""

    key = "xenstore.conflict"


class XenStoreUnavailable(XenStoreError):
    """The connection is down and did not come back in time."""

    key = "xenstore.unavailable"
    template = "xenstored does not answer on {path}: {reason}"
