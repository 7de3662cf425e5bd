"""A page of another origin in headless Chromium signs in with the token of an identity provider, calls the API, gets typed
exceptions, and hears a message in a live session; all through the AWS SDK v3 and amazon-chime-sdk-js (tests/js/page).
"""

import base64
import hashlib
import json
import shutil
import signal
import ssl
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_pem_x509_certificate

from tests.harness import App, Processor
from tests.stories.identity_provider import IdentityProvider
from tests.stories.node import JS, why_no_node
from tests.stories.one_story import MODERATE, messaging, told
from tests.stories.serving import Program, Server, serving
from tests.stories.tellers import Boto3, JavaScript

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def why_not() -> str:
    """What these tests need and this machine has not got; empty if it has all."""
    return why_no_node() or ("" if CHROMIUM else "Chromium is not installed")


pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())

ROLE = "arn:aws:iam::123456789012:role/chat-user"
APP_INSTANCES = "arn:aws:chime:us-east-1:123456789012:app-instance/*"


@pytest.fixture(scope="module")
def provider() -> Iterator[IdentityProvider]:
    provider = IdentityProvider()
    yield provider
    provider.close()


@pytest.fixture(scope="module")
def processor() -> Iterator[Processor]:
    processor = Processor()
    yield processor
    processor.close()


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, provider: IdentityProvider, processor: Processor
) -> Iterator[Server]:
    """A server with TLS, whose role `chat-user` is for people who signed in at the provider: each may bear themself."""
    folder = tmp_path_factory.mktemp("browser")
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Federated": provider.issuer},
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {"StringEquals": {"login.example.com:aud": provider.audience}},
            }
        ],
    }
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "chime:GetMessagingSessionEndpoint", "Resource": "*"},
            {
                "Effect": "Allow",
                "Action": "chime:*",
                "Resource": [f"{APP_INSTANCES}/user/${{login.example.com:sub}}", f"{APP_INSTANCES}/channel/*"],
            },
        ],
    }
    settings = f"""
        [[roles]]
        name = "chat-user"
        trust = '{json.dumps(trust)}'
        policy = '{json.dumps(policy)}'

        [[oidc]]
        issuer = "{provider.issuer}"
        audiences = ["{provider.audience}"]
        jwks = "{provider.jwks_url}"
        """
    (folder / "campana.toml").write_text(settings)
    with serving(folder, "--tls", "self-signed", processors={MODERATE: processor.arn}) as server:
        yield server


def public_key_hash(url: str) -> str:
    """SHA-256, in base64, of the public key of the certificate that is served there."""
    address = urlsplit(url)
    assert address.hostname is not None
    assert address.port is not None
    certificate = load_pem_x509_certificate(ssl.get_server_certificate((address.hostname, address.port)).encode())
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(key).digest()).decode()


@pytest.fixture(scope="module")
def browser(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JavaScript]:
    """Asks the page in the browser; at the end takes a picture of it, for whoever wants to look."""
    folder = tmp_path_factory.mktemp("chromium")
    assert CHROMIUM is not None
    command = ["node", str(JS / "browser.mjs"), server.url, public_key_hash(server.url), CHROMIUM]
    program = Program(command, server.environment, folder, folder / "browser.log")
    browser = JavaScript(program)
    try:
        yield browser
        browser.asks("screenshot", path=str(folder / "page.png"))
        program.close_input()
        assert program.rest() == []
    finally:
        program.end(signal.SIGKILL)


@pytest.fixture
def root_keys(server: Server) -> dict[str, str]:
    environment = server.environment
    return {
        "accessKeyId": environment["AWS_ACCESS_KEY_ID"],
        "secretAccessKey": environment["AWS_SECRET_ACCESS_KEY"],
    }


def test_the_page_tells_the_story(server, processor, browser, root_keys):
    browser.asks("keys", **root_keys)

    story = told(browser, processor)

    reference = told(Boto3(server), processor)
    assert story.transcript == reference.transcript
    assert story.statuses == reference.statuses
    text = browser.asks("text")["text"]
    assert f"talks to {server.url}" in text
    assert "SendChannelMessage ForbiddenException 403 You do not have sufficient access" in text


