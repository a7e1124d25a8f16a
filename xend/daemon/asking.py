"""import and adopt: the running daemon is asked, and its answer shown."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from xend.cli.failures import Fault, ProtocolError, Unreachable
from xend.cli.frames import FrameConnection
from xend.daemon.options import Options

_CLI_SOCKET = "cli.sock"
_VERDICTS = {
    "imported": "imported",
    "importable": "can be imported",
    "known": "is here already",
    "skipped": "skipped",
}


class _Refused(Exception):
    """The daemon cannot be asked, or says no; the text is for people."""


def import_domains(options: Options) -> int:
    """0 when all is here now (or could be), 1 when something was skipped."""
    if len(options.targets) != 1:
        return _complain("xend: import needs one directory")
    folder = str(Path(options.targets[0]).absolute())
    try:
        reports = _ask(options, "xend.import", folder, options.dry_run)
    except _Refused as error:
        return _complain(f"xend: {error}")
    for report in reports:
        _show(report)
    print(_summary([str(report["verdict"]) for report in reports]))
    return 1 if any(report["verdict"] == "skipped" for report in reports) else 0


def _show(report: dict[str, Any]) -> None:
    who = f"{report['name']} ({report['uuid']})" if report["name"] else report["path"]
    why = f": {report['reason']}" if report["reason"] else ""
    print(f"{who}: {_VERDICTS[report['verdict']]}{why}")
    for change in report["changes"]:
        print(f"    changed: {change}")
    for note in report["notes"]:
        print(f"    note: {note}")


def _summary(verdicts: list[str]) -> str:
    counted = [
        f"{verdicts.count(verdict)} {words}"
        for verdict, words in _VERDICTS.items()
        if verdict in verdicts
    ]
    return ", ".join(counted) or "There is nothing in it"


def adopt(options: Options) -> int:
    """0 when all of them are xend's now."""
    if not options.targets:
        return _complain("xend: adopt needs a domain")
    failed = 0
    for target in options.targets:
        try:
            found = _ask(options, "xend.adopt", target)
        except _Refused as error:
            failed = _complain(f"xend: {error}")
        else:
            print(f"{found['name']} (domain {found['domid']}) is xend's now")
    return failed


def _ask(options: Options, method: str, *arguments: Any) -> Any:
    connection = FrameConnection(str(options.run_dir / _CLI_SOCKET))
    try:
        connection.connect()
        return connection.call(method, arguments)
    except Unreachable as error:
        raise _Refused(f"the daemon does not answer ({error.strerror}). Is it running?") from error
    except Fault as fault:
        raise _Refused(_words(fault)) from fault
    except (ProtocolError, OSError) as error:
        raise _Refused(str(error)) from error
    finally:
        connection.close()


def _words(fault: Fault) -> str:
    return f"Domain '{fault.text}' does not exist." if fault.code == 3 else fault.text


def _complain(text: str) -> int:
    print(text, file=sys.stderr)
    return 1
