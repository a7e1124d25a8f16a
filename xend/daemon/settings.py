"""From xend-config.sxp and the command line to what the daemon does."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from xend.api.faces import FaceSpec, Tls
from xend.api.sockets import TcpAddress, UnixAddress
from xend.config import sxp
from xend.core.views import ServiceSettings
from xend.daemon.options import Options
from xend.errors import ConfigError
from xend.model.units import MiB, kib

log = logging.getLogger("xend.settings")

XMLRPC_SOCKET: Final = "xmlrpc.sock"
REST_SOCKET: Final = "rest.sock"
CLI_SOCKET: Final = "cli.sock"
WARM_SOCKET: Final = "warm.sock"

_YES: Final = ("yes", "y", "1", "on", "true", "t")
_SECRETS_DIR: Final = Path("/etc/xen")
"""Where a relative name of a key or a certificate is looked for."""


@dataclass(frozen=True, slots=True)
class Settings:
    log_file: Path
    log_level: str
    domains_dir: Path
    database: Path
    faces: tuple[FaceSpec, ...]
    service: ServiceSettings


def load(options: Options) -> Settings:
    """ConfigError names file, line and option.  A missing file means all defaults."""
    values = _read(options.config)
    return Settings(
        log_file=_log_file(options, values),
        log_level=_level(values),
        domains_dir=options.state_dir / "domains",
        database=options.state_dir / "xend.db",
        faces=_faces(options, values),
        service=_service(values),
    )


def _log_file(options: Options, values: Mapping[str, Any]) -> Path:
    if options.log_file is not None:
        return options.log_file
    if options.private:
        return options.state_dir / "xend.log"
    return Path(values.get("logfile", "/var/log/xen/xend.log"))


def _level(values: Mapping[str, Any]) -> str:
    return str(values.get("loglevel", "DEBUG"))


def _faces(options: Options, values: Mapping[str, Any]) -> tuple[FaceSpec, ...]:
    run = options.run_dir
    specs = [
        FaceSpec("cli", UnixAddress(run / CLI_SOCKET)),
        FaceSpec("rest", UnixAddress(run / REST_SOCKET)),
    ]
    if _bool(values, "xend-unix-xmlrpc-server", True):
        specs.append(FaceSpec("xmlrpc", UnixAddress(run / XMLRPC_SOCKET)))
    if _bool(values, "xend-tcp-xmlrpc-server", False):
        host = str(values.get("xend-tcp-xmlrpc-server-address", "localhost"))
        port = int(values.get("xend-tcp-xmlrpc-server-port", 8006))
        key = values.get("xend-tcp-xmlrpc-server-ssl-key-file")
        certificate = values.get("xend-tcp-xmlrpc-server-ssl-cert-file")
        tls = Tls(_SECRETS_DIR / key, _SECRETS_DIR / certificate) if key and certificate else None
        specs.append(FaceSpec("xmlrpc", TcpAddress(host, port), tls))
    return tuple(specs)


def _service(values: Mapping[str, Any]) -> ServiceSettings:
    return ServiceSettings(
        dom0_min_mem=kib(MiB(int(values.get("dom0-min-mem", 0)))),
        enable_dump=_bool(values, "enable-dump", False),
    )


def _bool(values: Mapping[str, Any], name: str, default: bool) -> bool:
    value = values.get(name, default)
    return value if isinstance(value, bool) else str(value).lower() in _YES


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text("utf-8", "surrogateescape")
    except FileNotFoundError:
        log.warning("Config file does not exist: %s", path)
        return {}
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", file=str(path)) from error
    found: dict[str, Any] = {}
    for form in sxp.parse(text, file=str(path)):
        if isinstance(form, list) and len(form) > 1:
            found[str(form[0])] = form[1]
    return found
