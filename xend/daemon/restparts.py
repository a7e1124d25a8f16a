"""What the REST face has beside the service: tokens, audit, consoles, counters."""

from __future__ import annotations

from contextlib import AsyncExitStack

from xend.api.rest.parts import RestParts
from xend.console.hub import Consoles
from xend.core.counters import DeviceCounters, LoopLag
from xend.core.domains import DomainService
from xend.core.operationcounts import OperationCounts
from xend.daemon.audit import OperationAudit
from xend.daemon.settings import Settings
from xend.store.audit import SqliteAudit
from xend.store.records import SqliteRecords


async def rest_parts(
    service: DomainService,
    counters: DeviceCounters,
    loop: LoopLag,
    settings: Settings,
    stack: AsyncExitStack,
) -> RestParts:
    """Closed by `stack`, before the service is."""
    records = SqliteRecords(settings.database)
    stack.push_async_callback(records.close)
    audit = SqliteAudit(settings.audit)
    stack.push_async_callback(audit.close)
    operations = OperationCounts()
    follower = OperationAudit(service, audit, operations)
    stack.push_async_callback(follower.close)
    follower.start()
    consoles = Consoles(
        service,
        limit=settings.console_limit,
        keep_all=settings.keep_consoles,
        lock_folder=settings.console_locks,
    )
    stack.push_async_callback(consoles.close)
    await consoles.start()
    return RestParts(
        records=records,
        audit=audit,
        consoles=consoles,
        counters=counters,
        operations=operations,
        loop=loop,
        paths=settings.rest_paths,
        rules=settings.rest,
    )
