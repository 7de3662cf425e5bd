import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.harness import App, User, refused, running
from tests.operations.helpers import answered, bot, during, ms, pages, rest_of, rows, whole


@pytest.fixture
def pair(app: App) -> tuple[User, User, str]:
    """Ann, who moderates; Bob, a member; their channel."""
    ann, bob = app.users("ann", "bob")
    return ann, bob, ann.makes_channel(members=[bob])


# Sending


def test_a_message_is_sent_heard_got_and_listed(app: App, pair: tuple[User, User, str]) -> None:
    ann, bob, channel = pair
    heard = [ann.connects(), bob.connects()]
    attributes = {"mention": {"StringValues": ["bob", "é"]}, "empty": {"StringValues": []}}

    with during(app.server) as just_now:
        sent = answered(
            201,
            ann.send_channel_message(
                ChannelArn=channel,
                Content="hello 漢 \U0001f514\n",
                Type="STANDARD",
                Persistence="PERSISTENT",
                Metadata='{"k": 1}',
                ContentType="text/plain",
                MessageAttributes=attributes,
                PushNotification={"Title": "t", "Body": "b", "Type": "DEFAULT"},
            ),
        )
        got = answered(200, bob.get_channel_message(ChannelArn=channel, MessageId=sent["MessageId"]))["ChannelMessage"]

        just_now(made := got["CreatedTimestamp"])
    assert sent == {"ChannelArn": channel, "MessageId": sent["MessageId"], "Status": {"Value": "SENT"}}
    assert re.fullmatch("[0-9a-f]{64}", sent["MessageId"])
    summary = {
        "MessageId": sent["MessageId"],
        "Content": "hello 漢 \U0001f514\n",
        "Metadata": '{"k": 1}',
        "Type": "STANDARD",
        "CreatedTimestamp": made,
        "LastUpdatedTimestamp": made,
        "Sender": {"Arn": ann.arn, "Name": "Ann"},
        "Redacted": False,
        "Status": {"Value": "SENT"},
        "MessageAttributes": attributes,
        "ContentType": "text/plain",
    }
    assert got == {**summary, "ChannelArn": channel, "Persistence": "PERSISTENT"}
    assert answered(200, bob.list_channel_messages(ChannelArn=channel)) == {
        "ChannelArn": channel,
        "ChannelMessages": [summary],
    }
    iso = made.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms(made) % 1000:03d}Z"
    for session in heard:
        event = session.next()
        assert (event.type, event.message_type) == ("CREATE_CHANNEL_MESSAGE", "STANDARD")
        assert event.payload == {**got, "CreatedTimestamp": iso, "LastUpdatedTimestamp": iso}


def test_a_message_in_passing_is_heard_and_not_kept(pair: tuple[User, User, str]) -> None:
    ann, bob, channel = pair
    heard = bob.connects()

    for type in ("STANDARD", "CONTROL"):
        message = ann.sends(channel, "hello", Persistence="NON_PERSISTENT", Type=type)

        event = heard.next()
        assert (event.message_type, event.payload["Type"]) == (type, type)
        assert (event.payload["MessageId"], event.payload["Persistence"]) == (message, "NON_PERSISTENT")
        assert bob.reads(channel) == []
        with refused("NotFound"):
            ann.get_channel_message(ChannelArn=channel, MessageId=message)
        with refused("Forbidden"):
            ann.update_channel_message(ChannelArn=channel, MessageId=message, Content="new")


def test_persistent_control_messages_are_kept(pair: tuple[User, User, str]) -> None:
    ann, bob, channel = pair

    ann.sends(channel, "typing", Type="CONTROL")

    (found,) = bob.reads(channel)
    assert (found["Type"], found["Content"]) == ("CONTROL", "typing")


STANDARD = {"Type": "STANDARD"}
CONTROL = {"Type": "CONTROL"}


