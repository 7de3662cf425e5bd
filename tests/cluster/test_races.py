"""Calls that come at the same time: what one transaction after the other would have given, whatever the store.

SQLite has one writer; with `--postgres` these run side by side.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests import stores
from tests.harness import LAMBDA, App, RunningServer, User, running

AT_ONCE = 6
ROUNDS = 5


@pytest.fixture(scope="module")
def racing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with small quotas."""
    settings = {"quotas.memberships_per_user": 3, "quotas.app_instances_per_account": 1_000}
    with running(tmp_path_factory.mktemp("races"), **settings) as server:
        yield server


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """What each answered, or the code of its refusal; all of them begin together."""
    together = Barrier(len(calls))

    def one(call: Callable[[], Any]) -> Any:
        together.wait()
        try:
            return call()
        except ClientError as error:
            return error.response["Error"]["Code"]

    with ThreadPoolExecutor(len(calls)) as threads:
        return [*threads.map(one, calls)]


def rows(server: RunningServer, sql: str, *values: str) -> list[Any]:
    return stores.query(server.settings.database_url, sql, *values)


def test_a_token_that_comes_several_times_at_once_makes_one_thing(racing: RunningServer) -> None:
    identity = racing.client("chime-sdk-identity")

    for number in range(ROUNDS):
        made = at_once(
            *[lambda n=number: identity.create_app_instance(Name="x", ClientRequestToken=f"t{n}")["AppInstanceArn"]]
            * AT_ONCE
        )
        assert len(set(made)) == 1, made


def test_a_token_in_two_channels_at_once_is_taken_by_one(racing: RunningServer) -> None:
    app = App(racing)
    ann = app.user("ann")
    one, other = ann.makes_channel(), ann.makes_channel()

    for number in range(ROUNDS):
        answers = at_once(
            lambda n=number: ann.sends(one, "x", ClientRequestToken=f"t{n}"),
            lambda n=number: ann.sends(other, "x", ClientRequestToken=f"t{n}"),
        )
        assert sorted(each == "ConflictException" for each in answers) == [False, True], answers


def test_a_quota_over_many_channels_is_kept(racing: RunningServer) -> None:
    app = App(racing)
    owners = app.users(*(f"owner{n}" for n in range(AT_ONCE)))
    channels = [(owner, owner.makes_channel()) for owner in owners]

    for number in range(ROUNDS):
        bob = app.user(f"bob{number}")
        answers = at_once(
            *(
                lambda owner=owner, channel=channel, bob=bob: owner.create_channel_membership(
                    ChannelArn=channel, MemberArn=bob.arn, Type="DEFAULT"
                )["ChannelArn"]
                for owner, channel in channels
            )
        )
        refused = [each for each in answers if each == "ResourceLimitExceededException"]
        assert len(refused) == AT_ONCE - 3, answers
        assert len(rows(racing, "SELECT 1 FROM memberships WHERE member_arn = ?", bob.arn)) == 3


def test_members_that_are_added_in_opposite_orders_do_not_lock_one_another_out(racing: RunningServer) -> None:
    app = App(racing)
    ann, bob = app.users("ann", "bob")
    others = app.users(*(f"user{n}" for n in range(8)))
    one, other = ann.makes_channel(), bob.makes_channel()

    def adds(owner: User, channel: str, members: list[User]) -> Any:
        return owner.batch_create_channel_membership(ChannelArn=channel, MemberArns=[each.arn for each in members])

    first, second = at_once(lambda: adds(ann, one, others), lambda: adds(bob, other, others[::-1]))

    assert first["Errors"] == second["Errors"] == []


def test_a_user_who_is_deleted_while_being_added_is_nowhere_a_member(racing: RunningServer) -> None:
    app = App(racing)
    ann = app.user("ann")
    channel = ann.makes_channel()

    for number in range(ROUNDS):
        bob = app.user(f"bob{number}")
        at_once(
            lambda bob=bob: ann.create_channel_membership(ChannelArn=channel, MemberArn=bob.arn, Type="DEFAULT"),
            lambda bob=bob: app.identity.delete_app_instance_user(AppInstanceUserArn=bob.arn),
            lambda bob=bob: app.identity.create_app_instance_admin(AppInstanceArn=app.arn, AppInstanceAdminArn=bob.arn),
        )
    racing.settle()

    assert {
        member for (member,) in rows(racing, "SELECT member_arn FROM memberships WHERE channel_arn = ?", channel)
    } == {ann.arn}
    assert rows(racing, "SELECT 1 FROM admins WHERE app_instance_arn = ?", app.arn) == []


