"""Certificates: those given, or some from a certificate authority of the server's own, kept in the data folder.

The authority stays the same over restarts, since people tell their programs to trust it; the certificate is
renewed when it no longer covers every host, or will not last.
"""

import ipaddress
import ssl
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from campana.clock import Ids
from campana.server.data_folder import write_private
from campana.settings import Server, SetupError, TlsMode

# Apple's clients refuse longer ones. Renewal happens at a start, so what is left must outlast a long run.
VALIDITY = timedelta(days=820)
REMAINING_MIN = timedelta(days=365)


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
            given = self_signed(settings.data_dir / "tls", hosts(settings), now, ids)
    try:
        # A key with a passphrase would be asked for at the terminal, which a server may not have: refuse instead.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(given.cert, given.key, password=_no_passphrase)
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


def self_signed(folder: Path, hosts: Collection[str], now: int, ids: Ids) -> TlsFiles:
    """A certificate for `hosts` from the authority in `folder`; both are made if need be. Raises `TlsError`.

    `server.pem` holds certificate and key together, so that they cannot come apart.
    """
    authority_file, file = folder / "ca.pem", folder / "server.pem"
    time = datetime.fromtimestamp(now / 1000, UTC)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        authority = _authority(authority_file, folder / "ca-key.pem", ids)
        if not _lasting(file, hosts, x509.load_pem_x509_certificate(authority.cert_pem.bytes()), time):
            issued = authority.issue_cert(
                *hosts,
                organization_name="Campana",
                organization_unit_name="Campana server",
                not_before=time - timedelta(days=1),  # clocks differ
                not_after=time + VALIDITY,
            )
            write_private(file, issued.private_key_and_cert_chain_pem.bytes(), replace=True)
    except OSError as error:
        raise TlsError(f"the certificates in {folder} cannot be kept: {error.strerror}") from None
    except ValueError as error:  # a host that cannot stand in a certificate
        raise TlsError(f"no certificate can be made for {', '.join(hosts)}: {error}") from None
    return TlsFiles(file, file, authority_file)


def _authority(cert_file: Path, key_file: Path, ids: Ids) -> trustme.CA:
    """The authority of the two files; a new one if there is no certificate yet. Raises OSError, `TlsError`."""
    if not cert_file.exists():
        # Browsers tell authorities apart by their names, so each gets one of its own.
        made = trustme.CA(
            path_length=0, organization_name="Campana", organization_unit_name=f"Campana authority {ids.token(8)}"
        )
        # The key first: as long as there is no certificate, nobody can have come to trust it.
        write_private(key_file, made.private_key_pem.bytes(), replace=True)
        write_private(cert_file, made.cert_pem.bytes(), replace=True)
        cert_file.chmod(0o644)  # to be handed to clients
        return made
    try:
        authority = trustme.CA.from_pem(cert_file.read_bytes(), key_file.read_bytes())
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert_file, key_file, password=_no_passphrase)
    except (OSError, ValueError, TypeError):  # missing, not PEM, not a pair
        raise TlsError(
            f"{cert_file} and {key_file} are not a certificate authority; restore them, "
            f"or delete both to have a new one made, which every client must then be told to trust"
        ) from None
    return authority


def _lasting(file: Path, hosts: Collection[str], authority: x509.Certificate, time: datetime) -> bool:
    """Whether `file` holds a certificate of `authority` for exactly `hosts`, good for a long time from `time`."""
    try:
        certificate = x509.load_pem_x509_certificate(file.read_bytes())
        certificate.verify_directly_issued_by(authority)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(file, password=_no_passphrase)
    except (OSError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    covered = {*names.get_values_for_type(x509.DNSName)} | {
        str(address) for address in names.get_values_for_type(x509.IPAddress)
    }
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return covered == set(hosts) and begins <= time and ends - time >= REMAINING_MIN


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


def _no_passphrase() -> str:
    raise ValueError("the key is protected by a passphrase")