@pytest.mark.parametrize(("fits", "members"), [
    (True, {**STANDARD, "Content": "x" * 4096}),
    (False, {**STANDARD, "Content": "x" * 4097}),
    (True, {**STANDARD, "Content": "é" * 2048}),
    (False, {**STANDARD, "Content": "é" * 2048 + "x"}),
    (True, {**STANDARD, "Content": "\U0001f514" * 1024}),
    (False, {**STANDARD, "Content": "\U0001f514" * 1025}),
    (True, {**STANDARD, "Metadata": "é" * 512}),
    (False, {**STANDARD, "Metadata": "é" * 512 + "x"}),
    (False, {**STANDARD, "Metadata": "m" * 1025}),
    (False, {**STANDARD, "Metadata": "two\nlines"}),
    (True, {**STANDARD, "Metadata": ""}),
    (True, {**CONTROL, "Content": "x" * 30}),
    (False, {**CONTROL, "Content": "x" * 31}),
    (True, {**CONTROL, "Content": "é" * 15}),
    (False, {**CONTROL, "Content": "é" * 15 + "x"}),
    (False, {**CONTROL, "Metadata": "m"}),
    (True, {**CONTROL, "Metadata": ""}),
    (True, {**STANDARD, "ContentType": "c" * 45}),
    (False, {**STANDARD, "ContentType": "c" * 46}),
    (True, {**STANDARD, "MessageAttributes": {"n" * 64: {"StringValues": ["v" * 512, "w" * 448]}}}),
    (False, {**STANDARD, "MessageAttributes": {"n" * 64: {"StringValues": ["v" * 512, "w" * 449]}}}),
    (False, {**STANDARD, "MessageAttributes": {"n" * 65: {"StringValues": ["v"]}}}),
    (False, {**STANDARD, "MessageAttributes": {"n": {"StringValues": ["v" * 513]}}}),
    (True, {**STANDARD, "PushNotification": {"Title": "t" * 50, "Body": "b" * 150}}),
    (False, {**STANDARD, "PushNotification": {"Title": "t" * 51, "Body": "b"}}),
    (False, {**STANDARD, "PushNotification": {"Title": "t", "Body": "b" * 151}}),
    (False, {**STANDARD, "PushNotification": {"Title": "t\nt", "Body": "b"}}),
    (False, {**STANDARD, "PushNotification": {"Title": "t", "Body": "b", "Type": "SHOUT"}}),
    (False, {"Type": "LOUD"}),
    (False, {**STANDARD, "Persistence": "FOR EVER"}),
    (False, {**STANDARD, "ClientRequestToken": "no blanks"}),
    (False, {**STANDARD, "Target": [{"MemberArn": "nonsense"}]}),
    (False, {**STANDARD, "Target": [{}]}),
])  # fmt: skip
def test_sizes_and_shapes_of_a_message(pair: tuple[User, User, str], fits: bool, members: dict[str, object]) -> None:
    ann, bob, channel = pair
    request = {"ChannelArn": channel, "Content": "c", "Persistence": "PERSISTENT", **members}

    if fits:
        answered(201, ann.send_channel_message(**request))
        (found,) = bob.reads(channel)
        assert found["Content"] == request["Content"]
        assert found.get("Metadata", "") == request.get("Metadata", "")
    else:
        with refused("BadRequest"):
            ann.send_channel_message(**request)
        assert bob.reads(channel) == []


def test_a_repeated_token_sends_once(app: App, pair: tuple[User, User, str]) -> None:
    ann, bob, channel = pair
    heard = bob.connects()
    request = {"ClientRequestToken": "again", "Metadata": "m"}

    first, again = (ann.sends(channel, "hello", **request) for _ in range(2))
    assert first == again
    with refused("Conflict"):
        ann.sends(channel, "other", **request)
    with refused("Conflict"):
        ann.sends(ann.makes_channel(), "hello", **request)
    assert bob.sends(channel, "hello", **request) != first

    assert [heard.next().payload["Sender"]["Name"] for _ in range(2)] == ["Ann", "Bob"]
    assert len(ann.reads(channel)) == 2


