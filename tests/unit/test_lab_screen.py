"""The little vt100 that shows pygrub's menu in the transcript of `make demo`."""

from __future__ import annotations

from tests.lab.screen import rendered

BOX = (
    "\x1b[H\x1b[J\x1b[1B    pyGRUB\r\x1b[1B \x1b[0m\x0elqqk\x0f\r\x1b[1B \x0ex\x0f "
    "\x1b[7mA\x1b[m\x0ex\x0f\r\x1b[1B \x0ex\x0f\x1b[2C\x0ex\x0f\r\x1b[1B \x0emqqj\x0f\x1b[1B"
    "\x1b[4DUse the ↑"
)


def test_what_went_before_stays_above() -> None:
    assert rendered(f"Using config\r\nParsing\n{BOX}").splitlines() == [
        "Using config",
        "Parsing",
        "",
        "    pyGRUB",
        " ┌──┐",
        " │ A│",
        " │  │",
        " └──┘",
        " Use the ↑",
    ]


def test_a_line_that_is_written_again_is_there_once() -> None:
    countdown = "".join(f"\r\x1b[J\x1b[2A\x1b[2B  in {seconds} seconds" for seconds in (3, 2, 1))
    lines = rendered(f"{BOX}\r\n\n{countdown}\x1b[9;1H\r").splitlines()
    assert [line for line in lines if "seconds" in line] == ["  in 1 seconds"]
    assert lines[1:3] == ["    pyGRUB", " ┌──┐"]


def test_what_comes_afterwards_goes_on_below() -> None:
    text = rendered(f"{BOX}\x1b[10;1H\x1b[?1l\x1b>Started\r\n[ 0.0] Linux\r\n\tWelcome\b!\r\n")
    assert text.splitlines()[-3:] == ["Started", "[ 0.0] Linux", "        Welcom!"]


def test_plain_text_is_left_alone() -> None:
    assert rendered("one\r\ntwo [x] lqk\r\n") == "one\ntwo [x] lqk\n"
