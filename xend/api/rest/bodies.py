"""Configurations as they are sent: JSON, or a file of xm, xl or xend, by Content-Type.

Guessing would turn a typo into another machine, so a type that is not known is refused.
"""

from __future__ import annotations

import asyncio
import io
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import UUID, uuid4

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError

from xend.api.rest.refusals import MalformedBody, UnsupportedMediaType
from xend.config import sxp
from xend.errors import ConfigError, InvalidArgument
from xend.model.domain import DomainConfig

M = TypeVar("M", bound=BaseModel)

JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"
XM: Final = "text/x-python"
SXP: Final = "application/sxp"
XL: Final = "application/x-xl-config"

DIALECTS: Final[Mapping[str, str]] = {
    JSON: "json",
    XM: "xm",
    "application/x-python": "xm",
    "text/x-xm-config": "xm",
    SXP: "sxp",
    "text/x-sxp": "sxp",
    XL: "xl",
    "text/x-xl-config": "xl",
}
MEDIA_TYPES: Final[Mapping[str, str]] = {"json": JSON, "xm": XM, "sxp": SXP, "xl": XL}


CONFIG_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        MEDIA_TYPES["json"]: {
            "schema": {"$ref": "#/components/schemas/NewDomain"},
            "example": {
                "name": "prospero",
                "memory": 262144,
                "kernel": "/var/lib/xen/images/vmlinux",
                "disks": [{"scheme": "file", "path": "/srv/prospero.img", "vdev": "xvda"}],
                "vifs": [{"bridge": "xenbr0"}],
            },
        },
        MEDIA_TYPES["xm"]: {
            "schema": {"type": "string", "description": "a domain file of xm"},
            "example": "name = 'prospero'\nmemory = 256\nbootloader = 'pygrub'\n",
        },
        MEDIA_TYPES["xl"]: {
            "schema": {"type": "string", "description": "a domain file of xl"},
            "example": 'name = "prospero"\nmemory = 256\nbootloader = "pygrub"\n',
        },
        MEDIA_TYPES["sxp"]: {
            "schema": {"type": "string", "description": "(vm …), or (domain …) of xm list -l"},
            "example": "(vm (name prospero) (memory 256) (image (linux (kernel /boot/vmlinuz))))",
        },
    },
}
"""Of the description: what `read_config` takes."""


class NewDomain(DomainConfig):
    """A configuration whose uuid may be left to us."""

    uuid: UUID = Field(default_factory=uuid4)
    memory: int = Field(default=128 * 1024, gt=0, description="KiB, wanted now")
    maxmem: int = Field(default=0, ge=0, description="KiB; 0: the same as `memory`")
    shadow_memory: int = Field(default=0, ge=0, description="KiB; 0: as libxl reckons")
    cpu_weight: int = Field(default=256, ge=1, le=65535)
    cpu_cap: int = Field(default=0, ge=0, description="percent of one CPU; 0: no cap")


@dataclass(frozen=True, slots=True)
class Read:
    """A configuration that was sent."""

    config: DomainConfig
    has_uuid: bool
    """Else it was made up."""
    warnings: tuple[str, ...] = ()

    def with_uuid(self, uuid: str) -> DomainConfig:
        """The uuid that it says, else this one."""
        if self.has_uuid:
            return self.config
        return self.config.model_copy(update={"uuid": UUID(uuid)})


def media_type(request: Request) -> str:
    given = request.headers.get("content-type", "")
    return given.partition(";")[0].strip().lower() or JSON


def dialect_of(request: Request) -> str:
    found = DIALECTS.get(media_type(request))
    if found is None:
        raise UnsupportedMediaType(
            given=request.headers.get("content-type", ""),
            expected=", ".join(MEDIA_TYPES.values()),
        )
    return found


async def read_config(request: Request) -> Read:
    """ConfigError, MalformedBody, UnsupportedMediaType or RequestValidationError say what is
    wrong with it."""
    dialect = dialect_of(request)
    body = await request.body()
    if dialect == "json":
        return from_json(parse_json(body))
    return await from_text(dialect, body)


