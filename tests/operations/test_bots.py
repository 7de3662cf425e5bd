from typing import Any

import pytest

from tests.harness import App, client, refused
from tests.operations.helpers import LEX, answered, bot, counted, during, rest_of, rows

AUTO = {"StandardMessages": "AUTO", "TargetedMessages": "ALL"}


def create(app: App, **members: Any) -> dict[str, Any]:
    return app.identity.create_app_instance_bot(**{"AppInstanceArn": app.arn, "Configuration": {"Lex": LEX}, **members})


def described(app: App, arn: str) -> dict[str, Any]:
    return app.identity.describe_app_instance_bot(AppInstanceBotArn=arn)["AppInstanceBot"]


# Creating, describing and updating


def test_a_bot_is_created_described_updated_and_listed(app: App) -> None:
    with during(app.server) as just_now:
        made = answered(201, create(app, Name="Helper", Metadata="m"))
        arn = made["AppInstanceBotArn"]
        found = app.identity.describe_app_instance_bot(AppInstanceBotArn=arn)["AppInstanceBot"]

        just_now(created := found["CreatedTimestamp"])
    assert list(made) == ["AppInstanceBotArn"]
    assert arn.startswith(f"{app.arn}/bot/")
    assert found == {
        "AppInstanceBotArn": arn,
        "Name": "Helper",
        "Configuration": {"Lex": {**LEX, "InvokedBy": AUTO}},
        "CreatedTimestamp": created,
        "LastUpdatedTimestamp": created,
        "Metadata": "m",
    }
    updated = app.identity.update_app_instance_bot(AppInstanceBotArn=arn, Name="New", Metadata="")
    assert answered(200, updated) == {"AppInstanceBotArn": arn}
    found = described(app, arn)
    assert (found["Name"], found["Configuration"]) == ("New", {"Lex": {**LEX, "InvokedBy": AUTO}})
    assert "Metadata" not in found
    assert found["LastUpdatedTimestamp"] >= found["CreatedTimestamp"] == created
    assert answered(200, app.identity.list_app_instance_bots(AppInstanceArn=app.arn)) == {
        "AppInstanceArn": app.arn,
        "AppInstanceBots": [{"AppInstanceBotArn": arn, "Name": "New"}],
    }


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({}, {"InvokedBy": AUTO}),
        (
            {"RespondsTo": "STANDARD_MESSAGES"},
            {
                "RespondsTo": "STANDARD_MESSAGES",
                "InvokedBy": {"StandardMessages": "ALL", "TargetedMessages": "NONE"},
            },
        ),
        *(
            ({"InvokedBy": invoked_by}, {"InvokedBy": invoked_by})
            for invoked_by in (
                {"StandardMessages": standard, "TargetedMessages": targeted}
                for standard in ("AUTO", "ALL", "MENTIONS", "NONE")
                for targeted in ("ALL", "NONE")
            )
        ),
        (
            {"RespondsTo": "STANDARD_MESSAGES", "InvokedBy": AUTO, "WelcomeIntent": "Welcome_Intent"},
            {"RespondsTo": "STANDARD_MESSAGES", "InvokedBy": AUTO, "WelcomeIntent": "Welcome_Intent"},
        ),
    ],
    ids=str,
)
def test_what_invokes_a_bot_is_always_said(app: App, given: dict[str, Any], shown: dict[str, Any]) -> None:
    arn = create(app, Configuration={"Lex": {**LEX, **given}})["AppInstanceBotArn"]
    other = create(app)["AppInstanceBotArn"]

    app.identity.update_app_instance_bot(
        AppInstanceBotArn=other, Name="", Metadata="", Configuration={"Lex": {**LEX, **given}}
    )

    assert described(app, arn)["Configuration"] == described(app, other)["Configuration"] == {"Lex": {**LEX, **shown}}


