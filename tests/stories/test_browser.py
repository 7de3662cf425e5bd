"""A page of another origin in headless Chromium (tests/js/page) signs in with the token of an identity provider, calls
the API, gets typed exceptions, and hears a message in a live session: all through the AWS SDK v3 and
amazon-chime-sdk-js.
"""

import base64
import hashlib
import shutil
import signal
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_pem_x509_certificate

from tests.harness import App
from tests.node import JS, why_no_node
from tests.stories.one_story import messaging, told
from tests.stories.serving import Program, Server
from tests.stories.tellers import JavaScript

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def why_not() -> str:
    """What these tests need and this machine has not got; empty if it has all."""
    return why_no_node() or ("" if CHROMIUM else "Chromium is not installed")


pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())


def public_key_hash(url: str) -> str:
    """SHA-256, in base64, of the public key of the certificate that is served there."""
    address = urlsplit(url)
    assert address.hostname is not None
    assert address.port is not None
    certificate = load_pem_x509_certificate(ssl.get_server_certificate((address.hostname, address.port)).encode())
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(key).digest()).decode()


@pytest.fixture(scope="module")
def browser(story_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JavaScript]:
    """Asks the page in the browser; at the end takes a picture of it, for whoever wants to look."""
    folder = tmp_path_factory.mktemp("chromium")
    assert CHROMIUM is not None
    command = ["node", str(JS / "browser.mjs"), story_server.url, public_key_hash(story_server.url), CHROMIUM]
    program = Program(command, story_server.environment, folder, folder / "browser.log")
    browser = JavaScript(program)
    try:
        yield browser
        browser.asks("screenshot", path=str(folder / "page.png"))
        program.close_input()
        assert program.rest() == []
    finally:
        program.end(signal.SIGKILL)


@pytest.fixture
def root_keys(story_server: Server) -> dict[str, str]:
    environment = story_server.environment
    return {
        "accessKeyId": environment["AWS_ACCESS_KEY_ID"],
        "secretAccessKey": environment["AWS_SECRET_ACCESS_KEY"],
    }


def test_the_page_tells_the_story(story_server, moderator, reference, browser, root_keys):
    browser.asks("keys", **root_keys)

    story = told(browser, moderator)

    assert story.transcript == reference.transcript
    assert story.statuses == reference.statuses
    text = browser.asks("text")["text"]
    assert f"talks to {story_server.url}" in text
    assert "SendChannelMessage ForbiddenException 403 You do not have sufficient access" in text


def test_somebody_signs_in_calls_and_hears(story_server, provider, browser):
    app = App(story_server)
    ann, bob = app.users("ann", "bob")
    channel = ann.makes_channel(members=[bob])

    assert browser.asks("signIn", token=provider.token("bob"))["answer"]["expiration"]
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


def test_a_bearer_where_none_belongs_is_ignored(story_server, browser, root_keys):
    """The SDK's own demo application adds one to this call by hand, and signs it."""
    app = App(story_server)
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


def test_an_old_token_is_refused_by_name(provider, browser):
    refused = browser.asks("signIn", token=provider.token("bob", valid_s=-60))

    assert (refused["name"], refused["status"], refused["typed"]) == ("ExpiredTokenException", 400, True)
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
