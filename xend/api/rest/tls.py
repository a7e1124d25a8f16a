"""TLS of the REST face: a certificate of its own on first use, and clients with certificates.

Client certificates are trusted one by one, by fingerprint: what lies in DIRECTORY/ROLE/NAME.pem may
come in as NAME with ROLE, whoever signed it; to revoke it, remove the file and reload.
"""

from __future__ import annotations

import hashlib
import ipaddress
import logging
import os
import secrets
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from xend.core.access import Role
from xend.errors import ConfigError

if TYPE_CHECKING:
    from cryptography import x509

log = logging.getLogger("xend.rest")

_VALID: Final = timedelta(days=3650)
"""Clients pin it, so it is not renewed behind their back."""


@dataclass(frozen=True, slots=True)
class RestTls:
    """Equal when nothing has changed, so that a reload leaves the listener alone."""

    key: Path
    certificate: Path
    make_for: str | None = None
    """Address of the listener, if a missing certificate is to be made for it."""
    clients: tuple[Path, ...] = ()
    """PEM files of those who may come in by certificate."""
    fingerprints: tuple[str, ...] = ()
    """Of the same: a file that was replaced is another client."""

    def context(self) -> ssl.SSLContext:
        """TLS 1.3 only.  Reads files: not for the event loop.  ConfigError."""
        if self.make_for is not None and not self.key.exists() and not self.certificate.exists():
            make_certificate(self.key, self.certificate, self.make_for)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        try:
            context.load_cert_chain(self.certificate, self.key)
            self._trust_clients(context)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"cannot use the key {self.key} and the certificate {self.certificate}: {error}",
                value=str(self.key),
            ) from error
        return context

    def _trust_clients(self, context: ssl.SSLContext) -> None:
        """A certificate that stands here itself ends the chain (PARTIAL_CHAIN): its signer
        need not, and does not bring others in."""
        if not self.clients:
            return
        context.verify_mode = ssl.CERT_OPTIONAL
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        for path in self.clients:
            context.load_verify_locations(path)


def client_certificates(directory: Path) -> dict[Path, tuple[str, str, Role]]:
    """File → (fingerprint, name, role).  ConfigError names the file that is no certificate."""
    found: dict[Path, tuple[str, str, Role]] = {}
    for role in Role:
        for path in sorted((directory / role.word).glob("*.pem")):
            try:
                der = ssl.PEM_cert_to_DER_cert(path.read_text("ascii").strip())
            except (OSError, ValueError) as error:
                raise ConfigError(
                    f"{path} is not a certificate in PEM: {error}",
                    field="xend-rest-client-certs",
                    value=str(path),
                ) from error
            found[path] = (hashlib.sha256(der).hexdigest(), path.stem, role)
    return found


def make_certificate(key_file: Path, certificate_file: Path, address: str) -> None:
    """A key (P-256, mode 0600) and its self-signed certificate for this host."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    host = socket.gethostname()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host[:64])])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectAlternativeName(_names(host, address)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    try:
        _write(key_file, secret, 0o600)
        _write(certificate_file, certificate.public_bytes(pem), 0o644)
    except OSError as error:
        raise ConfigError(
            f"cannot write a certificate to {certificate_file}: {error.strerror}",
            value=str(certificate_file),
        ) from error
    print_ = certificate.fingerprint(hashes.SHA256()).hex()
    log.info("made the certificate %s (SHA-256 %s)", certificate_file, print_)


def _names(host: str, address: str) -> list[x509.GeneralName]:
    from cryptography import x509

    found: dict[str, x509.GeneralName] = {}
    for text in (host, "localhost", "127.0.0.1", "::1", address):
        if not text:
            continue
        try:
            found[text] = x509.IPAddress(ipaddress.ip_address(text))
        except ValueError:
            found[text] = x509.DNSName(text)
    return list(found.values())


def _write(path: Path, data: bytes, mode: int) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with open(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)
