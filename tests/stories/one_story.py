"""One story of a chat application, to be told by any client of the API.

    for chapter in CHAPTERS:
        chapter(story)

A chapter is a piece of the program such an application is: it makes calls, uses what they answer, and asserts what
must have come. Whose client makes the calls is the `Teller`'s business: answers are dictionaries with the API's names
and timestamps are aware `datetime`s, whatever the client makes of them. `Story.transcript` has everything that was
answered, without what differs from one telling to the next (ids, times, tokens), so that tellings can be compared.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from tests.harness import LAMBDA, Processor

MODERATE = LAMBDA + "moderate"

Answer = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """One call of an operation, by its name in the API."""

    service: str
    operation: str
    members: dict[str, Any]


@dataclass(frozen=True)
class Refused:
    """What was thrown: the exception's name and its message."""

    name: str
    message: str


@dataclass(frozen=True)
class Told:
    """How a call ended. `status` is HTTP's, None from a client that does not show it."""

    outcome: Answer | Refused
    status: int | None = None


class Teller(Protocol):
    """A client of the API."""

    def tell(self, call: Call) -> Told: ...

    def tell_together(self, calls: Sequence[Call]) -> list[Told]:
        """Calls of which none needs another: in any order, at the same time if the client can."""
        ...


def identity(operation: str, **members: Any) -> Call:
    return Call("chime-sdk-identity", operation, members)


def messaging(operation: str, **members: Any) -> Call:
    return Call("chime-sdk-messaging", operation, members)


@dataclass
class Story:
    """What has been told so far, and who is in it."""

    teller: Teller
    processor: Processor
    """Where the function MODERATE runs."""
    told: list[tuple[str, Told]] = field(default_factory=list)
    app_instance: str = ""
    people: dict[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> str:
        """The ARN of someone, by name."""
        return self.people[name]

    def tell(self, call: Call) -> Answer:
        """The answer to a call that succeeds."""
        [answer] = self.tell_together(call)
        return answer

    def tell_together(self, *calls: Call) -> list[Answer]:
        """The answers to calls that succeed and of which none needs another."""
        answers = []
        for call, told in zip(calls, self._heard(calls), strict=True):
            assert isinstance(told.outcome, dict), (call, told.outcome)
            answers.append(told.outcome)
        return answers

    def refuses(self, *expected: tuple[str, Call]) -> None:
        """Calls of which each throws the exception of that name."""
        calls = [call for _, call in expected]
        for (name, call), told in zip(expected, self._heard(calls), strict=True):
            assert isinstance(told.outcome, Refused), (call, told.outcome)
            assert told.outcome.name == name, (call, told.outcome)
            assert told.outcome.message

    def pages(self, items: str, call: Call) -> list[list[Any]]:
        """A list, followed by its tokens to the end."""
        pages, more = [], {}
        while True:
            answer = self.tell(Call(call.service, call.operation, {**call.members, **more}))
            pages.append(answer[items])
            if "NextToken" not in answer:
                return pages
            more = {"NextToken": answer["NextToken"]}

    @property
    def transcript(self) -> list[tuple[str, Any]]:
        """Operation and outcome of each call; ids, tokens and times are replaced by what does not change."""
        ids: dict[str, str] = {}
        return [(operation, _comparable(told.outcome, ids)) for operation, told in self.told]

    @property
    def statuses(self) -> list[tuple[str, int | None]]:
        """Operation and status of each call."""
        return [(operation, told.status) for operation, told in self.told]

    def _heard(self, calls: Sequence[Call]) -> list[Told]:
        heard = self.teller.tell_together(calls) if len(calls) > 1 else [self.teller.tell(calls[0])]
        self.told += zip((call.operation for call in calls), heard, strict=True)
        return heard


# What the server makes up: UUIDs and ids of messages.
_MADE_UP = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32,64}")


def _comparable(value: Any, ids: dict[str, str]) -> Any:
    match value:
        case Refused():
            return value.name, _comparable(value.message, ids)
        case dict():
            return {
                name: "a token" if name == "NextToken" else _comparable(member, ids)
                for name, member in sorted(value.items())
            }
        case list():
            return [_comparable(each, ids) for each in value]
        case datetime():
            return "a time"
        case str():
            return _MADE_UP.sub(lambda found: ids.setdefault(found[0], f"id {len(ids) + 1}"), value)
    return value


# The chapters.


