"""AssumeRoleWithWebIdentity: whose tokens are believed, through boto3, with a provider that signs and serves keys."""

import asyncio
import json
import random
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from campana.auth import web_identity
from campana.auth.web_identity import TAGS_CLAIM
from campana.server.jwks import Jwks, Unreachable
from tests.auth.conftest import Vending
from tests.auth.principals import (
    IdentityProvider,
    Principal,
    allow,
    answered,
    arn_of,
    campana,
    forged,
    make_role,
    policy,
)
from tests.harness import App, MovableClock
from tests.node import JS, why_no_node


def vend(vending: Vending, token: str, role: str = "chat-user", **more: Any) -> dict[str, Any]:
    """What STS answers; the call is not signed, as in a browser."""
    sts = boto3.client("sts", endpoint_url=vending.server.url, region_name="us-east-1")
    answer: dict[str, Any] = sts.assume_role_with_web_identity(
        **({"RoleArn": arn_of(role), "RoleSessionName": "ann", "WebIdentityToken": token} | more)
    )
    return answer


@pytest.fixture
def provider(vending: Vending) -> IdentityProvider:
    return vending.provider


def test_a_token_becomes_credentials_of_its_subject(vending: Vending, provider: IdentityProvider) -> None:
    app = vending.app
    ann, bob = app.users("ann", "bob")
    lobby = ann.makes_channel()

    answer = vend(vending, provider.token("rsa", sub="ann"))

    assert answer["SubjectFromWebIdentityToken"] == "ann"
    assert answer["Audience"] == "chat-web"
    assert answer["Provider"] == provider.name
    assert answer["AssumedRoleUser"]["Arn"] == "arn:aws:sts::123456789012:assumed-role/chat-user/ann"
    assert answer["Credentials"]["Expiration"].timestamp() == pytest.approx(
        vending.server.clock.now() / 1000 + 3_600, abs=20
    )
    caller = Principal.vended(vending.server, answer)
    caller.messaging.send_channel_message(
        ChannelArn=lobby, ChimeBearer=ann.arn, Content="hi", Type="STANDARD", Persistence="PERSISTENT"
    )
    who = "User: arn:aws:sts::123456789012:assumed-role/chat-user/ann is not authorized"
    with answered("AccessDeniedException", f"{who} to perform: chime:ListChannels on resource: {bob.arn} because no"):
        caller.messaging.list_channels(AppInstanceArn=app.arn, ChimeBearer=bob.arn)
    caller.connects(ann.arn).close()
    assert caller.refused_with(bob.arn) == 4003


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512", "PS256", "PS512", "ES256", "ES384", "ES512"])
def test_algorithms(algorithm: str) -> None:
    provider = IdentityProvider(lambda: 1_000_000)
    try:
        provider.make_key("k", algorithm)
        believed = web_identity.Provider(provider.issuer, ("chat-web",))
        for document in (
            provider.jwks(),
            provider.jwks().replace(b'"use"', b'"alg": "%s", "use"' % algorithm.encode()),
        ):
            (key,) = web_identity.signing_keys(document.decode())
            assert web_identity.verify(provider.token("k"), believed, key, 1_000_000_000).subject == "ann"
    finally:
        provider.close()


def test_keys_from_a_file(vending: Vending, provider: IdentityProvider) -> None:
    answer = vend(vending, provider.token("rsa", iss="https://filed.example.com"))
    assert answer["Provider"] == "filed.example.com"


# Tokens that prove nothing. Each is made from the provider, whose real key is "rsa".


def of_another_key(provider: IdentityProvider) -> str:
    other = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    return jwt.encode(provider.claims(), other, "RS256", headers={"kid": "rsa"})


def signed_with_the_public_key(provider: IdentityProvider) -> str:
    """The classic: the provider's public key, taken for a shared secret."""
    public = provider.keys["rsa"][1].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    header, claims = {"alg": "HS256", "typ": "JWT", "kid": "rsa"}, provider.claims()
    signing_input = forged(header, claims).rpartition(".")[0].encode()
    signature = jwt.get_algorithm_by_name("HS256").sign(signing_input, public)
    return forged(header, claims, signature)


def with_a_key_of_its_own(provider: IdentityProvider) -> str:
    other = ec.generate_private_key(ec.SECP256R1())
    own = jwt.get_algorithm_by_name("ES256").to_jwk(other.public_key(), as_dict=True)
    return jwt.encode(provider.claims(), other, "ES256", headers={"jwk": own, "kid": "rsa"})


def altered(provider: IdentityProvider) -> str:
    head, _, signature = provider.token("rsa", sub="ann").split(".")
    claims = forged({}, provider.claims(sub="bob")).split(".")[1]
    return f"{head}.{claims}.{signature}"


