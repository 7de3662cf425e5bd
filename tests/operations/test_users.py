import pytest

from tests.harness import App, refused
from tests.operations.helpers import answered, clean_up_held, counted, during, pages, rest_of, room_for, rows
from tests.operations.raw import signed


def test_a_user_is_created_described_updated_and_listed(app: App) -> None:
    identity = app.identity
    with during(app.server) as just_now:
        created = answered(
            201,
            identity.create_app_instance_user(
                AppInstanceArn=app.arn, AppInstanceUserId="ann", Name="Ann", Metadata="m"
            ),
        )
        arn = created["AppInstanceUserArn"]
        found = answered(200, identity.describe_app_instance_user(AppInstanceUserArn=arn))["AppInstanceUser"]

        just_now(found["CreatedTimestamp"])
    made = found["CreatedTimestamp"]
    assert created == {"AppInstanceUserArn": f"{app.arn}/user/ann"}
    assert found == {
        "AppInstanceUserArn": arn,
        "Name": "Ann",
        "Metadata": "m",
        "CreatedTimestamp": made,
        "LastUpdatedTimestamp": made,
    }

    updated = answered(200, identity.update_app_instance_user(AppInstanceUserArn=arn, Name="Ann B.", Metadata=""))
    changed = identity.describe_app_instance_user(AppInstanceUserArn=arn)["AppInstanceUser"]
    assert updated == {"AppInstanceUserArn": arn}
    assert changed.pop("LastUpdatedTimestamp") >= made
    assert changed == {"AppInstanceUserArn": arn, "Name": "Ann B.", "CreatedTimestamp": made}

    listed = answered(200, identity.list_app_instance_users(AppInstanceArn=app.arn))
    assert listed == {
        "AppInstanceArn": app.arn,
        "AppInstanceUsers": [{"AppInstanceUserArn": arn, "Name": "Ann B."}],
    }


@pytest.mark.parametrize("id", ["a", "A-b_c.d", "us-east-1:0a1b@example.com", "x" * 64])
def test_a_users_id_may_look_like_this(app: App, id: str) -> None:
    user = app.user(id)

    channel = user.makes_channel()
    heard = user.connects()
    user.sends(channel, "hello")

    assert user.arn == f"{app.arn}/user/{id}"
    assert heard.next().payload["Sender"] == {"Arn": user.arn, "Name": id.title()}
    member = user.describe_channel_membership(ChannelArn=channel, MemberArn=user.arn)["ChannelMembership"]["Member"]
    assert member["Arn"] == user.arn


@pytest.mark.parametrize("members", [
    {"AppInstanceUserId": "x" * 65},
    {"AppInstanceUserId": "-a"},
    {"AppInstanceUserId": "a:"},
    {"AppInstanceUserId": "a/b"},
    {"AppInstanceUserId": "a b"},
    {"AppInstanceUserId": "é"},
    {"AppInstanceUserId": "a\n"},
    {"Name": " \t "},
    {"Name": "n" * 101},
    {"Metadata": "m" * 1025},
    {"AppInstanceArn": "nonsense"},
])  # fmt: skip
def test_what_breaks_a_shape_is_a_bad_request(app: App, members: dict[str, str]) -> None:
    with refused("BadRequest"):
        app.identity.create_app_instance_user(
            **{"AppInstanceArn": app.arn, "AppInstanceUserId": "ann", "Name": "Ann", **members}
        )

    assert app.identity.list_app_instance_users(AppInstanceArn=app.arn)["AppInstanceUsers"] == []


def test_ids_are_told_apart_by_case(app: App) -> None:
    small, big = app.users("ann", "ANN")

    assert small.arn != big.arn
    channel = small.makes_channel()
    with refused("Forbidden"):
        big.sends(channel, "hello")


def test_an_id_can_be_used_once(app: App) -> None:
    app.user("ann")

    with refused("Conflict"):
        app.user("ann")

    assert counted(app.server, app.arn, "users") == 1


def test_a_repeated_token_gets_the_first_answer(app: App) -> None:
    request = {"AppInstanceArn": app.arn, "AppInstanceUserId": "ann", "Name": "Ann", "ClientRequestToken": "again"}
    first = app.identity.create_app_instance_user(**request)

    assert answered(201, app.identity.create_app_instance_user(**request)) == answered(201, first)
    with refused("Conflict"):
        app.identity.create_app_instance_user(**{**request, "AppInstanceUserId": "bob"})


