"""xl create and xl restore."""

from __future__ import annotations

import os
import time

from xend.cli.failures import CommandFailed, Exit, Fault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from xend.cli.xlcommand import Xl

_ERROR_FAIL = 3
_ERROR_INVAL = 6
"""xl ends with the negated code of libxl."""
_WRONG_FILE = 1
_PAUSE = 0.2


class _Wanted:
    """What the command line of `create` asks for."""

    def __init__(self, xl: Xl, args: list[str]) -> None:
        self.file: str | None = None
        if args and not args[0].startswith("-") and "=" not in args[0]:
            self.file, args = args[0], args[1:]
        options, operands = xl.options(
            "create",
            args,
            "A/vncviewer-autopass F V/vncviewer c d e f:/defconfig "
            "i/ignore-global-affinity-masks n/dryrun p q/quiet",
        )
        given = dict(options)
        self.file = given.get("f", self.file)
        self.settings: list[str] = []
        for word in operands:
            if "=" in word:
                self.settings.append(word)
            elif self.file is None:
                self.file = word
            else:
                xl.help("create")
                raise Exit(2)
        self.letters = set(given)
        self.dry_run = xl.dry_run or "n" in given
        self.quiet = "q" in given

    def text(self, xl: Xl) -> str:
        """The file's text with the settings of the command line behind it: the last one wins."""
        if self.file is None:
            xl.complain("Config file not specified and none in save file")
            raise Exit(_ERROR_INVAL)
        text = ""
        if self.file != "/dev/null":
            try:
                with open(self.file, encoding="utf-8", errors="surrogateescape") as file:
                    text = file.read()
            except OSError as error:
                xl.complain(f"Failed to read config file: {self.file}: {error.strerror}")
                raise Exit(_ERROR_FAIL) from error
        if self.settings:
            text += "\n" + "\n".join(self.settings) + "\n\n"
        return text


def create(xl: Xl, args: list[str]) -> int:
    wanted = _Wanted(xl, args)
    text = wanted.text(xl)
    if not wanted.quiet:
        xl.complain(f"Parsing config from {wanted.file}")
    plan = xl.call("xend.private.plan", text, wanted.file, wanted.dry_run or "d" in wanted.letters)
    for line in plan["notes"]:
        xl.complain(line)
    if plan["problems"]:
        xl.complain("\n".join(plan["problems"]))
        return _WRONG_FILE
    if wanted.dry_run:
        xl.xm.out.write(plan["json"])
        return 0
    if "d" in wanted.letters:
        xl.xm.err.write(plan["json"])

    def launch() -> None:
        method = "xend.private.create"
        _started(xl, wanted.letters, lambda: int(xl.call(method, text, wanted.file, paused)))

    paused = "p" in wanted.letters
    return _attended(xl, wanted.letters, plan["name"], launch)


def restore(xl: Xl, args: list[str]) -> int:
    options, operands = xl.options(
        "restore", args, "F c p d e V/vncviewer A/vncviewer-autopass", least=1
    )
    letters = {letter for letter, _ in options}
    if len(operands) > 2:
        xl.help("restore")
        return 1
    if len(operands) == 2:
        xl.complain("xl: xend restores a domain as it was saved: leave the file's name out")
        return 1
    path = os.path.abspath(operands[0])  # noqa: PTH100 - a symbolic link stays as it was typed
    try:
        os.close(os.open(path, os.O_RDONLY))
    except OSError as error:
        xl.complain(f"Can't open restore file: {error.strerror}")
        return 1
    xl.complain(f"Loading new save file {operands[0]}")

    def bring_back() -> int:
        record = xl.call("xend.domain.restore", path, "p" in letters)
        fields = {item[0]: item[1] for item in record[1:] if len(item) == 2}
        return int(fields["domid"])

    domid = _started(xl, letters, bring_back, status=1)
    if "c" in letters:
        from xend.cli.xlhost import replace_by_console

        replace_by_console(xl, domid, "pv", 0)
    return 0


def _attended(xl: Xl, letters: set[str], name: str, launch: Callable[[], None]) -> int:
    """Do it, with the console of the domain that it makes on the terminal if that is wanted."""
    if "c" in letters:
        from xend.cli.console import with_console

        return with_console(xl.xm, "", name, launch)
    launch()
    return 0


def _started(
    xl: Xl, letters: set[str], start: Callable[[], int], *, status: int = _ERROR_FAIL
) -> int:
    """Id of the new domain, once all that was wanted with it has been done."""
    try:
        domid = start()
    except Fault as fault:
        raise CommandFailed(fault.text, status) from fault
    if letters & {"V", "A"}:
        from xend.cli.display import spawn_viewer

        spawn_viewer(xl.xm, domid, "A" in letters)
    while "F" in letters and any(row.domid == domid for row in xl.look()):
        time.sleep(_PAUSE)
    return domid
