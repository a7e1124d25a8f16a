"""A Xen-API server for tests: objects by class and reference, on a Unix socket."""

from __future__ import annotations

import json
import xmlrpc.client
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.faces.xmreplay import RecordedServer

SESSION = "OpaqueRef:s"
Record = dict[str, Any]


class XenApiError(Exception):
    """Answered as a failure with these words."""


class FakeXenApi(RecordedServer):
    """Reads and writes fields of the objects; `methods` has what is different or more."""

    def __init__(self, path: Path, **objects: dict[str, Record]) -> None:
        self.objects = objects
        self.methods: dict[str, Callable[..., Any]] = {}
        self.password = "secret"
        self.valid = {SESSION}
        super().__init__([], str(path))

    def called(self) -> list[str]:
        return [method for method, _ in self.calls]

    def said(self) -> list[list[Any]]:
        """What was asked for with arguments behind the session, without logging in and out."""
        return [
            [method, *params[1:]]
            for method, params in self.calls
            if not method.startswith("session.")
        ]

    def _answer(self, body: bytes) -> bytes:
        params, name = xmlrpc.client.loads(body.decode("utf-8", "surrogateescape"))
        method = str(name)
        self.calls.append([method, json.loads(json.dumps(params))])
        try:
            value = self._do(method, list(params))
        except XenApiError as error:
            answer: Any = {"Status": "Failure", "ErrorDescription": list(error.args)}
        else:
            answer = {"Status": "Success", "Value": value}
            if isinstance(value, Raw):
                answer = value.answer
            elif method.startswith("xend."):
                answer = value
        data = xmlrpc.client.dumps((answer,), methodresponse=True, allow_none=True).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {len(data)}\r\n\r\n"
        return head.encode() + data

    def _do(self, method: str, params: list[Any]) -> Any:
        if method in self.methods:
            return self.methods[method](*params)
        if method.startswith("xend."):
            return None
        if method == "session.login_with_password":
            return self._log_in(*params)
        session, *rest = params
        if session not in self.valid:
            raise XenApiError("SESSION_INVALID", session)
        return self._of_object(method, rest)

    def _log_in(self, user: str, password: str) -> str:
        if password != self.password:
            raise XenApiError("SESSION_AUTHENTICATION_FAILED", user, "Authentication Failed")
        return SESSION

    def _of_object(self, method: str, params: list[Any]) -> Any:
        kind, _, verb = method.partition(".")
        known = self.objects.get(kind)
        if known is None:
            if kind == "session":
                return "host1"
            raise XenApiError("MESSAGE_METHOD_UNKNOWN", method)
        if verb == "get_all":
            return list(known)
        if verb == "get_all_records":
            return known
        if verb == "get_by_name_label":
            return [ref for ref, item in known.items() if item["name_label"] == params[0]]
        if verb == "create":
            ref = f"{kind}-{len(known)}"
            known[ref] = params[0]
            return ref
        return self._of_one(known, method, verb, params)

    def _of_one(self, known: dict[str, Record], method: str, verb: str, params: list[Any]) -> Any:
        reads = verb.startswith("get_") or verb == "destroy"
        if reads and (not params or params[0] not in known):
            raise XenApiError("HANDLE_INVALID", method.split(".")[0], str(params[:1]))
        if not reads:
            return ""
        if verb == "destroy":
            self._forget(known, params[0])
            return ""
        field = verb.removeprefix("get_")
        return known[params[0]] if field == "record" else known[params[0]][field]

    def _forget(self, known: dict[str, Record], ref: str) -> None:
        """Nor does any other object know it afterwards."""
        del known[ref]
        for others in self.objects.values():
            for record in others.values():
                for field, value in record.items():
                    if isinstance(value, list) and ref in value:
                        record[field] = [item for item in value if item != ref]


class Raw:
    """Sent as it is, in place of a success."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
