"""The grammar of xl files: `NAME = VALUE` and `NAME += VALUE`, by line or by `;`.

A value is a text, a number or a list of values in [ ] (libxlu_cfg_y.y).  Names are not looked at
here, and a number is the text that it is written with.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from xend.config.problems import Report
from xend.config.xltokens import Token, tokens

MAX_TEXT: Final = 1 << 18
"""Characters: 50 times a long configuration."""
MAX_DEPTH: Final = 16
"""Lists in lists.  No setting has more than two."""
MAX_ITEMS: Final = 4096
"""Of one list: as many as a domain can have VCPUs."""


class XlText(NamedTuple):
    text: str
    line: int
    column: int


class XlList(NamedTuple):
    items: tuple[XlText | XlList, ...]
    line: int
    column: int


class XlSetting(NamedTuple):
    """What a name means at the end of the file.

    `added`: the last assignment to it was a `+=`; xl reads no number from such a setting.
    """

    name: str
    value: XlText | XlList
    added: bool
    line: int
    column: int


class _Wrong(Exception):
    """A statement is given up; its mistake has been reported."""


def parse(text: str, report: Report) -> dict[str, XlSetting]:
    """Settings by name; mistakes go to `report`."""
    if len(text) > MAX_TEXT:
        report.problem(
            1,
            1,
            f"the file has {len(text)} characters",
            expected=f"a configuration, of at most {MAX_TEXT}",
        )
        return {}
    return _Parser(text, report).file()


class _Parser:
    def __init__(self, text: str, report: Report) -> None:
        self._report = report
        self._tokens = list(tokens(text, report))
        self._next = 0
        self._settings: dict[str, XlSetting] = {}

    def file(self) -> dict[str, XlSetting]:
        while self._peek().kind != "end":
            try:
                self._statement()
            except _Wrong:
                self._recover()
        return self._settings

    def _peek(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._tokens[self._next]
        if token.kind != "end":
            self._next += 1
        return token

    def _statement(self) -> None:
        token = self._take()
        if token.kind == "newline" or (token.text == ";" and token.kind == "mark"):
            return
        if token.kind != "name":
            raise self._unexpected(token, "the name of a setting")
        sign = self._take()
        if sign.kind != "mark" or sign.text not in ("=", "+="):
            raise self._unexpected(sign, f"= after {token.text}", token.text)
        value = self._value(token.text, 0)
        after = self._peek()
        if not (after.kind in ("newline", "end") or (after.kind == "mark" and after.text == ";")):
            raise self._unexpected(after, "the end of the line", token.text)
        self._store(token, sign.text == "+=", value)

    def _value(self, name: str, depth: int) -> XlText | XlList:
        token = self._take()
        if token.kind in ("text", "number"):
            return XlText(token.text, token.line, token.column)
        if token.kind == "mark" and token.text == "[":
            return self._list(token, name, depth + 1)
        raise self._unexpected(token, "a text in quotes, a number or a list in [ ]", name)

    def _list(self, opening: Token, name: str, depth: int) -> XlList:
        if depth > MAX_DEPTH:
            self._report.problem(
                opening.line,
                opening.column,
                f"{name}: lists in lists, {depth} deep",
                field=name,
                text="[",
                expected=f"at most {MAX_DEPTH}",
            )
            raise _Wrong
        items: list[XlText | XlList] = []
        self._skip_lines()
        end = f", or ] (the list begins in line {opening.line})"
        while not self._at("]"):
            if len(items) == MAX_ITEMS:
                raise self._too_many(opening, name)
            items.append(self._value(name, depth))
            self._skip_lines()
            if self._at(","):
                self._take()
                self._skip_lines()
            elif not self._at("]"):
                raise self._unexpected(self._peek(), end, name)
        self._take()
        return XlList(tuple(items), opening.line, opening.column)

    def _too_many(self, opening: Token, name: str) -> _Wrong:
        message = f"{name}: a list of more than {MAX_ITEMS} values"
        self._report.problem(opening.line, opening.column, message, field=name, text="[")
        return _Wrong()

    def _at(self, mark: str) -> bool:
        token = self._peek()
        return token.kind == "mark" and token.text == mark

    def _skip_lines(self) -> None:
        while self._peek().kind == "newline":
            self._take()

    def _unexpected(self, token: Token, expected: str, name: str = "") -> _Wrong:
        if token.kind == "wrong":
            return _Wrong()
        shown = {"newline": "the end of the line", "end": "the end of the file"}.get(
            token.kind, f"'{token.text[:40]}'"
        )
        self._report.problem(
            token.line,
            token.column,
            f"{name + ': ' if name else ''}{shown} is not expected here",
            field=name,
            text=token.text,
            expected=expected,
        )
        return _Wrong()

    def _recover(self) -> None:
        """Go on at the next line that begins with a setting, so that a list that is broken is
        one mistake and not one in each of its lines."""
        while self._peek().kind != "end":
            starts = self._next > 0 and self._tokens[self._next - 1].kind == "newline"
            if starts and self._begins_setting():
                return
            self._take()

    def _begins_setting(self) -> bool:
        name = self._peek()
        if name.kind != "name":
            return False
        sign = self._tokens[self._next + 1]
        return sign.kind == "mark" and sign.text in ("=", "+=")

    def _store(self, name: Token, added: bool, value: XlText | XlList) -> None:
        before = self._settings.get(name.text)
        if added and before is not None:
            joined = _joined(before.value, value)
            if joined is None:
                self._report.problem(
                    value.line,
                    value.column,
                    f"{name.text}: a list and a text cannot be joined",
                    field=name.text,
                    expected=f"the same as in line {before.line}",
                )
                return
            value = joined
        self._settings[name.text] = XlSetting(name.text, value, added, name.line, name.column)


def _joined(before: XlText | XlList, after: XlText | XlList) -> XlText | XlList | None:
    if isinstance(before, XlText) and isinstance(after, XlText):
        return XlText(before.text + after.text, after.line, after.column)
    if isinstance(before, XlList) and isinstance(after, XlList):
        return XlList(before.items + after.items, after.line, after.column)
    return None
