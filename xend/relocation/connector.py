"""`core.relocation.Connector`: calls other hosts."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Final

from xend.core.relocation import Link, Purpose
from xend.errors import MigrationFailed
from xend.relocation import greeting
from xend.relocation.link import LINE_LIMIT, BaseLink, PlainLink, TlsLink, tune

CONNECT_SECONDS: Final = 30.0
"""As in the original: for the connection and for the greeting."""


class TcpConnector:
    async def connect(self, host: str, port: int, *, tls: bool, purpose: Purpose) -> Link:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                link = await (_with_tls(host, port) if tls else _plain(host, port))
                try:
                    await _greet(link, host, purpose)
                except BaseException:
                    await link.close()
                    raise
                return link
        except TimeoutError as error:
            raise _failed(host, "can't connect: timed out") from error
        except ssl.SSLError as error:
            raise _failed(host, f"SSL error: {error}") from error
        except OSError as error:
            raise _failed(host, f"can't connect: {error.strerror or error}") from error


async def _greet(link: BaseLink, host: str, purpose: Purpose) -> None:
    await link.write(greeting.request(purpose))
    try:
        line = await link.line()
    except ValueError:
        line = b"(too much)"
    if problem := greeting.problem(line):
        raise _failed(host, f"{problem} (from {host})")


async def _plain(host: str, port: int) -> PlainLink:
    loop = asyncio.get_running_loop()
    infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    failure: OSError | None = None
    for family, kind, protocol, _name, address in infos:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setblocking(False)
            await loop.sock_connect(sock, address)
            tune(sock)
            return PlainLink(sock, host)
        except OSError as error:
            failure = error
            sock.close()
        except BaseException:
            sock.close()
            raise
    raise failure or OSError(f"{host} has no address")


async def _with_tls(host: str, port: int) -> TlsLink:
    """Encrypted, but like the original it asks nobody whether the other side is who it says."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(host, port, ssl=context, limit=LINE_LIMIT)
    tune(writer.get_extra_info("socket"))
    return TlsLink(reader, writer, host)


def _failed(host: str, text: str) -> MigrationFailed:
    return MigrationFailed(text, host=host, stage="connect")
