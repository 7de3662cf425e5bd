"""Which refusal comes when several are due: shape, role, argument, state, quota, in this order."""

from collections.abc import Callable
from typing import Any

import pytest

from campana import limits
from tests.harness import App, User, refused
from tests.operations.helpers import counted, rows, set_limit


@pytest.fixture
def full(app: App) -> tuple[User, User, User, str]:
    """Ann, who made the channel, Bob, a member and moderator, an outsider, and the channel; nothing more fits."""
    ann, bob, outsider = app.users("ann", "bob", "outsider")
    app.identity.create_app_instance_admin(AppInstanceArn=app.arn, AppInstanceAdminArn=ann.arn)
    channel = ann.makes_channel(members=[bob], ModeratorArns=[bob.arn], ChannelId="lobby")
    for what, owner in (
        ("users", app.arn),
        ("admins", app.arn),
        ("channels", app.arn),
        ("memberships", channel),
        ("moderators", channel),
    ):
        set_limit(app.server, app.arn, limits.QUOTAS[what].name, counted(app.server, owner, what))
    return ann, bob, outsider, channel


def member(user: User, channel: str, whom: str, **more: Any) -> Callable[[], Any]:
    return lambda: user.create_channel_membership(ChannelArn=channel, MemberArn=whom, Type="DEFAULT", **more)


def test_a_shape_is_refused_before_a_role(full: tuple[User, User, User, str]) -> None:
    _, _, outsider, channel = full

    with refused("BadRequest"):
        outsider.update_channel(ChannelArn=channel, Name="n" * 257)
    with refused("BadRequest"):
        outsider.create_channel_ban(ChannelArn=channel, MemberArn="nonsense")


def test_a_role_is_refused_before_an_argument(full: tuple[User, User, User, str]) -> None:
    ann, _, outsider, channel = full
    nobody = f"{ann.app.arn}/user/nobody"

    for call in (
        member(outsider, channel, nobody),
        lambda: outsider.create_channel_moderator(ChannelArn=channel, ChannelModeratorArn=nobody),
        lambda: outsider.create_channel_ban(ChannelArn=channel, MemberArn=nobody),
        lambda: outsider.describe_channel_ban(ChannelArn=channel, MemberArn=nobody),
        lambda: outsider.sends(channel, "hello", Target=[{"MemberArn": nobody}]),
    ):
        with refused("Forbidden"):
            call()


def test_an_argument_is_refused_before_a_state(full: tuple[User, User, User, str]) -> None:
    ann, _, _, channel = full

    for arguments in (
        {"MemberArns": [f"{ann.app.arn}/user/nobody"]},
        {"ModeratorArns": [f"{ann.app.arn}/user/nobody"]},
        {"Tags": [{"Key": "aws:x", "Value": "v"}]},
    ):
        with refused("BadRequest"):
            ann.makes_channel(ChannelId="lobby", **arguments)
    with refused("BadRequest"):
        ann.app.identity.create_app_instance_user(
            AppInstanceArn=ann.app.arn, AppInstanceUserId="bob", Name="Bob", Tags=[{"Key": "aws:x", "Value": "v"}]
        )
    assert rows(ann.app.server, "memberships", channel_arn=channel) == 2


def test_a_state_is_refused_before_a_quota(full: tuple[User, User, User, str]) -> None:
    ann, bob, outsider, channel = full
    app = ann.app

    def moderator(whom: User) -> Callable[[], Any]:
        return lambda: ann.create_channel_moderator(ChannelArn=channel, ChannelModeratorArn=whom.arn)

    def admin(whom: User) -> Callable[[], Any]:
        one = {"AppInstanceArn": app.arn, "AppInstanceAdminArn": whom.arn}
        return lambda: app.identity.create_app_instance_admin(**one)

    for there, not_there in (
        (member(ann, channel, bob.arn), member(ann, channel, outsider.arn)),
        (moderator(bob), moderator(outsider)),
        (admin(ann), admin(outsider)),
        (lambda: ann.makes_channel(ChannelId="lobby"), lambda: ann.makes_channel(ChannelId="another")),
        (lambda: app.user("bob"), lambda: app.user("another")),
    ):
        with refused("Conflict"):
            there()
        with refused("ResourceLimitExceeded"):
            not_there()


def test_what_is_repeated_gets_its_answer_before_a_state_or_a_quota_is_looked_at(app: App) -> None:
    ann = app.user("ann")
    once = {"AppInstanceArn": app.arn, "Name": "Lobby", "ChannelId": "lobby", "ClientRequestToken": "token"}
    first = ann.create_channel(**once)["ChannelArn"]
    set_limit(app.server, app.arn, limits.QUOTAS["channels"].name, 1)

    assert ann.create_channel(**once)["ChannelArn"] == first
    with refused("Conflict"):
        ann.create_channel(**{**once, "Name": "Other"})
    with refused("Conflict"):
        ann.create_channel(**{**once, "ClientRequestToken": "another"})
