"""`Idempotency-Key` on POST: a request that is repeated is done once.

The key is on disk before the request is looked at, with the number that its operation will have
and the uuid that its domain will have; its answer is kept for a day, over restarts.  When xend was
killed in between:

* no operation of that number: nothing was begun, so the request is carried out;
* a create whose operation was interrupted and undone: it is carried out again, with the same uuid;
* otherwise the answer is that operation, which says what became of it.

(IETF draft "The Idempotency-Key HTTP Header Field".)
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

from starlette.responses import JSONResponse, Response

from xend.api.asgi import App, Message, Receive, Scope, Send, header, read_body, replay
from xend.api.rest.access import Caller
from xend.api.rest.documents import operation_document
from xend.api.rest.problems import respond
from xend.api.rest.refusals import InvalidQuery, KeyInUse, KeyReused
from xend.core.domains import DomainService
from xend.core.jobs import Job, JobStatus
from xend.core.ports import Records
from xend.errors import DomainNotFound, InvalidArgument, XendError

HEADER: Final = b"idempotency-key"
KIND: Final = "idempotency"
KEPT_SECONDS: Final = 24 * 3600.0
MAX_KEY: Final = 255
_MAKING: Final = frozenset({"create", "new"})
"""Operations after which there is a domain, or nothing."""
_KEY: Final = re.compile(r'"?([!#-~](?:[ -~]*[!#-~])?)"?')
_REPLAYED: Final = (b"idempotency-replayed", b"true")
_KEPT_HEADERS: Final = frozenset(
    (b"content-type", b"location", b"operation-location", b"preference-applied", b"etag")
)


@dataclass(frozen=True, slots=True)
class Claim:
    """What the operation of a request with a key must use."""

    job_id: str
    uuid: str


@dataclass(slots=True)
class _Answer:
    """What was sent, to be kept."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    secret: bool = False
    """It must not be stored (RFC 9111, no-store): a token's secret, a ticket."""

    def hear(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.secret = (b"cache-control", b"no-store") in message["headers"]
            self.headers = [
                (name, value) for name, value in message["headers"] if name in _KEPT_HEADERS
            ]
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")

    def record(self) -> dict[str, Any]:
        return {
            "status": self.status,
            "headers": [
                (name.decode("latin-1"), value.decode("latin-1")) for name, value in self.headers
            ],
            "body": base64.b64encode(self.body).decode(),
        }


class Idempotency:
    """Around the application; `state.claim` is what `Submission` reads."""

    def __init__(self, app: App, records: Records, service: DomainService, max_body: int) -> None:
        self._app = app
        self._records = records
        self._service = service
        self._max_body = max_body
        self._busy: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = header(scope, HEADER)
        if given is None or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        text = given.decode("latin-1").strip(" \t")
        match = _KEY.fullmatch(text) if len(text) <= MAX_KEY else None
        key = match[1] if match else text
        caller: Caller = scope["state"]["caller"]
        place = hashlib.sha256(f"{caller.token or caller.name}\0{key}".encode()).hexdigest()
        if match is None or place in self._busy:
            error: XendError = KeyInUse(value=key)
            if match is None:
                error = InvalidQuery(
                    f"Idempotency-Key: 1 to {MAX_KEY} printable ASCII characters",
                    argument="Idempotency-Key",
                    value=key[:80],
                )
            await respond(error)(scope, receive, send)
            return
        self._busy.add(place)
        held: list[Message] = []

        async def hold(message: Message) -> None:
            """Whoever has the whole answer may repeat the request: it is kept by then."""
            if message["type"] == "http.response.body" and not message.get("more_body"):
                held.append(message)
            else:
                await send(message)

        try:
            body = await read_body(scope, receive, self._max_body)
            receive = replay(body, receive)
            await self._once(key, place, _fingerprint(scope, body), scope, receive, hold)
        finally:
            self._busy.discard(place)
        for message in held:
            await send(message)

    async def _once(
        self, key: str, place: str, print_: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        fresh = {
            "fingerprint": print_,
            "job": f"{secrets.token_hex(6)}-k",
            "uuid": str(uuid4()),
            "answer": None,
        }
        expires = time.time() + KEPT_SECONDS
        record: Mapping[str, Any] = fresh
        if not await self._records.add(KIND, place, fresh, expires):
            record = await self._records.get(KIND, place) or fresh
            if record["fingerprint"] != print_:
                await respond(KeyReused(value=key))(scope, receive, send)
                return
            kept = await self._kept(record)
            if kept is not None:
                kept.raw_headers.append(_REPLAYED)
                await kept(scope, receive, send)
                return
            record = {**record, "job": fresh["job"]}
            await self._records.put(KIND, place, record, expires)
        scope["state"]["claim"] = Claim(record["job"], record["uuid"])
        answer = _Answer()

        async def heard(message: Message) -> None:
            answer.hear(message)
            await send(message)

        await self._app(scope, receive, heard)
        if self._had_an_effect(answer, record):
            await self._records.put(KIND, place, {**record, "answer": answer.record()}, expires)
        else:
            await self._records.drop(KIND, place)

    def _had_an_effect(self, answer: _Answer, record: Mapping[str, Any]) -> bool:
        """Else it may be repeated, perhaps with more luck; or the answer is not for a disk."""
        return not answer.secret and (answer.status < 300 or self._job(record) is not None)

    def _job(self, record: Mapping[str, Any]) -> Job | None:
        try:
            return self._service.jobs.get(record["job"])
        except InvalidArgument:
            return None

    async def _kept(self, record: Mapping[str, Any]) -> Response | None:
        """The answer to a repeated request; None: it has to be carried out."""
        answer, job = record["answer"], self._job(record)
        if answer is not None and (job is None or answer["status"] != 202):
            return _again(answer)
        if job is None or await self._was_undone(job):
            return None
        headers = {"Location": f"/v1/operations/{job.id}"}
        return JSONResponse(operation_document(job), 202, headers)

    async def _was_undone(self, job: Job) -> bool:
        if job.status is not JobStatus.INTERRUPTED or job.kind not in _MAKING:
            return False
        try:
            await self._service.lookup(job.uuid)
        except DomainNotFound:
            return True
        return False


def _fingerprint(scope: Scope, body: bytes) -> str:
    """Of what is asked: the method, the address, the body and how it is to be read."""
    found = hashlib.sha256()
    parts = (
        scope["method"].encode(),
        scope["raw_path"] if scope.get("raw_path") else scope["path"].encode(),
        scope["query_string"],
        header(scope, b"content-type") or b"",
        body,
    )
    for part in parts:
        found.update(len(part).to_bytes(8, "big") + part)
    return found.hexdigest()


def _again(answer: Mapping[str, Any]) -> Response:
    response = Response(base64.b64decode(answer["body"]), answer["status"])
    response.raw_headers += [
        (name.encode("latin-1"), value.encode("latin-1")) for name, value in answer["headers"]
    ]
    return response
