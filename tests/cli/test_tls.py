"""Certificates: made, kept, renewed, and believed by a real client."""

import shutil
import socket
import ssl
import stat
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from campana.clock import Ids
from campana.server import authority, tls
from campana.server.tls import TlsError, TlsFiles
from campana.settings import Server, TlsMode

NOW = int(datetime.now(UTC).timestamp() * 1000)  # OpenSSL looks at the machine's clock, so certificates must too
DAY_MS = 86_400_000
HOSTS = ["127.0.0.1", "::1", "chat.example.com", "localhost"]


@pytest.fixture
def make(tmp_path):
    """`make(hosts, days)`: the certificate as a server that starts `days` from now finds it."""
    return lambda hosts=HOSTS, days=0: authority.self_signed(tmp_path / "tls", hosts, NOW + days * DAY_MS, Ids(seed=1))


def greet(files: TlsFiles, name: str) -> str:
    """Connect over TLS as `name`, trusting only the authority; the server's word of welcome."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.cert, files.key)
    trusting = ssl.create_default_context(cafile=str(files.authority))
    trusting.verify_flags |= ssl.VERIFY_X509_STRICT
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            with context.wrap_socket(theirs, server_side=True) as connection:
                connection.sendall(b"welcome")
        except OSError:
            theirs.close()

    server = threading.Thread(target=serve)
    server.start()
    try:
        with trusting.wrap_socket(ours, server_hostname=name) as connection:
            return connection.recv(100).decode()
    finally:
        server.join()


@pytest.mark.parametrize("name", HOSTS)
def test_a_client_that_trusts_the_authority_connects(make, name):
    assert greet(make(), name) == "welcome"


def test_a_client_does_not_take_it_for_another_host(make):
    with pytest.raises(ssl.SSLCertVerificationError):
        greet(make(), "other.example.com")


def test_keys_are_the_owners_alone(make, tmp_path):
    make()

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "tls").iterdir()}
    assert modes == {"ca.pem": 0o644, "ca-key.pem": 0o600, "server.pem": 0o600}


def contents(files: TlsFiles) -> tuple[bytes, bytes]:
    return files.authority.read_bytes(), files.cert.read_bytes()


def test_a_restart_finds_both_as_they_were(make):
    before = contents(make())

    assert contents(make(days=100)) == before


@pytest.mark.parametrize(("hosts", "days"), [(["localhost"], 0), ([*HOSTS, "new.example.com"], 0), (HOSTS, 500)])
def test_other_hosts_or_little_time_left_bring_a_new_certificate_of_the_same_authority(make, hosts, days):
    authority, certificate = contents(make())

    renewed = make(hosts, days)

    assert contents(renewed)[0] == authority
    assert contents(renewed)[1] != certificate


def test_a_spoilt_certificate_is_made_anew(make):
    files = make()
    files.cert.write_text("?")

    assert greet(make(), "localhost") == "welcome"


def test_a_certificate_of_another_authority_is_made_anew(make, tmp_path):
    make()
    other = authority.self_signed(tmp_path / "other", HOSTS, NOW, Ids(seed=2))
    shutil.copy(other.cert, tmp_path / "tls" / "server.pem")

    assert greet(make(), "localhost") == "welcome"


@pytest.mark.parametrize("spoil", [Path.unlink, lambda key: key.write_text("?")])
def test_an_authority_without_its_key_is_not_replaced_in_silence(make, tmp_path, spoil):
    before = contents(make())
    spoil(tmp_path / "tls" / "ca-key.pem")

    with pytest.raises(TlsError, match="are not a certificate authority"):
        make()
    assert (tmp_path / "tls" / "ca.pem").read_bytes() == before[0]


def test_an_authority_whose_making_was_cut_short_is_made_anew(make, tmp_path):
    make()
    (tmp_path / "tls" / "ca.pem").unlink()  # the key is written first

    assert greet(make(), "localhost") == "welcome"


@pytest.mark.parametrize(
    ("host", "public_host", "more"),
    [
        ("127.0.0.1", None, set()),
        ("0.0.0.0", "Chat.Example.com:443", {"chat.example.com"}),
        ("::", "[2001:DB8::0001]:443", {"2001:db8::1"}),
        ("10.0.0.1", "10.0.0.2", {"10.0.0.1", "10.0.0.2"}),
        ("LOCALHOST", "bücher.example", {"xn--bcher-kva.example"}),
    ],
)
def test_hosts_of_the_certificate(host, public_host, more, make):
    found = tls.hosts(Server(host=host, public_host=public_host))

    assert set(found) == {"127.0.0.1", "::1", "localhost"} | more
    before = contents(make(found))
    assert contents(make(found)) == before


def test_a_host_that_cannot_stand_in_a_certificate(make):
    with pytest.raises(TlsError, match="no certificate can be made"):
        make(["a..b"])


def test_files_that_were_given(tmp_path):
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    issued.cert_chain_pems[0].write_to_path(cert)
    issued.private_key_pem.write_to_path(key)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")

    given = tls.files(Server(tls=TlsMode.FILES, tls_cert=cert, tls_key=key), NOW, Ids(seed=1))

    assert given == TlsFiles(cert, key, authority=None)
    assert greet(TlsFiles(cert, key, tmp_path / "ca.pem"), "localhost") == "welcome"
    with pytest.raises(TlsError, match="cannot be used for TLS"):
        tls.files(Server(tls=TlsMode.FILES, tls_cert=cert, tls_key=cert), NOW, Ids(seed=1))


def test_without_tls_there_are_no_files(tmp_path):
    assert tls.files(Server(data_dir=tmp_path), NOW, Ids(seed=1)) is None
    assert list(tmp_path.iterdir()) == []


def test_self_signed_files_lie_in_the_data_folder(tmp_path):
    found = tls.files(Server(tls=TlsMode.SELF_SIGNED, data_dir=tmp_path), NOW, Ids(seed=1))

    assert found.authority == tmp_path / "tls" / "ca.pem"
    assert greet(found, "::1") == "welcome"
