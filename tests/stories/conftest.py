"""The server that one story is told to by many clients, and what boto3 made of it."""

from collections.abc import Iterator

import pytest

from tests.harness import Processor
from tests.stories import client_docs
from tests.stories.identity_provider import IdentityProvider
from tests.stories.one_story import MODERATE, Story, told
from tests.stories.serving import Server, serving
from tests.stories.tellers import Boto3


@pytest.fixture(scope="session")
def moderator() -> Iterator[Processor]:
    """Where the function of the story runs."""
    processor = Processor()
    yield processor
    processor.close()


@pytest.fixture(scope="session")
def provider() -> Iterator[IdentityProvider]:
    provider = IdentityProvider()
    yield provider
    provider.close()


@pytest.fixture(scope="session")
def story_server(
    tmp_path_factory: pytest.TempPathFactory, provider: IdentityProvider, moderator: Processor
) -> Iterator[Server]:
    """A server with TLS. It lets people in who signed in at the provider, each as themself: as the docs have it."""
    folder = tmp_path_factory.mktemp("story")
    jwks = f"{provider.issuer}/jwks.json"
    (folder / "campana.toml").write_text(client_docs.block("toml").replace(jwks, provider.jwks_url))
    (folder / "chat-user-trust.json").write_text(client_docs.block("json", "Principal"))
    (folder / "chat-user.json").write_text(client_docs.block("json", "Resource"))
    with serving(folder, "--tls", "self-signed", processors={MODERATE: moderator.arn}) as server:
        yield server


@pytest.fixture(scope="session")
def reference(story_server: Server, moderator: Processor) -> Story:
    """The story, told by boto3."""
    return told(Boto3(story_server.client), moderator)
