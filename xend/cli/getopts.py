"""Options the way the original parsed them: its messages are what scripts see.

The standard library's getopt has the same rules but pulls in translation and regular
expressions, which costs more than a whole command does here.
"""

from __future__ import annotations

Options = list[tuple[str, str]]


class GetoptError(Exception):
    """An option that is unknown, ambiguous, lacks its argument, or has one too many."""


def getopt(args: list[str], short: str, long: tuple[str, ...] = ()) -> tuple[Options, list[str]]:
    """Options up to the first operand; what follows is returned as it is."""
    options: Options = []
    rest = list(args)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        if rest[0] == "--":
            rest = rest[1:]
            break
        rest = _take(rest, short, long, options)
    return options, rest


def gnu_getopt(
    args: list[str], short: str, long: tuple[str, ...] = ()
) -> tuple[Options, list[str]]:
    """Options anywhere among the operands."""
    options: Options = []
    operands: list[str] = []
    rest = list(args)
    while rest:
        if rest[0] == "--":
            operands += rest[1:]
            break
        if rest[0].startswith("-") and rest[0] != "-":
            rest = _take(rest, short, long, options)
        else:
            operands.append(rest.pop(0))
    return options, operands


def _take(rest: list[str], short: str, long: tuple[str, ...], options: Options) -> list[str]:
    word, rest = rest[0], rest[1:]
    if word.startswith("--"):
        return _take_long(word[2:], rest, long, options)
    return _take_short(word[1:], rest, short, options)


def _take_long(word: str, rest: list[str], long: tuple[str, ...], options: Options) -> list[str]:
    name, equals, value = word.partition("=")
    name, wants = _match_long(name, long)
    if wants and not equals:
        if not rest:
            raise GetoptError(f"option --{name} requires argument")
        value, rest = rest[0], rest[1:]
    elif equals and not wants:
        raise GetoptError(f"option --{name} must not have an argument")
    options.append(("--" + name, value))
    return rest


def _match_long(name: str, long: tuple[str, ...]) -> tuple[str, bool]:
    possible = [option for option in long if option.startswith(name)]
    if not possible:
        raise GetoptError(f"option --{name} not recognized")
    if name in possible:
        return name, False
    if name + "=" in possible:
        return name, True
    if len(possible) > 1:
        raise GetoptError(f"option --{name} not a unique prefix")
    found = possible[0]
    return found.rstrip("="), found.endswith("=")


def _take_short(word: str, rest: list[str], short: str, options: Options) -> list[str]:
    while word:
        letter, word = word[0], word[1:]
        at = short.find(letter)
        if at < 0 or letter == ":":
            raise GetoptError(f"option -{letter} not recognized")
        value = ""
        if short[at + 1 : at + 2] == ":":
            if not word:
                if not rest:
                    raise GetoptError(f"option -{letter} requires argument")
                word, rest = rest[0], rest[1:]
            value, word = word, ""
        options.append(("-" + letter, value))
    return rest
