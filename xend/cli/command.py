"""A subcommand of `xm`: a row of the table."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xend.cli.app import Handler

Option = tuple[str, str, str]
Counts = tuple[int, int] | None


class Command:
    """A row.  `doer` is `module.function` under xend.cli, imported when the command runs."""

    __slots__ = (
        "alone",
        "counts",
        "doer",
        "folder",
        "listed",
        "name",
        "options",
        "plain",
        "reads",
        "summary",
        "usage",
    )

    def __init__(
        self,
        name: str,
        usage: str,
        summary: str | None,
        doer: str,
        counts: Counts = None,
        *options: Option,
        listed: bool = True,
        reads: bool = False,
        alone: bool = False,
        folder: bool = False,
        plain: bool = False,
    ) -> None:
        self.name = name
        self.usage = usage
        self.summary = summary
        """What it does; None: the original had no help for it, so the short help is shown."""
        self.doer = doer
        self.counts = counts
        """Fewest and most words; None: the command checks for itself."""
        self.options = options
        """For the help; those of create and its like are in tables of their own."""
        self.listed = listed
        """Appears in `xm help`."""
        self.reads = reads
        """Only looks: that it runs a second time does no harm."""
        self.alone = alone
        """Needs the caller's environment or leaves traces: a warm process that has run it runs
        nothing after it."""
        self.folder = folder
        """Needs the caller's folder, and is back from there when it has ended."""
        self.plain = plain
        """Needs the caller's own process: a warm one declines it."""

    def load(self) -> Handler:
        module, _, function = self.doer.partition(".")
        handler: Handler = getattr(__import__(f"xend.cli.{module}", fromlist=[function]), function)
        return handler
