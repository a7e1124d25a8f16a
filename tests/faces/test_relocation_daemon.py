"""Two daemons as processes: `xm migrate` from one to the other, plain and over TLS, and what the
options of the relocation server do at a reload."""

from __future__ import annotations

import os
import signal
import subprocess
import xmlrpc.client
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faces.daemonprocess import DaemonProcess, eventually, free_port

VM = [
    "vm",
    ["name", "web"],
    ["memory", 64],
    ["on_poweroff", "destroy"],
    ["image", ["linux", ["kernel", "/boot/vmlinux"]]],
]


@pytest.fixture(autouse=True)
def _loop_never_blocked() -> None:
    """The daemons' loops are in other processes."""


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"),
            *("-days", "2", "-subj", "/CN=localhost"),
        ],
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture
def one(tmp_path: Path) -> Iterator[DaemonProcess]:
    yield from _daemon(tmp_path / "one")


@pytest.fixture
def two(tmp_path: Path) -> Iterator[DaemonProcess]:
    yield from _daemon(tmp_path / "two")


def _daemon(folder: Path) -> Iterator[DaemonProcess]:
    folder.mkdir()
    process = DaemonProcess(folder)
    yield process
    if process.running:
        os.kill(process.pid, signal.SIGKILL)


def serve(daemon: DaemonProcess, hosts_allow: str, secrets: Path | None = None) -> int:
    port = free_port()
    kind = "ssl-" if secrets else ""
    lines = [
        f"(xend-relocation-{kind}server yes)",
        f"(xend-relocation-{kind}port {port})",
        "(xend-relocation-address localhost)",
        f"(xend-relocation-hosts-allow '{hosts_allow}')",
    ]
    if secrets:
        lines.append(f"(xend-relocation-server-ssl-key-file {secrets}/key.pem)")
        lines.append(f"(xend-relocation-server-ssl-cert-file {secrets}/cert.pem)")
    daemon.config.write_text("\n".join(lines))
    return port


def start(daemon: DaemonProcess) -> None:
    daemon.call("xend.domain.create", VM)
    daemon.call("xend.domain.unpause", "web")


def migrate(daemon: DaemonProcess, port: int, *, tls: bool = False) -> None:
    daemon.call("xend.domain.migrate", "web", "localhost", 1, port, -1, int(tls), 0)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_from_one_to_the_other(
    one: DaemonProcess, two: DaemonProcess, secrets: Path, tls: bool
) -> None:
    port = serve(two, "^localhost$ ^127.0.0.1$", secrets if tls else None)
    one("start")
    two("start")
    start(one)
    migrate(one, port, tls=tls)
    assert one.names() == ["Domain-0"]
    assert sorted(two.names()) == ["Domain-0", "web"]
    assert "came from" in two.log.read_text()


def test_to_itself_and_who_may(one: DaemonProcess) -> None:
    port = serve(one, "^nobody$")
    one("start")
    start(one)
    with pytest.raises(xmlrpc.client.Fault, match="does not match xend-relocation-hosts-allow"):
        migrate(one, port)
    eventually(lambda: "was refused" in one.log.read_text())
    one.config.write_text(one.config.read_text().replace("nobody", "localhost"))
    one("reload")
    migrate(one, port)
    assert sorted(one.names()) == ["Domain-0", "web"]
    one.config.write_text("")
    one("reload")
    with pytest.raises(xmlrpc.client.Fault, match="can't connect: "):
        migrate(one, port)


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("(xend-relocation-ssl-server yes)", "ssl_key_file or ssl_cert_file"),
        ("(xend-relocation-hosts-allow '[')", "is no regular expression"),
    ],
)
def test_options_that_are_wrong(one: DaemonProcess, option: str, text: str) -> None:
    one.config.write_text(option)
    assert text in one("start", expect=1).stderr
    eventually(lambda: not one.running)
