"""Which face listens where, and keeping that so over a reload."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from xend.api.asgi import App
from xend.api.clisock import CliSocket
from xend.api.facts import HostFacts
from xend.api.http import FaceProtocol, FaceServer, ProblemProtocol
from xend.api.relocation import RelocationServer, allowed
from xend.api.rest.lazy import LazyApp
from xend.api.rest.parts import RestParts
from xend.api.rest.tls import RestTls
from xend.api.sockets import Address, Listeners, TcpAddress
from xend.api.xmlrpc.app import XmlRpcApp
from xend.api.xmlrpc.domain_answer import DomainAnswers
from xend.core.domains import DomainService
from xend.errors import ConfigError, XendError

log = logging.getLogger("xend.faces")

FaceKind = Literal["xmlrpc", "rest", "cli", "relocation"]


@dataclass(frozen=True, slots=True)
class Tls:
    key: Path
    certificate: Path

    def context(self) -> ssl.SSLContext:
        """ConfigError when the files cannot be used."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"cannot use the key {self.key} and the certificate {self.certificate}: {error}",
                value=str(self.key),
            ) from error
        return context


@dataclass(frozen=True, slots=True)
class FaceSpec:
    kind: FaceKind
    address: Address
    tls: Tls | RestTls | None = None
    hosts_allow: str = ""
    """Of the relocation server."""

    def __str__(self) -> str:
        return f"{self.kind} on {self.address}{' with TLS' if self.tls else ''}"


class _Running(Protocol):
    async def close(self) -> None: ...


class _HttpFace:
    """A server and the task that runs it."""

    def __init__(self, spec: FaceSpec, server: FaceServer, task: asyncio.Task[None]) -> None:
        self._spec = spec
        self._server = server
        self._task = task
        task.add_done_callback(self._ended)

    async def close(self) -> None:
        self._server.stop()
        await asyncio.wait([self._task])

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("the server of %s ended: %r", self._spec, error)


class Faces:
    def __init__(
        self, listeners: Listeners, service: DomainService, facts: HostFacts, rest: RestParts
    ) -> None:
        self._listeners = listeners
        self._service = service
        self._facts = facts
        self.rest = rest
        self._answers = DomainAnswers()
        self._running: dict[FaceSpec, _Running] = {}
        self._rest = LazyApp(self._load_rest)
        self._apps: Mapping[str, App] = {
            "xmlrpc": XmlRpcApp(service, facts, self._answers),
            "rest": self._rest,
        }

    async def apply(self, specs: Iterable[FaceSpec]) -> list[XendError]:
        """Serves exactly `specs`; those that stay are not touched.  What could not be opened is
        returned, and the others are served all the same."""
        wanted = dict.fromkeys(specs)
        stale = [spec for spec in self._running if spec not in wanted]
        await self._stop(stale)
        self._listeners.keep_only([spec.address for spec in wanted])
        errors: list[XendError] = []
        for spec in wanted:
            if spec in self._running:
                continue
            try:
                self._running[spec] = await self._start(spec)
            except XendError as error:
                log.error("%s: %s", spec, error)
                errors.append(error)
        return errors

    async def close(self) -> None:
        """Requests under way get a few seconds."""
        self._rest.stop()
        await self._stop([*self._running])
        self._listeners.close()

    async def _start(self, spec: FaceSpec) -> _Running:
        tls = await asyncio.to_thread(spec.tls.context) if spec.tls else None
        sockets = await self._listeners.open(spec.address)
        insecure = isinstance(spec.address, TcpAddress) and tls is None
        warning = "" if spec.kind == "rest" else " or authentication"
        log.info("Opening %s%s", spec, f": without encryption{warning}" if insecure else "")
        if spec.kind == "cli":
            cli = CliSocket(self._service, self._facts, self._answers)
            await cli.serve(sockets)
            return cli
        if spec.kind == "relocation":
            server = RelocationServer(self._service, allowed(spec.hosts_allow), tls)
            await server.serve(sockets)
            return server
        is_rest = spec.kind == "rest"
        protocol = ProblemProtocol if is_rest else FaceProtocol
        http = FaceServer(self._apps[spec.kind], protocol=protocol, tls=tls, websockets=is_rest)
        task = asyncio.create_task(http.serve(sockets), name=f"xend-face-{spec}")
        return _HttpFace(spec, http, task)

    async def _stop(self, specs: Iterable[FaceSpec]) -> None:
        faces = [self._running.pop(spec) for spec in specs]
        await asyncio.gather(*(face.close() for face in faces))

    def _load_rest(self) -> App:
        from xend.api.rest.face import face

        return face(self._service, self._facts, self.rest)
