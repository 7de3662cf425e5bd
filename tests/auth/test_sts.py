"""The Security Token Service through boto3, and what its credentials are good for."""

import json
import urllib.error
import urllib.request
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.session import get_session

from campana.auth.configured_roles import configured_roles
from campana.settings import SetupError, load
from tests.auth.conftest import Vending
from tests.auth.principals import (
    EVERYTHING,
    Principal,
    allow,
    answered,
    arn_of,
    campana,
    deny,
    make_role,
    policy,
    trusting,
)

ROOT = "arn:aws:iam::123456789012:root"
SOMEBODY = "arn:aws:iam::123456789012:user/somebody"
_numbers = count(1)


@pytest.fixture
def make(vending: Vending) -> Any:
    """`make(trust, policy)`: the name of a new role."""
    return lambda trust, document=EVERYTHING: made(vending, trust, document)


def made(vending: Vending, trust: Any, document: Any = EVERYTHING) -> str:
    name = f"role-{next(_numbers)}"
    make_role(vending.server, vending.folder, name, trust, document)
    return name


def key(vending: Vending, *statements: dict[str, Any], **tags: str) -> Principal:
    return Principal.with_key(vending.server, policy(*(statements or (allow("*"),))), **tags)


def tag_list(**tags: str) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


# GetCallerIdentity and GetSessionToken.


def test_who_calls(vending: Vending, make: Any) -> None:
    assert vending.root.sts.get_caller_identity()["Arn"] == ROOT
    somebody = key(vending, deny("*"))  # no policy can forbid to ask
    answer = somebody.sts.get_caller_identity()
    assert (answer["Arn"], answer["Account"], answer["UserId"]) == (SOMEBODY, "123456789012", somebody.key)
    role = make(trusting(ROOT))
    session = vending.root.assumes(role, RoleSessionName="night-shift").sts.get_caller_identity()
    assert session["Arn"] == f"arn:aws:sts::123456789012:assumed-role/{role}/night-shift"
    assert session["UserId"].endswith(":night-shift")


def test_a_session_of_ones_own(vending: Vending) -> None:
    app = vending.app
    ann = app.user("ann")
    parent = key(vending, allow("chime:ListChannels", on=f"{app.arn}/user/${{aws:PrincipalTag/id}}"), id="ann")

    session = Principal.vended(vending.server, parent.sts.get_session_token(DurationSeconds=900))

    assert session.arn == SOMEBODY
    session.messaging.list_channels(AppInstanceArn=app.arn, ChimeBearer=ann.arn)
    with answered("AccessDeniedException", f"User: {SOMEBODY} is not authorized to perform: chime:CreateChannel"):
        session.messaging.create_channel(AppInstanceArn=app.arn, Name="Lobby", ChimeBearer=ann.arn)
    with answered("AccessDenied", "Cannot call GetSessionToken with session credentials"):
        session.sts.get_session_token()
    campana(vending.server, "keys", "revoke", parent.key)
    with answered("UnrecognizedClientException"):
        session.messaging.list_channels(AppInstanceArn=app.arn, ChimeBearer=ann.arn)


def test_the_root_key_can_have_a_session(vending: Vending) -> None:
    session = Principal.vended(vending.server, vending.root.sts.get_session_token())
    assert session.identity.list_app_instances()["AppInstances"] is not None


# AssumeRole: who may.


