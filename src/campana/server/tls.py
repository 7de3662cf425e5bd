"""Certificates: those given, or some from a certificate authority of the server's own (server/authority.py)."""

import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from campana.clock import Ids
from campana.settings import Server, SetupError, TlsMode


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """What a listener needs; `authority` is the file clients are told to trust, where it is the server's own."""

    cert: Path
    key: Path
    authority: Path | None


class TlsError(SetupError):
    """There is no certificate to serve with."""


def files(settings: Server, now: int, ids: Ids) -> TlsFiles | None:
    """The certificate to serve with, None without TLS; raises `TlsError`. The data folder must be held."""
    match settings.tls:
        case TlsMode.OFF:
            return None
        case TlsMode.FILES:
            assert settings.tls_cert is not None  # settings.load saw to it
            assert settings.tls_key is not None
            given = TlsFiles(settings.tls_cert, settings.tls_key, authority=None)
        case TlsMode.SELF_SIGNED:
            from campana.server.authority import self_signed  # with libraries that take long to import

            given = self_signed(settings.data_dir / "tls", hosts(settings), now, ids)
    try:
        # A key with a passphrase would be asked for at the terminal, which a server may not have: refuse instead.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(given.cert, given.key, password=no_passphrase)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise TlsError(f"{given.cert} and {given.key} cannot be used for TLS: {error}") from None
    return given


def hosts(settings: Server) -> list[str]:
    """The names and addresses that a certificate must cover, sorted."""
    found = {"localhost", "127.0.0.1", "::1"}
    if settings.public_host is not None:
        found.add(_canonical(_without_port(settings.public_host)))
    host = _canonical(settings.host)
    if host not in ("0.0.0.0", "::"):  # every address; nobody connects to it by that name
        found.add(host)
    return sorted(found)


def _without_port(authority: str) -> str:
    if authority.startswith("["):
        return authority[1:].partition("]")[0]
    return authority.partition(":")[0]


def _canonical(host: str) -> str:
    """As it stands in a certificate: addresses in their shortest form, names in ASCII."""
    try:
        return str(ipaddress.ip_address(host.partition("%")[0]))
    except ValueError:
        pass
    try:
        return host.lower() if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError:
        return host.lower()


def no_passphrase() -> str:
    """A key that asks for one cannot be used; raises ValueError."""
    raise ValueError("the key is protected by a passphrase")
