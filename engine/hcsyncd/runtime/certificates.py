"""When certificates expire: those in the files that channels name, and those that peers have shown."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from cryptography import x509
from pydantic import BaseModel

from hcsyncd.clock import MICROSECONDS
from hcsyncd.config.model import Site
from hcsyncd.connectors.tls import TlsClientOptions, TlsServerOptions
from hcsyncd.runtime.change import in_service

_AUTHORITIES = ("ca", "client_ca")


def files_of(site: Site) -> Iterator[tuple[str, str, bool]]:
    """(channel, file as it is written, whether it holds authorities) of every certificate file in service."""
    for name, channel in in_service(site).items():
        for part in (channel.source, channel.destination):
            for tls in _tls_options(part.options) if part else ():
                for field in ("certificate", *_AUTHORITIES):
                    if file := getattr(tls, field, ""):
                        yield name, file, field in _AUTHORITIES


def _tls_options(options: BaseModel) -> Iterator[TlsServerOptions | TlsClientOptions]:
    for name in type(options).model_fields:
        value = getattr(options, name)
        if isinstance(value, (TlsServerOptions, TlsClientOptions)):
            yield value
        elif isinstance(value, BaseModel):
            yield from _tls_options(value)


def expiry_of(path: Path, *, is_authorities: bool) -> int | None:
    """Microseconds since the epoch. A chain ends with its first certificate that does; authorities are of use until the
    last of them ends. None when the file cannot be read: its channel says that itself."""
    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError):
        return None
    ends = [_microseconds(certificate.not_valid_after_utc) for certificate in found]
    return (max if is_authorities else min)(ends, default=None)


def _microseconds(moment: datetime) -> int:
    return int(moment.timestamp()) * MICROSECONDS