def test_a_repetition_is_refused_when_its_sender_may_not_send_any_more(pair: tuple[User, User, str]) -> None:
    ann, bob, channel = pair
    bob.sends(channel, "hello", ClientRequestToken="again")
    ann.delete_channel_membership(ChannelArn=channel, MemberArn=bob.arn)

    with refused("Forbidden"):
        bob.sends(channel, "hello", ClientRequestToken="again")


def test_messages_without_tokens_are_told_apart(pair: tuple[User, User, str]) -> None:
    ann, bob, channel = pair

    ids = [ann.sends(channel, "same") for _ in range(3)]

    assert [each["MessageId"] for each in bob.reads(channel)] == ids[::-1]
    assert sorted(ids) == ids


def test_only_members_send_admins_and_moderators_included(app: App) -> None:
    ann, bob, admin, moderator = app.user("ann"), app.user("bob"), app.admin("admin"), app.user("moderator")
    channel = ann.makes_channel(Privacy="PUBLIC", ModeratorArns=[moderator.arn])

    for user in (bob, admin, moderator):
        with refused("Forbidden"):
            user.sends(channel, "hello")

    moderator.create_channel_membership(ChannelArn=channel, MemberArn=moderator.arn, Type="DEFAULT")
    moderator.sends(channel, "now")


def test_bots_send(app: App) -> None:
    ann, helper = app.user("ann"), bot(app, "helper")
    channel = ann.makes_channel(members=[helper])
    heard = ann.connects()

    helper.sends(channel, "beep")

    assert heard.next().payload["Sender"] == {"Arn": helper.arn, "Name": "Helper"}


# Targeted messages


def test_a_targeted_message_is_seen_by_sender_and_target_only(app: App) -> None:
    ann, bob, cid, admin = app.user("ann"), app.user("bob"), app.user("cid"), app.admin("admin")
    channel = ann.makes_channel(members=[bob, cid])
    heard = {user.arn: user.connects() for user in (ann, bob, cid)}

    message = bob.sends(channel, "psst", Target=[{"MemberArn": cid.arn}])
    ann.update_channel(ChannelArn=channel, Name="end")

    for user in (bob, cid):
        event = heard[user.arn].next()
        assert (event.type, event.payload["Target"]) == ("CREATE_CHANNEL_MESSAGE", [{"MemberArn": cid.arn}])
        got = user.get_channel_message(ChannelArn=channel, MessageId=message)["ChannelMessage"]
        assert (got["Content"], got["Target"]) == ("psst", [{"MemberArn": cid.arn}])
        assert [each["Content"] for each in user.reads(channel)] == ["psst"]
    assert heard[ann.arn].next().type == "UPDATE_CHANNEL"
    for user in (ann, admin):
        assert user.reads(channel) == []
        with refused("NotFound"):
            user.get_channel_message(ChannelArn=channel, MessageId=message)
        with refused("Forbidden"):
            user.redact_channel_message(ChannelArn=channel, MessageId=message)
    with refused("Forbidden"):
        cid.redact_channel_message(ChannelArn=channel, MessageId=message)


def test_changes_of_a_targeted_message_are_heard_by_sender_and_target_only(app: App) -> None:
    ann, bob, cid, admin = app.user("ann"), app.user("bob"), app.user("cid"), app.admin("admin")
    channel = ann.makes_channel(members=[bob, cid])
    heard = {user.arn: user.connects() for user in (ann, bob, cid)}

    message = bob.sends(channel, "psst", Target=[{"MemberArn": cid.arn}])
    bob.update_channel_message(ChannelArn=channel, MessageId=message, Content="pssst")
    bob.redact_channel_message(ChannelArn=channel, MessageId=message)
    admin.delete_channel_message(ChannelArn=channel, MessageId=message)
    ann.update_channel(ChannelArn=channel, Name="end")

    expected = [f"{what}_CHANNEL_MESSAGE" for what in ("CREATE", "UPDATE", "REDACT", "DELETE")]
    for user in (bob, cid):
        assert [heard[user.arn].next().type for _ in range(5)] == [*expected, "UPDATE_CHANNEL"]
    assert heard[ann.arn].next().type == "UPDATE_CHANNEL"


