"""config.sxp of a managed domain."""

from __future__ import annotations

from xend.model.domain import DomainConfig


def encode_config(config: DomainConfig) -> str:
    return config.model_dump_json()


def decode_config(text: str) -> DomainConfig:
    return DomainConfig.model_validate_json(text)
