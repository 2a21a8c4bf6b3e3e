"""TLS for every connector that speaks over TCP: the options, the contexts, and certificates renewed while running.

TLS 1.2 (RFC 5246) is the floor, as IHE ITI TF-2 §3.19 (Authenticate Node) asks; ciphers are those of OpenSSL's
defaults as Python narrows them.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import SecretStr, model_validator

from hcsyncd.clock import MICROSECONDS
from hcsyncd.errors import ConfigError, SourceError
from hcsyncd.events import CertificateRefused, CertificateReloaded, CertificateSeen, Event
from hcsyncd.options import Options, option

TlsVersion = Literal["1.2", "1.3"]
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class TlsServerOptions(Options):
    """TLS of a listener. Changed files are used for new connections without a restart."""

    certificate: str = option(
        doc="Certificate chain of this listener, PEM, leaf first; relative to the site folder.",
        example="tls/listener.pem",
    )
    key: str = option(
        "", doc="Private key, PEM. Empty: the key stands in the certificate file.", example="tls/listener.key"
    )
    key_password: SecretStr = option(SecretStr(""), doc="Password of the private key. Empty: the key is not encrypted.")
    client_ca: str = option(
        "",
        doc="Certificates, PEM, of the authorities whose clients may connect (mutual TLS). Empty: clients show none.",
    )
    client_certificate: Literal["required", "optional"] = option(
        "required",
        doc="With client_ca: whether a client without a certificate is turned away or let in without a name.",
    )
    min_version: TlsVersion = option("1.2", doc="Oldest TLS version spoken.")


class TlsClientOptions(Options):
    """TLS of a destination. The other side is verified unless that is switched off by name."""

    ca: str = option(
        "", doc="Certificates, PEM, of the authorities that vouch for the other side. Empty: those of the system."
    )
    certificate: str = option("", doc="Certificate chain shown to the other side (mutual TLS), PEM, leaf first.")
    key: str = option("", doc="Private key, PEM. Empty: the key stands in the certificate file.")
    key_password: SecretStr = option(SecretStr(""), doc="Password of the private key. Empty: the key is not encrypted.")
    server_name: str = option(
        "", doc="Name that the other side's certificate must hold. Empty: the host that is connected to."
    )
    verify: bool = option(
        default=True,
        doc="Check the other side's certificate and name. Switching it off lets anybody read along: for tests only.",
    )
    min_version: TlsVersion = option("1.2", doc="Oldest TLS version spoken.")

    @model_validator(mode="after")
    def _key_needs_certificate(self) -> TlsClientOptions:
        if self.key and not self.certificate:
            msg = "key is set and certificate is not: name the certificate that belongs to the key"
            raise ValueError(msg)
        return self


def server_context(options: TlsServerOptions, site: Path) -> ssl.SSLContext:
    """A listener's context. Raises SourceError naming the option and the file that will not do."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[options.min_version]
    try:
        _load_chain(context, options.certificate, options.key, options.key_password, site)
        if options.client_ca:
            _load_authorities(context, "tls.client_ca", site / options.client_ca)
            required = options.client_certificate == "required"
            context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    except ConfigError as error:
        raise SourceError(str(error)) from error
    return context