def test_a_token_means_nothing_in_another_app_instance(app: App) -> None:
    request = {"AppInstanceUserId": "ann", "Name": "Ann", "ClientRequestToken": "shared"}

    for each in (app, App(app.server)):
        answered(201, app.identity.create_app_instance_user(AppInstanceArn=each.arn, **request))


def test_somebody_who_is_no_user_is_forbidden(app: App) -> None:
    identity, channel = app.identity, app.user("ann").makes_channel()

    for arn in (f"{app.arn}/user/nobody", f"{app.arn}/bot/nobody", channel, app.arn):
        with refused("Forbidden"):
            identity.describe_app_instance_user(AppInstanceUserArn=arn)
        with refused("Forbidden"):
            identity.update_app_instance_user(AppInstanceUserArn=arn, Name="n", Metadata="")
        with refused("Forbidden"):
            identity.delete_app_instance_user(AppInstanceUserArn=arn)


def test_lists_reach_the_end_while_users_come_and_go(app: App) -> None:
    users = app.users(*(f"user{n}" for n in range(6)))
    identity = app.identity

    first = identity.list_app_instance_users(AppInstanceArn=app.arn, MaxResults=3)
    identity.delete_app_instance_user(AppInstanceUserArn=users[2].arn)  # the one the next page begins behind
    identity.delete_app_instance_user(AppInstanceUserArn=users[4].arn)
    late = app.user("late")
    rest = rest_of(identity.list_app_instance_users, "AppInstanceUsers", first, AppInstanceArn=app.arn, MaxResults=2)

    assert [each["AppInstanceUserArn"] for each in first["AppInstanceUsers"]] == [user.arn for user in users[:3]]
    assert [each["AppInstanceUserArn"] for each in rest] == [users[3].arn, users[5].arn, late.arn]


@pytest.mark.parametrize(("asked", "sizes"), [(1, [1, 1, 1]), (2, [2, 1]), (3, [3]), (50, [3])])
def test_a_page_has_at_most_as_many_as_asked_for(app: App, asked: int, sizes: list[int]) -> None:
    app.users("ann", "bob", "cid")

    found = pages(app.identity.list_app_instance_users, "AppInstanceUsers", AppInstanceArn=app.arn, MaxResults=asked)

    assert [len(page) for page in found] == sizes


def test_fifty_are_listed_if_nothing_is_asked_for(app: App) -> None:
    app.users(*(f"user{n}" for n in range(51)))

    found = pages(app.identity.list_app_instance_users, "AppInstanceUsers", AppInstanceArn=app.arn)

    assert [len(page) for page in found] == [50, 1]


def test_more_than_fifty_cannot_be_asked_for(app: App) -> None:
    with refused("BadRequest"):
        app.identity.list_app_instance_users(AppInstanceArn=app.arn, MaxResults=51)


def test_only_tokens_of_the_same_list_are_taken(app: App) -> None:
    app.users("ann", "bob")
    other = App(app.server)
    token = app.identity.list_app_instance_users(AppInstanceArn=app.arn, MaxResults=1)["NextToken"]
    changed = ("A" if token[0] != "A" else "B") + token[1:]

    for wrong in ("x", "é", "=" * 9, changed, token + "A", token[:-1], "a" * 2049):
        with refused("BadRequest"):
            app.identity.list_app_instance_users(AppInstanceArn=app.arn, NextToken=wrong)
    with refused("BadRequest"):
        app.identity.list_app_instance_users(AppInstanceArn=other.arn, NextToken=token)
    with refused("BadRequest"):
        app.identity.list_app_instances(NextToken=token)
    first = app.identity.list_app_instance_users(AppInstanceArn=app.arn, NextToken="", MaxResults=1)
    assert [each["Name"] for each in first["AppInstanceUsers"]] == ["Ann"], "an empty token is the first page"


def test_a_new_name_shows_everywhere_and_the_last_one_stays_after_deletion(app: App) -> None:
    ann, bob = app.users("ann", "bob")
    channel = ann.makes_channel(members=[bob])
    message = ann.sends(channel, "hello")

    def names() -> set[str]:
        found = bob.describe_channel(ChannelArn=channel)["Channel"]
        own = bob.describe_channel_membership(ChannelArn=channel, MemberArn=bob.arn)["ChannelMembership"]
        return {
            found["CreatedBy"]["Name"],
            own["InvitedBy"]["Name"],
            bob.get_channel_message(ChannelArn=channel, MessageId=message)["ChannelMessage"]["Sender"]["Name"],
            bob.reads(channel)[0]["Sender"]["Name"],
        }

    assert names() == {"Ann"}
    app.identity.update_app_instance_user(AppInstanceUserArn=ann.arn, Name="Anne", Metadata="")
    assert names() == {"Anne"}
    members = bob.list_channel_memberships(ChannelArn=channel)["ChannelMemberships"]
    assert [each["Member"]["Name"] for each in members] == ["Anne", "Bob"]

    app.identity.delete_app_instance_user(AppInstanceUserArn=ann.arn)
    assert names() == {"Anne"}
    app.server.settle()
    assert names() == {"Anne"}


