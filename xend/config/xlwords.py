"""Words of a device's text, `key=value,key=value`, cut as xl cuts them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from xend.config.problems import suggestion
from xend.config.xlgrammar import XlText
from xend.config.xlnumbers import strtol
from xend.config.xlsettings import XlSettings


class Words:
    """The words of one element of a list of devices.

    `field` is the list's name.  Mistakes are reported at the element.
    """

    def __init__(self, settings: XlSettings, field: str, item: XlText) -> None:
        self.settings = settings
        self.field = field
        self.item = item
        self.right = True
        """Until a mistake is found."""

    def words(self) -> list[str]:
        """Without the empty ones, and without blanks in front."""
        return [word.lstrip(" ") for word in self.item.text.split(",") if word]

    def pairs(self) -> list[tuple[str, str]]:
        """xl stops reading at a word without `=`; so that nothing is lost, it is a mistake here."""
        found = []
        for word in self.words():
            key, equals, value = word.partition("=")
            if not equals:
                self.wrong(f"'{word[:40]}' has no value", f"{word[:20].strip() or 'KEY'}=VALUE")
            else:
                found.append((key, value))
        return found

    def wrong(self, message: str, expected: str = "") -> None:
        self.right = False
        self.settings.wrong(self.field, self.item, f"{self.field}: {message}", expected)

    def unknown(self, key: str, known: Collection[str]) -> None:
        self.wrong(f"'{key[:40]}' is not known{suggestion(key.strip(), known)}", ", ".join(known))

    def number(self, key: str, value: str, high: int, low: int = 0, base: int = 0) -> int:
        """0 after a mistake."""
        found = strtol(value, base)
        if found is None or found[1] or not low <= found[0] <= high:
            self.wrong(f"{key}: '{value[:40]}' is not right", f"a number from {low} to {high}")
            return 0
        return found[0]

    def choice(self, key: str, value: str, choices: Collection[str]) -> Any:
        """Whatever its case; the first choice after a mistake."""
        if value.lower() not in choices:
            hint = suggestion(value, choices)
            self.wrong(f"{key}: '{value[:40]}' is none of its values{hint}", ", ".join(choices))
            return next(iter(choices))
        return value.lower()