def test_a_moderator_redacts_a_message_targeted_at_them(pair: tuple[User, User, str]) -> None:
    ann, bob, channel = pair
    message = bob.sends(channel, "psst", Target=[{"MemberArn": ann.arn}])

    ann.redact_channel_message(ChannelArn=channel, MessageId=message)

    assert bob.reads(channel)[0]["Redacted"] is True


def test_one_may_target_oneself_but_nobody_who_is_no_member(app: App, pair: tuple[User, User, str]) -> None:
    ann, bob, channel = pair
    cid = app.user("cid")
    ann.create_channel_membership(ChannelArn=ann.makes_channel(), MemberArn=cid.arn, Type="DEFAULT")

    ann.sends(channel, "note to self", Target=[{"MemberArn": ann.arn}])
    for arn in (cid.arn, f"{app.arn}/user/nobody", channel):
        with refused("BadRequest"):
            ann.sends(channel, "psst", Target=[{"MemberArn": arn}])
    with refused("BadRequest"):
        ann.sends(channel, "psst", Target=[{"MemberArn": ann.arn}, {"MemberArn": bob.arn}])

    assert len(ann.reads(channel)) == 1
    assert bob.reads(channel) == []


def test_pages_are_short_where_messages_are_not_for_the_reader(app: App) -> None:
    ann, bob, cid = app.users("ann", "bob", "cid")
    channel = ann.makes_channel(members=[bob, cid])
    for text in "abcdef":
        ann.sends(channel, text, **({"Target": [{"MemberArn": bob.arn}]} if text in "bde" else {}))

    def seen(user: User) -> list[str]:
        found = pages(
            user.list_channel_messages, "ChannelMessages", ChannelArn=channel, MaxResults=2, SortOrder="ASCENDING"
        )
        return ["".join(each["Content"] for each in page) for page in found]

    assert seen(cid) == ["a", "c", "f"]
    assert seen(bob) == ["ab", "cd", "ef"]


# Getting


def test_a_message_that_is_not_there_is_not_found(app: App, pair: tuple[User, User, str]) -> None:
    ann, bob, channel = pair
    other = bob.makes_channel(Privacy="PUBLIC")
    elsewhere = bob.sends(other, "hello")

    for message in ("0" * 64, "x", elsewhere):
        with refused("NotFound"):
            ann.get_channel_message(ChannelArn=channel, MessageId=message)
        with refused("Forbidden"):
            ann.get_channel_message_status(ChannelArn=channel, MessageId=message)
    with refused("BadRequest"):
        ann.get_channel_message(ChannelArn=channel, MessageId="x" * 129)
    with refused("BadRequest"):
        ann.get_channel_message(ChannelArn=channel, MessageId="x.y")


def test_outsiders_read_public_channels_only(app: App) -> None:
    ann, bob = app.users("ann", "bob")
    for privacy in ("PUBLIC", "PRIVATE"):
        channel = ann.makes_channel(Privacy=privacy)
        message = ann.sends(channel, "hello")
        if privacy == "PUBLIC":
            assert bob.reads(channel)[0]["Content"] == "hello"
            bob.get_channel_message(ChannelArn=channel, MessageId=message)
        else:
            with refused("Forbidden"):
                bob.reads(channel)
            for id in (message, "0" * 64):
                with refused("Forbidden"):
                    bob.get_channel_message(ChannelArn=channel, MessageId=id)


def test_the_status_is_for_the_sender(pair: tuple[User, User, str]) -> None:
    ann, bob, channel = pair
    message = bob.sends(channel, "hello")

    found = bob.get_channel_message_status(ChannelArn=channel, MessageId=message)

    assert answered(200, found) == {"Status": {"Value": "SENT"}}
    with refused("Forbidden"):
        ann.get_channel_message_status(ChannelArn=channel, MessageId=message)


# Listing


