"""A certificate authority of the server's own, kept in the data folder, and the certificate it issues.

The authority stays the same over restarts, since people tell their programs to trust it; the certificate is
renewed when it no longer covers every host, or will not last.
"""

import ssl
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from campana.clock import Ids
from campana.server.data_folder import write_private
from campana.server.tls import TlsError, TlsFiles, no_passphrase

# Apple's clients refuse longer ones. Renewal happens at a start, so what is left must outlast a long run.
VALIDITY = timedelta(days=820)
REMAINING_MIN = timedelta(days=365)


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
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert_file, key_file, password=no_passphrase)
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
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(file, password=no_passphrase)
    except (OSError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    covered = {*names.get_values_for_type(x509.DNSName)} | {
        str(address) for address in names.get_values_for_type(x509.IPAddress)
    }
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return covered == set(hosts) and begins <= time and ends - time >= REMAINING_MIN