@pytest.mark.parametrize(
    ("trust", "own", "admitted"),
    [
        (trusting(SOMEBODY), [allow("x:y")], True),  # by name the role suffices
        (trusting(SOMEBODY), [deny("sts:*")], False),
        (trusting(ROOT), [allow("x:y")], False),  # the account as a whole leaves it to its users' policies
        (trusting(ROOT), [allow("sts:AssumeRole")], True),
        (trusting("123456789012"), [allow("sts:AssumeRole")], True),
        (trusting("123456789012"), [allow("sts:AssumeRole", on="arn:aws:iam::123456789012:role/other")], False),
        (trusting("999999999999"), [allow("*")], False),
        (trusting("arn:aws:iam::123456789012:user/other"), [allow("*")], False),
        (trusting("arn:aws:iam::123456789012:user/*"), [allow("*")], False),  # principals have no wildcards
        (trusting("*"), [allow("x:y")], True),
        (policy({"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}), [allow("x:y")], True),
        (policy({"Effect": "Allow", "Principal": {"Service": "x.amazonaws.com"}, "Action": "*"}), [allow("*")], False),
        (policy({"Effect": "Allow", "Principal": {"Federated": SOMEBODY}, "Action": "*"}), [allow("*")], False),
        (trusting(SOMEBODY, action="sts:TagSession"), [allow("*")], False),
        (trusting(SOMEBODY, Condition={"StringEquals": {"aws:username": "somebody"}}), [allow("*")], True),
        (trusting(SOMEBODY, Condition={"StringEquals": {"aws:username": "other"}}), [allow("*")], False),
        (trusting(SOMEBODY, Condition={"StringEquals": {"sts:ExternalId": "e-1"}}), [allow("*")], False),
        (trusting(SOMEBODY, Condition={"StringLike": {"sts:RoleSessionName": "te?t"}}), [allow("*")], True),
    ],
)  # fmt: skip
def test_who_may_take_a_role(vending: Vending, make: Any, trust: Any, own: Any, admitted: bool) -> None:
    role, caller = make(trust), key(vending, *own)
    if admitted:
        assert caller.assumes(role).arn.startswith(f"arn:aws:sts::123456789012:assumed-role/{role}/")
    else:
        denial = f"User: {SOMEBODY} is not authorized to perform: sts:AssumeRole on resource: {arn_of(role)}"
        with answered("AccessDenied", denial):
            caller.assumes(role)


def test_a_denial_in_the_trust_wins(vending: Vending, make: Any) -> None:
    statements = [*trusting(SOMEBODY)["Statement"], {"Effect": "Deny", "Principal": {"AWS": ROOT}, "Action": "*"}]
    role = make(policy(*statements))
    with answered("AccessDenied"):
        key(vending).assumes(role)


def test_an_external_id(vending: Vending, make: Any) -> None:
    role = make(trusting(SOMEBODY, Condition={"StringEquals": {"sts:ExternalId": "e-1"}}))
    key(vending).assumes(role, ExternalId="e-1")
    with answered("AccessDenied"):
        key(vending).assumes(role, ExternalId="e-2")


def test_a_role_that_is_not_there_is_refused_like_one_that_does_not_trust(vending: Vending) -> None:
    with answered("AccessDenied", "sts:AssumeRole on resource: arn:aws:iam::123456789012:role/nobody-made-it"):
        key(vending).assumes("nobody-made-it")


# AssumeRole: what the session is like.


def test_a_tag_pins_the_bearer(vending: Vending, make: Any) -> None:
    """The vending service of spec/identity-auth.md §5."""
    app = vending.app
    ann, bob = app.users("ann", "bob")
    lobby = ann.makes_channel(members=[bob])
    may = policy(
        allow("chime:GetMessagingSessionEndpoint"),
        allow("chime:*", on=[f"{app.arn}/user/${{aws:PrincipalTag/UserUUID}}", f"{app.arn}/channel/*"]),
    )
    role = make(trusting(SOMEBODY, action=["sts:AssumeRole", "sts:TagSession"]), may)
    vendor = key(vending, allow("x:y"))

    caller = vendor.assumes(role, Tags=tag_list(UserUUID="ann"))

    said = {"ChannelArn": lobby, "Content": "hi", "Type": "STANDARD", "Persistence": "PERSISTENT"}
    heard = caller.connects(ann.arn)
    caller.messaging.send_channel_message(ChimeBearer=ann.arn, **said)
    assert heard.next().payload["Content"] == "hi"
    heard.close()
    with answered(
        "AccessDeniedException",
        f"User: arn:aws:sts::123456789012:assumed-role/{role}/test is not authorized to perform: "
        f"chime:SendChannelMessage on resource: {bob.arn} because no identity-based policy allows the "
        "chime:SendChannelMessage action",
    ):
        caller.messaging.send_channel_message(ChimeBearer=bob.arn, **said)
    assert caller.refused_with(bob.arn) == 4003
    with answered("AccessDeniedException"):
        vendor.assumes(role).messaging.send_channel_message(ChimeBearer=ann.arn, **said)  # no tag, no user


def test_tags_need_a_permission_of_their_own(vending: Vending, make: Any) -> None:
    role = make(trusting(SOMEBODY))
    with answered("AccessDenied", "sts:TagSession"):
        key(vending, allow("x:y")).assumes(role, Tags=tag_list(team="blue"))


def test_conditions_on_the_tags_of_a_session(vending: Vending, make: Any) -> None:
    demanded = {
        "StringLike": {"aws:RequestTag/team": "b*"},
        "ForAllValues:StringEquals": {"aws:TagKeys": ["team"]},
    }
    role = make(trusting(SOMEBODY, action=["sts:AssumeRole", "sts:TagSession"], Condition=demanded))
    caller = key(vending, allow("x:y"))
    caller.assumes(role, Tags=tag_list(team="blue"))
    for tags in (tag_list(team="red"), tag_list(team="blue", admin="yes"), []):
        with answered("AccessDenied"):
            caller.assumes(role, Tags=tags)


def test_transitive_tags_go_along_a_chain_of_roles(vending: Vending, make: Any) -> None:
    app = vending.app
    ann = app.user("ann")
    both = ["sts:AssumeRole", "sts:TagSession"]
    first = make(trusting(SOMEBODY, action=both))
    second = make(
        trusting(arn_of(first), action=both), policy(allow("chime:*", on=f"{app.arn}/user/${{aws:PrincipalTag/id}}"))
    )
    untagged = make(trusting(arn_of(first)))
    given = {"Tags": tag_list(id="ann", other="x")}
    chained = key(vending).assumes(first, TransitiveTagKeys=["id"], **given)

    chained.assumes(second).messaging.list_channels(AppInstanceArn=app.arn, ChimeBearer=ann.arn)
    with answered("InvalidParameterValue", "conflicts with a transitive tag", status=400):
        chained.assumes(second, Tags=tag_list(ID="bob"))
    with answered("AccessDenied", "sts:TagSession"):
        chained.assumes(untagged)
    loose = key(vending).assumes(first, **given)
    with answered("AccessDeniedException"):
        loose.assumes(second).messaging.list_channels(AppInstanceArn=app.arn, ChimeBearer=ann.arn)


def test_a_chain_of_roles_lasts_an_hour(vending: Vending, make: Any) -> None:
    first = make(trusting(SOMEBODY))
    second = make(trusting(f"arn:aws:sts::123456789012:assumed-role/{first}/test"))
    chained = key(vending).assumes(first, DurationSeconds=43_200)
    chained.assumes(second, DurationSeconds=3_600)
    with answered("ValidationError", "role chaining", status=400):
        chained.assumes(second, DurationSeconds=3_601)


def test_a_session_policy_narrows_and_never_widens(vending: Vending, make: Any) -> None:
    app = vending.app
    ann = app.user("ann")
    role = make(trusting(SOMEBODY), policy(allow("chime:List*"), allow("sts:*")))
    other = make(trusting(arn_of(role)))
    given = {"AppInstanceArn": app.arn, "ChimeBearer": ann.arn}
    caller = key(vending)

    narrowed = caller.assumes(role, Policy=json.dumps(policy(allow("chime:ListChannels", "chime:CreateChannel"))))

    narrowed.messaging.list_channels(**given)
    with answered("AccessDeniedException", "because no identity-based policy allows the chime:CreateChannel action"):
        narrowed.messaging.create_channel(Name="Lobby", **given)
    with answered("AccessDeniedException", "because no session policy allows the chime:ListAppInstanceUsers action"):
        narrowed.identity.list_app_instance_users(AppInstanceArn=app.arn)
    with answered("AccessDenied", "sts:AssumeRole"):  # nor by way of another role
        narrowed.assumes(other)
    denied = caller.assumes(role, Policy=json.dumps(policy(allow("*"), deny("chime:ListChannels"))))
    with answered("AccessDeniedException", "with an explicit deny in a session policy"):
        denied.messaging.list_channels(**given)


def test_a_role_without_a_policy_may_nothing(vending: Vending, make: Any) -> None:
    caller = key(vending).assumes(make(trusting(SOMEBODY), None))
    with answered("AccessDeniedException"):
        caller.messaging.get_messaging_session_endpoint()


def test_keys_that_say_who_has_taken_a_role(vending: Vending, make: Any) -> None:
    known = {
        "ArnEquals": {"aws:PrincipalArn": "arn:aws:iam::123456789012:role/role-*"},
        "StringLike": {"aws:userid": "CAMPAROA*:test"},
        "StringEquals": {"aws:PrincipalType": "AssumedRole", "aws:PrincipalTag/team": "blue"},
        "Null": {"aws:username": "true", "aws:TokenIssueTime": "false"},
    }
    role = make(
        trusting(SOMEBODY, action=["sts:AssumeRole", "sts:TagSession"]),
        policy(allow("chime:GetMessagingSessionEndpoint", Condition=known)),
    )
    key(vending).assumes(role, Tags=tag_list(team="blue")).messaging.get_messaging_session_endpoint()


# The end of a session.


def test_credentials_expire_and_their_sessions_with_them(own_vending: Vending) -> None:
    vending = own_vending
    app = vending.app
    ann = app.user("ann")
    role = made(vending, trusting(SOMEBODY))
    given = {"RoleArn": arn_of(role), "RoleSessionName": "test"}
    answer = key(vending).sts.assume_role(**given, DurationSeconds=900)
    caller = Principal.vended(vending.server, answer)
    longer = Principal.vended(vending.server, key(vending).sts.assume_role(**given, DurationSeconds=3_600))
    remaining = answer["Credentials"]["Expiration"] - datetime.fromtimestamp(vending.server.clock.now() / 1000, UTC)
    assert 880 < remaining.total_seconds() <= 900
    short_lived, long_lived, own = caller.connects(ann.arn), longer.connects(ann.arn), ann.connects()

    vending.server.clock.advance(ms=901_000)

    assert short_lived.closed() == 1001
    with answered("ExpiredTokenException", "The security token included in the request is expired"):
        caller.messaging.list_channels(AppInstanceArn=app.arn, ChimeBearer=ann.arn)
    with answered("ExpiredToken"):
        caller.sts.get_caller_identity()
    assert caller.refused_with(ann.arn) == 4401
    longer.messaging.list_channels(AppInstanceArn=app.arn, ChimeBearer=ann.arn)
    lobby = ann.makes_channel()
    ann.sends(lobby, "still here")
    for session in (long_lived, own):
        assert session.until("CREATE_CHANNEL_MESSAGE")
        session.close()


def test_a_deleted_role_ends_its_sessions(own_vending: Vending) -> None:
    vending = own_vending
    app = vending.app
    ann = app.user("ann")
    role, other = made(vending, trusting(SOMEBODY)), made(vending, trusting(SOMEBODY))
    caller, remaining = key(vending).assumes(role), key(vending).assumes(other)
    live, unconcerned = caller.connects(ann.arn), remaining.connects(ann.arn)

    assert campana(vending.server, "roles", "delete", role) == 0

    with answered("UnrecognizedClientException"):
        caller.messaging.list_channels(AppInstanceArn=app.arn, ChimeBearer=ann.arn)
    vending.server.clock.advance(ms=2_000)
    assert live.closed() == 4401
    lobby = ann.makes_channel()
    assert unconcerned.until("CREATE_CHANNEL_MEMBERSHIP", ChannelArn=lobby)
    unconcerned.close()
    make_role(vending.server, vending.folder, role, trusting(SOMEBODY), EVERYTHING)  # another of the same name
    with answered("UnrecognizedClientException"):
        caller.messaging.list_channels(AppInstanceArn=app.arn, ChimeBearer=ann.arn)


def test_sessions_outlive_a_restart(own_vending: Vending) -> None:
    caller = key(own_vending).assumes(made(own_vending, trusting(SOMEBODY)))
    own_vending.server.stop()
    own_vending.server.start()
    assert caller.messaging.get_messaging_session_endpoint()["Endpoint"]


def test_a_token_belongs_to_its_key(vending: Vending, make: Any) -> None:
    caller = key(vending)
    role = make(trusting(SOMEBODY))
    one, two = caller.assumes(role), caller.assumes(role)
    assert one.key != two.key
    for forged in (
        Principal(vending.server, one.key, one.secret, two.token),
        Principal(vending.server, one.key, one.secret, None),
        Principal(vending.server, one.key, one.secret, "no token"),
        Principal(vending.server, caller.key, caller.secret, one.token),
        Principal(vending.server, one.key, one.secret, (one.token or "")[:-4] + "AAAA"),
    ):
        with answered("UnrecognizedClientException"):
            forged.messaging.get_messaging_session_endpoint()
    with answered("InvalidSignatureException"):
        Principal(vending.server, one.key, two.secret, one.token).messaging.get_messaging_session_endpoint()


@pytest.mark.parametrize(("trust", "may"), [({}, EVERYTHING), (trusting("*"), {"Version": "2012-10-17"})])
def test_roles_of_the_settings_whose_policies_are_none(tmp_path: Path, trust: Any, may: Any) -> None:
    (tmp_path / "trust.json").write_text(json.dumps(trust))
    (tmp_path / "may.json").write_text(json.dumps(may))
    (tmp_path / "campana.toml").write_text('[[roles]]\nname = "bad"\ntrust = "trust.json"\npolicy = "may.json"')
    settings = load(tmp_path / "campana.toml", {}, {})
    with pytest.raises(SetupError, match="the policies of the role bad cannot be used"):
        configured_roles(settings)


# Parameters.


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"DurationSeconds": 899}, "ValidationError"),
        ({"DurationSeconds": 43_201}, "ValidationError"),
        ({"RoleSessionName": "x"}, "ValidationError"),
        ({"RoleSessionName": "a b"}, "ValidationError"),
        ({"RoleArn": "role/x"}, "ValidationError"),
        ({"RoleArn": "arn:aws:iam::123456789012:user/x"}, "ValidationError"),
        ({"Policy": "{}"}, "MalformedPolicyDocument"),
        ({"Policy": json.dumps(policy(allow("*", on=["arn:aws:chime:*"] * 200)))}, "ValidationError"),
        ({"PolicyArns": [{"arn": "arn:aws:iam::aws:policy/AdministratorAccess"}]}, "ValidationError"),
        ({"SourceIdentity": "ann"}, "ValidationError"),
        ({"SerialNumber": "mfa", "TokenCode": "123456"}, "ValidationError"),
        ({"Tags": tag_list(a="x", A="y")}, "InvalidParameterValue"),
        ({"Tags": tag_list(**{"aws:x": "y"})}, "ValidationError"),
        ({"Tags": tag_list(x="<y>")}, "ValidationError"),
        ({"Tags": [{"Key": f"k{number}", "Value": "v"} for number in range(51)]}, "ValidationError"),
        ({"TransitiveTagKeys": ["x"]}, "InvalidParameterValue"),
    ],
)
def test_parameters(vending: Vending, make: Any, parameters: dict[str, Any], code: str) -> None:
    role = make(trusting(SOMEBODY, action="sts:*"))
    sts = Principal.with_key(vending.server, EVERYTHING).client("sts", validates=False)
    with answered(code, status=400):
        sts.assume_role(**({"RoleArn": arn_of(role), "RoleSessionName": "test"} | parameters))


