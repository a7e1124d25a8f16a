"""Values of the model, with its refusals as errors that name the field."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from xend.errors import ConfigError
from xend.model.domain import NAME_FORM, DomainConfig

_D = TypeVar("_D", bound=BaseModel)


def build_device(kind: type[_D], name: str, /, **fields: Any) -> _D:
    """A device of the model, or a part of one; what it refuses is an error that names the field."""
    try:
        return kind(**fields)
    except UnicodeEncodeError as error:
        raise _not_utf8(name, error) from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join([name, *(str(part) for part in first["loc"])])
        reason = str(first["msg"]).removeprefix("Value error, ")
        raise ConfigError(
            f"Invalid Configuration: {field}: {reason}",
            field=field,
            value=first.get("input"),
            expected=reason,
        ) from None


def build_config(fields: dict[str, Any]) -> DomainConfig:
    """The model's own checks, with the field's name in front."""
    try:
        return DomainConfig(**fields)
    except UnicodeEncodeError as error:
        raise _not_utf8("a text", error) from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        reason = str(first["msg"]).removeprefix("Value error, ")
        message, expected = f"Invalid Configuration: {field}: {reason}", reason
        if field == "name":
            message, expected = reason, NAME_FORM
        raise ConfigError(
            message, field=field, value=first.get("input"), expected=expected
        ) from None


def _not_utf8(name: str, error: UnicodeEncodeError) -> ConfigError:
    """Bytes that are no UTF-8 come from files as lone surrogates."""
    shown = error.object.encode("utf-8", "backslashreplace").decode()
    return ConfigError(
        f"Invalid Configuration: {name}: '{shown[:60]}' is not UTF-8",
        field=name,
        value=shown,
        expected="text in UTF-8",
    )