def client_context(options: TlsClientOptions, site: Path) -> ssl.SSLContext:
    """A destination's context; the name to check is passed when connecting. Raises ConfigError naming option, file."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = _VERSIONS[options.min_version]
    if options.ca:
        _load_authorities(context, "tls.ca", site / options.ca)
    else:
        context.load_default_certs()
    if not options.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if options.certificate:
        _load_chain(context, options.certificate, options.key, options.key_password, site)
    return context


def renewing_server_context(
    options: TlsServerOptions, site: Path, channel: str, emit: Callable[[Event], None]
) -> ssl.SSLContext:
    """Like `server_context`, and each handshake uses the files as they are by then."""
    files = [options.certificate, options.key, options.client_ca]
    renewal = _Renewal(lambda: server_context(options, site), [site / file for file in files if file], channel, emit)

    def choose(connection: ssl.SSLObject, _server_name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = renewal.current()

    context = renewal.current()
    context.sni_callback = choose
    return context


def renewing_client_context(
    options: TlsClientOptions, site: Path, channel: str, emit: Callable[[Event], None]
) -> Callable[[], ssl.SSLContext]:
    """Like `client_context`: called for each connection, it gives the context of the files as they are by then."""
    files = [options.ca, options.certificate, options.key]
    return _Renewal(
        lambda: client_context(options, site), [site / file for file in files if file], channel, emit
    ).current


class _Renewal:
    """Builds a context anew when its files have changed. Files that will not load any more are told of once
    (CertificateRefused), and the last good ones stay in use."""

    def __init__(
        self, build: Callable[[], ssl.SSLContext], files: list[Path], channel: str, emit: Callable[[Event], None]
    ) -> None:
        self._build = build
        self._files = files
        self._channel = channel
        self._emit = emit
        self._seen = self._stamps()
        self._context = build()

    def current(self) -> ssl.SSLContext:
        stamps = self._stamps()
        if stamps != self._seen:
            self._seen = stamps
            try:
                self._context = self._build()
            except (ConfigError, SourceError) as error:
                self._emit(CertificateRefused(self._channel, str(error)))
            else:
                self._emit(CertificateReloaded(self._channel, ", ".join(str(file) for file in self._files)))
        return self._context

    def _stamps(self) -> list[tuple[int, int, int] | None]:
        """What tells that a file was replaced or rewritten; None while it is not there."""
        return [_stamp(file) for file in self._files]


def note_certificate(certificate: Mapping[str, Any] | None, channel: str, emit: Callable[[Event], None]) -> str:
    """Tell when the certificate that a peer has shown expires; the name that it gives, as `peer_name`."""
    name = peer_name(certificate)
    if certificate and (ends := certificate.get("notAfter")):
        emit(CertificateSeen(channel, name, ssl.cert_time_to_seconds(ends) * MICROSECONDS))
    return name


def peer_name(certificate: Mapping[str, Any] | None) -> str:
    """The name that a verified peer certificate gives: its common name, else its first alternative name, else "".

    ``certificate`` is what ``ssl.SSLObject.getpeercert()`` returns.
    """
    if not certificate:
        return ""
    for part in certificate.get("subject", ()):
        for attribute, value in part:
            if attribute == "commonName":
                return str(value)
    for _, value in certificate.get("subjectAltName", ()):
        return str(value)
    return ""


def _load_chain(context: ssl.SSLContext, certificate: str, key: str, password: SecretStr, site: Path) -> None:
    certificate_file = _readable("tls.certificate", site / certificate)
    key_file = _readable("tls.key", site / key) if key else certificate_file
    option_name = "tls.key" if key else "tls.certificate"
    try:
        # Without a callback OpenSSL would ask for the password on the terminal.
        context.load_cert_chain(certificate_file, key_file, password=password.get_secret_value)
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(_chain_complaint(error, option_name, certificate_file, key_file)) from error


def _chain_complaint(error: Exception, option_name: str, certificate_file: Path, key_file: Path) -> str:
    reason = getattr(error, "reason", None) or ""
    if "MISMATCH" in reason:
        return f"{option_name}: {key_file} is not the key of the certificate in {certificate_file}"
    if b"ENCRYPTED" in key_file.read_bytes():  # OpenSSL's own reasons differ from version to version
        return f"{option_name}: {key_file} cannot be decrypted: set tls.key_password to the key's password"
    if key_file == certificate_file:
        return f"{option_name}: {certificate_file} must hold a certificate and its private key in PEM form"
    return f"{option_name}: {certificate_file} and {key_file} must hold a certificate and its private key in PEM form"


def _load_authorities(context: ssl.SSLContext, option_name: str, file: Path) -> None:
    _readable(option_name, file)
    try:
        context.load_verify_locations(cafile=file)
    except ssl.SSLError as error:
        raise ConfigError(f"{option_name}: {file} holds no certificate in PEM form") from error


def _readable(option_name: str, file: Path) -> Path:
    try:
        with file.open("rb"):
            return file
    except OSError as error:
        raise ConfigError(f"{option_name}: cannot read {file}: {os.strerror(error.errno or 0)}") from error


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