def test_what_fits_at_most(vending: Vending, make: Any) -> None:
    role = make(trusting(SOMEBODY, action="sts:*"))
    caller = key(vending)
    resources = [f"arn:aws:chime:us-east-1:123456789012:app-instance/{number}" for number in range(33)]
    long = json.dumps(policy(allow("*"), allow("chime:*", on=resources)), separators=(",", ":"))
    assert 1_900 < len(long) <= 2_048
    tags = [{"Key": f"{number}".rjust(128, "k"), "Value": f"{number}".rjust(256, "v")} for number in range(50)]
    answer = caller.sts.assume_role(RoleArn=arn_of(role), RoleSessionName="x" * 64, Policy=long, Tags=tags)
    assert 0 < answer["PackedPolicySize"] <= 100
    full = Principal.vended(vending.server, answer)
    assert full.messaging.get_messaging_session_endpoint()["Endpoint"]


def test_refusals_of_the_first_gate(vending: Vending) -> None:
    for principal, code in (
        (Principal(vending.server, "CAMPAKIANOBODY", "x"), "InvalidClientTokenId"),
        (Principal(vending.server, key(vending).key, "x"), "SignatureDoesNotMatch"),
    ):
        with answered(code):
            principal.sts.get_caller_identity()


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"Action=GetCallerIdentity&Version=2011-06-15", 403, "MissingAuthenticationToken"),
        (b"Action=GetFederationToken&Version=2011-06-15", 400, "InvalidAction"),
        (b"Action=GetCallerIdentity&Version=2010-01-01", 400, "InvalidAction"),
        (b"Version=2011-06-15", 400, "MissingAction"),
        (b"", 400, "MissingAction"),
        (b"Action=GetCallerIdentity&Action=AssumeRole", 400, "MalformedInput"),
        (b"\xff\xfe", 400, "MalformedInput"),
        (b"Action=%ff", 400, "MalformedInput"),
        (b"&".join(b"a%d=x" % number for number in range(501)), 400, "MalformedInput"),
        (b"Action=AssumeRoleWithWebIdentity", 400, "ValidationError"),
        (b"Action=<x>&Version=]]>", 400, "InvalidAction"),
    ],
)
def test_requests_that_are_none(vending: Vending, body: bytes, status: int, code: str) -> None:
    request = urllib.request.Request(vending.server.url, body, method="POST")
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(request)
    text = error.value.read().decode()
    assert error.value.code == status
    assert f"<Code>{code}</Code>" in text
    assert "<RequestId>" in text


