"""Tokens of a domain file: the lexical rules of Python 2.7.

A domain file is a Python 2 program, and Python 3's own tokenizer refuses much of what such files
contain (`0755`, `10L`, `<>`, backticks, tabs mixed with blanks).  The text is handled as Latin-1,
one character per byte, because a Python 2 string is bytes.
"""

from __future__ import annotations

import re
from typing import Final, NoReturn

from xend.config.sxp import Long
from xend.config.xmlimits import MAX_TOKENS


class Unicode(str):
    """A Python 2 `unicode`: like the original, a domain file's options ignore it."""

    __slots__ = ()


class SourceError(Exception):
    """The text is not Python 2; `line` counts from 1, `column` too.

    `late`: Python 2 found such a mistake only after it had parsed the file, and then showed the
    line without its indentation.  `shown` is the text it showed, if not that line.  `begins` is
    the line of what is wrong, where Python 2 named another.
    """

    def __init__(
        self,
        reason: str,
        line: int,
        column: int,
        *,
        late: bool = False,
        shown: str | None = None,
        begins: int = 0,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line
        self.column = column
        self.late = late
        self.shown = shown
        self.begins = begins or line


class Token:
    """`kind` is NAME, NUMBER, STRING, NEWLINE, INDENT, DEDENT, END, ERROR, or the operator."""

    __slots__ = ("column", "kind", "line", "value")

    def __init__(self, kind: str, value: object, line: int, column: int) -> None:
        self.kind = kind
        self.value = value
        self.line = line
        self.column = column


KEYWORDS: Final = frozenset(
    (
        *("and", "as", "assert", "break", "class", "continue", "def", "del", "elif", "else"),
        *("except", "exec", "finally", "for", "from", "global", "if", "import", "in", "is"),
        *("lambda", "not", "or", "pass", "print", "raise", "return", "try", "while", "with"),
        "yield",
    )
)
"""A keyword is a token whose kind is the word itself."""

_TOKEN = re.compile(
    r"""
      (?P<blank>   [ \t\f]+ | \\\r?\n )
    | (?P<comment> \#[^\n]* )
    | (?P<newline> \n )
    | (?P<string>  (?P<prefix>[uUbB]?[rR]?) (?P<quote>'''|\"\"\"|'|") )
    | (?P<name>    [A-Za-z_][A-Za-z0-9_]* )
    | (?P<number>  (?: \d+\.\d* | \.\d+ ) (?: [eE][+-]?\d+ )? [jJ]? | \d+[eE][+-]?\d+ [jJ]?
                 | 0[xX][0-9A-Fa-f]+[lL]? | 0[oO][0-7]+[lL]? | 0[bB][01]+[lL]? | \d+[lLjJ]? )
    | (?P<op>      \*\*= | //= | >>= | <<= | <> | != | <= | >= | == | \*\* | // | >> | <<
                 | [-+*/%&|^]= | [-+*/%&|^~<>()\[\]{},:.`=;@] )
    """,
    re.VERBOSE,
)
_STRING_BODY: Final = {
    "'": re.compile(r"((?:[^\n\\']++|\\.)*+)'", re.DOTALL),
    '"': re.compile(r'((?:[^\n\\"]++|\\.)*+)"', re.DOTALL),
    "'''": re.compile(r"((?:[^\\']++|\\.|'(?!''))*+)'''", re.DOTALL),
    '"""': re.compile(r'((?:[^\\"]++|\\.|"(?!""))*+)"""', re.DOTALL),
}
_LINE_END: Final = re.compile(r"(?:[^\n\\]++|\\.)*+\n", re.DOTALL)
_INDENT = re.compile(r"[ \t\f]*")
_TAB: Final = 8
_OPENING: Final = frozenset("([{")
_CLOSING: Final = frozenset(")]}")


def tokens(text: str, encoding: str = "utf-8") -> list[Token]:
    """All tokens of a text whose line ends are plain newlines.

    `encoding` is that of the file; only unicode literals depend on it.  Text that is no token
    ends the list with an ERROR, so that a mistake of grammar before it is found first.
    """
    lexer = _Lexer(text, encoding)
    try:
        lexer.run()
    except SourceError as error:
        lexer.out.append(Token("ERROR", error, error.line, error.column))
    return lexer.out


def not_closed(before: list[Token], line: int) -> str:
    """What to add to an error, if a bracket was opened in an earlier line and is still open."""
    opened: list[Token] = []
    for token in before:
        if token.kind in _OPENING:
            opened.append(token)
        elif token.kind in _CLOSING and opened:
            opened.pop()
    if not opened or opened[-1].line == line:
        return ""
    return f" (the {opened[-1].kind} of line {opened[-1].line} is not closed)"


class _Lexer:
    def __init__(self, text: str, encoding: str) -> None:
        self.given = text
        self.text = text if text.endswith("\n") or not text else text + "\n"
        self.encoding = encoding
        self.position = 0
        self.line = 1
        self.line_start = 0
        self.depth = 0
        self.indents = [0]
        self.out: list[Token] = []

    def run(self) -> None:
        end = len(self.text)
        at_line_start = True
        while self.position < end:
            if len(self.out) > MAX_TOKENS:
                self._fail(f"more than {MAX_TOKENS} words and signs")
            if at_line_start and self.depth == 0:
                at_line_start = False
                if not self._indentation():
                    at_line_start = True
                    continue
            at_line_start = self._next()
        if self.depth:
            self._fail(f"unexpected EOF while parsing{not_closed(self.out, self.line)}")
        if self.out and self.out[-1].kind != "NEWLINE":
            self._add("NEWLINE", None)  # The file ends with a continued line.
        for _ in self.indents[1:]:
            self._add("DEDENT", None)
        self._add("END", None)

    def _add(self, kind: str, value: object) -> None:
        self.out.append(Token(kind, value, self.line, self.position - self.line_start + 1))

    def _fail(self, reason: str) -> NoReturn:
        raise SourceError(reason, self.line, self.position - self.line_start + 1)

    def _new_line(self) -> None:
        self.line += 1
        self.line_start = self.position

    def _indentation(self) -> bool:
        """Handles the blanks that begin a line; False if the line holds no statement."""
        match = _INDENT.match(self.text, self.position)
        blanks = match.group() if match else ""
        after = self.position + len(blanks)
        next_char = self.text[after : after + 1]
        if next_char == "#":
            after = self.text.index("\n", after)
            next_char = "\n"
        self.position = after
        if next_char == "\n":
            self.position += 1
            self._new_line()
            return False
        column = 0
        for char in blanks:
            column = {" ": column + 1, "\t": (column // _TAB + 1) * _TAB}.get(char, 0)
        if column > self.indents[-1]:
            self.indents.append(column)
            self._add("INDENT", None)
        while column < self.indents[-1]:
            self.indents.pop()
            if column > self.indents[-1]:
                self._fail("unindent does not match any outer indentation level")
            self._add("DEDENT", None)
        return True

    def _next(self) -> bool:
        """Reads one token; True if a logical line ended with it."""
        match = _TOKEN.match(self.text, self.position)
        if match is None:
            self._fail("invalid token")
        kind, value = match.lastgroup, match.group()
        if kind == "quote" or kind == "string":
            self._string(match)
            return False
        if kind == "newline":
            if self.depth == 0:
                self._add("NEWLINE", None)
            self.position = match.end()
            self._new_line()
            return self.depth == 0
        if kind == "name":
            self._add(value if value in KEYWORDS else "NAME", value)
        elif kind == "number":
            self._number(value, match.end())
        elif kind == "op":
            self._operator(value)
        self.position = match.end()
        if kind == "blank" and value.endswith("\n"):
            self._new_line()
        return False

    def _operator(self, op: str) -> None:
        if op in _OPENING:
            self.depth += 1
        elif op in _CLOSING:
            self.depth = max(0, self.depth - 1)
        self._add("!=" if op == "<>" else op, op)

    def _number(self, digits: str, end: int) -> None:
        if self.text[end : end + 1].isalnum() or self.text[end : end + 1] == "_":
            self._fail("invalid token")
        self._add("NUMBER", self._number_value(digits))

    def _number_value(self, digits: str) -> object:
        if digits[-1] in "jJ":
            self._fail("complex numbers are not available in a domain file")
        lower = digits.lower()
        if not lower.startswith("0x") and ("." in lower or "e" in lower):
            return float(lower)
        whole = lower.rstrip("l")
        if len(whole) > 1000:
            self._fail("a number of more than 1000 digits")
        octal = len(whole) > 1 and whole[0] == "0" and whole[1].isdigit()
        if octal and not set(whole) <= set("01234567"):
            self._fail("invalid token")
        value = int(whole, 8) if octal else int(whole, 0)
        return Long(value) if lower.endswith("l") or value >= 1 << 63 else value

    def _string(self, opening: re.Match[str]) -> None:
        quote = opening.group("quote")
        prefix = opening.group("prefix").lower()
        body = _STRING_BODY[quote].match(self.text, opening.end())
        if body is None:
            self._unterminated(quote)
        raw = body.group(1)
        self._add("STRING", None)
        token = self.out[-1]
        self.position = body.end()
        lines = self.text.count("\n", opening.start(), self.position)
        if lines:
            self.line += lines
            self.line_start = self.text.rindex("\n", 0, self.position) + 1
        token.value = self._string_value(raw, prefix)

    def _unterminated(self, quote: str) -> NoReturn:
        """As Python 2 showed it: everything from the line in which the string begins."""
        column = self.position - self.line_start + 1
        if len(quote) == 3:
            raise SourceError(
                "EOF while scanning triple-quoted string literal",
                self.given.count("\n") + 2,
                column,
                shown=self.given[self.line_start :] + "\n",
                begins=self.line,
            )
        ending = _LINE_END.match(self.text, self.position)
        end = ending.end() if ending else len(self.text)
        extra = "" if self.given[end - 2 : end - 1] != "\\" else "\n"
        raise SourceError(
            "EOL while scanning string literal",
            self.line + self.text.count("\n", self.position, end) - (0 if extra else 1),
            column,
            shown=self.text[self.line_start : end] + extra,
            begins=self.line,
        )

    def _string_value(self, raw: str, prefix: str) -> str:
        if "u" in prefix:
            return self._unicode_value(raw, "r" in prefix)
        if "r" in prefix or "\\" not in raw:
            return raw
        return _ESCAPE.sub(self._escape, raw)

    def _unicode_value(self, raw: str, is_raw: bool) -> Unicode:
        try:
            text = raw.encode("latin-1").decode(self.encoding)
        except UnicodeDecodeError:
            self._fail(f"a unicode literal that is not {self.encoding}")
        if is_raw:
            return Unicode(_RAW_UNICODE_ESCAPE.sub(lambda m: chr(int(m.group(1)[1:], 16)), text))
        return Unicode(_UNICODE_ESCAPE.sub(self._escape, text))

    def _escape(self, match: re.Match[str]) -> str:
        code = match.group(1)
        if code in _SIMPLE_ESCAPES:
            return _SIMPLE_ESCAPES[code]
        if code[0] in "01234567":
            return chr(int(code, 8) & 0xFF)
        if code[0] == "x" or (code[0] in "uU" and match.re is _UNICODE_ESCAPE):
            digits = code[1:]
            if len(digits) != {"x": 2, "u": 4, "U": 8}[code[0]] or int(digits, 16) > 0x10FFFF:
                self._fail(f"invalid \\{code[0]} escape")
            return chr(int(digits, 16))
        return match.group()


_SIMPLE_ESCAPES: Final = {
    "\n": "",
    "\\": "\\",
    "'": "'",
    '"': '"',
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
}
_ESCAPE: Final = re.compile(r"\\([0-7]{1,3}|x[0-9A-Fa-f]{0,2}|.)", re.DOTALL)
_UNICODE_ESCAPE: Final = re.compile(
    r"\\([0-7]{1,3}|x[0-9A-Fa-f]{0,2}|u[0-9A-Fa-f]{0,4}|U[0-9A-Fa-f]{0,8}|.)", re.DOTALL
)
_RAW_UNICODE_ESCAPE: Final = re.compile(r"\\(u[0-9A-Fa-f]{4}|U000[0-9A-Fa-f]{5})")