async def from_text(dialect: str, body: bytes) -> Read:
    """Files may be programs, and long: they are read in a thread."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedBody(reason=f"it is not UTF-8: {error}") from error
    return await asyncio.to_thread(_READERS[dialect], text)


def parse_json(body: bytes) -> Any:
    try:
        document = json.loads(body, parse_constant=_no_constant, object_pairs_hook=_unique)
        check_text(body, document)
        return document
    except UnicodeDecodeError as error:
        raise MalformedBody(reason=f"it is not UTF-8: {error}") from error
    except json.JSONDecodeError as error:
        raise MalformedBody(
            reason=f"{error.msg} (line {error.lineno}, column {error.colno})",
            line=error.lineno,
            column=error.colno,
        ) from error
    except (RecursionError, ValueError) as error:
        raise MalformedBody(reason=str(error)) from error


def check_text(body: bytes, document: Any) -> None:
    """InvalidArgument when a text in it is none: half of a surrogate pair (RFC 7493 §2.1), which
    could be written nowhere.  The bytes of old names that are not UTF-8 (U+DC80 to U+DCFF, as they
    are shown) may be sent back."""
    if b"\\ud" not in body and b"\\uD" not in body:
        return
    try:
        json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise InvalidArgument(
            f"The body has a text that is none: \\u{ord(half):04x} alone is no character",
            argument="body",
            value=f"\\u{ord(half):04x}",
        ) from error


def _no_constant(name: str) -> None:
    raise MalformedBody(reason=f"{name} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """RFC 8259 leaves open which of two counts: here it would be a guess about a machine."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _value in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise MalformedBody(reason=f"the field '{twice}' is there twice")
    return found


def from_json(document: Any) -> Read:
    config = checked(NewDomain, document)
    named = isinstance(document, dict) and "uuid" in document
    return Read(DomainConfig.model_validate(dict(config)), named)


def checked(model: type[M], document: Any) -> M:
    """RequestValidationError names each field that is wrong, also one whose type is only alike
    (`"2"`, `true` for a number)."""
    try:
        text = json.dumps(_integral(document))
        if "\\ud" not in text:  # pydantic's reader does not take halves of characters
            model.model_validate_json(text, strict=True)
        return model.model_validate(document)
    except ValidationError as error:
        errors = [{**each, "loc": ("body", *each["loc"])} for each in error.errors()]
        raise InvalidBody(errors, model) from error


def _integral(value: Any) -> Any:
    """2.0 is an integer (JSON Schema, 6.1.1)."""
    if isinstance(value, dict):
        return {name: _integral(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_integral(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


class InvalidBody(RequestValidationError):
    """As FastAPI's, with the model that the body should have been."""

    def __init__(self, errors: list[Any], model: type[BaseModel]) -> None:
        super().__init__(errors)
        self.model = model


# -- Dialects of old files ---------------------------------------------------------------------


def _from_sxp(text: str) -> Read:
    """`(vm …)` as xm sends it, or `(domain …)` as config.sxp and `xm list -l` have it."""
    from xend.config.domainsxp import decode_managed
    from xend.config.vmsxp import decode_vm

    tree = sxp.parse_one(text)
    named = sxp.child_value(tree, "uuid") is not None
    fresh = sxp.name_of(tree) != "domain"
    return Read(decode_vm(tree) if fresh else decode_managed(text), named)


def _from_xm(text: str) -> Read:
    """A domain file of xm.  It is run, by the evaluator that is also xm's; of this host it can
    read nothing but itself."""
    from xend.config.vmsxp import decode_vm
    from xend.config.xmcreate import Context, load_config
    from xend.config.xmlimits import ExitRequested
    from xend.config.xmoptions import COMMAND_LINE
    from xend.config.xmsource import sealed
    from xend.config.xmvm import make_vm

    said = io.StringIO()
    with tempfile.TemporaryDirectory(prefix="xend-rest-") as folder:
        path = str(Path(folder, "config"))
        Path(path).write_text(text, encoding="utf-8")
        settings = COMMAND_LINE.parse([path])
        context = Context(env={}, cwd=folder, stdout=said, stderr=said)
        try:
            with sealed(path):
                load_config(path, settings, COMMAND_LINE, context, ["xm", "create", path])
        except ExitRequested as leave:
            raise ConfigError(f"The file ends by itself: exit {leave.code} {leave.text}") from leave
        except ConfigError as error:
            raise _without(path, error) from error
    with sealed(path):
        tree = sxp.wire(make_vm(settings.values, {}, "/", context.warn))
    warnings = tuple(line for line in said.getvalue().splitlines() if line)
    return Read(decode_vm(tree), bool(settings.values.get("uuid")), warnings)


def _without(path: str, error: ConfigError) -> ConfigError:
    """The client does not know our temporary file."""
    fields = {name: value for name, value in error.fields.items() if name != "file"}
    return ConfigError(str(error).replace(path, "the body"), **fields)


def _from_xl(text: str) -> Read:
    from xend.config.xlcfg import read

    uuid = uuid4()
    found = read(text, filename="the body", new_uuid=lambda: uuid)
    warnings = tuple(note.sentence("the body") for note in found.notes)
    return Read(found.config, found.config.uuid != uuid, warnings)


_READERS: Final[dict[str, Callable[[str], Read]]] = {
    "sxp": _from_sxp,
    "xm": _from_xm,
    "xl": _from_xl,
}
