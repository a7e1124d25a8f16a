"""The options `xend-rest-*` of xend-config.sxp."""

from __future__ import annotations

import grp
import ipaddress
import pwd
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from xend.api.faces import FaceSpec
from xend.api.rest.security_rules import RestRules
from xend.api.rest.tls import RestTls, client_certificates
from xend.api.sockets import TcpAddress, UnixAddress
from xend.config.xend_config import XendConfig
from xend.core.access import Role
from xend.errors import ConfigError

OPEN_MODE: Final = 0o666
"""Of the socket when somebody beside root may use it: the kernel says who connects."""


def rest_rules(values: XendConfig, secrets: Path) -> RestRules:
    """ConfigError names the option.  Reads the clients' certificates."""
    users: dict[int, Role] = {}
    groups: dict[int, Role] = {}
    for entry in values.entries("xend-rest-unix-roles"):
        kind, number, role = _role_entry(values, entry)
        known = users if kind == "user" else groups
        known[number] = max(role, known.get(number, role))
    certificates = {
        fingerprint: (name, role) for fingerprint, name, role in _clients(values, secrets).values()
    }
    origins = frozenset(map(str, values.entries("xend-rest-cors-origins")))
    images = paths_of(values, "xend-rest-image-paths")
    return RestRules(users, groups, certificates, origins, images)


def paths_of(values: XendConfig, name: str) -> tuple[Path, ...]:
    """ConfigError for one that is not absolute: it would mean another place at each start."""
    found = tuple(map(Path, filter(None, values.text(name).split(":"))))
    for path in found:
        if not path.is_absolute():
            raise _wrong(values, name, str(path), "absolute paths, separated by `:`")
    return found


def _role_entry(values: XendConfig, entry: Any) -> tuple[str, int, Role]:
    numbers: dict[str, Callable[[str], int]] = {
        "user": lambda name: pwd.getpwnam(name).pw_uid,
        "group": lambda name: grp.getgrnam(name).gr_gid,
    }
    try:
        kind, name, word = entry
        number = numbers[kind](name) if not name.isdigit() else int(name)
        return kind, number, Role.of(word)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _wrong(
            values,
            "xend-rest-unix-roles",
            entry,
            "entries `(user|group NAME viewer|operator|admin)` with a name that exists here",
        ) from error


def _clients(values: XendConfig, secrets: Path) -> dict[Path, tuple[str, str, Role]]:
    folder = values.text("xend-rest-client-certs")
    return client_certificates(secrets / folder) if folder else {}


def unix_face(values: XendConfig, path: Path) -> FaceSpec:
    shared = bool(values.entries("xend-rest-unix-roles"))
    return FaceSpec("rest", UnixAddress(path, OPEN_MODE if shared else 0o600))


def tcp_face(values: XendConfig, secrets: Path, made: Path) -> FaceSpec:
    """`secrets`: where relative names are looked for; `made`: where a key of ours goes."""
    host = values.text("xend-rest-tcp-address")
    address = TcpAddress(host, values.number("xend-rest-tcp-port"))
    if not values.flag("xend-rest-tls"):
        if not _is_loopback(host):
            raise _wrong(
                values,
                "xend-rest-tls",
                "no",
                f"TLS, or a loopback address instead of '{host or 'every interface'}'",
            )
        return FaceSpec("rest", address)
    key = values.text("xend-rest-tls-key-file")
    certificate = values.text("xend-rest-tls-cert-file")
    if bool(key) != bool(certificate):
        raise _wrong(
            values, "xend-rest-tls-key-file", key or "", "both a key and a certificate, or neither"
        )
    clients = _clients(values, secrets)
    fingerprints = tuple(fingerprint for fingerprint, _, _ in clients.values())
    if key and certificate:
        tls = RestTls(secrets / key, secrets / certificate, None, tuple(clients), fingerprints)
    else:
        pair = (made / "server.key", made / "server.crt")
        tls = RestTls(*pair, host, tuple(clients), fingerprints)
    return FaceSpec("rest", address, tls)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _wrong(values: XendConfig, option: str, given: object, expected: str) -> ConfigError:
    return ConfigError(
        f"invalid xend config {option}: expected {expected}: {given} ({values.path})",
        file=str(values.path),
        field=option,
        value=str(given),
        expected=expected,
    )
