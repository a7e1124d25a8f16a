"""The consoles of this host's domains."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final

from xend.console.console import Console, Notice, Reader
from xend.console.lock import FOLDER
from xend.core.domains import DomainService
from xend.core.events import ReaderTooSlow
from xend.core.views import DomainView
from xend.errors import DomainNotFound, DomainStateError, XendError
from xend.model.units import DOM0

log = logging.getLogger("xend.console")

_AGAIN: Final = 5.0
"""Seconds until a keeper that could not have a console asks again."""


class Consoles:
    """By uuid, so that a console outlives a reboot.  Rings of domains that are gone are dropped."""

    def __init__(
        self,
        service: DomainService,
        *,
        limit: int,
        keep_all: bool = False,
        lock_folder: Path = FOLDER,
    ) -> None:
        """`limit` in bytes, of each ring; `keep_all` reads every guest's console all the time."""
        self._service = service
        self._limit = limit
        self._keep_all = keep_all
        self._lock_folder = lock_folder
        self._consoles: dict[str, Console] = {}
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._follower: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Nothing, unless every console is to be kept."""
        if self._keep_all:
            self._follower = asyncio.create_task(self._follow(), name="xend-consoles")

    async def close(self) -> None:
        tasks = [*self._keepers.values()]
        if self._follower is not None:
            tasks.append(self._follower)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await asyncio.gather(*(console.close() for console in self._consoles.values()))
        self._consoles.clear()

    async def attach(self, ref: str | int, *, scrollback: bool = True) -> Reader:
        """As `having`; ConflictError (another program has its console), OperationTimeout."""
        view = await self.having(ref)
        await self._forget()
        return await self._console(view).attach(scrollback=scrollback)

    async def having(self, ref: str | int) -> DomainView:
        """The domain, if it has a console now: DomainNotFound, DomainStateError (it does not run,
        or is Domain-0)."""
        view = await self._service.lookup(ref)
        if view.domid is None or view.domid == DOM0:
            raise DomainStateError(
                f"Domain '{ref}' has no console: "
                + ("it is Domain-0" if view.domid == DOM0 else "it does not run"),
                domain=str(ref),
                state=view.power_state.name.lower(),
                verb="console",
            )
        return view

    def _console(self, view: DomainView) -> Console:
        console = self._consoles.get(view.uuid)
        if console is None:
            console = Console(view.name, self._find(view.uuid), self._limit, self._lock_folder)
            self._consoles[view.uuid] = console
        return console

    def _find(self, uuid: str) -> Callable[[], Awaitable[tuple[int, str]]]:
        async def find() -> tuple[int, str]:
            view = await self._service.lookup(uuid)
            if view.domid is None:
                raise DomainNotFound(uuid)
            try:
                return view.domid, await self._service.console_tty(view.domid)
            except DomainNotFound:
                return view.domid, ""  # it is being restarted: shown, but not there

        return find

    async def _forget(self) -> None:
        """The rings that nobody will ask for again."""
        known = {view.uuid for view in await self._service.list()}
        gone = [
            uuid
            for uuid, console in self._consoles.items()
            if uuid not in known and console.idle and uuid not in self._keepers
        ]
        for uuid in gone:
            del self._consoles[uuid]

    # -- Keeping all -----------------------------------------------------------------------------

    async def _follow(self) -> None:
        """A keeper per running guest; events say when to look."""
        while True:
            events = self._service.events.subscribe(topics={"domain"})
            try:
                await self._look()
                async for _ in events:
                    await self._look()
            except ReaderTooSlow:
                continue  # it looks at everything again
            except XendError as error:
                log.error("consoles are not kept for now: %s", error)
                await asyncio.sleep(_AGAIN)
            else:
                return  # the service has been closed
            finally:
                events.close()

    async def _look(self) -> None:
        for view in await self._service.list():
            if view.domid not in (None, DOM0) and view.uuid not in self._keepers:
                task = asyncio.create_task(self._keep(view), name=f"xend-console-keep-{view.name}")
                self._keepers[view.uuid] = task
                task.add_done_callback(partial(self._kept, view.uuid))

    def _kept(self, uuid: str, _task: asyncio.Task[None]) -> None:
        del self._keepers[uuid]

    async def _keep(self, view: DomainView) -> None:
        """A reader that throws away what it reads: the ring is what it is for."""
        console = self._console(view)
        while True:
            try:
                reader = await console.attach(scrollback=False)
            except DomainNotFound:
                return
            except XendError as error:
                log.info("the console of %s is not kept: %s", view.name, error)
                await asyncio.sleep(_AGAIN)
                continue
            try:
                while await reader.next() != Notice("ended"):
                    pass
            finally:
                reader.close()
            await asyncio.sleep(_AGAIN / 10)
