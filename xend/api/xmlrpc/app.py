"""The XML-RPC face as an ASGI application.

The path is not looked at (the original did not; some clients post to `/`), nor the Host header.
Every failure is a fault with status 200: old clients know nothing else.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from xend.api.asgi import (
    CLOSE,
    TEXT,
    BodyTooLarge,
    ClientGone,
    Receive,
    Scope,
    Send,
    read_body,
    respond,
)
from xend.api.facts import HostFacts
from xend.api.peer import Peer
from xend.api.xmlrpc import faults
from xend.api.xmlrpc.codec import dump_fault, dump_result, load_call, without_vcpu_avail
from xend.api.xmlrpc.context import CallContext
from xend.api.xmlrpc.domain_answer import DomainAnswers
from xend.api.xmlrpc.methods import UnknownMethod, call
from xend.core.domains import DomainService
from xend.core.views import Caller
from xend.errors import XendError

log = logging.getLogger("xend.XMLRPCServer")

MAX_BODY: Final = 1024 * 1024
"""Bytes; a domain's configuration has a few thousand."""
_XML: Final = b"text/xml"
_DOMAIN_ANSWERS: Final = frozenset(
    {
        "xend.domain",
        "xend.domains",
        "xend.domains_with_state",
        "xend.domain.create",
        "xend.domain.restore",
    }
)


class XmlRpcApp:
    def __init__(self, service: DomainService, host: HostFacts, answers: DomainAnswers) -> None:
        self._service = service
        self._host = host
        self._answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            text = f"Unsupported method ('{scope['method']}')\n".encode()
            await respond(send, 501, text, TEXT, [CLOSE])
            return
        try:
            body = await read_body(scope, receive, MAX_BODY)
        except BodyTooLarge as error:
            await respond(send, 413, f"{error}\n".encode(), TEXT, [CLOSE])
            return
        except ClientGone:
            return
        await respond(send, 200, await self._answer(body, _caller(scope)), _XML)

    async def _answer(self, body: bytes, caller: Caller) -> bytes:
        context = CallContext(self._service, self._host, self._answers, caller)
        method = "?"
        try:
            method, params = load_call(body)
            result = await call(context, method, params)
            return dump_result(without_vcpu_avail(result) if method in _DOMAIN_ANSWERS else result)
        except UnknownMethod:
            return dump_result(unknown(method))
        except XendError as error:
            log.debug("%s: %s", method, error)
            return dump_fault(*faults.fault_of(error))
        except Exception as error:
            log.exception("Internal error handling %s", method)
            return dump_fault(*faults.internal(error))


def unknown(method: str) -> dict[str, Any]:
    """What the original's Xen-API resolver answered, on the old socket too: a success, outside."""
    return {"Status": "Failure", "ErrorDescription": ["MESSAGE_METHOD_UNKNOWN", method]}


def _caller(scope: Scope) -> Caller:
    peer: Peer | None = scope["state"].get("peer")
    if peer is not None:
        return Caller("xmlrpc", peer.uid, str(peer))
    client = scope.get("client")
    return Caller("xmlrpc", None, f"{client[0]}:{client[1]}" if client else "")
