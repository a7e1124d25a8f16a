"""What only this project's own command line asks for, over its own socket."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from xend.api.xmlrpc.context import CallContext
from xend.api.xmlrpc.parameters import Parameter, bind, flag, reference, text
from xend.errors import InvalidArgument


async def adopt(context: CallContext, ref: str | int) -> dict[str, Any]:
    """From now on the domain's policies are applied by xend."""
    view = await context.service.adopt(ref, caller=context.caller)
    return {"name": view.name, "uuid": view.uuid, "domid": view.domid}


async def import_domains(context: CallContext, folder: str, dry_run: bool) -> list[dict[str, Any]]:
    """`core.importing.ImportReport`, one for each entry."""
    if not Path(folder).is_absolute():
        raise InvalidArgument(f"{folder}: not an absolute path", argument="folder", value=folder)
    reports = await context.service.import_domains(
        Path(folder), dry_run=dry_run, caller=context.caller
    )
    return [
        {
            "path": str(report.path),
            "verdict": report.verdict,
            "name": report.name,
            "uuid": report.uuid,
            "reason": report.reason,
            "changes": report.changes,
            "notes": report.notes,
        }
        for report in reports
    ]


_OWN: Final[Mapping[str, tuple[Callable[..., Awaitable[Any]], Sequence[Parameter]]]] = {
    "xend.adopt": (adopt, (Parameter("dom", reference),)),
    "xend.import": (import_domains, (Parameter("folder", text), Parameter("dry_run", flag))),
}


def is_own(method: str) -> bool:
    return method in _OWN


async def call(context: CallContext, method: str, arguments: Sequence[Any]) -> Any:
    handler, parameters = _OWN[method]
    return await handler(context, *bind(method, parameters, arguments))
