from pathlib import Path

import pytest

from campana import sweeper
from campana.store.quotas import EVERYWHERE
from tests.harness import App, RunningServer, refused, running
from tests.operations.helpers import answered, counted, during, pages, rows, set_limit, whole

ACCOUNT = "123456789012"
UNKNOWN = f"arn:aws:chime:us-east-1:{ACCOUNT}:app-instance/00000000-0000-4000-8000-000000000000"


def test_an_app_instance_is_created_described_and_updated(server: RunningServer) -> None:
    identity = server.client("chime-sdk-identity")
    with during(server) as just_now:
        created = answered(201, identity.create_app_instance(Name="Shop", Metadata="m"))
        arn = created["AppInstanceArn"]
        found = answered(200, identity.describe_app_instance(AppInstanceArn=arn))["AppInstance"]

        just_now(found["CreatedTimestamp"], found["LastUpdatedTimestamp"])
    assert created == {"AppInstanceArn": arn}
    assert arn.startswith(f"arn:aws:chime:us-east-1:{ACCOUNT}:app-instance/")
    made = found["CreatedTimestamp"]
    assert found == {
        "AppInstanceArn": arn,
        "Name": "Shop",
        "Metadata": "m",
        "CreatedTimestamp": made,
        "LastUpdatedTimestamp": made,
    }

    with during(server) as just_now:
        updated = identity.update_app_instance(AppInstanceArn=arn, Name="Shop 2", Metadata="")
        changed = identity.describe_app_instance(AppInstanceArn=arn)["AppInstance"]
        just_now(changed.pop("LastUpdatedTimestamp"))
    assert answered(200, updated) == {"AppInstanceArn": arn}
    assert changed == {"AppInstanceArn": arn, "Name": "Shop 2", "CreatedTimestamp": made}, "metadata is cleared"


@pytest.mark.parametrize("members", [
    {"Name": "n" * 257},
    {"Name": "a\x01b"},
    {"Name": "n", "Metadata": "m" * 1025},
    {"Name": "n", "Metadata": "two\nlines"},
    {"Name": "n", "ClientRequestToken": "t" * 65},
    {"Name": "n", "ClientRequestToken": "no blanks"},
])  # fmt: skip
def test_what_breaks_a_shape_is_a_bad_request(server: RunningServer, members: dict[str, str]) -> None:
    identity = server.client("chime-sdk-identity")

    with refused("BadRequest"):
        identity.create_app_instance(**members)


def test_names_may_hold_any_character_of_xml_up_to_256(server: RunningServer) -> None:
    identity = server.client("chime-sdk-identity")
    name = "\t\n\r é 漢 \U0001f514".ljust(256, "x")

    arn = identity.create_app_instance(Name=name)["AppInstanceArn"]

    assert identity.describe_app_instance(AppInstanceArn=arn)["AppInstance"]["Name"] == name


def test_an_app_instance_that_is_not_there_is_forbidden(server: RunningServer) -> None:
    identity, messaging = server.client("chime-sdk-identity"), server.client("chime-sdk-messaging")

    for call in (
        lambda: identity.describe_app_instance(AppInstanceArn=UNKNOWN),
        lambda: identity.update_app_instance(AppInstanceArn=UNKNOWN, Name="n", Metadata=""),
        lambda: identity.delete_app_instance(AppInstanceArn=UNKNOWN),
        lambda: identity.list_app_instance_users(AppInstanceArn=UNKNOWN),
        lambda: identity.list_app_instance_admins(AppInstanceArn=UNKNOWN),
        lambda: identity.create_app_instance_user(AppInstanceArn=UNKNOWN, AppInstanceUserId="ann", Name="Ann"),
        lambda: messaging.list_channel_flows(AppInstanceArn=UNKNOWN),
    ):
        with refused("Forbidden"):
            call()


def test_a_repeated_token_gets_the_first_answer(server: RunningServer) -> None:
    identity = server.client("chime-sdk-identity")
    first = identity.create_app_instance(Name="one", ClientRequestToken="again-app")

    again = identity.create_app_instance(Name="one", ClientRequestToken="again-app")

    assert answered(201, again) == answered(201, first)
    with refused("Conflict"):
        identity.create_app_instance(Name="other", ClientRequestToken="again-app")