def test_a_bot_needs_no_name(app: App) -> None:
    ann = app.user("ann")
    arn = create(app)["AppInstanceBotArn"]
    channel = ann.makes_channel(MemberArns=[arn])
    heard = ann.connects()

    app.messaging.send_channel_message(
        ChannelArn=channel, ChimeBearer=arn, Content="hello", Type="STANDARD", Persistence="PERSISTENT"
    )

    assert "Name" not in described(app, arn)
    assert app.identity.list_app_instance_bots(AppInstanceArn=app.arn)["AppInstanceBots"] == [
        {"AppInstanceBotArn": arn}
    ]
    assert heard.next().payload["Sender"] == {"Arn": arn, "Name": ""}


@pytest.mark.parametrize(
    "members",
    [
        {"Name": "n" * 257},
        {"Name": "\0"},
        {"Metadata": "m" * 1025},
        {"Metadata": "a\nb"},
        {"Configuration": {}},
        {"Configuration": {"Lex": {"LocaleId": "en_US"}}},
        {"Configuration": {"Lex": {"LexBotAliasArn": LEX["LexBotAliasArn"]}}},
        {"Configuration": {"Lex": {**LEX, "LexBotAliasArn": "arn:aws:lex:us-east-1:123456789012:bot:x"}}},
        {"Configuration": {"Lex": {**LEX, "WelcomeIntent": "1"}}},
        {"Configuration": {"Lex": {**LEX, "WelcomeIntent": "Two__Underscores"}}},
        {"Configuration": {"Lex": {**LEX, "WelcomeIntent": "a" * 101}}},
        {"Configuration": {"Lex": {**LEX, "RespondsTo": "ALL"}}},
        {"Configuration": {"Lex": {**LEX, "InvokedBy": {}}}},
        {"Configuration": {"Lex": {**LEX, "InvokedBy": {"StandardMessages": "ALL"}}}},
        {"Configuration": {"Lex": {**LEX, "InvokedBy": {"StandardMessages": "SOME", "TargetedMessages": "ALL"}}}},
    ],
    ids=lambda members: str(members)[:60],
)
def test_what_breaks_a_shape_is_a_bad_request(app: App, members: dict[str, Any]) -> None:
    sends_anything = client("chime-sdk-identity", app.server.url, validates=False)
    arn = create(app, Name="Helper")["AppInstanceBotArn"]

    with refused("BadRequest"):
        sends_anything.create_app_instance_bot(**{"AppInstanceArn": app.arn, "Configuration": {"Lex": LEX}, **members})
    with refused("BadRequest"):
        sends_anything.update_app_instance_bot(**{"AppInstanceBotArn": arn, "Name": "New", "Metadata": "m", **members})

    assert described(app, arn)["Name"] == "Helper"
    assert rows(app.server, "identities", app_instance_arn=app.arn) == 1


def test_a_repeated_token_gets_the_first_answer(app: App) -> None:
    first = create(app, Name="Helper", ClientRequestToken="token")
    again = create(app, Name="Helper", ClientRequestToken="token")

    assert answered(201, first) == answered(201, again)
    with refused("Conflict"):
        create(app, Name="Other", ClientRequestToken="token")
    assert rows(app.server, "identities", app_instance_arn=app.arn) == 1


def test_a_bot_that_is_not_there(app: App) -> None:
    user = app.user("user").arn
    gone = create(app)["AppInstanceBotArn"]
    app.identity.delete_app_instance_bot(AppInstanceBotArn=gone)

    for arn in (gone, f"{app.arn}/bot/nobody", user, app.arn):
        with refused("NotFound"):
            app.identity.describe_app_instance_bot(AppInstanceBotArn=arn)
        with refused("Forbidden"):
            app.identity.update_app_instance_bot(AppInstanceBotArn=arn, Name="", Metadata="")
        with refused("Forbidden"):
            app.identity.delete_app_instance_bot(AppInstanceBotArn=arn)
    with refused("Forbidden"):
        app.identity.describe_app_instance_user(AppInstanceUserArn=create(app)["AppInstanceBotArn"])
    for call in (create, lambda app, **more: app.identity.list_app_instance_bots(**more)):
        with refused("Forbidden"):
            call(app, AppInstanceArn=f"{app.arn[:-4]}0000")


