"""What a full-screen program shows, as text: enough of a vt100 for pygrub's menu."""

from __future__ import annotations

import re
from typing import Final

_TOKEN = re.compile(
    r"\x1b\[(?P<arguments>[0-9;?]*)(?P<verb>[A-Za-z])|\x1b(?P<set>[()][A-Z0-9])|\x1b[=>78]|(?P<one>.)",
    re.S,
)
_LINES: Final = str.maketrans("lkmjqxtuvwna", "┌┐└┘─│├┤┴┬┼▒")
"""The vt100's graphic characters, for the letters that stand for them."""


class Screen:
    """Feed it what a program wrote; `text` is what is to be seen then.

    It grows downwards and never scrolls, so that nothing is lost of what went before the menu.
    """

    def __init__(self) -> None:
        self._rows: list[list[str]] = [[]]
        self._row = self._column = self._top = 0
        self._graphic = False
        self._begun = False

    def feed(self, text: str) -> None:
        for token in _TOKEN.finditer(text):
            if token["verb"]:
                self._control(token["verb"], token["arguments"])
            elif token["one"]:
                self._character(token["one"])

    @property
    def text(self) -> str:
        return "\n".join("".join(row).rstrip() for row in self._rows)

    def _character(self, one: str) -> None:
        match one:
            case "\r":
                self._column = 0
            case "\n":
                self._move(self._row + 1, self._column)
            case "\b":
                self._column = max(self._column - 1, 0)
            case "\t":
                self._column += 8 - self._column % 8
            case "\x0e" | "\x0f":
                self._graphic = one == "\x0e"
            case _ if one >= " ":
                self._put(one.translate(_LINES) if self._graphic else one)

    def _put(self, one: str) -> None:
        row = self._rows[self._row]
        row.extend(" " * (self._column + 1 - len(row)))
        row[self._column] = one
        self._column += 1

    def _move(self, row: int, column: int) -> None:
        self._row, self._column = max(row, self._top), max(column, 0)
        while len(self._rows) <= self._row:
            self._rows.append([])

    def _control(self, verb: str, arguments: str) -> None:
        numbers = [int(number) for number in arguments.split(";") if number.isdigit()]
        count = numbers[0] if numbers else 1
        match verb:
            case "H" | "f":
                line, column = (*numbers, 1, 1)[:2] if len(numbers) != 1 else (numbers[0], 1)
                self._move(self._top + line - 1, column - 1)
            case "A":
                self._move(self._row - count, self._column)
            case "B":
                self._move(self._row + count, self._column)
            case "C":
                self._column += count
            case "D":
                self._column = max(self._column - count, 0)
            case "K":
                del self._rows[self._row][self._column :]
            case "J":
                self._erase(numbers[0] if numbers else 0)

    def _erase(self, how: int) -> None:
        """Downwards (0), or all: a program that begins a screen begins it below what was there."""
        if how == 0 and (self._row, self._column) != (self._top, 0):
            del self._rows[self._row][self._column :]
            del self._rows[self._row + 1 :]
        elif not self._begun:
            self._begun = True
            self._top = len(self._rows) - (not self._rows[-1])
            self._move(self._top, 0)
        else:
            del self._rows[self._top :]
            self._move(self._top, 0)


def rendered(text: str) -> str:
    """What a program wrote, as it looked in the end."""
    screen = Screen()
    screen.feed(text)
    return screen.text