def test_all_app_instances_of_the_account_are_listed_oldest_first(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        identity = server.client("chime-sdk-identity")
        arns = []
        for n in range(7):
            arns.append(identity.create_app_instance(Name=f"app {n}", Metadata="m")["AppInstanceArn"])
            server.clock.advance(ms=1)  # those of one millisecond are ordered by their ids

        listed = pages(identity.list_app_instances, "AppInstances", MaxResults=3)

        assert [len(page) for page in listed] == [3, 3, 1]
        assert [each["AppInstanceArn"] for page in listed for each in page] == arns
        assert listed[0][0] == {"AppInstanceArn": arns[0], "Name": "app 0", "Metadata": "m"}


def test_the_quota_of_app_instances_is_kept_and_given_back(tmp_path: Path) -> None:
    with running(tmp_path, **{"quotas.app_instances_per_account": 1}) as server:
        identity = server.client("chime-sdk-identity")
        arn = identity.create_app_instance(Name="last")["AppInstanceArn"]
        with refused("ResourceLimitExceeded"):
            identity.create_app_instance(Name="one too many")

        identity.delete_app_instance(AppInstanceArn=arn)
        identity.create_app_instance(Name="fits again")

        set_limit(server, EVERYWHERE, "app-instances-per-account", 2)
        identity.create_app_instance(Name="another")
        with refused("ResourceLimitExceeded"):
            identity.create_app_instance(Name="one too many")


def test_a_deleted_app_instance_is_closed_to_everybody_at_once(app: App) -> None:
    ann = app.admin("ann")
    flow = app.flow("https://example.com/processor")
    channel = ann.makes_channel(flow=flow)
    identity = app.identity

    answered(204, identity.delete_app_instance(AppInstanceArn=app.arn))

    for call in (
        lambda: identity.describe_app_instance(AppInstanceArn=app.arn),
        lambda: identity.delete_app_instance(AppInstanceArn=app.arn),
        lambda: identity.describe_app_instance_user(AppInstanceUserArn=ann.arn),
        lambda: identity.describe_app_instance_admin(AppInstanceArn=app.arn, AppInstanceAdminArn=ann.arn),
        lambda: app.messaging.describe_channel_flow(ChannelFlowArn=flow),
        lambda: app.messaging.list_channels_associated_with_channel_flow(ChannelFlowArn=flow),
        lambda: ann.describe_channel(ChannelArn=channel),
        lambda: ann.sends(channel, "hello"),
        lambda: ann.list_channels(AppInstanceArn=app.arn),
        lambda: app.user("bob"),
    ):
        with refused("Forbidden"):
            call()
    assert app.arn not in [each["AppInstanceArn"] for each in whole(identity.list_app_instances, "AppInstances")]


@pytest.mark.parametrize("at_once", [1, 200])
def test_all_that_was_in_a_deleted_app_instance_is_removed_and_sessions_are_closed(
    app: App, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(sweeper, "BATCH", at_once)
    ann, bob = app.admin("ann"), app.user("bob")
    channel = ann.makes_channel(members=[bob], flow=app.flow("https://example.com/processor"))
    for text in "abc":
        bob.sends(channel, text, Type="CONTROL")
    session = bob.connects()
    server = app.server

    app.identity.delete_app_instance(AppInstanceArn=app.arn)
    server.settle()

    assert session.closed() == 4003
    assert rows(server, "channels", app_instance_arn=app.arn) == 0
    assert rows(server, "channel_flows", app_instance_arn=app.arn) == 0
    assert rows(server, "admins", app_instance_arn=app.arn) == 0
    for table in ("memberships", "moderators", "messages", "executions"):
        assert rows(server, table, channel_arn=channel) == 0, table
    for owner in (app.arn, channel, ann.arn, bob.arn):
        assert rows(server, "counts", owner=owner) == 0, owner
    assert rows(server, "deletions", arn=app.arn) == 0


def test_the_users_of_other_app_instances_are_left_alone(app: App) -> None:
    other = App(app.server)
    ann = other.user("ann")
    channel = ann.makes_channel()
    session = ann.connects()

    app.identity.delete_app_instance(AppInstanceArn=app.arn)
    app.server.settle()

    ann.sends(channel, "still here")
    assert session.next().type == "CREATE_CHANNEL_MESSAGE"
    assert counted(app.server, other.arn, "users") == 1