# Bots that take part


def test_a_bot_bears_calls_and_holds_every_role(app: App) -> None:
    ann, bob = app.users("ann", "bob")
    helper = bot(app, "helper")
    heard = ann.connects()

    own = helper.makes_channel(members=[ann])
    sent = helper.sends(own, "welcome")
    helper.update_channel_message(ChannelArn=own, MessageId=sent, Content="Welcome!")
    helper.create_channel_ban(ChannelArn=own, MemberArn=bob.arn)
    app.identity.create_app_instance_admin(AppInstanceArn=app.arn, AppInstanceAdminArn=helper.arn)
    other = ann.makes_channel()
    helper.delete_channel(ChannelArn=other)

    found = helper.describe_channel(ChannelArn=own)["Channel"]["CreatedBy"]
    assert found == {"Arn": helper.arn, "Name": "Helper"}
    event = heard.until("CREATE_CHANNEL_MESSAGE")[-1]
    assert event.payload["Sender"] == {"Arn": helper.arn, "Name": "Helper"}
    heard.until("DELETE_CHANNEL")


def test_a_message_may_be_targeted_at_a_bot(app: App) -> None:
    ann, bob, helper = app.user("ann"), app.user("bob"), bot(app, "helper")
    channel = ann.makes_channel(members=[bob, helper])

    sent = ann.sends(channel, "psst", Target=[{"MemberArn": helper.arn}])
    reply = helper.sends(channel, "yes?", Target=[{"MemberArn": ann.arn}])

    for user in (ann, helper):
        assert [each["MessageId"] for each in user.reads(channel)] == [reply, sent]
    assert bob.reads(channel) == []


# Deleting and listing


def test_a_deleted_bot_can_do_nothing_and_leaves_its_channels(app: App) -> None:
    ann, helper = app.user("ann"), bot(app, "helper")
    channel = ann.makes_channel(members=[helper], ModeratorArns=[helper.arn])
    banning = ann.makes_channel()
    ann.create_channel_ban(ChannelArn=banning, MemberArn=helper.arn)
    app.identity.create_app_instance_admin(AppInstanceArn=app.arn, AppInstanceAdminArn=helper.arn)
    helper.sends(channel, "hello")
    heard = ann.connects()

    answered(204, app.identity.delete_app_instance_bot(AppInstanceBotArn=helper.arn))

    with refused("Forbidden"):
        helper.sends(channel, "hello")
    app.server.settle()
    event = heard.next()
    assert (event.type, event.payload["Member"]) == (
        "DELETE_CHANNEL_MEMBERSHIP",
        {"Arn": helper.arn, "Name": "Helper"},
    )
    assert [each["Sender"]["Name"] for each in ann.reads(channel)] == ["Helper"], "the last name stays"
    for table, column in (
        ("memberships", "member_arn"), ("moderators", "moderator_arn"), ("bans", "member_arn"),
        ("admins", "admin_arn"), ("counts", "owner"),
    ):  # fmt: skip
        assert rows(app.server, table, **{column: helper.arn}) == 0, table
    assert counted(app.server, channel, "memberships") == counted(app.server, channel, "moderators") == 1
    assert counted(app.server, app.arn, "admins") == 0


def test_bots_are_listed_to_the_end_while_they_come_and_go(app: App) -> None:
    made = [bot(app, f"bot{number}") for number in range(5)]
    app.user("user")
    listing = app.identity.list_app_instance_bots

    first = listing(AppInstanceArn=app.arn, MaxResults=2)
    for each in (made[0], made[2]):
        app.identity.delete_app_instance_bot(AppInstanceBotArn=each.arn)
    bot(app, "bot5")
    rest = rest_of(listing, "AppInstanceBots", first, AppInstanceArn=app.arn, MaxResults=1)

    found = [each["Name"] for each in [*first["AppInstanceBots"], *rest]]
    assert found == ["Bot0", "Bot1", "Bot3", "Bot4", "Bot5"]
