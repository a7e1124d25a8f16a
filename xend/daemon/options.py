"""The daemon's own command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

VERBS: Final = ("start", "stop", "restart", "reload", "status", "trace_start")
ASKING: Final = ("import", "adopt")
"""Verbs that ask the running daemon for something, each about what follows."""
FILE_VERBS: Final = ("check", "convert", "check-config")
"""About files only: anybody may, and they have options of their own."""
DEFAULT_CONFIG: Final = Path("/etc/xen/xend-config.sxp")
DEFAULT_RUN: Final = Path("/var/run/xend")
DEFAULT_STATE: Final = Path("/var/lib/xend")
DEFAULT_PID_FILE: Final = Path("/var/run/xend.pid")
HYPERVISORS: Final = ("xen", "sim")

READY: Final = "ready"
ALREADY_RUNNING: Final = "already running"
"""What a daemon in the background tells its starter; anything else is its error."""

HELP: Final = """\
usage: {prog} {{start|stop|restart|reload|status}} [options]
       {prog} --foreground [options]
       {prog} import [--dry-run] DIR
       {prog} adopt DOMAIN...

  start    run in the background; returns when it serves (fine if it already runs)
  stop     end it; domains are not touched
  restart  stop, then start
  reload   read the configuration again
  status   exit code 0 if it runs, 3 if not
  import   take over the managed domains of another host, from a copy of its
           /var/lib/xend/domains; --dry-run only shows what it would do
  adopt    take over running domains that others made (xl, libvirt): from then on
           their on_poweroff, on_reboot and on_crash are applied by xend

  check FILE...          every mistake of domain files (of xm or xl, SXP, JSON)
  convert FILE --to xl|sxp|json
                         the same domain as a static file
  check-config [FILE]    every mistake of xend-config.sxp

  --foreground           stay attached to the terminal (or to systemd)
  --hypervisor xen|sim   sim: a simulated host, for development and tests
  --config FILE          instead of {config}
  --state-dir DIR        managed domains and the database; instead of {state}
  --run-dir DIR          sockets and the pid file; instead of {run}
  --log-file FILE        instead of what the configuration says
"""


class UsageError(Exception):
    """The command line is wrong; the text is for people."""


@dataclass(frozen=True, slots=True)
class Options:
    verb: str = ""
    foreground: bool = False
    hypervisor: str = "xen"
    config: Path = DEFAULT_CONFIG
    state_dir: Path = DEFAULT_STATE
    run_dir: Path = DEFAULT_RUN
    log_file: Path | None = None
    status_fd: int | None = None
    """Where a daemon in the background tells its starter how it went."""
    help: bool = False
    dry_run: bool = False
    """Of `import`."""
    targets: tuple[str, ...] = ()
    """What `import` and `adopt` are about."""

    @property
    def private(self) -> bool:
        """It has directories of its own, so it is not the host's daemon and anybody may run it."""
        return self.run_dir != DEFAULT_RUN and self.state_dir != DEFAULT_STATE

    @property
    def plain(self) -> bool:
        """A verb and nothing else: the host's daemon, as everybody means it."""
        return replace(self, verb="") == Options()

    @property
    def pid_file(self) -> Path:
        """Where the original had it; beside the sockets when those are elsewhere."""
        return DEFAULT_PID_FILE if self.run_dir == DEFAULT_RUN else self.run_dir / "xend.pid"

    def arguments(self) -> list[str]:
        """The options again, for the process that runs in the background."""
        found = [
            f"--hypervisor={self.hypervisor}",
            f"--config={self.config}",
            f"--state-dir={self.state_dir}",
            f"--run-dir={self.run_dir}",
        ]
        if self.log_file is not None:
            found.append(f"--log-file={self.log_file}")
        return found


_VALUED: Final = (
    "--config",
    "--state-dir",
    "--run-dir",
    "--log-file",
    "--hypervisor",
    "--status-fd",
)


def parse(argv: Sequence[str], environ: Mapping[str, str]) -> Options:
    """UsageError for what is not understood.  XEND_CONFIG names another configuration."""
    options = Options()
    if environ.get("XEND_CONFIG"):
        options = replace(options, config=Path(environ["XEND_CONFIG"]))
    words = list(argv)
    while words:
        word = words.pop(0)
        name, equals, value = word.partition("=")
        if word in ("-h", "--help", "help"):
            options = replace(options, help=True)
        elif word == "--foreground":
            options = replace(options, foreground=True)
        elif name in _VALUED:
            if not equals:
                value = words.pop(0) if words else ""
            options = _with_value(options, name, value)
        elif word in (*VERBS, *ASKING) and not options.verb:
            options = replace(options, verb=word)
        elif word == "--dry-run" and options.verb == "import":
            options = replace(options, dry_run=True)
        elif options.verb in ASKING and not word.startswith("-"):
            options = replace(options, targets=(*options.targets, word))
        else:
            raise UsageError(f"not an option: {word}")
    return options


def _with_value(options: Options, name: str, value: str) -> Options:
    if not value:
        raise UsageError(f"{name} needs a value")
    if name == "--hypervisor":
        if value not in HYPERVISORS:
            raise UsageError(f"--hypervisor must be one of {', '.join(HYPERVISORS)}, not {value}")
        return replace(options, hypervisor=value)
    if name == "--status-fd":
        if not value.isdigit():
            raise UsageError(f"{name} needs a file descriptor's number, not {value}")
        return replace(options, status_fd=int(value))
    # Absolute, because the process in the background works in another directory.
    path = Path(value).absolute()
    match name:
        case "--config":
            return replace(options, config=path)
        case "--state-dir":
            return replace(options, state_dir=path)
        case "--run-dir":
            return replace(options, run_dir=path)
    return replace(options, log_file=path)