def people(story: Story) -> None:
    """An app instance, its users, its administrator."""
    story.app_instance = story.tell(identity("CreateAppInstance", Name="A story", Metadata='{"of": "ducks"}'))[
        "AppInstanceArn"
    ]
    users = {"ann": "Ann", "mod": "Moe ☃", "us-east-1:bob@b.c": "Bob 🦆", "eve": "Eve"}
    made = story.tell_together(
        *(
            identity("CreateAppInstanceUser", AppInstanceArn=story.app_instance, AppInstanceUserId=id, Name=name)
            for id, name in users.items()
        )
    )
    for name, answer in zip(("ann", "mod", "bob", "eve"), made, strict=True):
        story.people[name] = answer["AppInstanceUserArn"]
    assert story["bob"] == story.app_instance + "/user/us-east-1:bob@b.c"

    admin = story.tell(
        identity("CreateAppInstanceAdmin", AppInstanceArn=story.app_instance, AppInstanceAdminArn=story["ann"])
    )
    assert admin["AppInstanceAdmin"] == {"Arn": story["ann"], "Name": "Ann"}
    described, listed = story.tell_together(
        identity("DescribeAppInstanceUser", AppInstanceUserArn=story["bob"]),
        identity("ListAppInstanceUsers", AppInstanceArn=story.app_instance),
    )
    assert described["AppInstanceUser"]["Name"] == "Bob 🦆"
    assert isinstance(described["AppInstanceUser"]["CreatedTimestamp"], datetime)
    assert sorted(user["Name"] for user in listed["AppInstanceUsers"]) == sorted(users.values())
    listed["AppInstanceUsers"].sort(key=lambda user: user["AppInstanceUserArn"])  # made at the same time
    story.refuses(
        (
            "ConflictException",
            identity("CreateAppInstanceUser", AppInstanceArn=story.app_instance, AppInstanceUserId="ann", Name="Anna"),
        ),
        ("ForbiddenException", identity("DescribeAppInstanceUser", AppInstanceUserArn=story.app_instance + "/user/no")),
    )


def messages(story: Story) -> None:
    """A channel, made twice with one token; messages sent, changed, redacted, deleted, listed by page and by time."""
    lobby = {
        "AppInstanceArn": story.app_instance,
        "Name": "Größe ☃ 🦆",
        "Mode": "RESTRICTED",
        "Metadata": '{"a": "ü"}',
        "MemberArns": [story["bob"], story["mod"]],
        "ModeratorArns": [story["mod"]],
        "Tags": [{"Key": "kind", "Value": "lobby"}],
        "ClientRequestToken": "the-same",
        "ChimeBearer": story["ann"],
    }
    channel = story.tell(messaging("CreateChannel", **lobby))["ChannelArn"]
    again, described, endpoint = story.tell_together(
        messaging("CreateChannel", **lobby),
        messaging("DescribeChannel", ChannelArn=channel, ChimeBearer=story["bob"]),
        messaging("GetMessagingSessionEndpoint"),
    )
    assert again == {"ChannelArn": channel}
    assert described["Channel"]["Name"] == "Größe ☃ 🦆"
    assert described["Channel"]["CreatedBy"] == {"Arn": story["ann"], "Name": "Ann"}
    assert "://" not in endpoint["Endpoint"]["Url"]

    def send(name: str, content: str, **more: Any) -> Call:
        standard = {"Type": "STANDARD", "Persistence": "PERSISTENT", "ChimeBearer": story[name], **more}
        return messaging("SendChannelMessage", ChannelArn=channel, Content=content, **standard)

    def of(operation: str, message_id: str, name: str, **more: Any) -> Call:
        return messaging(operation, ChannelArn=channel, MessageId=message_id, ChimeBearer=story[name], **more)

    def listing(name: str, **more: Any) -> Call:
        return messaging("ListChannelMessages", ChannelArn=channel, ChimeBearer=story[name], **more)

    attributes = {"mention": {"StringValues": ["bob", "x y"]}}
    first = story.tell(send("ann", "größer ☃ 🦆", Metadata='{"n":1}', MessageAttributes=attributes))
    assert first["Status"] == {"Value": "SENT"}
    second = story.tell(send("bob", "quack", ClientRequestToken="once"))
    third = story.tell(send("mod", "psst", Target=[{"MemberArn": story["bob"]}]))
    repeated, *_ = story.tell_together(
        send("bob", "quack", ClientRequestToken="once"),
        of("UpdateChannelMessage", first["MessageId"], "ann", Content="größer still", Metadata='{"n":2}'),
        of("RedactChannelMessage", second["MessageId"], "mod"),
        messaging("UpdateChannelReadMarker", ChannelArn=channel, ChimeBearer=story["bob"]),
    )
    assert repeated["MessageId"] == second["MessageId"]

    changed, status, whispered, marked, pages = (
        *story.tell_together(
            of("GetChannelMessage", first["MessageId"], "bob"),
            of("GetChannelMessageStatus", second["MessageId"], "bob"),
            listing("bob", SortOrder="ASCENDING"),
            messaging(
                "DescribeChannelMembershipForAppInstanceUser",
                ChannelArn=channel,
                AppInstanceUserArn=story["bob"],
                ChimeBearer=story["bob"],
            ),
        ),
        story.pages("ChannelMessages", listing("bob", MaxResults=1)),
    )
    changed = changed["ChannelMessage"]
    assert (changed["Content"], changed["Metadata"]) == ("größer still", '{"n":2}')
    assert changed["MessageAttributes"] == attributes
    assert changed["CreatedTimestamp"] < changed["LastEditedTimestamp"]
    assert status["Status"] == {"Value": "SENT"}
    [[psst], [redacted], [edited]] = pages
    assert [psst["Content"], edited["Content"]] == ["psst", "größer still"]
    assert redacted["Redacted"] is True
    assert "Content" not in redacted
    assert whispered["ChannelMessages"] == [edited, redacted, psst]
    assert isinstance(marked["ChannelMembership"]["AppInstanceUserMembershipSummary"]["ReadMarkerTimestamp"], datetime)

    story.tell(of("DeleteChannelMessage", third["MessageId"], "ann"))
    since, until = story.tell_together(
        listing("mod", NotBefore=redacted["CreatedTimestamp"]), listing("mod", NotAfter=redacted["CreatedTimestamp"])
    )
    assert since["ChannelMessages"][0]["MessageId"] == second["MessageId"]
    assert until["ChannelMessages"][-1]["MessageId"] == first["MessageId"]
    assert third["MessageId"] not in json.dumps(since, default=str)
    story.refuses(
        ("ForbiddenException", send("eve", "let me in")),
        ("BadRequestException", listing("bob", MaxResults=51)),
        ("ForbiddenException", messaging("DescribeChannel", ChannelArn=channel + "x", ChimeBearer=story["bob"])),
    )
    story.people["lobby"] = channel