def test_a_presigned_get_tells_who_one_is(vending: Vending) -> None:
    """How clusters prove an identity to each other."""
    caller = key(vending)
    url = caller.sts.generate_presigned_url("get_caller_identity", ExpiresIn=60, HttpMethod="GET")
    with urllib.request.urlopen(url) as answer:
        assert SOMEBODY in answer.read().decode()


def test_a_signature_for_one_service_is_none_for_the_other(vending: Vending) -> None:
    caller = key(vending)
    session = get_session()
    session.set_credentials(caller.key, caller.secret)
    config = Config(retries={"total_max_attempts": 1})
    sts = session.create_client("sts", "us-east-1", endpoint_url=vending.server.url, config=config)
    sts._request_signer._signing_name = "chime"
    with answered("SignatureDoesNotMatch", "Credential should be scoped to correct service: 'sts'"):
        sts.get_caller_identity()


def test_the_way_through_profiles(vending: Vending, make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`role_arn` and `source_profile` in ~/.aws/config, as the AWS CLI and boto3 read them."""
    caller, role = key(vending), make(trusting(SOMEBODY))
    file = vending.folder / "config"
    file.write_text(
        f"""
[profile backend]
aws_access_key_id = {caller.key}
aws_secret_access_key = {caller.secret}
[profile chat]
role_arn = {arn_of(role)}
source_profile = backend
region = us-east-1
"""
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", vending.server.url)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    messaging = boto3.Session(profile_name="chat").client("chime-sdk-messaging", endpoint_url=vending.server.url)
    assert messaging.get_messaging_session_endpoint()["Endpoint"]
