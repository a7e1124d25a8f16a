"""The relocation server: other hosts' xends bring their domains.

Off unless xend-config.sxp says otherwise: who may connect may run guests here.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import ssl
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any, Final

from xend.core.domains import DomainService
from xend.core.receiving import answer_outcome
from xend.core.relocation import Offer
from xend.core.views import Caller
from xend.errors import ConfigError, XendError
from xend.relocation import greeting
from xend.relocation.link import LINE_LIMIT, BaseLink, PlainLink, TlsLink, tune

log = logging.getLogger("xend.relocation")

GREETING_SECONDS: Final = 30.0
MOST_CONNECTIONS: Final = 16
_DRAIN_SECONDS: Final = 2.0
_OPERATIONS: Final = ("help", "quit", *greeting.WORDS)


def allowed(patterns: str) -> tuple[re.Pattern[str], ...]:
    """Of `xend-relocation-hosts-allow`; ConfigError names the one that is none."""
    found = []
    for pattern in patterns.split():
        try:
            found.append(re.compile(pattern))
        except re.error as error:
            raise ConfigError(
                f"xend-relocation-hosts-allow: {pattern!r} is no regular expression: {error}",
                field="xend-relocation-hosts-allow",
                value=pattern,
            ) from error
    return tuple(found)


class RelocationServer:
    """Serves from `serve` until `close`; a domain that is coming in is then left to the journal."""

    def __init__(
        self,
        service: DomainService,
        hosts_allow: Sequence[re.Pattern[str]],
        tls: ssl.SSLContext | None,
    ) -> None:
        """No `hosts_allow`: everybody may."""
        self._service = service
        self._hosts_allow = hosts_allow
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self._accepting: list[asyncio.Task[None]] = []
        self._sockets: Sequence[socket.socket] = ()
        self._given: set[BaseLink] = set()

    async def serve(self, sockets: Sequence[socket.socket]) -> None:
        self._sockets = sockets
        for sock in sockets:
            task = asyncio.create_task(self._accept(sock), name="xend-relocation")
            self._accepting.append(task)

    async def close(self) -> None:
        tasks = [*self._accepting, *self._tasks]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for sock in self._sockets:
            sock.close()

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, address = await loop.sock_accept(listener)
            except OSError as error:
                log.error("a connection was not accepted: %s", error)
                await asyncio.sleep(1.0)
                continue
            self._spawn(self._meet(sock, str(address[0])))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="xend-relocation-peer")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _meet(self, sock: socket.socket, address: str) -> None:
        """From the first byte to the last; never raises but when it is cancelled."""
        try:
            reason = await self._reason_to_refuse(address)
            link = await self._link(sock, address)
        except (OSError, TimeoutError) as error:
            log.warning("relocation: %s: %s", address, error)
            sock.close()
            return
        try:
            if reason:
                log.warning("relocation: %s was refused: %s", address, reason)
                await self._refuse(link, reason)
            else:
                await self._talk(link)
        except (XendError, OSError, ValueError, TimeoutError) as error:
            log.warning("relocation: %s: %s", address, str(error) or "it says nothing")
        finally:
            if link in self._given:
                self._given.discard(link)
                link.abort()  # The job that has it sees that, and closes it.
            else:
                await link.close()

    async def _reason_to_refuse(self, address: str) -> str:
        if len(self._tasks) > MOST_CONNECTIONS:
            return "too many connections"
        if not self._hosts_allow:
            return ""
        names = {address}
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(5.0):
                loop = asyncio.get_running_loop()
                names.add((await loop.getnameinfo((address, 0)))[0])
        if any(pattern.match(name) for pattern in self._hosts_allow for name in names):
            return ""
        return f"{address} does not match xend-relocation-hosts-allow there"

    async def _link(self, sock: socket.socket, address: str) -> BaseLink:
        tune(sock)
        if self._tls is None:
            return PlainLink(sock, address)
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=LINE_LIMIT)
        protocol = asyncio.StreamReaderProtocol(reader)
        async with asyncio.timeout(GREETING_SECONDS):
            transport, _ = await loop.connect_accepted_socket(lambda: protocol, sock, ssl=self._tls)
        return TlsLink(reader, asyncio.StreamWriter(transport, protocol, reader, loop), address)

    async def _refuse(self, link: BaseLink, reason: str) -> None:
        """After its first line, so that it listens."""
        async with asyncio.timeout(GREETING_SECONDS):
            await link.line()
            await link.write(greeting.refusal(reason))
            await _drain(link)

    async def _talk(self, link: BaseLink) -> None:
        while True:
            async with asyncio.timeout(GREETING_SECONDS):
                line = await link.line()
            word = line.decode("latin-1").strip().strip("()")
            if not line or word == "quit":
                return
            if word in greeting.OLD_WORDS:
                await self._turn_away(link, word)
                return
            purpose = greeting.WORDS.get(word)
            if purpose is None:
                known = f"(ok ({' '.join(_OPERATIONS)}))\n".encode()
                wrong = greeting.refusal(f"Invalid operation: {word}")
                await link.write(known if word == "help" else wrong)
                continue
            await link.write(greeting.ready(word))
            if purpose == "receive":
                await self._receive(link)
            else:
                asked = await link.hear(GREETING_SECONDS, "token")
                await answer_outcome(self._service.receiving, link, str(asked["token"]))
            return

    async def _receive(self, link: BaseLink) -> None:
        offered = await link.hear(GREETING_SECONDS, "token")
        try:
            offer = Offer.of(offered)
        except XendError as error:
            await link.tell(error=str(error))
            raise
        log.info("relocation: %s brings %s", link.peer, offer.config.name)
        self._given.add(link)
        await self._service.receive(link, offer, caller=Caller("relocation", label=link.peer))

    async def _turn_away(self, link: BaseLink, word: str) -> None:
        """An old xend: it takes any answer for a yes, and looks for an error only when sending has
        failed.  So it is told after its first bytes."""
        log.warning("relocation: %s is an old xend: its guest was not taken", link.peer)
        async with asyncio.timeout(GREETING_SECONDS):
            await link.write(f"(ready {word})\n".encode())
            async with link.stream(writing=False) as fd:
                with socket.socket(fileno=fd) as sock:
                    try:
                        await asyncio.get_running_loop().sock_recv(sock, 16)
                    finally:
                        sock.detach()
            await link.write(greeting.refusal(greeting.OLD_PEER))
            await _drain(link)


async def _drain(link: BaseLink) -> None:
    """An answer is lost when the connection ends while the other side's words are unread."""
    with suppress(TimeoutError, OSError, ValueError):
        async with asyncio.timeout(_DRAIN_SECONDS):
            while (await link.line()).endswith(b"\n"):
                log.debug("%s says more", link.peer)
