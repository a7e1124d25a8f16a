"""What two hosts say to each other when a domain migrates.

The sender offers it, the receiver reserves what it needs, libxl's stream passes by, and then it
changes hands as with `xl migrate` (main loop of tools/xl/xl_migrate.c), but so that whoever is cut
off can find out later what became of it:

    sender                                    receiver
    offer                               →     name, uuid and memory are reserved
                                        ←     send
    intent `migrate`: sending
    sending, libxl's stream             →     a paused domain, intent `receive`: building
                                        ←     ready
    intent: go
    go                                  →     intent: permitted; it is ours, runs; intent: running
                                        ←     done
    its own is destroyed, intent ends
    settled                             →     intent ends

Before `go` each side that misses the other takes everything back.  After it the receiver alone
decides; the sender's domain stays suspended until it has asked the receiver for the outcome of
the token: `runs`, `never`, or `undecided`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from pydantic import ValidationError

from xend.core.ports import Hypervisor, Intent, ProgressSink
from xend.errors import MigrationFailed
from xend.model.domain import DomainConfig
from xend.model.units import Domid

Outcome = Literal["runs", "never", "undecided"]
Purpose = Literal["receive", "outcome"]

GO_SECONDS = 60.0
"""How long one side waits for a word of the other that needs no work."""


class Link(Protocol):
    """A connection to another host's xend, past the greeting."""

    @property
    def peer(self) -> str:
        """For people."""

    async def tell(self, **message: Any) -> None:
        """MigrationFailed when the other side is gone."""

    async def hear(self, seconds: float, expected: str) -> Mapping[str, Any]:
        """The next message, which must have `expected`.  MigrationFailed with the other side's own
        words if it says `error`; when it is gone or silent; or when it says something else."""

    def stream(self, *, writing: bool) -> AbstractAsyncContextManager[int]:
        """Lends the connection, as the descriptor of a socket, to who writes or reads libxl's
        stream; nothing is told or heard meanwhile, but see `trouble`."""

    async def trouble(self) -> MigrationFailed:
        """While it is lent for writing: returns when the other side gives up."""

    def abort(self) -> None:
        """Ends it for both sides at once, also for a process to which it is lent."""

    async def close(self) -> None: ...


class Connector(Protocol):
    async def connect(self, host: str, port: int, *, tls: bool, purpose: Purpose) -> Link:
        """MigrationFailed in the original's words: "can't connect: E", "SSL error: E"."""


class NoConnector:
    """Of a service that sends nothing."""

    async def connect(self, host: str, port: int, *, tls: bool, purpose: Purpose) -> Link:
        raise MigrationFailed("can't connect: this xend sends no domains", host=host)


@dataclass(frozen=True, slots=True)
class Offer:
    token: str
    """Of this migration."""
    instance: str
    """Of the sending xend: one that receives from itself knows it by that."""
    domid: Domid
    config: DomainConfig
    change_home: bool
    """The receiver keeps its configuration from now on, and the sender does not."""
    live: bool

    def message(self) -> dict[str, Any]:
        return {
            "token": self.token,
            "instance": self.instance,
            "domid": self.domid,
            "config": self.config.model_dump(mode="json"),
            "change_home": self.change_home,
            "live": self.live,
        }

    @classmethod
    def of(cls, message: Mapping[str, Any]) -> Offer:
        """MigrationFailed when it makes no sense."""
        try:
            return cls(
                str(message["token"]),
                str(message["instance"]),
                Domid(int(message["domid"])),
                DomainConfig.model_validate(message["config"]),
                bool(message["change_home"]),
                bool(message["live"]),
            )
        except (KeyError, TypeError, ValueError, ValidationError) as error:
            raise MigrationFailed(
                f"what is offered is no domain that this xend knows: {error}", stage="offer"
            ) from error


@dataclass(slots=True, eq=False)
class Incoming:
    """A domain on its way to this host."""

    link: Link
    offer: Offer
    beside: Domid | None
    """The domain that leaves, when this is its own host."""
    intent: Intent | None = field(default=None)
    domid: Domid | None = None

    @property
    def data(self) -> dict[str, Any]:
        """Of its intent, before it has changed hands."""
        return {
            "token": self.offer.token,
            "name": self.offer.config.name,
            "config": self.offer.config.model_dump(mode="json"),
            "beside": self.beside,
            "change_home": self.offer.change_home,
            "phase": "building",
        }

    async def take(self, hypervisor: Hypervisor, progress: ProgressSink) -> Domid:
        """Everything is reserved: the sender may send, and what it sends becomes a domain."""
        await self.link.tell(send=True, same_host=self.beside is not None)
        await self.link.hear(GO_SECONDS, "sending")
        async with self.link.stream(writing=False) as fd:
            return await hypervisor.receive(fd, self.offer.config, progress)

    async def take_over(self, intent: Intent, domid: Domid) -> None:
        """Returns when the sender has given it away."""
        self.intent, self.domid = intent, domid
        await self.link.tell(ready=True)
        await self.link.hear(GO_SECONDS, "go")
