"""For a word that is not known: which one may have been meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any, get_args

from pydantic import BaseModel


def meant(word: str, known: Iterable[str]) -> str | None:
    """The most alike of `known`, if any is."""
    found = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return found[0] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)`, or nothing."""
    found = meant(word, known)
    return f" (did you mean '{found}'?)" if found else ""


def names_at(model: Any, path: Sequence[str | int]) -> list[str]:
    """The names of the fields of the model that is at `path` (pydantic's loc) below `model`."""
    here = _model_of(model)
    for part in path:
        if here is None:
            return []
        if isinstance(part, str) and part in here.model_fields:
            here = _model_of(here.model_fields[part].annotation)
    return list(here.model_fields) if here is not None else []


def _model_of(annotation: Any) -> type[BaseModel] | None:
    """The first model within `X | None`, `tuple[X, ...]`, `list[X]` …"""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in get_args(annotation):
        found = _model_of(inner)
        if found is not None:
            return found
    return None