def test_a_deleted_user_can_do_nothing_and_hears_nothing(app: App) -> None:
    ann, bob = app.admin("ann"), app.user("bob")
    channel = ann.makes_channel(members=[bob])
    session = ann.connects()

    answered(204, app.identity.delete_app_instance_user(AppInstanceUserArn=ann.arn))

    assert session.closed() == 4003
    for call in (
        lambda: ann.sends(channel, "hello"),
        lambda: ann.describe_channel(ChannelArn=channel),
        lambda: ann.list_channels(AppInstanceArn=app.arn),
        lambda: ann.list_channel_memberships_for_app_instance_user(),
        lambda: ann.makes_channel(),
        lambda: app.identity.describe_app_instance_user(AppInstanceUserArn=ann.arn),
        lambda: app.identity.delete_app_instance_user(AppInstanceUserArn=ann.arn),
        lambda: app.identity.describe_app_instance_admin(AppInstanceArn=app.arn, AppInstanceAdminArn=ann.arn),
    ):
        with refused("Forbidden"):
            call()
    assert [each["Name"] for each in _users(app)] == ["Bob"]


def test_members_hear_that_a_deleted_user_left(app: App) -> None:
    ann, bob = app.users("ann", "bob")
    channel = ann.makes_channel(members=[bob])
    heard = ann.connects()

    app.identity.delete_app_instance_user(AppInstanceUserArn=bob.arn)
    app.server.settle()

    left = heard.next()
    assert (left.type, left.payload["Member"]) == ("DELETE_CHANNEL_MEMBERSHIP", {"Arn": bob.arn, "Name": "Bob"})
    members = ann.list_channel_memberships(ChannelArn=channel)["ChannelMemberships"]
    assert [each["Member"]["Name"] for each in members] == ["Ann"]
    assert counted(app.server, channel, "memberships") == 1


def test_an_id_is_free_again_when_its_user_is_gone_for_good(app: App) -> None:
    ann = app.user("ann")
    bob = app.admin("bob")
    channel = ann.makes_channel(members=[bob], ModeratorArns=[bob.arn])
    app.identity.delete_app_instance_user(AppInstanceUserArn=bob.arn)
    app.server.settle()

    again = app.user("bob")

    assert again.arn == bob.arn
    for call in (
        lambda: again.sends(channel, "hello"),
        lambda: again.describe_channel(ChannelArn=channel),
        lambda: again.list_channels(AppInstanceArn=app.arn, Privacy="PRIVATE"),
    ):
        with refused("Forbidden"):
            call()
    assert again.list_channel_memberships_for_app_instance_user()["ChannelMemberships"] == []
    assert rows(app.server, "moderators", moderator_arn=bob.arn) == 0
    again.connects().close()


def test_an_id_is_taken_while_its_user_is_being_deleted(app: App) -> None:
    ann = app.user("ann")

    with clean_up_held(app.server):
        app.identity.delete_app_instance_user(AppInstanceUserArn=ann.arn)

        with refused("Conflict"):
            app.user("ann")

    app.server.settle()
    app.user("ann")


def test_the_quota_of_users_is_kept_and_given_back(app: App) -> None:
    ann = app.user("ann")
    room_for(app.server, app.arn, "users", 0)

    with refused("ResourceLimitExceeded"):
        app.user("bob")

    assert [each["Name"] for each in _users(app)] == ["Ann"]
    app.identity.delete_app_instance_user(AppInstanceUserArn=ann.arn)
    app.user("bob")


def test_a_bearer_on_an_identity_call_is_ignored(app: App) -> None:
    app.user("ann")

    for bearer in (f"{app.arn}/user/nobody", "nonsense"):
        answer = signed(
            app.server.url,
            "GET",
            f"/app-instance-users?app-instance-arn={app.arn}",
            headers={"x-amz-chime-bearer": bearer},
        )
        assert (answer.status, len(answer.json["AppInstanceUsers"])) == (200, 1)


def _users(app: App) -> list[dict[str, str]]:
    found: list[dict[str, str]] = app.identity.list_app_instance_users(AppInstanceArn=app.arn)["AppInstanceUsers"]
    return found