def test_messages_are_listed_newest_first_or_oldest_first_to_the_end(pair: tuple[User, User, str]) -> None:
    ann, _, channel = pair
    for n in range(7):
        ann.sends(channel, str(n))

    def listed(**more: str) -> list[str]:
        found = pages(ann.list_channel_messages, "ChannelMessages", ChannelArn=channel, MaxResults=3, **more)
        return ["".join(each["Content"] for each in page) for page in found]

    assert listed() == listed(SortOrder="DESCENDING") == ["654", "321", "0"]
    assert listed(SortOrder="ASCENDING") == ["012", "345", "6"]


def test_lists_reach_the_end_while_messages_come_and_go(app: App) -> None:
    ann = app.admin("ann")
    channel = ann.makes_channel()
    sent = [ann.sends(channel, str(n)) for n in range(6)]

    first = {
        order: ann.list_channel_messages(ChannelArn=channel, MaxResults=2, SortOrder=order)
        for order in ("ASCENDING", "DESCENDING")
    }
    for n in (1, 4):  # the last of each first page
        ann.delete_channel_message(ChannelArn=channel, MessageId=sent[n])
    ann.sends(channel, "6")

    def rest(order: str) -> str:
        found = rest_of(
            ann.list_channel_messages,
            "ChannelMessages",
            first[order],
            ChannelArn=channel,
            MaxResults=2,
            SortOrder=order,
        )
        return "".join(each["Content"] for each in found)

    assert rest("ASCENDING") == "2356"
    assert rest("DESCENDING") == "320"


