"""What a value of a setting may be, by its row.  All raise ConfigError that names the setting."""

from __future__ import annotations

from typing import Any, Final, NoReturn

from xend.errors import ConfigError
from xend.model.fields import Setting

_YES: Final = ("1", "yes", "true")
_NO: Final = ("0", "no", "false")


def refuse(name: str, value: Any, expected: str) -> NoReturn:
    raise ConfigError(
        f"{name}: {value!r} is not {expected}", field=name, value=value, expected=expected
    )


def number(name: str, setting: Setting, value: Any) -> int:
    """A number, within the row's bounds."""
    try:
        found = int(value)
    except (TypeError, ValueError, OverflowError):
        refuse(name, value, "a number")
    low, high = setting.low, setting.high
    if (low is not None and found < low) or (high is not None and found > high):
        bounds = f"at least {low}" if high is None else f"between {low} and {high}"
        raise ConfigError(f"{name} must be {bounds}", field=name, value=found, expected=bounds)
    return found


def choice(name: str, setting: Setting, value: Any) -> str:
    """libxl's name of a choice, which old files give by its number."""
    choices = setting.choices
    if isinstance(value, str) and not value.lstrip("-").isdigit():
        word = value.lower().replace("-", "_")
        if word not in choices:
            refuse(name, value, f"one of {', '.join(choices)}")
        return word
    place = number(name, setting, value)
    if not 0 <= place < len(choices):
        raise ConfigError(
            f"{name} must be between 0 and {len(choices) - 1}", field=name, value=place
        )
    return choices[place]


def flag(name: str, value: Any) -> bool:
    """0 or 1, as a number or a text; also yes, no, true and false."""
    word = str(value).lower()
    if word not in _YES + _NO:
        refuse(name, value, "0 or 1")
    return word in _YES
