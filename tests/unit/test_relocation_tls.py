"""The ends of an encrypted conversation between two hosts."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from asyncio import sslproto
from pathlib import Path
from typing import Any

import pytest

from xend.relocation.connector import _with_tls


@pytest.fixture
def server_context(tmp_path: Path) -> ssl.SSLContext:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-subj", "/CN=x", "-days", "2", "-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


@pytest.fixture
def python_of_debian_12(monkeypatch: pytest.MonkeyPatch) -> None:
    """3.11.2: abort() needs what a second close() has dropped; later ones look first."""
    abort = sslproto._SSLProtocolTransport.abort

    def as_in_3_11_2(self: Any) -> None:
        assert self._ssl_protocol is not None, "'NoneType' object has no attribute '_abort'"
        abort(self)

    monkeypatch.setattr(sslproto._SSLProtocolTransport, "abort", as_in_3_11_2)


@pytest.mark.usefixtures("python_of_debian_12")
@pytest.mark.parametrize("times", [1, 2])
async def test_the_peer_leaves_first(server_context: ssl.SSLContext, times: int) -> None:
    async def leave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"bye\n")
        writer.close()

    server = await asyncio.start_server(leave, "127.0.0.1", 0, ssl=server_context)
    async with server:
        link = await _with_tls("127.0.0.1", server.sockets[0].getsockname()[1])
        assert await link.line() == b"bye\n"
        assert await link.line() == b""
        for _ in range(times):
            await link.close()
        link.abort()
