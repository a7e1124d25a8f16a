"""Configurations as they are shown: the same model in each dialect."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final, Literal

from xend.api.rest.bodies import MEDIA_TYPES
from xend.api.rest.documents import config_document
from xend.model.domain import DomainConfig

Dialect = Literal["json", "sxp", "xl"]
MEDIA: Final[Mapping[str, str]] = {"sxp": MEDIA_TYPES["sxp"], "xl": MEDIA_TYPES["xl"]}
"""Of the dialects that are not JSON."""


def _sxp(config: DomainConfig) -> str:
    """As config.sxp has it."""
    from xend.config.domainsxp import encode_managed

    return encode_managed(without_passwords(config))


def _xl(config: DomainConfig) -> str:
    """What xl has no setting for is said in comments at the top."""
    from xend.config.xltext import XlText

    written = XlText(without_passwords(config))
    lost = [f"Not in this file: {name}: {reason}" for name, reason in written.lost]
    return written.text({}, lost)


def without_passwords(config: DomainConfig) -> DomainConfig:
    return DomainConfig.model_validate(config_document(config))


_WRITERS: Final[dict[str, Callable[[DomainConfig], str]]] = {
    "sxp": _sxp,
    "xl": _xl,
    "json": lambda config: json.dumps(config_document(config), indent=2) + "\n",
}


def written(config: DomainConfig, dialect: str) -> str:
    return _WRITERS[dialect](config)
