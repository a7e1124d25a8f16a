"""Save files of the simulator: one line of JSON after a magic of its own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from xend.core import oldimage
from xend.errors import OperationFailed
from xend.model.domain import DomainConfig

MAGIC = "xend simulator image\n"


@dataclass(frozen=True, slots=True)
class Image:
    config: DomainConfig
    ran: float
    """Seconds that the guest had run."""


def write_image(path: Path, image: Image) -> None:
    """Raises OperationFailed with the cause."""
    try:
        path.write_bytes(to_bytes(image))
    except OSError as error:
        raise OperationFailed(f"Cannot write {path}: {error.strerror}", stage="save") from error


def to_bytes(image: Image) -> bytes:
    """As `write_image` writes it."""
    body = json.dumps({"config": image.config.model_dump(mode="json"), "ran": image.ran})
    return f"{MAGIC}{body}\n".encode()


def write_half(path: Path) -> None:
    """What a save leaves that was cut off."""
    path.write_text(MAGIC, "utf-8")


def read_image(path: Path) -> Image:
    """Raises OperationFailed with the cause."""
    try:
        return from_bytes(path.read_bytes(), str(path))
    except OSError as error:
        raise OperationFailed(f"{path} cannot be restored: {error}", stage="restore") from error


def from_bytes(data: bytes, path: str) -> Image:
    """`path`: what it is called in errors."""
    try:
        old = oldimage.reason(path, data[:64])
        if old:
            raise OperationFailed(f"{path} cannot be restored: {old}", stage="restore")
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise OperationFailed(f"{path} cannot be restored: {error}", stage="restore") from error
    if not text.startswith(MAGIC):
        raise OperationFailed(
            f"{path} cannot be restored: not a valid guest state file: found {text[:16]!r}",
            stage="restore",
        )
    try:
        body = json.loads(text.removeprefix(MAGIC))
        return Image(DomainConfig.model_validate(body["config"]), float(body["ran"]))
    except (ValueError, KeyError, ValidationError) as error:
        raise OperationFailed(
            f"{path} cannot be restored: not a valid guest state file: config read",
            stage="restore",
        ) from error