def moderation(story: Story) -> None:
    """A flow with a processor, a ban and its end, preferences, tags."""
    lobby = story["lobby"]
    flow = story.tell(
        messaging(
            "CreateChannelFlow",
            AppInstanceArn=story.app_instance,
            Name="moderation",
            Processors=[
                {
                    "Name": "moderate",
                    "Configuration": {"Lambda": {"ResourceArn": MODERATE, "InvocationType": "ASYNC"}},
                    "ExecutionOrder": 1,
                    "FallbackAction": "ABORT",
                }
            ],
        )
    )["ChannelFlowArn"]
    as_mod = {"ChannelArn": lobby, "ChimeBearer": story["mod"]}
    assert story.tell(messaging("AssociateChannelFlow", **as_mod, ChannelFlowArn=flow)) == {}
    story.refuses(("ConflictException", messaging("DeleteChannelFlow", ChannelFlowArn=flow)))
    sent = story.tell(
        messaging("SendChannelMessage", **as_mod, Content="what a duck", Type="STANDARD", Persistence="PERSISTENT")
    )
    assert sent["Status"] == {"Value": "PENDING"}
    event = story.processor.takes()
    assert event["ChannelMessage"]["Content"] == "what a duck"
    answered = story.tell(
        messaging(
            "ChannelFlowCallback",
            CallbackId=event["CallbackId"],
            ChannelArn=lobby,
            DeleteResource=False,
            ChannelMessage={"MessageId": sent["MessageId"], "Content": "what a ****"},
        )
    )
    assert answered["CallbackId"] == event["CallbackId"]
    released, *_ = story.tell_together(
        messaging("GetChannelMessage", **as_mod, MessageId=sent["MessageId"]),
        messaging("DisassociateChannelFlow", **as_mod, ChannelFlowArn=flow),
    )
    assert released["ChannelMessage"]["Content"] == "what a ****"
    assert released["ChannelMessage"]["Status"] == {"Value": "SENT"}

    _, banned, tagged, preferred = story.tell_together(
        messaging("DeleteChannelFlow", ChannelFlowArn=flow),
        messaging("CreateChannelBan", **as_mod, MemberArn=story["eve"]),
        messaging("TagResource", ResourceARN=lobby, Tags=[{"Key": "mood", "Value": "größer ☃"}]),
        messaging(
            "PutChannelMembershipPreferences",
            ChannelArn=lobby,
            MemberArn=story["bob"],
            ChimeBearer=story["bob"],
            Preferences={"PushNotifications": {"AllowNotifications": "FILTERED", "FilterRule": '{"mention": ["bob"]}'}},
        ),
    )
    assert banned["Member"] == {"Arn": story["eve"], "Name": "Eve"}
    assert tagged == {}
    assert preferred["Preferences"]["PushNotifications"]["AllowNotifications"] == "FILTERED"
    bans, tags, moderators = story.tell_together(
        messaging("ListChannelBans", **as_mod),
        messaging("ListTagsForResource", ResourceARN=lobby),
        messaging("ListChannelModerators", **as_mod),
    )
    assert [ban["Member"]["Arn"] for ban in bans["ChannelBans"]] == [story["eve"]]
    assert {tag["Key"]: tag["Value"] for tag in tags["Tags"]} == {"kind": "lobby", "mood": "größer ☃"}
    assert [each["Moderator"]["Arn"] for each in moderators["ChannelModerators"]] == [story["ann"], story["mod"]]
    story.refuses(
        ("NotFoundException", messaging("DescribeChannelBan", **as_mod, MemberArn=story["bob"])),
        (
            "ForbiddenException",
            messaging("CreateChannelMembership", **as_mod, MemberArn=story["eve"], Type="DEFAULT"),
        ),
    )
    story.tell(messaging("DeleteChannelBan", **as_mod, MemberArn=story["eve"]))


