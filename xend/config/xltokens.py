"""Words of an xl file (xl.cfg(5); the tokens are those of tools/libs/util/libxlu_cfg_l.l)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple, cast

from xend.config.problems import Report, shorten

Kind = Literal["name", "number", "text", "mark", "newline", "wrong", "end"]

_TOKEN: Final = re.compile(
    r"""(?P<name>[a-z][._0-9a-z]*)
      | (?P<number>[0-9][0-9a-fx]*)
      | (?P<text>'(?:[^'\\\n]|\\[^\n])*+' | "(?:[^"\\\n]|\\[^\n])*+")
      | (?P<mark>\+=|[=,;\[\]])
      | (?P<newline>\n)
      | (?P<blank>[ \t]+|\#[^\n]*)
      | (?P<wrong>['"][^\n]*|[^ \t\n'"]+)""",
    re.VERBOSE,
)
MOST_PIECES: Final = 100_000
"""Words, signs and blanks of a file; real ones have some hundred."""
_SIMPLE_ESCAPES: Final = {
    **{letter: letter for letter in "\"'\\"},
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
}
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_BOOLEANS: Final = {"True": "1", "False": "0", "None": '""'}


class Token(NamedTuple):
    kind: Kind
    text: str
    """Of a `text` without its quotes and escapes."""
    line: int
    column: int


def tokens(text: str, report: Report) -> Iterator[Token]:
    """The words of a file.  What is none is reported, once in a line, and of kind `wrong`; the
    last is of kind `end`."""
    line, start, complained = 1, 0, 0
    for number, match in enumerate(_TOKEN.finditer(text)):
        if number == MOST_PIECES:
            report.problem(
                line, 1, f"more than {MOST_PIECES} words and signs", expected="a configuration"
            )
            break
        kind, word = match.lastgroup, match.group()
        column = match.start() - start + 1
        if kind == "blank":
            continue
        if kind == "wrong":
            if complained < line:
                _complain(word, line, column, report)
            complained = line
            yield Token("wrong", word, line, column)
        elif kind == "text":
            yield Token("text", _unquote(word, line, column, report), line, column)
        elif kind == "newline":
            yield Token("newline", word, line, column)
            line, start = line + 1, match.end()
        else:
            yield Token(cast(Kind, kind), word, line, column)
    yield Token("end", "", line, len(text) - start + 1)


def _complain(word: str, line: int, column: int, report: Report) -> None:
    message, expected = _explanation(word)
    report.problem(line, column, message, text=word, expected=expected)


def _explanation(word: str) -> tuple[str, str]:
    shown = shorten(word)
    first = word[0]
    if first in "\"'":
        return f"a text that does not end on its line: {shown}", f"a closing {first}"
    if word.rstrip(",;") in _BOOLEANS:
        return f"'{shown}' is Python", _BOOLEANS[word.rstrip(",;")]
    if first == "\r":
        return "the line ends with a carriage return", "lines as on Unix (dos2unix makes them so)"
    if first == "-":
        return f"'{shown}': a number has no sign here", 'the number in quotes: "-1"'
    if first in "({":
        return f"'{shown}' is Python", "a list in [ ]"
    if first == "\\":
        return "a backslash outside quotes", "lists may go on over lines; texts join with +="
    if first in ":)}.*/%+":
        return f"'{shown}' is no word of an xl file", "NAME = VALUE, with texts in quotes"
    if first == "\0":
        return "a byte that is 0: this is no text file", "NAME = VALUE, one a line"
    return f"'{shown}' is no word of an xl file", "texts in quotes, names in lower case"


def _unquote(word: str, line: int, column: int, report: Report) -> str:
    inner = word[1:-1]
    if "\\" not in inner:
        return inner

    def replace(match: re.Match[str]) -> str:
        letter = match.group(1)
        if letter in _SIMPLE_ESCAPES:
            return _SIMPLE_ESCAPES[letter]
        # xl refuses \x.. always, and takes \0.. for nothing at all (libxlu_cfg.c).
        report.problem(
            line,
            column + 1 + match.start(),
            f"'\\{shorten(letter)}' is no character that can be written so",
            text=match.group(),
            expected="the character itself, or one of \\\" \\' \\\\ \\a \\b \\f \\n \\r \\t \\v",
        )
        return ""

    return _ESCAPE.sub(replace, inner)
