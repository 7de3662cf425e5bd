import json
from typing import Any

import pytest

from tests.harness import App, User, client, refused
from tests.operations.helpers import answered, bot


@pytest.fixture
def lobby(app: App) -> tuple[User, User, str]:
    """Ann, who made the channel, Bob, a member, and the channel."""
    ann, bob = app.users("ann", "bob")
    return ann, bob, ann.makes_channel(members=[bob], Privacy="PUBLIC")


def push(allow: str, rule: Any = None) -> dict[str, Any]:
    found = {"AllowNotifications": allow}
    if rule is not None:
        found["FilterRule"] = rule if isinstance(rule, str) else json.dumps(rule)
    return {"PushNotifications": found}


def put(user: User, channel: str, preferences: dict[str, Any]) -> dict[str, Any]:
    return user.put_channel_membership_preferences(ChannelArn=channel, MemberArn=user.arn, Preferences=preferences)


def got(user: User, channel: str) -> dict[str, Any]:
    return user.get_channel_membership_preferences(ChannelArn=channel, MemberArn=user.arn)["Preferences"]


@pytest.mark.parametrize(
    "preferences",
    [
        push("ALL"),
        push("NONE"),
        push("FILTERED", {"topic": ["deals"]}),
        push("ALL", {"topic": ["deals"]}),
        push("NONE", {"topic": ["deals"]}),
    ],
    ids=str,
)
def test_what_is_put_is_echoed_and_got(lobby: tuple[User, User, str], preferences: dict[str, Any]) -> None:
    _, bob, channel = lobby
    expected = {
        "ChannelArn": channel,
        "Member": {"Arn": bob.arn, "Name": "Bob"},
        "Preferences": preferences,
    }

    assert answered(200, put(bob, channel, preferences)) == expected
    found = bob.get_channel_membership_preferences(ChannelArn=channel, MemberArn=bob.arn)
    assert answered(200, found) == expected


def test_preferences_that_were_never_set_are_empty_and_empty_ones_clear(lobby: tuple[User, User, str]) -> None:
    _, bob, channel = lobby

    assert got(bob, channel) == {}
    put(bob, channel, push("NONE"))
    put(bob, channel, push("FILTERED", {"topic": ["deals"]}))
    assert got(bob, channel) == push("FILTERED", {"topic": ["deals"]})
    assert answered(200, put(bob, channel, {}))["Preferences"] == {}
    assert got(bob, channel) == {}


def test_each_membership_has_its_own(lobby: tuple[User, User, str]) -> None:
    ann, bob, channel = lobby
    other = bob.makes_channel()

    put(bob, channel, push("NONE"))
    put(ann, channel, push("ALL"))

    assert (got(bob, channel), got(ann, channel), got(bob, other)) == (push("NONE"), push("ALL"), {})


def test_nobody_sets_or_gets_them_for_others(app: App, lobby: tuple[User, User, str]) -> None:
    ann, bob, channel = lobby
    admin, outsider = app.admin("admin"), app.user("outsider")

    for user, whose in ((ann, bob), (admin, bob), (outsider, bob), (admin, admin), (outsider, outsider)):
        with refused("Forbidden"):
            user.put_channel_membership_preferences(ChannelArn=channel, MemberArn=whose.arn, Preferences=push("NONE"))
        with refused("Forbidden"):
            user.get_channel_membership_preferences(ChannelArn=channel, MemberArn=whose.arn)
    assert got(bob, channel) == {}


def test_they_go_with_the_membership(lobby: tuple[User, User, str]) -> None:
    ann, bob, channel = lobby
    put(bob, channel, push("NONE"))
    ann.delete_channel_membership(ChannelArn=channel, MemberArn=bob.arn)

    with refused("Forbidden"):
        got(bob, channel)
    bob.create_channel_membership(ChannelArn=channel, MemberArn=bob.arn, Type="DEFAULT")

    assert got(bob, channel) == {}


def test_hidden_members_and_bots_have_them_too(app: App, lobby: tuple[User, User, str]) -> None:
    ann, _, channel = lobby
    ghost, helper = app.user("ghost"), bot(app, "helper")
    ann.create_channel_membership(ChannelArn=channel, MemberArn=ghost.arn, Type="HIDDEN")
    ann.create_channel_membership(ChannelArn=channel, MemberArn=helper.arn, Type="DEFAULT")

    for user in (ghost, helper):
        put(user, channel, push("NONE"))
        assert got(user, channel) == push("NONE")