UNVERIFIED, AUDIENCE = "could not be verified", "Incorrect token audience"
FORGERIES: list[tuple[Callable[[IdentityProvider], str], str]] = [
    (lambda p: forged({"alg": "none", "kid": "rsa"}, p.claims()), UNVERIFIED),
    (lambda p: forged({"alg": "None", "kid": "rsa"}, p.claims()), UNVERIFIED),
    (signed_with_the_public_key, UNVERIFIED),
    (of_another_key, UNVERIFIED),
    (with_a_key_of_its_own, UNVERIFIED),
    (altered, UNVERIFIED),
    (lambda p: p.token("rsa", aud="other-app"), AUDIENCE),
    (lambda p: p.token("rsa", aud=["other-app"]), AUDIENCE),
    (lambda p: p.token("rsa", aud=["chat-web", "other"], azp="other"), AUDIENCE),
    (lambda p: p.token("rsa", aud=None), "aud"),
    (lambda p: p.token("rsa", iss="https://evil.example.com"), "No OpenIDConnect provider"),
    (lambda p: p.token("rsa", iss=p.issuer + "/"), "No OpenIDConnect provider"),
    (lambda p: p.token("rsa", iss=None), "iss"),
    (lambda p: forged({"alg": "RS256"}, p.claims(iss=[p.issuer])), "iss"),
    (lambda p: p.token("rsa", sub=None), "sub"),
    (lambda p: p.token("rsa", sub=""), "sub"),
    (lambda p: p.token("rsa", sub="x" * 256), "sub"),
    (lambda p: p.token("rsa", exp=None), "exp"),
    (lambda p: p.token("rsa", exp="tomorrow"), "exp"),
    (lambda p: p.token("rsa", exp=True), "exp"),
    (lambda p: p.token("rsa", nbf=p._now_s() + 300), "not valid yet"),
    (lambda p: p.token("rsa", iat=p._now_s() + 300), "not valid yet"),
    (lambda p: p.token("rsa", **{TAGS_CLAIM: {"principal_tags": {"a": ["b", "c"]}}}), "malformed"),
    (lambda p: p.token("rsa", **{TAGS_CLAIM: []}), "malformed"),
    (lambda p: "not.a.token", "not a valid JWT"),
    (lambda p: forged({"alg": "RS256"}, [1]), "not a valid JWT"),
]


@pytest.mark.parametrize("number", range(len(FORGERIES)))
def test_tokens_that_prove_nothing(vending: Vending, provider: IdentityProvider, number: int) -> None:
    make, message = FORGERIES[number]
    with answered("InvalidIdentityToken", message, status=400):
        vend(vending, make(provider))


def test_an_expired_token(vending: Vending, provider: IdentityProvider) -> None:
    vend(vending, provider.token("rsa", exp=provider._now_s() + 60))
    with answered("ExpiredTokenException", "Token expired", status=400):
        vend(vending, provider.token("rsa", exp=provider._now_s()))


def test_of_several_audiences_the_one_that_asked_must_be_known(vending: Vending, provider: IdentityProvider) -> None:
    for more in ({}, {"azp": "chat-phone"}):
        answer = vend(vending, provider.token("rsa", aud=["other", "chat-web"], **more))
        assert answer["Audience"] == "chat-web"


def test_a_symmetric_key_that_a_provider_publishes_signs_nothing() -> None:
    document = '{"keys": [{"kty": "oct", "kid": "s", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "alg": "HS256"}]}'
    assert web_identity.signing_keys(document) == []


@pytest.mark.parametrize(
    "change",
    [
        {"use": "enc"}, {"alg": "HS256"}, {"alg": "none"}, {"alg": "ES256"}, {"kty": "EC"}, {"kty": 5}, {"n": "AQAB"},
        {"n": None}, {"crv": []},
    ],
)  # fmt: skip
def test_keys_that_are_left_out(provider: IdentityProvider, change: dict[str, Any]) -> None:
    good, bad = provider.jwk("rsa"), provider.jwk("rsa") | change
    assert [key.id for key in web_identity.signing_keys(json.dumps({"keys": [bad, 1, good]}))] == ["rsa"]


def test_a_key_is_good_for_its_own_algorithm_only(provider: IdentityProvider) -> None:
    believed = web_identity.Provider(provider.issuer, ("chat-web",))
    (key,) = web_identity.signing_keys(json.dumps({"keys": [provider.jwk("rsa") | {"alg": "RS512"}]}))
    with pytest.raises(web_identity.BadToken):
        web_identity.verify(provider.token("rsa"), believed, key, provider._now_s() * 1000)


def test_without_a_key_id_the_only_key_counts() -> None:
    provider = IdentityProvider(lambda: 1_000_000)
    try:
        provider.make_key("a", "ES256")
        alone = web_identity.signing_keys(provider.jwks().decode())
        provider.make_key("b", "ES256")
        both = web_identity.signing_keys(provider.jwks().decode())
        assert web_identity.choose(alone, None) is alone[0]
        assert web_identity.choose(both, None) is None
    finally:
        provider.close()


