"""The manual page and the example file of xend-config.sxp, made from the table of options."""

from __future__ import annotations

import textwrap

from xend.config.xend_options import OPTIONS, Kind, Option

_MANUAL_HEAD = """\
# xend-config.sxp(5)

## Name

xend-config.sxp - configuration of xend, the Xen management daemon

## Synopsis

`/etc/xen/xend-config.sxp`; another file with `xend --config FILE` or the variable `XEND_CONFIG`.

## Description

Forms `(option value)`, one after the other; `#` starts a comment that ends with the line.  A yes is
`yes`, `y`, `1`, `on`, `true` or `t`, a no is `no`, `n`, `0`, `off`, `false` or `f`.  Without the
file all defaults hold.  A value of the wrong kind stops the daemon from starting, with the
file, the line and what would be right; an unknown option is ignored with a warning in the log that
names the option it resembles.  `xend reload` reads the file again.
"""

_MANUAL_TAIL = """\

## See also

xend(8), xm(1)
"""

_EXAMPLE_HEAD = """\
# Configuration of xend; see xend-config.sxp(5).  Every option is here, with its default, commented
# out.  Forms are (option value); xend reload reads this file again.
"""


def manual() -> str:
    """Text of docs/xend-config.sxp.5.md."""
    parts = [_MANUAL_HEAD]
    for group, options in _groups():
        parts.append(f"\n## {group}\n")
        for option in options:
            parts.append(
                f"\n**{option.name}** ({option.kind.value}{_bounds(option)}, "
                f"default `{option.shown_default}`)\n"
            )
            parts.append(textwrap.fill(_sentence(option), 100) + "\n")
    return "".join(parts) + _MANUAL_TAIL


def example() -> str:
    """Text of etc/xen/xend-config.sxp."""
    parts = [_EXAMPLE_HEAD]
    for group, options in _groups():
        parts.append(f"\n# == {group}\n")
        for option in options:
            if option.obsolete:
                continue
            comment = textwrap.fill(_sentence(option), 96)
            parts.append("\n" + textwrap.indent(comment, "# ") + "\n")
            parts.append(f"#({option.name} {_value(option)})\n")
    return "".join(parts)


def _groups() -> list[tuple[str, list[Option]]]:
    found: dict[str, list[Option]] = {}
    for option in OPTIONS:
        found.setdefault(option.group, []).append(option)
    return list(found.items())


def _bounds(option: Option) -> str:
    is_bounded = option.kind is Kind.INT and option.high < 2**31 - 1
    return f" from {option.low} to {option.high}" if is_bounded else ""


def _sentence(option: Option) -> str:
    text = option.effect[0].upper() + option.effect[1:] + "."
    if option.obsolete:
        text += f" Accepted, but without effect: {option.obsolete}."
    return text


def _value(option: Option) -> str:
    if option.default is not None:
        return option.shown_default
    return "no" if option.kind is Kind.BOOL else "''"
