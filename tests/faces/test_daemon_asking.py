"""`xend import` and `xend adopt`, from their command line to the daemon."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from tests.faces.daemonprocess import DaemonProcess
from tests.simhost import guest
from xend.config.domainsxp import encode_managed


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DaemonProcess]:
    process = DaemonProcess(tmp_path)
    yield process
    process("stop")


def test_import_shows_what_it_found_and_takes_it(daemon: DaemonProcess, tmp_path: Path) -> None:
    old = tmp_path / "old"
    entry = old / str(UUID(int=9))
    entry.mkdir(parents=True)
    (entry / "config.sxp").write_text(encode_managed(guest("web", uuid=UUID(int=9))))
    daemon("start")
    dry = daemon("import", "--dry-run", str(old))
    assert dry.stdout == f"web ({entry.name}): can be imported\n1 can be imported\n"
    assert daemon.names() == ["Domain-0"]
    done = daemon("import", str(old))
    assert done.stdout == f"web ({entry.name}): imported\n1 imported\n"
    assert daemon.names() == ["Domain-0", "web"]
    (old / "notes").touch()
    again = daemon("import", str(old), expect=1)
    assert again.stdout == (
        f"web ({entry.name}): is here already\n"
        f"{old}/notes: skipped: not a directory of a managed domain\n"
        "1 is here already, 1 skipped\n"
    )
    daemon("restart")
    assert daemon.names() == ["Domain-0", "web"]


def test_what_is_refused_says_why(daemon: DaemonProcess, tmp_path: Path) -> None:
    silent = daemon("adopt", "web", expect=1)
    assert silent.stderr == (
        "xend: the daemon does not answer (No such file or directory). Is it running?\n"
    )
    daemon("start")
    assert daemon("adopt", expect=1).stderr == "xend: adopt needs a domain\n"
    assert daemon("adopt", "web", expect=1).stderr == "xend: Domain 'web' does not exist.\n"
    missing = daemon("import", str(tmp_path / "nowhere"), expect=1)
    assert missing.stderr == f"xend: {tmp_path}/nowhere: No such file or directory\n"
    assert daemon("import", expect=1).stderr == "xend: import needs one directory\n"
    assert "privileged" in daemon("adopt", "0", expect=1).stderr
