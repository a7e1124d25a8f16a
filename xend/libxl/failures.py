"""libxl's failures → the errors that users see.  Pure.

libxl's code is nearly always ERROR_FAIL; the reason is only in its log.  The first ERROR line is
the nearest to the cause, the later ones say what failed because of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xend.errors import (
    BootloaderFailed,
    ConfigError,
    DeviceFailed,
    DomainNotFound,
    HypervisorError,
    InvalidArgument,
    OperationFailed,
    WorkerCrashed,
    XendError,
)
from xend.libxl.evidence import clean

DOMAIN_NOTFOUND = -21
"""ERROR_DOMAIN_NOTFOUND of libxl_types.idl."""

_CAUSES = 2
"""Log lines that go into the sentence; all of them are in the field `log`."""


def from_reply(
    operation: str, reply: Mapping[str, Any], stderr: Sequence[str], domid: int | None = None
) -> XendError:
    """`reply` is the `error` of a worker's last message; `stderr` what the worker's process (and
    its scripts) said during the operation, without libxl's own log."""
    if "dropped" in reply:
        return ConfigError(str(reply["message"]), field=reply["dropped"])
    if "errno" in reply:
        text = f"{operation}: {reply['file']}: {reply['message']}"
        return OperationFailed(text, stage=operation, file=reply["file"], errno=reply["errno"])
    if "file" in reply:
        text = f"{reply['file']} cannot be restored: {reply['message']}"
        return InvalidArgument(text, argument="file", value=reply["file"])
    log = tuple(str(line) for line in reply["log"])
    evidence = reply.get("evidence") or {}
    if "bootloader_output" in evidence:
        return _bootloader(operation, reply, log, evidence, stderr)
    if "script" in evidence:
        return _device(operation, log, evidence, stderr)
    return hypervisor_error(operation, reply["rc"], reply["rc_name"], log, domid)


def hypervisor_error(
    operation: str, rc: int, rc_name: str, log: Sequence[str], domid: int | None = None
) -> XendError:
    if rc == DOMAIN_NOTFOUND and domid is not None:
        return DomainNotFound(domid)
    fields: dict[str, Any] = {} if domid is None else {"domid": domid}
    return HypervisorError(
        f"{operation} failed: {cause(log) or rc_name}",
        operation=operation,
        rc=rc,
        rc_name=rc_name,
        log=tuple(log),
        **fields,
    )


def cause(log: Sequence[str]) -> str:
    """The first of the lines, without file names and repetitions."""
    told: list[str] = []
    for line in map(clean, log):
        if line and line not in told:
            told.append(line)
    return "; ".join(told[:_CAUSES])


def crashed(operation: str, status: str, stderr: Sequence[str], domid: int | None) -> XendError:
    fields: dict[str, Any] = {} if domid is None else {"domid": domid}
    last = stderr[-1] if stderr else ""
    text = f"{operation}: the worker process died ({status})"
    return WorkerCrashed(
        f"{text}: {last}" if last else text,
        operation=operation,
        status=status,
        log=tuple(stderr),
        **fields,
    )


def _bootloader(
    operation: str,
    reply: Mapping[str, Any],
    log: tuple[str, ...],
    evidence: Mapping[str, Any],
    stderr: Sequence[str],
) -> XendError:
    output = str(evidence["bootloader_output"]) or "\n".join(stderr) or cause(log)
    name = str(reply.get("bootloader") or "")
    last = output.rstrip().rpartition("\n")[2]
    return BootloaderFailed(
        f"Boot loader {name} failed: {last}" if name else f"The boot loader failed: {last}",
        operation=operation,
        rc=reply["rc"],
        rc_name=reply["rc_name"],
        log=log,
        bootloader=name,
        stderr=output,
    )


def _device(
    operation: str, log: tuple[str, ...], evidence: Mapping[str, Any], stderr: Sequence[str]
) -> XendError:
    script = str(evidence["script"])
    output = str(evidence["script_output"]) or "\n".join(stderr)
    name = script.rpartition("/")[2]
    device = "vif" if name.startswith("vif") else "vbd" if name.startswith("block") else ""
    reason = evidence["reason"] or output.rpartition("\n")[2] or f"status {evidence['status']}"
    return DeviceFailed(
        f"Device {device or 'set-up'} failed: {script} {evidence['action']}: {reason}",
        stage=operation,
        device=device,
        script=script,
        status=evidence["status"],
        stderr=output or str(evidence["reason"]),
        log=log,
    )