def test_others_hear_nothing_of_it(lobby: tuple[User, User, str]) -> None:
    ann, bob, channel = lobby
    heard = [user.connects() for user in (ann, bob)]

    put(bob, channel, push("NONE"))
    bob.update_channel_read_marker(ChannelArn=channel)
    ann.sends(channel, "end")

    assert [session.next().type for session in heard] == ["CREATE_CHANNEL_MESSAGE"] * 2


A = "a"
RULES = [
    (True, {"a": ["x"]}),
    (True, {"a": ["x", {"anything-but": ["y", "z"]}], "b": [""]}),
    (True, {"$or": [{"a": ["x"]}, {"b": ["x"]}]}),
    (True, {"a": ["x"], "$or": [{"b": ["x"]}, {"$or": [{"c": ["x"]}, {"d": [{"anything-but": ["x"]}]}]}]}),
    (True, {"$or": [{A * n: ["x"]} for n in range(1, 6)]}),  # five constraints in an OR
    (False, {"$or": [{A * n: ["x"]} for n in range(1, 7)]}),
    (True, {"a": [A * n for n in range(1, 20)]}),  # a key and nineteen values
    (False, {"a": [A * n for n in range(1, 21)]}),
    (True, {"a": [{"anything-but": [A * n for n in range(1, 20)]}]}),
    (False, {"a": [{"anything-but": [A * n for n in range(1, 21)]}]}),
    (True, {A * n: ["x"] for n in range(1, 11)}),  # ten keys and ten values
    (False, {A * n: ["x"] for n in range(1, 11)} | {"b": ["x"]}),
    (True, '{"a":["' + "x" * 2038 + '"]}'),  # 2 KB
    (False, '{"a":["' + "x" * 2039 + '"]}'),
    (False, '{"a":["' + "é" * 1100 + '"]}'),  # bytes, not characters
    (False, {}),
    (False, []),
    (False, "null"),
    (False, "no JSON"),
    (False, '{"a":["x"]} {}'),
    (False, {"a": "x"}),
    (False, {"a": []}),
    (False, {"a": [1]}),
    (False, {"a": [None]}),
    (False, {"a": ["x", ["y"]]}),
    (False, {"a": [{"anything-but": "x"}]}),
    (False, {"a": [{"anything-but": []}]}),
    (False, {"a": [{"anything-but": [1]}]}),
    (False, {"a": [{"prefix": ["x"]}]}),
    (False, {"a": [{"anything-but": ["x"], "prefix": ["x"]}]}),
    (False, {"$or": []}),
    (False, {"$or": {"a": ["x"]}}),
    (False, {"$or": ["a"]}),
    (False, {"$or": [{}]}),
    (False, '{"$or":[' * 250),
    (False, '{"$or":[' * 230 + '{"a":["x"]}' + "]}" * 100),
]


@pytest.mark.parametrize(("valid", "rule"), RULES, ids=lambda value: str(value)[:40])
def test_filter_rules(lobby: tuple[User, User, str], valid: bool, rule: Any) -> None:
    _, bob, channel = lobby
    put(bob, channel, push("ALL"))

    if valid:
        put(bob, channel, push("FILTERED", rule))
        assert got(bob, channel) == push("FILTERED", rule)
    else:
        with refused("BadRequest"):
            put(bob, channel, push("FILTERED", rule))
        assert got(bob, channel) == push("ALL")


@pytest.mark.parametrize(
    "preferences",
    [push("FILTERED"), push("FILTERED", ""), push("LOUD"), push("LOUD", {"a": ["x"]}), {"PushNotifications": {}}],
    ids=str,
)
def test_preferences_of_another_form_are_refused(app: App, lobby: tuple[User, User, str], preferences: Any) -> None:
    _, bob, channel = lobby
    sends_anything = client("chime-sdk-messaging", app.server.url, validates=False)

    with refused("BadRequest"):
        sends_anything.put_channel_membership_preferences(
            ChannelArn=channel, MemberArn=bob.arn, ChimeBearer=bob.arn, Preferences=preferences
        )
    with refused("BadRequest"):
        sends_anything.put_channel_membership_preferences(ChannelArn=channel, MemberArn=bob.arn, ChimeBearer=bob.arn)