def test_somebody_signs_in_calls_and_hears(server, provider, browser):
    app = App(server)
    ann, bob = app.users("ann", "bob")
    channel = ann.makes_channel(members=[bob])

    signed_in = browser.asks("signIn", role=ROLE, session="bob", token=provider.token("bob"))
    assert signed_in["answer"]["Arn"] == "arn:aws:sts::123456789012:assumed-role/chat-user/bob"
    assert browser.asks("connect", user=bob.arn) == {"did": "start"}
    assert browser.asks("hear")["type"] == "SESSION_ESTABLISHED"

    sent = ann.sends(channel, "größer ☃ 🦆")
    heard = browser.asks("hear")
    assert (heard["type"], heard["payload"]["MessageId"]) == ("CREATE_CHANNEL_MESSAGE", sent)
    assert heard["payload"]["Content"] == "größer ☃ 🦆"

    own = {"ChannelArn": channel, "ChimeBearer": bob.arn, "Type": "STANDARD", "Persistence": "PERSISTENT"}
    answered = browser.tell(messaging("SendChannelMessage", Content="from a page", **own))
    assert answered.status == 201
    assert ann.reads(channel)[0]["Content"] == "from a page"
    assert browser.asks("hear")["payload"]["Content"] == "from a page"

    other = {**own, "ChimeBearer": ann.arn}
    refused = browser.asks(
        "call", service="chime-sdk-messaging", operation="SendChannelMessage", input={"Content": "as Ann", **other}
    )
    assert (refused["name"], refused["status"]) == ("AccessDeniedException", 403)
    assert "chime:SendChannelMessage" in refused["message"]

    app.identity.delete_app_instance_user(AppInstanceUserArn=bob.arn)
    while (heard := browser.asks("hear")).get("did") != "stop":
        pass
    assert heard["code"] == 4003


def test_a_bearer_where_none_belongs_is_ignored(server, browser, root_keys):
    """The SDK's own demo application adds one to this call by hand, and signs it."""
    app = App(server)
    ann = app.user("ann")
    browser.asks("keys", **root_keys)

    listed = browser.asks(
        "call",
        service="chime-sdk-identity",
        operation="ListAppInstanceUsers",
        input={"AppInstanceArn": app.arn},
        headers={"x-amz-chime-bearer": ann.arn},
    )

    assert [user["AppInstanceUserArn"] for user in listed["answer"]["AppInstanceUsers"]] == [ann.arn]


@pytest.mark.parametrize(
    ("role", "valid_s", "name", "status", "typed"),
    [(ROLE, -60, "ExpiredTokenException", 400, True), (ROLE + "s", 600, "AccessDenied", 403, False)],
    ids=["expired", "no such role"],
)
def test_a_sign_in_is_refused_by_name(provider, browser, role, valid_s, name, status, typed):
    refused = browser.asks("signIn", role=role, session="bob", token=provider.token("bob", valid_s=valid_s))

    assert (refused["name"], refused["status"], refused["typed"]) == (name, status, typed)
    assert refused["message"]


@pytest.mark.parametrize(
    ("keys", "name", "status"),
    [
        ({"accessKeyId": "AKIDNOBODY"}, "UnrecognizedClientException", 403),
        ({"secretAccessKey": "a guess"}, "InvalidSignatureException", 403),
        ({"sessionToken": "made up"}, "UnrecognizedClientException", 403),
    ],
    ids=["unknown key", "wrong secret", "made-up session"],
)
def test_the_first_gate_refuses_by_name(browser, root_keys, keys, name, status):
    browser.asks("keys", **root_keys | keys)

    refused = browser.asks("call", service="chime-sdk-identity", operation="ListAppInstances", input={})

    assert (refused["name"], refused["status"]) == (name, status)
    assert refused["requestId"]


def test_requests_that_are_none_are_refused_by_name(browser, root_keys):
    large = browser.asks("request", method="POST", path="/channels", body="x" * 2_000_000)
    assert (large["status"], large["name"]) == (413, "RequestEntityTooLargeException")
    nowhere = browser.asks("request", method="POST", path="/nowhere", body="{}")
    assert (nowhere["status"], nowhere["name"]) == (404, "UnknownOperationException")
    unsigned = browser.asks("request", method="GET", path="/channels")
    assert (unsigned["status"], unsigned["name"]) == (403, "MissingAuthenticationTokenException")
    wrong = browser.asks("request", method="DELETE", path="/channels")
    assert (wrong["status"], wrong["name"]) == (405, "MethodNotAllowedException")
    assert all(refused["requestId"] for refused in (large, nowhere, unsigned, wrong))
