"""From xend-config.sxp and the command line to what the daemon does."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from xend.api.faces import FaceSpec, Tls
from xend.api.sockets import TcpAddress, UnixAddress
from xend.config import xend_config
from xend.config.xend_config import XendConfig
from xend.core.views import ServiceSettings
from xend.daemon.options import Options
from xend.model.units import MiB, kib

log = logging.getLogger("xend.settings")

REST_SOCKET: Final = "rest.sock"
XMLRPC_SOCKET: Final = "xmlrpc.sock"
CLI_SOCKET: Final = "cli.sock"
WARM_SOCKET: Final = "warm.sock"

DEFAULT_RUN_DIR: Final = Path("/var/run/xend")
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
    values = xend_config.load(options.config)
    for warning in values.warnings:
        log.warning("%s", warning)
    return Settings(
        log_file=_log_file(options, values),
        log_level=_level(values),
        domains_dir=options.state_dir / "domains",
        database=options.state_dir / "xend.db",
        faces=_faces(options, values),
        service=_service(values),
    )


def _log_file(options: Options, values: XendConfig) -> Path:
    if options.log_file is not None:
        return options.log_file
    if options.private:
        return options.state_dir / "xend.log"
    return Path(values.text("logfile"))


def _level(values: XendConfig) -> str:
    return values.text("loglevel")


def _faces(options: Options, values: XendConfig) -> tuple[FaceSpec, ...]:
    run = options.run_dir
    specs = [FaceSpec("cli", UnixAddress(run / CLI_SOCKET))]
    if values.flag("xend-rest-unix-server"):
        specs.append(FaceSpec("rest", UnixAddress(_socket(options, values, "xend-rest-unix-path"))))
    if values.flag("xend-unix-xmlrpc-server"):
        specs.append(FaceSpec("xmlrpc", UnixAddress(run / XMLRPC_SOCKET)))
    if values.flag("xend-tcp-xmlrpc-server"):
        host = values.text("xend-tcp-xmlrpc-server-address")
        port = values.number("xend-tcp-xmlrpc-server-port")
        key = values.text("xend-tcp-xmlrpc-server-ssl-key-file")
        certificate = values.text("xend-tcp-xmlrpc-server-ssl-cert-file")
        tls = Tls(_SECRETS_DIR / key, _SECRETS_DIR / certificate) if key and certificate else None
        specs.append(FaceSpec("xmlrpc", TcpAddress(host, port), tls))
    return tuple(specs)


def _socket(options: Options, values: XendConfig, name: str) -> Path:
    """A socket of the default run directory moves with that directory (`--run-dir`)."""
    path = Path(values.text(name))
    return options.run_dir / path.name if path.parent == DEFAULT_RUN_DIR else path


def _service(values: XendConfig) -> ServiceSettings:
    return ServiceSettings(
        dom0_min_mem=kib(MiB(values.number("dom0-min-mem"))),
        dom0_ballooning=values.flag("enable-dom0-ballooning"),
        enable_dump=values.flag("enable-dump"),
    )
