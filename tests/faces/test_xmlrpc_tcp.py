"""XML-RPC over TCP, plain and with TLS, as `xend-tcp-xmlrpc-server` and its options say."""

from __future__ import annotations

import http.client
import os
import signal
import ssl
import subprocess
import sys
import xmlrpc.client
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faces.daemonprocess import DaemonProcess, eventually, free_port
from tests.faces.xmdaemon import Run


@pytest.fixture(autouse=True)
def _loop_never_blocked() -> None:
    """The daemon's loop is in another process."""


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for localhost."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"),
            *("-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
        ],
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DaemonProcess]:
    process = DaemonProcess(tmp_path)
    yield process
    if process.running:
        os.kill(process.pid, signal.SIGKILL)


def configure(daemon: DaemonProcess, secrets: Path | None = None) -> int:
    port = free_port()
    lines = ["(xend-tcp-xmlrpc-server yes)", f"(xend-tcp-xmlrpc-server-port {port})"]
    if secrets is not None:
        lines += [
            f"(xend-tcp-xmlrpc-server-ssl-key-file {secrets}/key.pem)",
            f"(xend-tcp-xmlrpc-server-ssl-cert-file {secrets}/cert.pem)",
        ]
    daemon.config.write_text("\n".join(lines))
    return port


def trusting(secrets: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=secrets / "cert.pem")


def test_plain(daemon: DaemonProcess, tmp_path: Path) -> None:
    port = configure(daemon)
    daemon("start")
    with xmlrpc.client.ServerProxy(f"http://localhost:{port}/RPC2", allow_none=True) as xend:
        assert xend.xend.domains_with_state(False, "all", 0) == ["Domain-0"]
        with pytest.raises(xmlrpc.client.Fault, match="<Fault 3: 'nobody'>"):
            xend.xend.domain("nobody")
        methods = xend.system.listMethods()
        assert isinstance(methods, list)
        assert "xend.domain.create" in methods
    status, out, err = Run(tmp_path, {"XM_SERVER": f"http://localhost:{port}/"})("domid", "0")
    assert (status, out, err) == (0, "0\n", "")


def test_with_tls(daemon: DaemonProcess, secrets: Path, tmp_path: Path) -> None:
    port = configure(daemon, secrets)
    daemon("start")
    context = trusting(secrets)
    uri = f"https://localhost:{port}/RPC2"
    with xmlrpc.client.ServerProxy(uri, allow_none=True, context=context) as xend:
        assert xend.xend.domains_with_state(False, "all", 0) == ["Domain-0"]
        info = xend.xend.node.info()
        assert isinstance(info, list)
        assert ["nr_cpus", 4] in info
    status, out, err = Run(tmp_path, {"XM_SERVER": f"https://localhost:{port}/"})("domid", "0")
    assert (status, out, err) == (0, "0\n", "")


def test_tls_takes_nothing_less(daemon: DaemonProcess, secrets: Path) -> None:
    """Not the protocols that were broken, and no request in clear text; others are still served."""
    port = configure(daemon, secrets)
    daemon("start")
    old = trusting(secrets)
    with pytest.warns(DeprecationWarning):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    connection = http.client.HTTPSConnection("localhost", port, context=old, timeout=10)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        connection.request("GET", "/")
    clear = http.client.HTTPConnection("localhost", port, timeout=10)
    clear.request("POST", "/RPC2", b"<methodCall/>")
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        clear.getresponse()
    assert daemon.names() == ["Domain-0"]


@pytest.mark.parametrize("broken", ["missing", "not a key"])
def test_a_key_that_cannot_be_used(daemon: DaemonProcess, secrets: Path, broken: str) -> None:
    """A start is refused with the file's name; a reload leaves the other listeners as they are."""
    configure(daemon, secrets)
    key = daemon.config.with_name("bad.pem")
    if broken == "not a key":
        key.write_text("nothing\n")
    daemon.config.write_text(
        daemon.config.read_text().replace(f"{secrets}/key.pem", str(key)),
    )
    assert str(key) in daemon("start", expect=1).stderr
    wrong = daemon.config.read_text()
    daemon.config.write_text("")
    daemon("start")
    daemon.config.write_text(wrong)
    daemon("reload")
    eventually(lambda: str(key) in daemon.log.read_text())
    assert daemon.names() == ["Domain-0"]


def test_reload_switches_it_on_and_off(daemon: DaemonProcess) -> None:
    daemon("start")
    pid = daemon.pid
    port = configure(daemon)
    daemon("reload")
    with xmlrpc.client.ServerProxy(f"http://localhost:{port}") as xend:
        assert xend.xend.domains(0) == ["Domain-0"]
    daemon.config.write_text("")
    daemon("reload")
    with pytest.raises(ConnectionError):
        http.client.HTTPConnection("localhost", port, timeout=10).request("GET", "/")
    assert daemon.pid == pid


def test_a_client_of_another_process_that_hangs_up_early(daemon: DaemonProcess) -> None:
    """It hurts nobody."""
    port = configure(daemon)
    daemon("start")
    rude = (
        f"import socket; s = socket.create_connection(('localhost', {port}));"
        "s.sendall(b'POST /RPC2 HTTP/1.1\\r\\nContent-Length: 100\\r\\n\\r\\n<meth'); s.close()"
    )
    for _ in range(5):
        subprocess.run([sys.executable, "-c", rude], check=True)
    with xmlrpc.client.ServerProxy(f"http://localhost:{port}") as xend:
        assert xend.xend.domains(0) == ["Domain-0"]
    assert "Traceback" not in daemon.log.read_text()