def test_an_id_that_is_used_again_while_its_channel_is_deleted_keeps_nothing_or_everything(
    racing: RunningServer,
) -> None:
    app = App(racing)
    ann, bob = app.users("ann", "bob")

    for number in range(ROUNDS):
        channel = ann.makes_channel(ChannelId=f"lobby{number}")
        made = at_once(
            lambda channel=channel: ann.delete_channel(ChannelArn=channel),
            *[lambda n=number: bob.makes_channel(ChannelId=f"lobby{n}")] * 3,
        )[1:]
        racing.settle()
        anew = [each for each in made if each == channel]
        assert len(anew) <= 1, made
        found = rows(racing, "SELECT member_arn FROM memberships WHERE channel_arn = ?", channel)
        assert found == [(bob.arn,)] * len(anew)
        if anew:
            bob.delete_channel(ChannelArn=channel)
            racing.settle()


def test_no_channel_has_a_flow_that_is_gone(racing: RunningServer) -> None:
    app = App(racing)

    for number in range(ROUNDS):
        ann = app.user(f"ann{number}")
        flow, channel = app.flow(f"{LAMBDA}f"), ann.makes_channel()
        at_once(
            lambda ann=ann, channel=channel, flow=flow: ann.associate_channel_flow(
                ChannelArn=channel, ChannelFlowArn=flow
            ),
            lambda flow=flow: app.messaging.delete_channel_flow(ChannelFlowArn=flow),
        )
    assert (
        rows(
            racing,
            "SELECT c.arn FROM channels c LEFT JOIN channel_flows f ON f.arn = c.channel_flow_arn"
            " WHERE c.channel_flow_arn IS NOT NULL AND f.arn IS NULL",
        )
        == []
    )


def test_messages_of_a_channel_are_numbered_without_gaps_and_listed_in_the_order_they_are_heard(
    racing: RunningServer,
) -> None:
    app = App(racing)
    ann, bob = app.users("ann", "bob")
    channel = ann.makes_channel(members=[bob])
    heard = bob.connects()

    sent = at_once(
        *(lambda n=n: [(ann, bob)[n % 2].sends(channel, f"{n}.{m}") for m in range(10)] for n in range(AT_ONCE))
    )

    told = [heard.until("CREATE_CHANNEL_MESSAGE")[-1].payload["MessageId"] for _ in range(AT_ONCE * 10)]
    assert sorted(told) == sorted(each for ids in sent for each in ids)
    listed = ann.reads(channel, MaxResults=50)
    assert [each["MessageId"] for each in listed] == told[::-1][:50]
    numbers = rows(racing, "SELECT number FROM journal WHERE topic = ? ORDER BY number", f"channel/{channel}")
    assert [number for (number,) in numbers] == [*range(1, len(numbers) + 1)]


def test_a_channel_that_is_deleted_while_messages_are_sent_leaves_nothing_behind(racing: RunningServer) -> None:
    app = App(racing)
    ann, bob = app.users("ann", "bob")

    for _ in range(ROUNDS):
        channel = ann.makes_channel(members=[bob])
        at_once(
            lambda channel=channel: ann.delete_channel(ChannelArn=channel),
            *[lambda channel=channel: bob.sends(channel, "too late?")] * 3,
        )
        racing.settle()
        assert rows(racing, "SELECT 1 FROM messages WHERE channel_arn = ?", channel) == []


def test_members_who_come_to_an_elastic_channel_together_find_room_and_are_counted(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        app = App(server)
        ann = app.admin("ann")
        channel = ann.makes_channel(
            ElasticChannelConfiguration={
                "MaximumSubChannels": 4, "TargetMembershipsPerSubChannel": 3, "MinimumMembershipPercentage": 40
            }
        )  # fmt: skip
        users = app.users(*(f"user{n}" for n in range(12)))

        answers = at_once(
            *(
                lambda each=each: ann.create_channel_membership(ChannelArn=channel, MemberArn=each.arn, Type="DEFAULT")[
                    "SubChannelId"
                ]
                for each in users
            )
        )

        assert not {each for each in answers if each.endswith("Exception")}
        counted = rows(server, "SELECT id, membership_count FROM sub_channels WHERE channel_arn = ?", channel)
        there = rows(
            server,
            "SELECT sub_channel_id, COUNT(*) FROM memberships WHERE channel_arn = ? GROUP BY sub_channel_id",
            channel,
        )
        assert sorted(counted) == sorted(there)
        assert sorted(number for _, number in counted) == [3, 3, 3, 3]
