"""Typed access to the settings of an xl file.

What is there but is not of the type that is asked for is reported, and counts as absent: xl warns
of some of these and goes on without them, so that a domain would be another than its file says.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from xend.config.problems import MOST_HINTS, NoteKind, Report, suggestion
from xend.config.xlgrammar import XlList, XlSetting, XlText
from xend.config.xlnumbers import MOST, whole

Value = XlText | XlList


class XlSettings:
    """The settings of one file, and the report of its reading."""

    def __init__(self, settings: Mapping[str, XlSetting], report: Report) -> None:
        self._settings = settings
        self.report = report

    def __contains__(self, name: str) -> bool:
        return name in self._settings

    def names(self) -> Iterable[str]:
        return self._settings.keys()

    def at(self, name: str) -> XlText:
        """Where the name stands; the beginning of the file if it does not."""
        setting = self._settings.get(name)
        return XlText(name, setting.line, setting.column) if setting else XlText(name, 1, 1)

    def value(self, name: str) -> Value | None:
        setting = self._settings.get(name)
        return setting.value if setting else None

    def is_list(self, name: str) -> bool:
        return isinstance(self.value(name), XlList)

    def atom(self, name: str) -> XlText | None:
        """A text or number."""
        value = self.value(name)
        if isinstance(value, XlList):
            self.wrong(name, value, f"{name}: a list", "one text or number, without [ ]")
            return None
        return value

    def text(self, name: str) -> str:
        """Empty if it is absent: an empty text says as much as none."""
        atom = self.atom(name)
        return atom.text if atom else ""

    def number(self, name: str, low: int = -MOST - 1, high: int = MOST) -> int | None:
        """Decimal, 0x… or (after a 0) octal; in quotes also with a sign."""
        atom = self.atom(name)
        if atom is None:
            return None
        if atom.text == "":
            self.passed_over(name, atom, "ignored", f"{name}: nothing is set by an empty text")
            return None
        if self._settings[name].added:
            self.wrong(name, atom, f"{name}: += joins texts, it does not add numbers", "=")
            return None
        number = whole(atom.text)
        if number is None and atom.text.isdigit():
            self.wrong(name, atom, f"{name}: {atom.text[:40]} is too large", f"up to {high}")
        elif number is None:
            self.wrong(
                name, atom, f"{name}: '{atom.text[:40]}' is not a number", "such as 64 or 0x40"
            )
        elif not low <= number <= high:
            self.wrong(
                name, atom, f"{name}: {number} is out of range", f"a number from {low} to {high}"
            )
            return None
        return number

    def flag(self, name: str) -> int | None:
        """0 or 1; any other number is 1."""
        number = self.number(name)
        return None if number is None else int(number != 0)

    def choice(self, name: str, choices: Sequence[str]) -> str:
        """One of `choices`; libxl does not mind the case of its own names.  Empty if absent."""
        atom = self.atom(name)
        if atom is None or atom.text.lower() in choices:
            return atom.text.lower() if atom else ""
        hint = suggestion(atom.text, choices)
        self.wrong(
            name,
            atom,
            f"{name}: '{atom.text[:40]}' is none of its values{hint}",
            ", ".join(choices),
        )
        return ""

    def items(self, name: str) -> tuple[XlText, ...]:
        """A list of texts; empty if absent."""
        value = self.value(name)
        if isinstance(value, XlText):
            self.wrong(name, value, f"{name}: '{value.text[:40]}' is no list", f"{name} = [ ... ]")
            return ()
        return self.texts_of(name, value) if value else ()

    def texts_of(self, name: str, listed: XlList) -> tuple[XlText, ...]:
        found = []
        for item in listed.items:
            if isinstance(item, XlText):
                found.append(item)
            else:
                self.wrong(name, item, f"{name}: a list in its list", "texts in quotes")
        return tuple(found)

    def lists(self, name: str) -> tuple[XlList, ...]:
        """A list of lists; empty if absent."""
        value = self.value(name)
        if isinstance(value, XlText):
            self.wrong(name, value, f"{name}: '{value.text[:40]}' is no list", f"{name} = [[...]]")
            return ()
        found = []
        for item in value.items if value else ():
            if isinstance(item, XlList):
                found.append(item)
            else:
                self.wrong(name, item, f"{name}: '{item.text[:40]}' is no list", "a list of texts")
        return tuple(found)

    def wrong(self, field: str, where: Value | XlSetting, message: str, expected: str = "") -> None:
        text = where.text if isinstance(where, XlText) else ""
        self.report.problem(
            where.line, where.column, message, field=field, text=text, expected=expected
        )

    def note(self, field: str, where: Value, kind: NoteKind, message: str) -> None:
        self.report.note(where.line, where.column, kind, message, field=field)

    def passed_over(self, field: str, where: Value, kind: NoteKind, message: str) -> None:
        text = where.text if isinstance(where, XlText) else ""
        self.report.passed_over(where.line, where.column, kind, message, field=field, text=text)

    def check_names(self, known: Collection[str]) -> None:
        """xl does not look at names that it does not know; here each is mentioned."""
        unknown = [name for name in self._settings if name not in known]
        for number, name in enumerate(unknown):
            hint = suggestion(name, known) if number < MOST_HINTS else ""
            message = f"'{name}' is no setting of xl{hint}"
            self.passed_over(name, self.at(name), "unknown", message)
