"""From xend-config.sxp and the command line to what the daemon does."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from xend.api.faces import FaceSpec, Tls
from xend.api.relocation import allowed
from xend.api.rest.security_rules import RestRules
from xend.api.sockets import TcpAddress, UnixAddress
from xend.config import xend_config
from xend.config.xend_config import XendConfig
from xend.console.lock import FOLDER as LOCKS
from xend.core.views import ServiceSettings
from xend.daemon.logs import LEVELS
from xend.daemon.options import DEFAULT_RUN, DEFAULT_STATE, Options
from xend.daemon.restsettings import paths_of, rest_rules, tcp_face, unix_face
from xend.errors import ConfigError
from xend.model.units import MiB, kib

REST_SOCKET: Final = "rest.sock"
XMLRPC_SOCKET: Final = "xmlrpc.sock"
CLI_SOCKET: Final = "cli.sock"
WARM_SOCKET: Final = "warm.sock"

_SECRETS_DIR: Final = Path("/etc/xen")
"""Where a relative name of a key or a certificate is looked for."""


@dataclass(frozen=True, slots=True)
class Settings:
    log_file: Path
    log_level: str
    domains_dir: Path
    state_dir: Path
    """Of registered CPU pools."""
    database: Path
    history: Path
    audit: Path
    faces: tuple[FaceSpec, ...]
    service: ServiceSettings
    rest: RestRules = field(default_factory=RestRules)
    rest_paths: tuple[Path, ...] = ()
    """Below which clients of REST may name files."""
    console_limit: int = 1024 * 1024
    """Bytes kept of each console."""
    keep_consoles: bool = False
    console_locks: Path = LOCKS
    warnings: tuple[str, ...] = ()
    """For the log, which is opened only when these are known."""


def load(options: Options) -> Settings:
    """ConfigError names file, line and option.  A missing file means all defaults."""
    values = xend_config.load(options.config)
    return Settings(
        log_file=_log_file(options, values),
        log_level=_level(values),
        domains_dir=_domains_dir(options, values),
        state_dir=_state_dir(options, values),
        database=options.state_dir / "xend.db",
        history=options.state_dir / "history.db",
        faces=_faces(options, values),
        service=_service(values),
        audit=options.state_dir / "audit.db",
        rest=rest_rules(values, _SECRETS_DIR),
        rest_paths=_rest_paths(options, values),
        console_limit=max(1, values.number("console-limit")) * 1024,
        keep_consoles=values.flag("xend-console-ring"),
        console_locks=options.run_dir if options.hypervisor == "sim" else LOCKS,
        warnings=values.warnings,
    )


def _log_file(options: Options, values: XendConfig) -> Path:
    if options.log_file is not None:
        return options.log_file
    if options.private:
        return options.state_dir / "xend.log"
    return Path(values.text("logfile"))


def _domains_dir(options: Options, values: XendConfig) -> Path:
    """The option moves it only as long as `--state-dir` does not."""
    if options.state_dir != DEFAULT_STATE:
        return options.state_dir / "domains"
    return Path(values.text("xend-domains-path"))


def _state_dir(options: Options, values: XendConfig) -> Path:
    if options.state_dir != DEFAULT_STATE:
        return options.state_dir / "state"
    return Path(values.text("xend-state-path"))


def _level(values: XendConfig) -> str:
    level = values.text("loglevel").upper()
    if level not in LEVELS:
        raise ConfigError(
            f"invalid xend config loglevel: expected one of {', '.join(LEVELS)}: {level} "
            f"({values.path})",
            file=str(values.path),
            field="loglevel",
            value=level,
            expected=", ".join(LEVELS),
        )
    return level


def _faces(options: Options, values: XendConfig) -> tuple[FaceSpec, ...]:
    run = options.run_dir
    specs = [FaceSpec("cli", UnixAddress(run / CLI_SOCKET))]
    if values.flag("xend-rest-unix-server"):
        specs.append(unix_face(values, _socket(options, values, "xend-rest-unix-path")))
    if values.flag("xend-rest-tcp-server"):
        specs.append(tcp_face(values, _SECRETS_DIR, options.state_dir / "rest"))
    if values.flag("xend-unix-xmlrpc-server"):
        specs.append(FaceSpec("xmlrpc", UnixAddress(run / XMLRPC_SOCKET)))
    if values.flag("xend-tcp-xmlrpc-server"):
        host = values.text("xend-tcp-xmlrpc-server-address")
        port = values.number("xend-tcp-xmlrpc-server-port")
        key = values.text("xend-tcp-xmlrpc-server-ssl-key-file")
        certificate = values.text("xend-tcp-xmlrpc-server-ssl-cert-file")
        tls = Tls(_SECRETS_DIR / key, _SECRETS_DIR / certificate) if key and certificate else None
        specs.append(FaceSpec("xmlrpc", TcpAddress(host, port), tls))
    specs += _relocation(values)
    return tuple(specs)


def _relocation(values: XendConfig) -> list[FaceSpec]:
    address = values.text("xend-relocation-address")
    hosts_allow = values.text("xend-relocation-hosts-allow")
    allowed(hosts_allow)
    specs = []
    if values.flag("xend-relocation-server"):
        place = TcpAddress(address, values.number("xend-relocation-port"))
        specs.append(FaceSpec("relocation", place, hosts_allow=hosts_allow))
    if values.flag("xend-relocation-ssl-server"):
        key = values.text("xend-relocation-server-ssl-key-file")
        certificate = values.text("xend-relocation-server-ssl-cert-file")
        if not (key and certificate):
            raise ConfigError(
                "ssl_key_file or ssl_cert_file for ssl relocation server is missing.",
                file=str(values.path),
                field="xend-relocation-server-ssl-key-file",
            )
        tls = Tls(_SECRETS_DIR / key, _SECRETS_DIR / certificate)
        place = TcpAddress(address, values.number("xend-relocation-ssl-port"))
        specs.append(FaceSpec("relocation", place, tls, hosts_allow))
    return specs


def _rest_paths(options: Options, values: XendConfig) -> tuple[Path, ...]:
    own = (options.state_dir / "save",) if options.private else ()
    return (*paths_of(values, "xend-rest-paths"), *own)


def _socket(options: Options, values: XendConfig, name: str) -> Path:
    """A socket of the default run directory moves with that directory (`--run-dir`)."""
    path = Path(values.text(name))
    return options.run_dir / path.name if path.parent == DEFAULT_RUN else path


def _service(values: XendConfig) -> ServiceSettings:
    return ServiceSettings(
        dom0_min_mem=kib(MiB(values.number("dom0-min-mem"))),
        dom0_ballooning=values.flag("enable-dom0-ballooning"),
        enable_dump=values.flag("enable-dump"),
        relocation_port=values.number("xend-relocation-port"),
        relocation_tls_port=values.number("xend-relocation-ssl-port"),
        relocation_tls=values.flag("xend-relocation-ssl"),
        parallel_builds=os.cpu_count() or 1,
    )