def test_times_bound_a_list_inclusively(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        (ann,) = App(server).users("ann")
        channel = ann.makes_channel()
        for n in range(3):
            ann.sends(channel, str(n))
            server.clock.advance(ms=2)
        times = [each["CreatedTimestamp"] for each in ann.reads(channel, SortOrder="ASCENDING")]
        step = timedelta(milliseconds=1)

        def listed(**more: datetime) -> str:
            found = whole(ann.list_channel_messages, "ChannelMessages", ChannelArn=channel, MaxResults=1, **more)
            return "".join(each["Content"] for each in found)

        assert listed(NotBefore=times[1]) == "21"
        assert listed(NotAfter=times[1]) == "10"
        assert listed(NotBefore=times[1], NotAfter=times[1]) == "1"
        assert listed(NotBefore=times[1] + step) == "2"
        assert listed(NotAfter=times[1] - step) == "0"
        assert listed(NotBefore=times[2], NotAfter=times[0]) == ""


def test_a_list_is_asked_for_properly(pair: tuple[User, User, str]) -> None:
    ann, _, channel = pair
    for n in range(2):
        ann.sends(channel, str(n))
    token = ann.list_channel_messages(ChannelArn=channel, MaxResults=1)["NextToken"]
    other = ann.makes_channel()

    assert len(ann.reads(channel, NextToken="")) == 2
    for more in (
        {"MaxResults": 51},
        {"SortOrder": "RANDOM"},
        {"NextToken": "nonsense"},
        {"ChannelArn": other, "NextToken": token},
    ):
        with refused("BadRequest"):
            ann.list_channel_messages(**{"ChannelArn": channel, **more})


# Updating


def test_an_update_changes_what_it_gives_and_everybody_hears(app: App, pair: tuple[User, User, str]) -> None:
    ann, bob, channel = pair
    attributes = {"k": {"StringValues": ["v"]}}
    message = bob.sends(channel, "old", Metadata="m", ContentType="text/plain", MessageAttributes=attributes)
    before = bob.get_channel_message(ChannelArn=channel, MessageId=message)["ChannelMessage"]
    heard = ann.connects()

    with during(app.server) as just_now:
        updated = bob.update_channel_message(ChannelArn=channel, MessageId=message, Content="new")
        after = bob.get_channel_message(ChannelArn=channel, MessageId=message)["ChannelMessage"]

        just_now(after["LastEditedTimestamp"], after["LastUpdatedTimestamp"])
    assert answered(200, updated) == {"ChannelArn": channel, "MessageId": message, "Status": {"Value": "SENT"}}
    edited = {name: after[name] for name in ("LastEditedTimestamp", "LastUpdatedTimestamp")}
    assert len(set(edited.values())) == 1
    assert after == {**before, **edited, "Content": "new"}
    event = heard.next()
    assert (event.type, event.message_type) == ("UPDATE_CHANNEL_MESSAGE", "STANDARD")
    assert (event.payload["Content"], event.payload["Metadata"]) == ("new", "m")
    assert event.payload["LastEditedTimestamp"] == event.payload["LastUpdatedTimestamp"]

    bob.update_channel_message(ChannelArn=channel, MessageId=message, Content="newer", Metadata="", ContentType="")
    cleared = bob.get_channel_message(ChannelArn=channel, MessageId=message)["ChannelMessage"]
    assert {"Metadata", "ContentType"}.isdisjoint(cleared)
    assert cleared["MessageAttributes"] == attributes


def test_only_the_sender_updates_and_only_as_a_member(app: App, pair: tuple[User, User, str]) -> None:
    ann, bob, channel = pair
    admin = app.admin("admin")
    message = bob.sends(channel, "old")

    for user in (ann, admin):
        with refused("Forbidden"):
            user.update_channel_message(ChannelArn=channel, MessageId=message, Content="new")
    with refused("Forbidden"):
        bob.update_channel_message(ChannelArn=channel, MessageId="0" * 64, Content="new")
    bob.delete_channel_membership(ChannelArn=channel, MemberArn=bob.arn)
    with refused("Forbidden"):
        bob.update_channel_message(ChannelArn=channel, MessageId=message, Content="new")
    assert ann.reads(channel)[0]["Content"] == "old"


@pytest.mark.parametrize(("type", "members"), [
    ("STANDARD", {"Content": "x" * 4097}),
    ("STANDARD", {"Content": "new", "Metadata": "é" * 513}),
    ("STANDARD", {"Content": "new", "Metadata": "a\nb"}),
    ("STANDARD", {"Content": "new", "ContentType": "c" * 46}),
    ("CONTROL", {"Content": "x" * 31}),
    ("CONTROL", {"Content": "new", "Metadata": "m"}),
])  # fmt: skip
def test_an_update_has_the_sizes_of_a_message(pair: tuple[User, User, str], type: str, members: dict[str, str]) -> None:
    ann, _, channel = pair
    message = ann.sends(channel, "old", Type=type)

    with refused("BadRequest"):
        ann.update_channel_message(ChannelArn=channel, MessageId=message, **members)

    assert ann.reads(channel)[0]["Content"] == "old"


def test_a_control_message_can_be_updated(pair: tuple[User, User, str]) -> None:
    ann, bob, channel = pair
    message = ann.sends(channel, "typing", Type="CONTROL")
    heard = bob.connects()

    ann.update_channel_message(ChannelArn=channel, MessageId=message, Content="idle")

    event = heard.next()
    assert (event.type, event.message_type) == ("UPDATE_CHANNEL_MESSAGE", "CONTROL")


# Redacting


def test_a_redacted_message_stays_as_an_empty_entry(app: App, pair: tuple[User, User, str]) -> None:
    ann, bob, channel = pair
    message = bob.sends(
        channel, "secret", Metadata="m", ContentType="text/plain", MessageAttributes={"k": {"StringValues": ["v"]}}
    )
    before = ann.get_channel_message(ChannelArn=channel, MessageId=message)["ChannelMessage"]
    heard = [ann.connects(), bob.connects()]

    redacted = ann.redact_channel_message(ChannelArn=channel, MessageId=message)
    assert answered(200, redacted) == {"ChannelArn": channel, "MessageId": message}

    after = bob.get_channel_message(ChannelArn=channel, MessageId=message)["ChannelMessage"]
    (listed,) = bob.reads(channel)
    assert after.pop("LastUpdatedTimestamp") >= before["LastUpdatedTimestamp"]
    kept = ("ChannelArn", "MessageId", "Type", "CreatedTimestamp", "Sender", "Persistence", "Status")
    assert after == {**{name: before[name] for name in kept}, "Redacted": True}
    assert (listed["Redacted"], "Content" in listed, "Metadata" in listed) == (True, False, False)
    for session in heard:
        event = session.next()
        assert (event.type, event.message_type) == ("REDACT_CHANNEL_MESSAGE", "STANDARD")
        assert (event.payload["Redacted"], event.payload["Content"]) == (True, "")
        assert "secret" not in str(event.payload)
        assert event.payload.keys().isdisjoint({"Metadata", "MessageAttributes", "ContentType"})


def test_a_second_redaction_changes_nothing_and_an_update_conflicts(pair: tuple[User, User, str]) -> None:
    ann, bob, channel = pair
    message = ann.sends(channel, "secret")
    ann.redact_channel_message(ChannelArn=channel, MessageId=message)
    before = bob.get_channel_message(ChannelArn=channel, MessageId=message)["ChannelMessage"]
    heard = bob.connects()

    answered(200, ann.redact_channel_message(ChannelArn=channel, MessageId=message))
    with refused("Conflict"):
        ann.update_channel_message(ChannelArn=channel, MessageId=message, Content="new")
    ann.sends(channel, "end")

    assert heard.next().payload["Content"] == "end"
    assert bob.get_channel_message(ChannelArn=channel, MessageId=message)["ChannelMessage"] == before


def test_members_redact_their_own_and_moderators_and_admins_everybodys(app: App) -> None:
    ann, bob, cid, admin = app.user("ann"), app.user("bob"), app.user("cid"), app.admin("admin")
    channel = ann.makes_channel(members=[bob, cid])

    for user, allowed in ((bob, True), (cid, False), (ann, True), (admin, True)):
        message = bob.sends(channel, "secret")
        if allowed:
            user.redact_channel_message(ChannelArn=channel, MessageId=message)
        else:
            with refused("Forbidden"):
                user.redact_channel_message(ChannelArn=channel, MessageId=message)
    with refused("Forbidden"):
        admin.redact_channel_message(ChannelArn=channel, MessageId="0" * 64)


# Deleting


def test_admins_delete_messages_and_everybody_hears(app: App, pair: tuple[User, User, str]) -> None:
    _, bob, channel = pair
    admin = app.admin("admin")
    message = bob.sends(channel, "secret", Metadata="m")
    heard = bob.connects()

    answered(204, admin.delete_channel_message(ChannelArn=channel, MessageId=message))

    event = heard.next()
    assert (event.type, event.message_type) == ("DELETE_CHANNEL_MESSAGE", "STANDARD")
    assert (event.payload["MessageId"], event.payload["Content"]) == (message, "")
    assert "secret" not in str(event.payload)
    assert "Metadata" not in event.payload
    assert bob.reads(channel) == []
    with refused("NotFound"):
        bob.get_channel_message(ChannelArn=channel, MessageId=message)
    assert rows(app.server, "messages", channel_arn=channel) == 0


def test_deleting_what_is_not_there_changes_nothing(app: App, pair: tuple[User, User, str]) -> None:
    ann, bob, channel = pair
    admin = app.admin("admin")
    elsewhere = bob.sends(bob.makes_channel(), "stays")
    heard = bob.connects()

    for message in ("0" * 64, elsewhere):
        answered(204, admin.delete_channel_message(ChannelArn=channel, MessageId=message))

    ann.sends(channel, "end")
    assert heard.next().payload["Content"] == "end"
    assert rows(app.server, "messages", id=elsewhere) == 1


def test_nobody_else_deletes_messages(pair: tuple[User, User, str]) -> None:
    ann, bob, channel = pair
    message = bob.sends(channel, "stays")

    for user in (ann, bob):
        for id in (message, "0" * 64):
            with refused("Forbidden"):
                user.delete_channel_message(ChannelArn=channel, MessageId=id)

    assert len(bob.reads(channel)) == 1