# Rotation.


def test_keys_are_fetched_once_and_anew_for_a_key_that_is_not_known(own_vending: Vending) -> None:
    vending, provider = own_vending, own_vending.provider
    clock = vending.server.clock
    vend(vending, provider.token("rsa"))
    asked = provider.asked
    for _ in range(3):
        vend(vending, provider.token("rsa"))
    assert provider.asked == asked

    provider.make_key("next", "ES256")
    clock.advance(ms=10_001)
    vend(vending, provider.token("next"))
    assert provider.asked == asked + 1
    for _ in range(3):  # invented ids do not make us ask each time
        with answered("InvalidIdentityToken", "Couldn't retrieve verification key", status=400):
            vend(vending, jwt.encode(provider.claims(), provider.keys["rsa"][1], "RS256", headers={"kid": "invented"}))
    assert provider.asked == asked + 1

    old = provider.keys.pop("next")
    clock.advance(hours=1)
    retired = jwt.encode(provider.claims(), old[1], "ES256", headers={"kid": "next"})
    with answered("InvalidIdentityToken", "Couldn't retrieve", status=400):
        vend(vending, retired)


def test_a_provider_that_does_not_answer(own_vending: Vending) -> None:
    vending, provider = own_vending, own_vending.provider
    clock = vending.server.clock
    vend(vending, provider.token("rsa"))
    for status, document in (
        (500, b"{}"),
        (200, b"<html>"),
        (200, b'{"keys": 5}'),
        (302, b""),
        (200, b"x" * 2_000_000),
    ):
        provider.status, provider.document = status, document
        clock.advance(hours=1)
        vend(vending, provider.token("rsa"))  # with the keys it had
        asked = provider.asked
        vend(vending, provider.token("rsa"))
        assert provider.asked == asked
    try:
        clock.advance(ms=10_001)
        vend(vending, provider.token("rsa"))
        assert provider.asked == asked + 1
    finally:
        provider.status, provider.document = 200, None
    clock.advance(ms=10_001)
    vend(vending, provider.token("rsa"))


# What trust policies say.


def federated(name: str, **condition: Any) -> dict[str, Any]:
    return policy(
        {
            "Effect": "Allow",
            "Principal": {"Federated": name},
            "Action": ["sts:AssumeRoleWithWebIdentity", "sts:TagSession"],
            "Condition": condition,
        }
    )


@pytest.mark.parametrize(
    ("name", "condition", "admitted"),
    [
        ("{name}", {}, True),
        ("{issuer}", {}, True),
        ("arn:aws:iam::123456789012:oidc-provider/{name}", {}, True),
        ("arn:aws:iam::999999999999:oidc-provider/{name}", {}, False),
        ("filed.example.com", {}, False),  # another provider's subjects are not this one's
        ("*", {}, False),
        ("{name}", {"StringEquals": {"{name}:sub": "ann"}}, True),
        ("{name}", {"StringEquals": {"{name}:sub": "bob"}}, False),
        ("{name}", {"StringEquals": {"{name}:aud": "chat-web"}}, True),
        ("{name}", {"StringEquals": {"{name}:aud": "chat-phone"}}, False),
        ("{name}", {"ForAnyValue:StringLike": {"{name}:amr": "authenticated"}}, True),
        ("{name}", {"ForAnyValue:StringLike": {"cognito-identity.amazonaws.com:amr": "authenticated"}}, True),
        ("{name}", {"ForAnyValue:StringLike": {"{name}:amr": "unauthenticated"}}, False),
        ("{name}", {"StringEquals": {"sts:RoleSessionName": "{sub}"}}, True),
        ("{name}", {"StringLike": {"sts:RoleSessionName": "x*"}}, False),
    ],
)
def test_trust(vending: Vending, provider: IdentityProvider, name: str, condition: Any, admitted: bool) -> None:
    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            return {filled(key): filled(each) for key, each in value.items()}
        return value.replace("{name}", provider.name).replace("{issuer}", provider.issuer).replace("{sub}", "ann")

    make_role(vending.server, vending.folder, "trust-test", federated(filled(name), **filled(condition)))
    try:
        token = provider.token("rsa", amr=["pwd", "authenticated"])
        if admitted:
            vend(vending, token, "trust-test")
        else:
            with answered("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity"):
                vend(vending, token, "trust-test")
    finally:
        assert campana(vending.server, "roles", "delete", "trust-test") == 0


def test_a_principal_in_aws_is_no_identity_provider(vending: Vending, provider: IdentityProvider) -> None:
    trust = policy({"Effect": "Allow", "Principal": "*", "Action": "*"})
    make_role(vending.server, vending.folder, "everybody", trust)
    with answered("AccessDenied"):
        vend(vending, provider.token("rsa"), "everybody")


