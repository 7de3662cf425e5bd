"""Access keys made by command beside a running server: what they open, when they stop, and where secrets are not."""

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from campana import arn, log
from campana.auth.policy import parse
from campana.auth.user_policy import user_policy
from campana.settings import LogFormat, LogLevel
from tests import stores
from tests.auth.principals import Principal, allow, answered, arn_of, campana, make_role, policy, trusting
from tests.harness import KEY, SECRET, App, RunningServer, running


def created(server: RunningServer, capsys: pytest.CaptureFixture[str], *words: str) -> Principal:
    """Who signs with a key that `campana keys create` made."""
    capsys.readouterr()
    assert campana(server, "keys", "create", *words, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    return Principal(server, answer["AccessKeyId"], answer["SecretAccessKey"])


def listed(server: RunningServer, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    assert campana(server, "keys", "list", "--json") == 0
    return {key["AccessKeyId"]: key for key in json.loads(capsys.readouterr().out)}


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RunningServer]:
    """Its clock may be moved."""
    with running(tmp_path, **{"auth.clock_skew_s": 86_400}) as server:
        yield server


def test_a_users_key_is_good_for_that_user_at_once(server: RunningServer, app: App, capsys: Any) -> None:
    ann, bob = app.users("ann", "bob")
    lobby = bob.makes_channel(members=[ann])
    caller = created(server, capsys, "--user", ann.arn)

    assert caller.arn == "arn:aws:iam::123456789012:user/ann"
    caller.messaging.get_messaging_session_endpoint()
    heard = caller.connects(ann.arn)
    sent = {"ChannelArn": lobby, "Content": "hi", "Type": "STANDARD", "Persistence": "PERSISTENT"}
    caller.messaging.send_channel_message(ChimeBearer=ann.arn, **sent)
    assert heard.next().payload["Content"] == "hi"
    heard.close()
    mine = caller.messaging.create_channel(AppInstanceArn=app.arn, Name="Mine", ChimeBearer=ann.arn)["ChannelArn"]
    flow = app.flow("arn:aws:lambda:us-east-1:123456789012:function:f")
    caller.messaging.associate_channel_flow(ChannelArn=mine, ChannelFlowArn=flow, ChimeBearer=ann.arn)
    assert caller.identity.describe_app_instance_user(AppInstanceUserArn=ann.arn)
    with answered("AccessDeniedException", bob.arn):
        caller.messaging.send_channel_message(ChimeBearer=bob.arn, **sent)
    with answered("ForbiddenException"):  # the third gate: ann is no moderator there
        caller.messaging.delete_channel(ChannelArn=lobby, ChimeBearer=ann.arn)
    for call, members in (
        (caller.identity.create_app_instance_admin, {"AppInstanceArn": app.arn, "AppInstanceAdminArn": ann.arn}),
        (caller.identity.list_app_instance_users, {"AppInstanceArn": app.arn}),
        (caller.identity.describe_app_instance_user, {"AppInstanceUserArn": bob.arn}),
        (caller.identity.list_app_instances, {}),
        (caller.messaging.tag_resource, {"ResourceARN": lobby, "Tags": [{"Key": "a", "Value": "b"}]}),
        (caller.sts.assume_role, {"RoleArn": arn_of("any"), "RoleSessionName": "ann"}),
    ):
        with pytest.raises(Exception, match="AccessDenied"):
            call(**members)


def test_an_admins_key_may_everything_in_chime(server: RunningServer, app: App, capsys: Any) -> None:
    ann = app.user("ann")
    caller = created(server, capsys, "--admin")
    assert caller.arn.endswith(":user/admin")
    caller.identity.create_app_instance_admin(AppInstanceArn=app.arn, AppInstanceAdminArn=ann.arn)
    caller.messaging.create_channel(AppInstanceArn=app.arn, Name="Lobby", ChimeBearer=ann.arn)
    with answered("AccessDenied", "sts:AssumeRole"):
        caller.assumes("any")


def test_a_key_with_a_policy_of_ones_own(server: RunningServer, app: App, tmp_path: Path, capsys: Any) -> None:
    ann = app.user("ann")
    file = tmp_path / "lister.json"
    file.write_text(json.dumps(policy(allow("chime:ListChannels", on=f"{app.arn}/user/${{aws:PrincipalTag/Id}}"))))
    caller = created(server, capsys, "--policy", str(file), "--tag", "Id=ann", "--tag", "team=a=b")

    caller.messaging.list_channels(AppInstanceArn=app.arn, ChimeBearer=ann.arn)
    with answered("AccessDeniedException", "User: arn:aws:iam::123456789012:user/lister is not authorized"):
        caller.messaging.create_channel(AppInstanceArn=app.arn, Name="Lobby", ChimeBearer=ann.arn)
    found = listed(server, capsys)[caller.key]
    assert (found["Tags"], found["RevokedAt"]) == ({"Id": "ann", "team": "a=b"}, None)
    assert found["Policies"] == [json.loads(file.read_text())]
    assert "secret" not in json.dumps(found).lower()


def test_a_revoked_key_stops_at_once_and_its_sessions_end(own_server: RunningServer, capsys: Any) -> None:
    server = own_server
    app = App(server)
    ann = app.user("ann")
    caller, other = (created(server, capsys, "--user", ann.arn) for _ in range(2))
    session_of_it = Principal.vended(
        server, Principal.with_key(server, policy(allow("*"))).sts.get_session_token()
    )  # of another key, which stays
    live, unconcerned, temporary = caller.connects(ann.arn), other.connects(ann.arn), session_of_it.connects(ann.arn)

    assert campana(server, "keys", "revoke", caller.key) == 0

    with answered("UnrecognizedClientException"):
        caller.messaging.list_channels(AppInstanceArn=app.arn, ChimeBearer=ann.arn)
    assert caller.refused_with(ann.arn) == 4401
    server.clock.advance(ms=2_000)
    assert live.closed() == 4401
    lobby = ann.makes_channel()
    for session in (unconcerned, temporary):
        session.until("CREATE_CHANNEL_MEMBERSHIP", ChannelArn=lobby)
        session.close()
    assert listed(server, capsys)[caller.key]["RevokedAt"]
    assert campana(server, "keys", "revoke", caller.key) == 1  # not twice


def test_a_session_of_a_revoked_key_ends_with_it(own_server: RunningServer, capsys: Any) -> None:
    ann = App(own_server).user("ann")
    parent = Principal.with_key(own_server, policy(allow("*")))
    live = Principal.vended(own_server, parent.sts.get_session_token()).connects(ann.arn)
    campana(own_server, "keys", "revoke", parent.key)
    own_server.clock.advance(ms=2_000)
    assert live.closed() == 4401


@pytest.mark.parametrize("mode", ["sigv4", "none"])
def test_sessions_of_the_servers_own_keys_stay(tmp_path: Path, mode: str) -> None:
    with running(tmp_path, **{"auth.mode": mode}) as server:
        ann = App(server).user("ann")
        live = Principal(server, KEY if mode == "sigv4" else "whoever", SECRET).connects(ann.arn)
        for _ in range(3):
            server.clock.advance(ms=2_000)
            server.run(server.server._sessions.review(server.server._keys.lost))
        lobby = ann.makes_channel()
        live.until("CREATE_CHANNEL_MEMBERSHIP", ChannelArn=lobby)
        live.close()


def test_secrets_are_nowhere_but_with_their_owner(tmp_path: Path, capsys: Any) -> None:
    lines = io.StringIO()
    before = logging.root.handlers[:]
    log.configure(LogFormat.JSON, LogLevel.DEBUG, lines)
    try:
        with running(tmp_path) as server:
            ann = App(server).user("ann")
            caller = created(server, capsys, "--user", ann.arn)
            backend = Principal.with_key(server, policy(allow("*")))
            make_role(server, tmp_path, "chat", trusting("*"), policy(allow("*")))
            session = backend.assumes("chat")
            session.connects(ann.arn).close()
            session.messaging.get_messaging_session_endpoint()
            for wrong in (
                Principal(server, caller.key, "x" + caller.secret),
                Principal(server, session.key, "x", session.token),
            ):
                with pytest.raises(Exception, match="InvalidSignature"):
                    wrong.messaging.get_messaging_session_endpoint()
            kept = stores.contents(tmp_path / "data")
    finally:
        logging.root.handlers[:] = before
    assert caller.key.encode() in kept
    assert session.token is not None
    for secret in (caller.secret, backend.secret, session.secret, session.token, SECRET):
        assert secret.encode() not in kept
        assert secret not in lines.getvalue()
    assert "session.established" in lines.getvalue()
    key_file = tmp_path / "data" / "secrets.key"
    assert key_file.stat().st_mode & 0o077 == 0
    assert key_file.read_bytes().strip() not in kept
    everything = b"".join(file.read_bytes() for file in (tmp_path / "data").rglob("*") if file.is_file())
    assert caller.secret.encode() not in everything


@pytest.mark.sqlite  # a node with another key does not even start beside others
def test_keys_survive_a_restart_but_not_the_loss_of_the_key_of_secrets(tmp_path: Path, capsys: Any) -> None:
    lines = io.StringIO()
    before = logging.root.handlers[:]
    log.configure(LogFormat.TEXT, LogLevel.INFO, lines)
    try:
        with running(tmp_path) as server:
            caller = created(server, capsys, "--admin")
            server.stop()
            server.start()
            caller.identity.list_app_instances()
            server.stop()
            (tmp_path / "data" / "secrets.key").unlink()
            server.start()
            assert "credentials.key_changed" in lines.getvalue()
            with answered("UnrecognizedClientException"):
                caller.identity.list_app_instances()
            created(server, capsys, "--admin").identity.list_app_instances()
    finally:
        logging.root.handlers[:] = before


def test_a_command_with_another_key_of_secrets_makes_nothing(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("CAMPANA_SECRETS_KEY", "another key of secrets, long enough")
    assert campana(server, "keys", "create", "--admin") == 1
    assert "sealed with another key" in capsys.readouterr().err


def test_a_key_sealed_for_another_row_opens_nothing(server: RunningServer) -> None:
    one, two = (Principal.with_key(server, policy(allow("*"))) for _ in range(2))
    server.writes(
        lambda tx: tx.run(
            "UPDATE access_keys SET secret = (SELECT secret FROM access_keys WHERE id = :one) WHERE id = :two",
            one=one.key,
            two=two.key,
        )
    )
    with answered("UnrecognizedClientException"):
        Principal(server, two.key, one.secret).identity.list_app_instances()


def test_a_stored_policy_that_cannot_be_read_lets_nobody_in(server: RunningServer) -> None:
    caller = Principal.with_key(server, {"Statement": "of another time"})
    with answered("UnrecognizedClientException"):
        caller.identity.list_app_instances()


def test_the_policy_of_a_user_is_a_policy() -> None:
    user = arn.parse("arn:aws:chime:us-east-1:123456789012:app-instance/AI/user/us-east-1:ann@example.com")
    assert len(parse(user_policy(user)).statements) == 3