def belongings(story: Story) -> None:
    """Endpoints, a bot, retention, expiration, search, and a channel of many."""
    ann = {"ChimeBearer": story["ann"]}
    registered, bot, retention, expiring, found, stage = story.tell_together(
        identity(
            "RegisterAppInstanceUserEndpoint",
            AppInstanceUserArn=story["bob"],
            Name="a phone",
            Type="APNS",
            ResourceArn="arn:aws:mobiletargeting:us-east-1:123456789012:apps/0123456789abcdef0123456789abcdef",
            EndpointAttributes={"DeviceToken": "a-device"},
        ),
        identity(
            "CreateAppInstanceBot",
            AppInstanceArn=story.app_instance,
            Name="Botty",
            Configuration={
                "Lex": {
                    "LexBotAliasArn": "arn:aws:lex:us-east-1:123456789012:bot-alias/ABCDEFGHIJ/KLMNOPQRST",
                    "LocaleId": "en_US",
                    "InvokedBy": {"StandardMessages": "ALL", "TargetedMessages": "NONE"},
                }
            },
        ),
        identity(
            "PutAppInstanceRetentionSettings",
            AppInstanceArn=story.app_instance,
            AppInstanceRetentionSettings={"ChannelRetentionSettings": {"RetentionDays": 30}},
        ),
        messaging(
            "PutChannelExpirationSettings",
            ChannelArn=story["lobby"],
            ExpirationSettings={"ExpirationDays": 7, "ExpirationCriterion": "LAST_MESSAGE_TIMESTAMP"},
            **ann,
        ),
        messaging(
            "SearchChannels",
            Fields=[
                {"Key": "MEMBERS", "Values": [story["bob"], story["mod"]], "Operator": "INCLUDES"},
            ],
            ChimeBearer=story["bob"],
        ),
        messaging(
            "CreateChannel",
            AppInstanceArn=story.app_instance,
            Name="Stage",
            ElasticChannelConfiguration={
                "MaximumSubChannels": 2,
                "TargetMembershipsPerSubChannel": 4,
                "MinimumMembershipPercentage": 40,
            },
            **ann,
        ),
    )
    assert isinstance(retention["InitiateDeletionTimestamp"], datetime)
    assert expiring["ChannelArn"] == story["lobby"]
    assert [channel["ChannelArn"] for channel in found["Channels"]] == [story["lobby"]]
    endpoints, described, joined = story.tell_together(
        identity("ListAppInstanceUserEndpoints", AppInstanceUserArn=story["bob"]),
        identity("DescribeAppInstanceBot", AppInstanceBotArn=bot["AppInstanceBotArn"]),
        messaging(
            "CreateChannelMembership", ChannelArn=stage["ChannelArn"], MemberArn=story["eve"], Type="DEFAULT", **ann
        ),
    )
    assert [each["EndpointId"] for each in endpoints["AppInstanceUserEndpoints"]] == [registered["EndpointId"]]
    assert described["AppInstanceBot"]["Configuration"]["Lex"]["InvokedBy"]["StandardMessages"] == "ALL"
    sub_channels = story.tell(messaging("ListSubChannels", ChannelArn=stage["ChannelArn"], **ann))
    assert sub_channels["SubChannels"] == [{"SubChannelId": joined["SubChannelId"], "MembershipCount": 1}]
    *_, gone = story.tell_together(
        identity("DeleteAppInstanceBot", AppInstanceBotArn=bot["AppInstanceBotArn"]),
        messaging("DeleteChannel", ChannelArn=story["lobby"], **ann),
    )
    assert gone == {}


Chapter = Callable[[Story], None]
CHAPTERS: tuple[Chapter, ...] = (people, messages, moderation, belongings)


def told(teller: Teller, processor: Processor, chapters: Iterable[Chapter] = CHAPTERS) -> Story:
    """The story, told by `teller`."""
    story = Story(teller, processor)
    for chapter in chapters:
        chapter(story)
    return story
