"""`/v1/tokens`: bearer tokens, for admins."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response

from xend.api.rest.access import Admin
from xend.api.rest.documents import moment
from xend.api.rest.lists import document_answer
from xend.api.rest.media import JsonBody
from xend.api.rest.tokens import Token, Tokens
from xend.core.access import Role

router = APIRouter(prefix="/v1/tokens", tags=["access"])

RoleWord = Literal["viewer", "operator", "admin"]
Id = Annotated[str, Path(min_length=1, max_length=64, description="the token's id")]
Time = Annotated[str | None, Field(description="RFC 3339, in UTC")]
_EXAMPLE: dict[str, Any] = {
    "id": "9f86d081884c7d65",
    "name": "prometheus",
    "role": "viewer",
    "created_at": "2026-01-01T00:00:00.000+00:00",
    "created_by": "uid 0",
    "expires_at": "2027-01-01T00:00:00.000+00:00",
    "revoked_at": None,
    "last_used_at": "2026-01-02T00:00:00.000+00:00",
}


class TokenWish(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [{"name": "prometheus", "role": "viewer", "expires_in": 31536000}]
        },
    )

    name: str = Field(
        min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$", description="for the audit"
    )
    role: RoleWord
    expires_in: float | None = Field(
        default=None, gt=0, le=3.2e9, description="seconds from now; null: never"
    )


class TokenDocument(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={"examples": [_EXAMPLE]},
        json_schema_serialization_defaults_required=True,
    )

    id: str
    name: str
    role: RoleWord
    created_at: str
    created_by: str
    expires_at: Time
    revoked_at: Time
    last_used_at: Time


class NewToken(TokenDocument):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{**_EXAMPLE, "token": "xend_9f86d081884c7d65_…"}]},
        json_schema_serialization_defaults_required=True,
    )

    token: str = Field(description="send it as `Authorization: Bearer …`; it is shown only here")


class TokenList(BaseModel):
    items: list[TokenDocument]
    next: None = None


def document(token: Token) -> dict[str, Any]:
    return {
        "id": token.id,
        "name": token.name,
        "role": token.role.word,
        "created_at": moment(token.created),
        "created_by": token.created_by,
        "expires_at": moment(token.expires),
        "revoked_at": moment(token.revoked),
        "last_used_at": moment(token.last_used),
    }


def _tokens(request: Request) -> Tokens:
    tokens: Tokens = request.app.state.tokens
    return tokens


@router.get("", summary="Every token, without its secret", response_model=TokenList)
async def list_tokens(_: Admin, request: Request) -> Response:
    items = [document(token) for token in await _tokens(request).list()]
    return document_answer(request, {"items": items, "next": None})


@router.post(
    "",
    status_code=201,
    summary="Make a token",
    response_model=NewToken,
    dependencies=[JsonBody],
)
async def make_token(caller: Admin, request: Request, body: TokenWish) -> JSONResponse:
    token, text = await _tokens(request).make(
        body.name, Role.of(body.role), caller.name, body.expires_in
    )
    headers = {"Location": f"/v1/tokens/{token.id}", "Cache-Control": "no-store"}
    return JSONResponse({**document(token), "token": text}, 201, headers)


@router.get("/{id}", summary="One token", response_model=TokenDocument)
async def get_token(_: Admin, request: Request, id: Id) -> Response:
    return document_answer(request, document(await _tokens(request).get(id)))


@router.post(
    "/{id}/revoke", summary="From now on it is worth nothing", response_model=TokenDocument
)
async def revoke_token(_: Admin, request: Request, id: Id) -> JSONResponse:
    return JSONResponse(document(await _tokens(request).revoke(id)))


@router.delete("/{id}", status_code=204, summary="Revoke a token and forget it")
async def delete_token(_: Admin, request: Request, id: Id) -> Response:
    await _tokens(request).delete(id)
    return Response(status_code=204)