def test_a_role_that_is_not_there_is_refused_in_the_same_words(vending: Vending, provider: IdentityProvider) -> None:
    with answered("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity"):
        vend(vending, provider.token("rsa"), "nobody-made-it")


def test_session_tags_of_a_token(vending: Vending, provider: IdentityProvider) -> None:
    app: App = vending.app
    ann = app.user("ann")
    document = policy(allow("chime:*", on=f"{app.arn}/user/${{aws:PrincipalTag/AppUserId}}"))
    make_role(vending.server, vending.folder, "tagged", federated(provider.name), document)
    tags = {"principal_tags": {"AppUserId": ["ann"]}, "transitive_tag_keys": ["AppUserId"]}

    caller = Principal.vended(
        vending.server, vend(vending, provider.token("rsa", sub="x", **{TAGS_CLAIM: tags}), "tagged")
    )

    caller.messaging.list_channels(AppInstanceArn=app.arn, ChimeBearer=ann.arn)
    for claim in (
        {"principal_tags": {"AppUserId": "ann", "appuserid": "bob"}},
        {"principal_tags": {"AppUserId": "ann"}, "transitive_tag_keys": ["other"]},
    ):
        with answered("InvalidParameterValue", status=400):
            vend(vending, provider.token("rsa", **{TAGS_CLAIM: claim}), "tagged")


def test_a_session_policy_narrows(vending: Vending, provider: IdentityProvider) -> None:
    app = vending.app
    ann = app.user("ann")
    only_listing = (
        '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "chime:List*", "Resource": "*"}]}'
    )
    caller = Principal.vended(vending.server, vend(vending, provider.token("rsa"), Policy=only_listing))
    caller.messaging.list_channels(AppInstanceArn=app.arn, ChimeBearer=ann.arn)
    with answered("AccessDeniedException", "because no session policy allows the chime:CreateChannel action"):
        caller.messaging.create_channel(AppInstanceArn=app.arn, Name="Lobby", ChimeBearer=ann.arn)


def test_claims_that_are_too_large_for_a_session(vending: Vending, provider: IdentityProvider) -> None:
    methods = [f"{random.Random(number).getrandbits(400):x}" for number in range(100)]
    with answered("PackedPolicyTooLarge", status=400):
        vend(vending, provider.token("rsa", amr=methods))


def test_boto3_finds_the_way_by_itself(
    vending: Vending, provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AWS_WEB_IDENTITY_TOKEN_FILE, as pods and CI jobs have it."""
    app = vending.app
    ann = app.user("ann")
    file = vending.folder / "token"
    file.write_text(provider.token("rsa", sub="ann"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ROLE_ARN", arn_of("chat-user"))
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(file))
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", vending.server.url)
    monkeypatch.setenv("AWS_ENDPOINT_URL_CHIME_SDK_MESSAGING", vending.server.url)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")

    session = boto3.Session(region_name="us-east-1")

    session.client("chime-sdk-messaging").list_channels(AppInstanceArn=app.arn, ChimeBearer=ann.arn)
    assert session.get_credentials().method == "assume-role-with-web-identity"


@pytest.mark.skipif(bool(why_no_node()), reason=why_no_node())
def test_the_sdk_for_javascript_signs_in_with_a_token(vending: Vending, provider: IdentityProvider) -> None:
    app = vending.app
    ann, bob = app.users("ann", "bob")
    token = provider.token("rsa", sub="ann")
    command = ["node", str(JS / "web_identity.mjs"), vending.server.url, arn_of("chat-user"), token, app.arn]
    done = subprocess.run([*command, ann.arn, bob.arn], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [0, "AccessDeniedException"]


def test_how_long_keys_are_believed_that_cannot_be_asked_for(tmp_path: Path) -> None:
    provider, file, clock = IdentityProvider(lambda: 1_000_000), tmp_path / "jwks.json", MovableClock()

    async def tell() -> None:
        jwks = Jwks(file, clock)
        with pytest.raises(Unreachable):
            await jwks.key("rsa")
        file.write_bytes(provider.jwks())
        with pytest.raises(Unreachable):  # not asked again so soon
            await jwks.key("rsa")
        clock.advance(ms=10_001)
        assert await jwks.key("rsa")
        file.unlink()
        clock.advance(hours=23)
        assert await jwks.key("rsa")
        clock.advance(hours=2)
        with pytest.raises(Unreachable):
            await jwks.key("rsa")
        file.write_bytes(provider.jwks())
        clock.advance(hours=-200)  # a clock that was wrong
        assert await jwks.key("rsa")

    try:
        provider.make_key("rsa")
        asyncio.run(tell())
    finally:
        provider.close()
