"""A server that gives temporary credentials out, and an identity provider that it believes."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.auth.principals import IdentityProvider, Principal, allow, policy
from tests.harness import KEY, SECRET, App, RunningServer, running


@dataclass
class Vending:
    """The server, its provider, and the folder of its settings."""

    server: RunningServer
    provider: IdentityProvider
    folder: Path

    @property
    def root(self) -> Principal:
        return Principal(self.server, KEY, SECRET)

    @property
    def app(self) -> App:
        return App(self.server)


@pytest.fixture(scope="module")
def vending(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vending]:
    """Nobody moves its clock."""
    with _vending(tmp_path_factory.mktemp("vending")) as vending:
        yield vending


@pytest.fixture
def own_vending(tmp_path: Path) -> Iterator[Vending]:
    """Its clock may be put forward, by a day: signatures are good for so long."""
    with _vending(tmp_path, **{"auth.clock_skew_s": 86_400}) as vending:
        yield vending


@contextmanager
def _vending(folder: Path, **settings: int) -> Iterator[Vending]:
    provider = IdentityProvider(lambda: server.clock.now() // 1000)
    provider.make_key("rsa")
    filed = "https://filed.example.com"
    (folder / "jwks.json").write_bytes(provider.jwks())
    trust = policy(
        *(
            {
                "Effect": "Allow",
                "Principal": {"Federated": f"arn:aws:iam::123456789012:oidc-provider/{name}"},
                "Action": ["sts:AssumeRoleWithWebIdentity", "sts:TagSession"],
                "Condition": {"StringEquals": {f"{name}:aud": "chat-web"}},
            }
            for name in (provider.name, "filed.example.com")
        )
    )
    apps, subject = "arn:aws:chime:*:*:app-instance/*", f"${{{provider.name}:sub}}"
    may = policy(
        allow("chime:*", on=[f"{apps}/channel/*", f"{apps}/user/{subject}"]),
        allow("chime:GetMessagingSessionEndpoint"),
    )
    (folder / "trust.json").write_text(json.dumps(trust))
    (folder / "policy.json").write_text(json.dumps(may))
    (folder / "campana.toml").write_text(
        f"""
        [[roles]]
        name = "chat-user"
        trust = "trust.json"
        policy = "policy.json"
        [[oidc]]
        issuer = "{provider.issuer}"
        audiences = ["chat-web", "chat-phone"]
        jwks = "{provider.issuer}/certs"
        [[oidc]]
        issuer = "{filed}"
        audiences = ["chat-web"]
        jwks = "jwks.json"
        """
    )
    with running(folder, **settings) as server:
        yield Vending(server, provider, folder)
    provider.close()
