"""What is read and what is new: read markers, and the time of the last message as each one sees it."""

from datetime import datetime
from typing import Any

from tests.harness import App, User, refused
from tests.operations.helpers import answered, bot, during


def marker(user: User, channel: str) -> datetime | None:
    found = user.describe_channel_membership_for_app_instance_user(ChannelArn=channel, AppInstanceUserArn=user.arn)
    return found["ChannelMembership"]["AppInstanceUserMembershipSummary"].get("ReadMarkerTimestamp")


def test_a_member_has_read_up_to_now(app: App) -> None:
    ann, bob = app.users("ann", "bob")
    channel = ann.makes_channel(members=[bob])
    assert marker(bob, channel) is None

    with during(app.server) as just_now:
        answer = bob.update_channel_read_marker(ChannelArn=channel)
        just_now(first := marker(bob, channel))
    second = bob.update_channel_read_marker(ChannelArn=channel)

    assert answered(200, answer) == answered(200, second) == {"ChannelArn": channel}
    (listed,) = bob.list_channel_memberships_for_app_instance_user()["ChannelMemberships"]
    assert listed["AppInstanceUserMembershipSummary"]["ReadMarkerTimestamp"] == marker(bob, channel) >= first
    assert marker(ann, channel) is None


def test_the_marker_is_for_members_of_every_kind_and_for_nobody_else(app: App) -> None:
    ann, ghost, outsider, helper = app.user("ann"), app.user("ghost"), app.user("outsider"), bot(app, "helper")
    admin = app.admin("admin")
    channel = ann.makes_channel(members=[helper], ModeratorArns=[outsider.arn], Privacy="PUBLIC")
    ann.create_channel_membership(ChannelArn=channel, MemberArn=ghost.arn, Type="HIDDEN")

    for user in (ghost, helper):
        user.update_channel_read_marker(ChannelArn=channel)
        assert marker(user, channel) is not None
    for user in (admin, outsider):
        with refused("Forbidden"):
            user.update_channel_read_marker(ChannelArn=channel)


def test_the_marker_goes_with_the_membership(app: App) -> None:
    ann, bob = app.users("ann", "bob")
    channel = ann.makes_channel(members=[bob], Privacy="PUBLIC")
    bob.update_channel_read_marker(ChannelArn=channel)

    bob.delete_channel_membership(ChannelArn=channel, MemberArn=bob.arn)
    bob.create_channel_membership(ChannelArn=channel, MemberArn=bob.arn, Type="DEFAULT")

    assert marker(bob, channel) is None


# The last message


def test_the_last_message_is_the_last_one_that_the_caller_can_see(app: App) -> None:
    ann, bob, cid, admin = app.user("ann"), app.user("bob"), app.user("cid"), app.admin("admin")
    channel = ann.makes_channel(members=[bob, cid], Privacy="PUBLIC")

    def seen_by(user: User) -> datetime | None:
        """By every list that has a summary, which all say the same."""
        one = {"Key": "MEMBERS", "Operator": "INCLUDES", "Values": [ann.arn]}
        found: list[dict[str, Any]] = [
            *user.list_channels(AppInstanceArn=app.arn)["Channels"],
            *user.search_channels(Fields=[one])["Channels"],
        ]
        if user in (bob, cid):
            of_user = user.list_channel_memberships_for_app_instance_user()["ChannelMemberships"]
            found += [each["ChannelSummary"] for each in of_user]
            of_user = user.describe_channel_membership_for_app_instance_user(
                ChannelArn=channel, AppInstanceUserArn=user.arn
            )
            found.append(of_user["ChannelMembership"]["ChannelSummary"])
        if user in (ann, admin):
            moderated = user.list_channels_moderated_by_app_instance_user(AppInstanceUserArn=ann.arn)["Channels"]
            found += [each["ChannelSummary"] for each in moderated]
            moderated = user.describe_channel_moderated_by_app_instance_user(
                ChannelArn=channel, AppInstanceUserArn=ann.arn
            )
            found.append(moderated["Channel"]["ChannelSummary"])
        assert len(found) >= 2
        (time,) = {each.get("LastMessageTimestamp") for each in found}
        return time

    def sent_at(message: str, user: User) -> datetime:
        return user.get_channel_message(ChannelArn=channel, MessageId=message)["ChannelMessage"]["CreatedTimestamp"]

    assert seen_by(ann) is None
    targeted = sent_at(ann.sends(channel, "psst", Target=[{"MemberArn": bob.arn}]), ann)
    ann.sends(channel, "psst", Target=[{"MemberArn": bob.arn}], Persistence="NON_PERSISTENT")
    assert [seen_by(user) for user in (ann, bob, cid, admin)] == [targeted, targeted, None, None]
    assert admin.describe_channel(ChannelArn=channel)["Channel"]["LastMessageTimestamp"] == targeted
    shown = sent_at(cid.sends(channel, "hello"), cid)
    assert [seen_by(user) for user in (ann, bob, cid, admin)] == [shown] * 4
    again = sent_at(cid.sends(channel, "note to self", Target=[{"MemberArn": cid.arn}]), cid)
    assert [seen_by(user) for user in (ann, bob, cid, admin)] == [shown, shown, again, shown]


def test_a_targeted_message_is_new_to_its_target_alone(app: App) -> None:
    ann, bob, cid = app.users("ann", "bob", "cid")
    one, other = (ann.makes_channel(members=[bob, cid]) for _ in range(2))
    for channel in (one, other):
        shown = ann.sends(channel, "hello")
        for user in (bob, cid):
            user.update_channel_read_marker(ChannelArn=channel)
    psst = ann.sends(one, "psst", Target=[{"MemberArn": bob.arn}])

    def prefetched_by(user: User) -> list[dict[str, Any]]:
        """The unread ones first, then by the last message."""
        with user.connects(**{"prefetch-on": "connect"}) as session:
            return [session.next().payload["Channel"] for _ in range(2)]

    def sent_at(channel: str, message: str) -> str:
        found = bob.get_channel_message(ChannelArn=channel, MessageId=message)["ChannelMessage"]["CreatedTimestamp"]
        return found.strftime("%Y-%m-%dT%H:%M:%S.") + f"{found.microsecond // 1000:03d}Z"

    of_bob, of_cid = prefetched_by(bob), prefetched_by(cid)
    assert [each["ChannelArn"] for each in of_bob] == [one, other]
    assert [each["ChannelArn"] for each in of_cid] == [other, one]
    assert of_bob[0]["LastMessageTimestamp"] == sent_at(one, psst)
    assert of_cid[0]["LastMessageTimestamp"] == of_bob[1]["LastMessageTimestamp"] == sent_at(other, shown)
    assert of_cid[1]["LastMessageTimestamp"] < of_cid[0]["LastMessageTimestamp"]
