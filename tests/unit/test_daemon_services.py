"""The init script and the systemd units, with stand-ins for what they call."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import sh
from pytest_mock import MockerFixture

from xend.daemon import control, systemd
from xend.daemon.options import Options

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts/init.d/xend"

FAKE_XEND = """#!/bin/sh
echo "$1" >> {calls}
read code 2> /dev/null < {folder}/$1 || code=0
exit $code
"""


class InitScript:
    """The script, beside a program `xend` that only writes down what it was asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls = folder / "calls"
        self.locks = folder / "lock"
        program = folder / "xend"
        program.write_text(FAKE_XEND.format(calls=self.calls, folder=folder))
        program.chmod(0o755)
        self.consoled(running=True)

    def consoled(self, *, running: bool) -> None:
        pidof = self.folder / "pidof"
        pidof.write_text(f"#!/bin/sh\nexit {0 if running else 1}\n")
        pidof.chmod(0o755)
        sleep = self.folder / "sleep"
        sleep.write_text("#!/bin/sh\n")
        sleep.chmod(0o755)

    def answer(self, verb: str, code: int) -> None:
        (self.folder / verb).write_text(f"{code}\n")

    def __call__(self, *words: str) -> tuple[int, str]:
        text = SCRIPT.read_text()
        fixed_path = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"
        assert fixed_path in text
        copy = self.folder / "script"
        copy.write_text(text.replace(fixed_path, f"PATH={self.folder}:/usr/bin:/bin"))
        done = subprocess.run(
            ["sh", str(copy), *words],
            env={"XEND": str(self.folder / "xend"), "LOCKS": str(self.locks)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stderr == ""
        return done.returncode, done.stdout

    def asked(self) -> list[str]:
        return self.calls.read_text().split() if self.calls.exists() else []


@pytest.fixture
def script(tmp_path: Path) -> InitScript:
    return InitScript(tmp_path)


def test_start_and_stop_keep_a_lock(script: InitScript) -> None:
    assert script("start") == (0, "")
    assert (script.locks / "xend").exists()
    assert script("stop") == (0, "")
    assert not (script.locks / "xend").exists()
    assert script.asked() == ["start", "status", "stop"]


def test_the_lock_of_other_distributions(script: InitScript) -> None:
    (script.locks / "subsys").mkdir(parents=True)
    script("start")
    assert (script.locks / "subsys/xend").exists()
    script("stop")
    assert not (script.locks / "subsys/xend").exists()


def test_start_needs_xenconsoled(script: InitScript) -> None:
    script.consoled(running=False)
    assert script("start") == (1, "xencommons should be started first.\n")
    assert script.asked() == []


def test_start_that_fails(script: InitScript) -> None:
    script.answer("start", 1)
    assert script("start") == (1, "")
    assert script.asked() == ["start"]
    assert not (script.locks / "xend").exists()


def test_start_waits_for_a_daemon_that_is_still_coming_up(script: InitScript) -> None:
    script.answer("status", 3)
    code, dots = script("start")
    assert code == 1 and dots == "." * 9
    assert script.asked().count("status") == 10


@pytest.mark.parametrize(
    ("verb", "asked"),
    [
        ("status", ["status"]),
        ("reload", ["reload"]),
        ("restart", ["restart", "status"]),
        ("force-reload", ["restart", "status"]),
    ],
)
def test_the_other_verbs(script: InitScript, verb: str, asked: list[str]) -> None:
    assert script(verb)[0] == 0
    assert script.asked() == asked


@pytest.mark.parametrize(("verb", "code"), [("status", 3), ("stop", 1), ("reload", 1)])
def test_exit_codes_are_those_of_xend(script: InitScript, verb: str, code: int) -> None:
    script.answer(verb, code)
    assert script(verb)[0] == code


@pytest.mark.parametrize("words", [[], ["fly"]])
def test_usage(script: InitScript, words: list[str]) -> None:
    code, text = script(*words)
    assert code == 1
    assert text.startswith("Usage: ") and "force-reload" in text


def test_header_for_insserv() -> None:
    text = SCRIPT.read_text()
    assert os.access(SCRIPT, os.X_OK)
    for field in ("Provides: ", "Required-Start: ", "Default-Start: ", "Short-Description: "):
        assert f"# {field}" in text


def test_units_are_right(tmp_path: Path) -> None:
    """systemd's own check; the program need not be installed for that."""
    program = shutil.which("systemd-analyze")
    assert program, "systemd-analyze is missing: install Debian's package systemd"
    units = []
    for name in ("xend.service", "xend.socket", "xendomains.service"):
        text = (ROOT / "systemd" / name).read_text()
        for installed in ("/usr/sbin/xend", "/usr/lib/xend/bin/xendomains"):
            text = text.replace(installed, "/bin/true")
        units.append(tmp_path / name)
        units[-1].write_text(text)
    done = subprocess.run(
        [program, "verify", "--man=no", *map(str, units)],
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
        capture_output=True,
        text=True,
        check=False,
    )
    mine = [line for line in done.stderr.splitlines() if "xend" in line]
    assert mine == []
    assert done.returncode == 0, done.stderr


def test_units_name_the_sockets_that_the_daemon_looks_for() -> None:
    from xend.daemon.options import DEFAULT_RUN
    from xend.daemon.settings import CLI_SOCKET, REST_SOCKET, XMLRPC_SOCKET

    text = (ROOT / "systemd/xend.socket").read_text()
    for name in (XMLRPC_SOCKET, REST_SOCKET, CLI_SOCKET):
        assert f"ListenStream=/run/{DEFAULT_RUN.name}/{name}\n" in text


class Systemd:
    """Stand-ins for its programs; `systemctl` writes down what it was asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls = folder / "calls"
        self.has("LoadState=loaded", "Type=notify")
        self.starts(0)
        (folder / "journal").write_text("")
        self._program(
            "systemctl",
            f'echo "$*" >>{self.calls}; case $1 in show) cat {folder}/unit ;; '
            f"start) cat {folder}/complaint >&2; exit $(cat {folder}/code) ;; esac",
        )
        self._program("journalctl", f"cat {folder}/journal")

    def _program(self, name: str, body: str) -> None:
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def has(self, *properties: str) -> None:
        (self.folder / "unit").write_text("".join(f"{line}\n" for line in properties))

    def starts(self, code: int, complaint: str = "", journal: str = "") -> None:
        (self.folder / "code").write_text(str(code))
        (self.folder / "complaint").write_text(complaint)
        (self.folder / "journal").write_text(journal)


@pytest.fixture
def its(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setattr(systemd, "BOOTED", tmp_path)
    monkeypatch.setattr(control, "holder", lambda _path: None)
    return Systemd(folder)


class TestWhereSystemdLooksAfterIt:
    def test_a_plain_start_is_the_units(self, its: Systemd) -> None:
        assert control.start(Options(verb="start")) == 0
        assert its.calls.read_text().splitlines()[-1] == "start xend.service"

    def test_a_failure_is_told_in_the_daemons_words(
        self, its: Systemd, capsys: pytest.CaptureFixture[str]
    ) -> None:
        its.starts(1, "Job for xend.service failed.", "xend: old\nStarting\nxend: no Xen here\nx\n")
        assert control.start(Options(verb="start")) == 1
        assert capsys.readouterr().err == "xend: no Xen here\n"
        its.starts(1, "Job for xend.service failed.")
        assert control.start(Options(verb="start")) == 1
        assert capsys.readouterr().err == "Job for xend.service failed.\n"

    @pytest.mark.parametrize(
        "properties",
        [
            ("LoadState=not-found", "Type=simple"),
            ("LoadState=masked", "Type=notify"),
            ("LoadState=loaded", "Type=forking"),
            (),
        ],
    )
    def test_other_units_are_left_alone(self, its: Systemd, properties: tuple[str, ...]) -> None:
        its.has(*properties)
        assert not systemd.looks_after_it()

    def test_nor_where_it_is_not_the_init(
        self, its: Systemd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert systemd.looks_after_it()
        monkeypatch.setattr(systemd, "BOOTED", tmp_path / "none")
        assert not systemd.looks_after_it()

    def test_a_host_without_systemctl(
        self, its: Systemd, mocker: MockerFixture, capsys: pytest.CaptureFixture[str]
    ) -> None:
        asked = mocker.patch.object(sh, "Command", side_effect=sh.CommandNotFound("systemctl"))
        assert not systemd.looks_after_it()
        assert systemd.start() == 1
        assert capsys.readouterr().err == "xend: systemctl is gone\n"
        assert [call.args for call in asked.call_args_list] == [
            ("systemctl",),
            ("systemctl",),
            ("journalctl",),
        ]

    def test_a_systemctl_that_is_killed_is_a_failure(
        self, its: Systemd, capsys: pytest.CaptureFixture[str]
    ) -> None:
        its._program("systemctl", "kill -9 $$")
        assert systemd.start() == 1
        assert capsys.readouterr().err == "xend: systemctl failed (status -9)\n"

    def test_a_daemon_with_options_is_somebodys_own(self) -> None:
        assert Options(verb="restart").plain
        for own in (
            Options(verb="start", hypervisor="sim"),
            Options(verb="start", config=Path("/x")),
            Options(verb="start", run_dir=Path("/x")),
        ):
            assert not own.plain
