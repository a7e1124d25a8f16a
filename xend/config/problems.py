"""Everything that is wrong with a file, found in one go, and what is worth saying of a good one."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Literal, NamedTuple

from xend.errors import ConfigError

MOST_PROBLEMS: Final = 100
"""More are counted, not kept: a binary file has one in every line."""
MOST_HINTS: Final = 100
"""Unknown words for which something similar is looked for."""
_SHOWN: Final = 60
_FARTHEST: Final = 4
"""Letters that a word may have more or less than what is suggested."""

NoteKind = Literal["computed", "deprecated", "ignored", "unknown"]


class Problem(NamedTuple):
    """A mistake; `line` and `column` count from 1."""

    line: int
    column: int
    field: str
    """The setting as the file calls it; empty if it is none's."""
    text: str
    """What stands there, shortened."""
    message: str
    expected: str = ""
    """What would be right."""

    def sentence(self, filename: str) -> str:
        more = self.expected and self.expected not in self.message
        tail = f"; expected {self.expected}" if more else ""
        return f"{filename}:{self.line}:{self.column}: {self.message}{tail}"


class Note(NamedTuple):
    """Something that was computed, is deprecated, or has no effect; nothing is wrong."""

    line: int
    column: int
    field: str
    kind: NoteKind
    message: str

    def sentence(self, filename: str) -> str:
        return f"{filename}:{self.line}:{self.column}: {self.message}"


class InvalidFile(ConfigError):
    """A file is wrong, in one or more places.

    `problems` are all of them in the file's order (at most MOST_PROBLEMS); the fields `file`,
    `line`, `column`, `field`, `value` and `expected` are those of the first.
    """

    key = "config.invalid-file"

    def __init__(self, filename: str, problems: Collection[Problem], more: int = 0) -> None:
        self.problems = tuple(sorted(problems, key=lambda each: (each.line, each.column)))
        self.more = more
        """How many mistakes there are beside these."""
        sentences = [problem.sentence(filename) for problem in self.problems]
        if more:
            sentences.append(f"{filename}: and {more} more mistakes")
        first = self.problems[0]
        super().__init__(
            "\n".join(sentences),
            file=filename,
            line=first.line,
            column=first.column,
            field=first.field,
            value=first.text,
            expected=first.expected,
        )


class Report:
    """Collects what one reading of a file finds.

    `strict`: what the reader would only mention, because the original goes on without it, is a
    mistake too.
    """

    def __init__(self, filename: str, *, strict: bool = False) -> None:
        self.filename = filename
        self.strict = strict
        self.notes: list[Note] = []
        self._problems: list[Problem] = []
        self._more = 0

    @property
    def wrong(self) -> bool:
        return bool(self._problems)

    @property
    def full(self) -> bool:
        """Whether further mistakes are only counted."""
        return len(self._problems) >= MOST_PROBLEMS

    def problem(
        self,
        line: int,
        column: int,
        message: str,
        *,
        field: str = "",
        text: str = "",
        expected: str = "",
    ) -> None:
        if len(self._problems) == MOST_PROBLEMS:
            self._more += 1
            return
        shown = shorten(text)
        self._problems.append(Problem(line, column, field, shown, message, expected))

    def note(self, line: int, column: int, kind: NoteKind, message: str, *, field: str) -> None:
        self.notes.append(Note(line, column, field, kind, message))

    def passed_over(
        self, line: int, column: int, kind: NoteKind, message: str, *, field: str, text: str
    ) -> None:
        """What the original leaves out and goes on: a note, or with `strict` a mistake."""
        if self.strict:
            self.problem(line, column, message, field=field, text=text)
        else:
            self.note(line, column, kind, message, field=field)

    def check(self) -> None:
        """Raises InvalidFile if there was a mistake."""
        if self._problems:
            raise InvalidFile(self.filename, self._problems, self._more)


def shorten(text: str) -> str:
    """For a message: one line, not too long, nothing that upsets a terminal."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in text[: _SHOWN + 1])
    return shown[:_SHOWN] + "..." if len(shown) > _SHOWN else shown


def suggestion(word: str, known: Collection[str]) -> str:
    """`; did you mean 'memory'?`, or nothing."""
    import difflib  # not cheap to import, and most files have no mistake

    word = word[:64]
    near = [  # difflib is slow, and a file may have thousands of wrong words
        each
        for each in known
        if abs(len(each) - len(word)) <= _FARTHEST
        and word
        and (each[:1] == word[:1] or each[-1:] == word[-1:])
    ]
    close = difflib.get_close_matches(word, near, 1, 0.7)
    return f"; did you mean '{close[0]}'?" if close else ""
