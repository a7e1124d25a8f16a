"""The options of REST in xend-config.sxp, as the daemon understands them."""

from __future__ import annotations

import pwd
import ssl
from pathlib import Path

import pytest

from xend.api.rest.tls import RestTls, make_certificate
from xend.api.sockets import TcpAddress, UnixAddress
from xend.core.access import Role
from xend.daemon.options import Options
from xend.daemon.settings import Settings, load
from xend.errors import ConfigError


def settings(folder: Path, text: str) -> Settings:
    config = folder / "xend-config.sxp"
    config.write_text(text)
    return load(Options(config=config, state_dir=folder / "state", run_dir=folder / "run"))


def addresses(found: Settings) -> list[object]:
    return [spec.address for spec in found.faces if spec.kind == "rest"]


def test_by_default_only_root_by_the_socket(tmp_path: Path) -> None:
    found = settings(tmp_path, "")
    assert addresses(found) == [UnixAddress(tmp_path / "run/rest.sock", 0o600)]
    assert not found.rest.users and not found.rest.groups and not found.rest.origins
    assert found.console_limit == 1024 * 1024 and not found.keep_consoles


def test_roles_of_local_users(tmp_path: Path) -> None:
    found = settings(
        tmp_path,
        "(xend-rest-unix-roles ((user root viewer) (user 1234 viewer) (user 1234 operator)"
        " (group root admin)))",
    )
    assert addresses(found) == [UnixAddress(tmp_path / "run/rest.sock", 0o666)]
    assert found.rest.users == {0: Role.VIEWER, 1234: Role.OPERATOR}
    assert found.rest.role_of(5, frozenset({0})) is Role.ADMIN
    assert pwd.getpwuid(0).pw_name == "root"


@pytest.mark.parametrize(
    "entry", ["(user nobody-of-that-name admin)", "(user root king)", "(role root admin)", "(user)"]
)
def test_a_wrong_role_is_named(tmp_path: Path, entry: str) -> None:
    with pytest.raises(ConfigError, match="xend-rest-unix-roles") as caught:
        settings(tmp_path, f"(xend-rest-unix-roles ({entry}))")
    assert caught.value.fields["field"] == "xend-rest-unix-roles"


def test_tcp_has_tls(tmp_path: Path) -> None:
    found = settings(tmp_path, "(xend-rest-tcp-server yes) (xend-rest-tcp-address 192.0.2.7)")
    [_, spec] = [spec for spec in found.faces if spec.kind == "rest"]
    made = tmp_path / "state/rest"
    assert spec.address == TcpAddress("192.0.2.7", 8443)
    assert spec.tls == RestTls(made / "server.key", made / "server.crt", "192.0.2.7")


@pytest.mark.parametrize(
    ("address", "good"),
    [("localhost", True), ("127.0.0.1", True), ("::1", True), ("192.0.2.7", False), ("''", False)],
)
def test_without_tls_only_on_the_loopback(tmp_path: Path, address: str, good: bool) -> None:
    text = f"(xend-rest-tcp-server yes) (xend-rest-tls no) (xend-rest-tcp-address {address})"
    if good:
        assert len(addresses(settings(tmp_path, text))) == 2
    else:
        with pytest.raises(ConfigError, match="xend-rest-tls"):
            settings(tmp_path, text)


def test_key_and_certificate_go_together(tmp_path: Path) -> None:
    text = "(xend-rest-tcp-server yes) (xend-rest-tls-key-file /k)"
    with pytest.raises(ConfigError, match="xend-rest-tls-key-file"):
        settings(tmp_path, text)
    found = settings(tmp_path, f"{text} (xend-rest-tls-cert-file /c)")
    assert RestTls(Path("/k"), Path("/c")) in [spec.tls for spec in found.faces]


def test_a_replaced_client_certificate_is_another_listener(tmp_path: Path) -> None:
    """So that a reload opens it anew, without the client that is gone."""
    folder = tmp_path / "clients/viewer"
    make_certificate(tmp_path / "k1", folder / "grafana.pem", "")
    text = f"(xend-rest-tcp-server yes) (xend-rest-client-certs {tmp_path / 'clients'})"
    first = settings(tmp_path, text)
    assert settings(tmp_path, text).faces == first.faces
    assert [*first.rest.certificates.values()] == [("grafana", Role.VIEWER)]
    make_certificate(tmp_path / "k2", folder / "grafana.pem", "")
    assert settings(tmp_path, text).faces != first.faces


def test_a_certificate_of_ours(tmp_path: Path) -> None:
    key, certificate = tmp_path / "rest/server.key", tmp_path / "rest/server.crt"
    tls = RestTls(key, certificate, "192.0.2.7")
    context = tls.context()
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    first = certificate.read_bytes()
    assert key.stat().st_mode & 0o777 == 0o600
    tls.context()
    assert certificate.read_bytes() == first
    names = ssl._ssl._test_decode_cert(str(certificate))["subjectAltName"]  # type: ignore[attr-defined]
    assert ("IP Address", "192.0.2.7") in names and ("DNS", "localhost") in names
