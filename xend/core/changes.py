"""A change of a domain's configuration goes wherever that configuration is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from xend.core.context import Context
from xend.core.ports import NOTHING, ManagedDomain
from xend.core.views import DomainView
from xend.errors import InvalidArgument
from xend.model.domain import DomainConfig


async def change_config(context: Context, view: DomainView, **updates: Any) -> None:
    """To the journal if it runs and is ours, to the repository if it is managed; of a stranger
    nothing is kept but what the next read brings.  Raises InvalidArgument."""
    await amend_config(context, view, lambda config: updates)


async def amend_config(
    context: Context, view: DomainView, updates: Callable[[DomainConfig], dict[str, Any]]
) -> None:
    """The same; `updates` of each of the two, which may differ: a managed domain may have been
    given another configuration for its next start."""
    managed = context.snapshot.managed.get(view.uuid)
    if managed is not None:
        # First, since it is here that a disk is full: then nothing has changed.
        config = _updated(managed.config, updates(managed.config))
        await context.repository.save(config)
        context.snapshot.managed[view.uuid] = ManagedDomain(config, managed.checkpoint)
    identity = context.snapshot.identity(view.domid) if view.domid is not None else None
    if identity is None:
        return
    if identity.owned is None:
        identity.config = None
        return
    config = _updated(identity.owned.config, updates(identity.owned.config))
    owned = replace(identity.owned, config=config)
    if managed is None:
        await context.journal.put_owned(owned)
    else:
        await context.journal.settle(NOTHING, put=[owned])
    identity.owned = owned
    identity.config = config
    identity.name = config.name


def _updated(config: DomainConfig, updates: dict[str, Any]) -> DomainConfig:
    """Validated again, which `model_copy` alone does not do.  Raises InvalidArgument."""
    try:
        return DomainConfig.model_validate(dict(config) | updates)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "configuration"
        raise InvalidArgument(
            str(first["msg"]).removeprefix("Value error, "), argument=field, value=first["input"]
        ) from error
