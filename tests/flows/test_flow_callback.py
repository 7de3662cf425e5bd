"""A processor's answer: what it changes, how it denies, when it is refused (spec/channel-flows.md §5)."""

import asyncio
import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from campana.processors import runner
from tests.flows.lobby import CONFLICT, FORBIDDEN, TOO_LONG, Lobby, Writes, not_pending, refused, told
from tests.harness import PATIENCE_S, App, Processor, calls_back, client, running
from tests.operations.helpers import answered, rows
from tests.operations.raw import signed

SENT_WITH: dict[str, Any] = {
    "Metadata": '{"k":1}',
    "ContentType": "text/plain",
    "MessageAttributes": {"mention": {"StringValues": ["cid"]}},
    "PushNotification": {"Title": "Lobby", "Body": "Bob wrote", "Type": "DEFAULT"},
}
SHOWN = ("Content", "Metadata", "ContentType", "MessageAttributes")


def calls(event: dict[str, Any], **replaced: Any) -> dict[str, Any]:
    """The members of a callback that lets the message pass, some of them replaced; None: left out."""
    message = event["ChannelMessage"]
    members = {
        "CallbackId": event["CallbackId"],
        "ChannelArn": message["ChannelArn"],
        "ChannelMessage": {"MessageId": message["MessageId"]},
        **replaced,
    }
    return {name: value for name, value in members.items() if value is not None}


# Passing, changing


def test_with_the_message_id_alone_the_message_passes_unchanged(lobby: Lobby, processor: Processor) -> None:
    message_id = lobby.sends("hello", **SENT_WITH)
    event = processor.takes()

    answer = calls_back(lobby.app, event)

    assert answered(200, answer) == {"ChannelArn": lobby.channel, "CallbackId": event["CallbackId"]}
    seen = lobby.gets(message_id, lobby.cid)
    assert {name: seen[name] for name in SHOWN} == {
        "Content": "hello",
        **{name: SENT_WITH[name] for name in SHOWN[1:]},
    }
    assert (seen["Status"], seen["Persistence"], seen["Type"]) == ({"Value": "SENT"}, "PERSISTENT", "STANDARD")


@pytest.mark.parametrize(
    ("field", "given", "becomes"),
    [
        ("Content", "my card is ****", "my card is ****"),
        ("Metadata", "m", "m"),
        ("Metadata", "", None),
        ("ContentType", "application/json", "application/json"),
        ("ContentType", "", None),
        ("MessageAttributes", {"colour": {"StringValues": ["red"]}}, {"colour": {"StringValues": ["red"]}}),
        ("MessageAttributes", {}, None),
    ],
)
def test_a_given_field_replaces_the_messages_and_the_others_stay(
    lobby: Lobby, processor: Processor, field: str, given: Any, becomes: Any
) -> None:
    with lobby.cid.connects() as cid:
        message_id = lobby.sends("hello", **SENT_WITH)

        calls_back(lobby.app, processor.takes(), **{field: given})

        expected = {"Content": "hello", **SENT_WITH, field: becomes}
        for seen in (cid.next().payload, lobby.gets(message_id), lobby.bob.reads(lobby.channel)[0]):
            assert {name: seen.get(name) for name in SHOWN} == {name: expected[name] for name in SHOWN}


def test_a_push_notification_is_replaced_whole(app: App) -> None:
    first, second = Processor(), Processor()
    lobby = Lobby.of(app, first.arn, second.arn)
    lobby.sends("hello", **SENT_WITH)

    calls_back(app, first.takes(), PushNotification={"Body": "somebody wrote"})

    assert second.takes()["ChannelMessage"]["PushNotification"] == {"Body": "somebody wrote"}
    first.close()
    second.close()


def test_who_sent_it_and_when_cannot_be_changed(lobby: Lobby, processor: Processor) -> None:
    message_id = lobby.sends()
    before = lobby.gets(message_id)
    changes = {"Sender": {"Arn": lobby.cid.arn}, "Persistence": "NON_PERSISTENT", "CreatedTimestamp": 1}
    body = calls(processor.takes(), ChannelMessage={"MessageId": message_id, **changes}, ChannelArn=None)

    target = f"/channels/{quote(lobby.channel, safe='')}?operation=channel-flow-callback"
    answer = signed(lobby.server.url, "POST", target, json.dumps(body).encode())

    assert answer.status == 200
    after = lobby.gets(message_id)
    for name in ("Sender", "Persistence", "Type", "CreatedTimestamp"):
        assert after[name] == before[name]


def test_a_processors_change_is_no_edit(lobby: Lobby, processor: Processor) -> None:
    message_id = lobby.sends()

    calls_back(lobby.app, processor.takes(), Content="changed")

    assert "LastEditedTimestamp" not in lobby.gets(message_id)


def test_a_processor_changes_an_edit(lobby: Lobby, processor: Processor) -> None:
    message_id = lobby.sent(processor, "first", Metadata="m")
    lobby.edits(message_id, "second")

    calls_back(lobby.app, processor.takes(), Content="third", Metadata="")

    seen = lobby.gets(message_id, lobby.cid)
    assert (seen["Content"], seen.get("Metadata")) == ("third", None)


# Denying


def test_a_denied_message_is_nowhere(lobby: Lobby, processor: Processor) -> None:
    with lobby.bob.connects() as bob, lobby.cid.connects() as cid:
        message_id = lobby.sends("buy pills")
        event = processor.takes()

        answer = calls_back(lobby.app, event, deny=True)

        assert answered(200, answer) == {"ChannelArn": lobby.channel, "CallbackId": event["CallbackId"]}
        assert told(lobby.heard(bob))[1:] == [("DENIED_CREATE_CHANNEL_MESSAGE", "buy pills", "DENIED")]
        assert lobby.heard(cid) == []
    with refused(403, "Forbidden"):
        lobby.status(message_id)
    for reader in (lobby.root, lobby.ann, lobby.bob, lobby.cid):
        with refused(404, "NotFound"):
            lobby.gets(message_id, reader)
        assert lobby.lists(reader) == []
    for table, column in (("messages", "id"), ("executions", "message_id")):
        assert rows(lobby.server, table, **{column: message_id}) == 0


def test_a_denied_edit_leaves_what_was_sent(lobby: Lobby, processor: Processor) -> None:
    message_id = lobby.sent(processor, "first")
    before = lobby.gets(message_id)
    with lobby.bob.connects() as bob, lobby.cid.connects() as cid:
        lobby.edits(message_id, "second")

        calls_back(lobby.app, processor.takes(), deny=True)

        assert told(lobby.heard(bob))[1:] == [("DENIED_UPDATE_CHANNEL_MESSAGE", "second", "DENIED")]
        assert lobby.heard(cid) == []
    for reader in (lobby.ann, lobby.bob, lobby.cid):
        assert lobby.gets(message_id, reader) == before
    assert lobby.status(message_id) == {"Value": "SENT"}
    lobby.edits(message_id, "third")  # nothing is in the way of another
    calls_back(lobby.app, processor.takes())
    assert lobby.gets(message_id, lobby.cid)["Content"] == "third"


@pytest.mark.parametrize("fields", [{"Content": "changed"}, {"Content": "a" * 5000}])
def test_who_denies_and_changes_denies(lobby: Lobby, processor: Processor, fields: dict[str, str]) -> None:
    message_id = lobby.sends()

    calls_back(lobby.app, processor.takes(), deny=True, **fields)

    with refused(404, "NotFound"):
        lobby.gets(message_id)


# Refusals


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"Content": "a" * 4097}, TOO_LONG),
        ({"Content": "ü" * 2049}, TOO_LONG),
        ({"Metadata": "ü" * 513}, TOO_LONG),
        ({"MessageAttributes": {f"name{n}": {"StringValues": ["v" * 500]} for n in range(3)}}, None),
        ({"SubChannelId": "1234567890abcdef1234567890abcdef"}, None),
    ],
)
def test_after_a_refused_change_the_message_waits_for_another_callback(
    lobby: Lobby, processor: Processor, fields: dict[str, Any], text: str | None
) -> None:
    message_id = lobby.sends("hello")
    event = processor.takes()

    with refused(400, "BadRequest", text):
        calls_back(lobby.app, event, **fields)

    assert lobby.status(message_id) == {"Value": "PENDING"}
    calls_back(lobby.app, event, Content="a" * 4096)
    assert lobby.gets(message_id, lobby.cid)["Content"] == "a" * 4096


@pytest.mark.parametrize(
    "replaced",
    [
        {"CallbackId": "a" * 31},
        {"CallbackId": "a" * 65},
        {"ChannelArn": "no-arn"},
        {"ChannelMessage": {"Content": "without a message id"}},
        {"ChannelMessage": None},
        {"Content": ""},
        {"Metadata": "m" * 1025},
        {"ContentType": "t" * 46},
        {"DeleteResource": "yes"},
    ],
    ids=str,
)
def test_a_callback_of_another_shape_is_a_bad_request(
    lobby: Lobby, processor: Processor, replaced: dict[str, Any]
) -> None:
    message_id = lobby.sends()
    event = processor.takes()
    fields = {name: replaced[name] for name in ("Content", "Metadata", "ContentType") if name in replaced}
    if fields:
        replaced = {"ChannelMessage": {"MessageId": message_id, **fields}}
    raw = client("chime-sdk-messaging", lobby.server.url, validates=False)

    with refused(400, "BadRequest"):
        raw.channel_flow_callback(**calls(event, **replaced))

    assert lobby.status(message_id) == {"Value": "PENDING"}
    calls_back(lobby.app, event)


def test_an_unknown_callback_id_is_forbidden(lobby: Lobby, processor: Processor) -> None:
    message_id = lobby.sends()
    event = processor.takes()

    for unknown in (str(uuid.uuid4()), "0" * 64, None):  # boto3 makes one up where there is none
        with refused(403, "Forbidden", FORBIDDEN):
            lobby.app.messaging.channel_flow_callback(**calls(event, CallbackId=unknown))

    assert lobby.status(message_id) == {"Value": "PENDING"}


def test_a_callback_id_is_good_for_its_channel_only(lobby: Lobby, processor: Processor) -> None:
    message_id = lobby.sends()
    elsewhere = lobby.ann.makes_channel()

    with refused(403, "Forbidden", FORBIDDEN):
        lobby.app.messaging.channel_flow_callback(**calls(processor.takes(), ChannelArn=elsewhere))

    assert lobby.status(message_id) == {"Value": "PENDING"}


def test_a_callback_names_the_message_it_is_for(lobby: Lobby, processor: Processor) -> None:
    mine, other = lobby.sends("mine"), lobby.sends("other")
    events = {event["ChannelMessage"]["MessageId"]: event for event in (processor.takes(), processor.takes())}

    with refused(400, "BadRequest"):
        lobby.app.messaging.channel_flow_callback(**calls(events[mine], ChannelMessage={"MessageId": other}))

    assert (lobby.status(mine), lobby.status(other)) == ({"Value": "PENDING"}, {"Value": "PENDING"})


def test_a_second_callback_for_a_sent_message_is_told_so(lobby: Lobby, processor: Processor) -> None:
    message_id = lobby.sends("hello")
    event = processor.takes()
    calls_back(lobby.app, event)

    for deny in (False, True):
        with refused(400, "BadRequest", not_pending(event)):
            calls_back(lobby.app, event, deny=deny, Content="too late")

    assert lobby.gets(message_id)["Content"] == "hello"


def test_a_second_callback_for_an_edit_is_told_so(lobby: Lobby, processor: Processor) -> None:
    message_id = lobby.sent(processor)
    lobby.edits(message_id)
    event = processor.takes()
    calls_back(lobby.app, event)

    with refused(400, "BadRequest", not_pending(event)):
        calls_back(lobby.app, event)


@pytest.mark.parametrize("operation", ["create", "update"])
def test_a_second_callback_after_a_denial_is_forbidden(lobby: Lobby, processor: Processor, operation: str) -> None:
    if operation == "create":
        lobby.sends()
    else:
        lobby.edits(lobby.sent(processor))
    event = processor.takes()
    calls_back(lobby.app, event, deny=True)

    for deny in (False, True):
        with refused(403, "Forbidden", FORBIDDEN):
            calls_back(lobby.app, event, deny=deny)


def test_a_second_callback_for_a_non_persistent_message_is_told_so(lobby: Lobby, processor: Processor) -> None:
    lobby.sends(Persistence="NON_PERSISTENT")
    event = processor.takes()
    calls_back(lobby.app, event)

    with refused(400, "BadRequest", not_pending(event)):
        calls_back(lobby.app, event, Content="too late")


def test_a_callback_after_the_message_failed_is_told_so(lobby: Lobby, processor: Processor) -> None:
    processor.status = 503
    with lobby.bob.connects() as bob:
        lobby.sends()
        bob.until("FAILED_CREATE_CHANNEL_MESSAGE")
    event = processor.takes()

    with refused(400, "BadRequest", not_pending(event)):
        calls_back(lobby.app, event)


def test_a_callback_for_a_processor_that_the_flow_has_left_behind_is_forbidden(app: App, processor: Processor) -> None:
    unreachable = Processor()
    unreachable.status = 503
    lobby = Lobby.of(app, (unreachable.arn, "CONTINUE"), processor.arn)
    message_id = lobby.sends()
    current = processor.takes()

    with refused(403, "Forbidden", FORBIDDEN):
        calls_back(app, unreachable.takes(), deny=True)

    assert lobby.status(message_id) == {"Value": "PENDING"}
    calls_back(app, current)
    assert lobby.status(message_id) == {"Value": "SENT"}
    unreachable.close()


def test_a_callback_after_the_flow_went_on_without_its_last_processor_is_told_so(app: App) -> None:
    unreachable = Processor()
    unreachable.status = 503
    lobby = Lobby.of(app, (unreachable.arn, "CONTINUE"))
    with lobby.cid.connects() as cid:
        lobby.sends()
        cid.until("CREATE_CHANNEL_MESSAGE")
    event = unreachable.takes()

    with refused(400, "BadRequest", not_pending(event)):
        calls_back(app, event, deny=True)
    unreachable.close()


@pytest.mark.parametrize("gone", ["channel", "app instance"])
def test_a_callback_after_the_end_of_channel_or_app_instance_is_forbidden(
    lobby: Lobby, processor: Processor, gone: str
) -> None:
    lobby.sends()
    event = processor.takes()
    if gone == "channel":
        lobby.ann.delete_channel(ChannelArn=lobby.channel)
    else:
        lobby.app.identity.delete_app_instance(AppInstanceArn=lobby.app.arn)

    with refused(403, "Forbidden", FORBIDDEN):
        calls_back(lobby.app, event)
    lobby.server.settle()
    with refused(403, "Forbidden", FORBIDDEN):
        calls_back(lobby.app, event)


@pytest.mark.parametrize("denials", [(False, False), (False, True), (True, True)])
def test_of_two_callbacks_at_the_same_time_one_wins_and_the_other_conflicts(
    lobby: Lobby, processor: Processor, denials: tuple[bool, bool]
) -> None:
    message_id = lobby.sends()
    event = processor.takes()

    def call(deny: bool) -> str | None:
        try:
            calls_back(lobby.app, event, deny=deny)
        except Exception as error:
            with refused(409, "Conflict", CONFLICT):
                raise error
            return "conflict"
        return "denied" if deny else "sent"

    with Writes(lobby.server) as writes, ThreadPoolExecutor(2) as threads:
        # Nothing is committed until both have come as far as the queue.
        with writes.held():
            calling = [threads.submit(call, deny) for deny in denials]
            writes.until_queued("ChannelFlowCallback", 2)
        outcomes = {each.result() for each in calling}

    assert len(outcomes) == 2
    assert "conflict" in outcomes
    if "sent" in outcomes:
        assert lobby.lists(lobby.cid) == [("hello", "SENT")]
    else:
        with refused(404, "NotFound"):
            lobby.gets(message_id)
    with refused(*((400, "BadRequest") if "sent" in outcomes else (403, "Forbidden"))):  # later, it is as ever
        calls_back(lobby.app, event)


def test_a_callback_can_overtake_the_processors_own_reply(lobby: Lobby, processor: Processor) -> None:
    processor.answers.clear()
    with lobby.cid.connects() as cid:
        message_id = lobby.sends()

        calls_back(lobby.app, processor.takes())

        assert cid.next().type == "CREATE_CHANNEL_MESSAGE"
    processor.answers.set()
    assert lobby.status(message_id) == {"Value": "SENT"}


def test_of_a_processor_that_has_called_back_nobody_writes_down_that_it_accepted(
    lobby: Lobby, processor: Processor
) -> None:
    async def invocations_are_over() -> None:
        runner = lobby.server.server._runner
        assert runner is not None
        await asyncio.gather(*runner._tasks)

    processor.answers.clear()
    with Writes(lobby.server) as writes:
        message_id = lobby.sends()
        calls_back(lobby.app, processor.takes())
        processor.answers.set()
        lobby.server.run(invocations_are_over())

    written = [writes.ended.get_nowait()[0] for _ in range(writes.ended.qsize())]
    assert "report" not in written
    assert written.count("ChannelFlowCallback") == 1
    assert lobby.status(message_id) == {"Value": "SENT"}


def test_what_a_processor_has_accepted_is_not_invoked_again_because_the_server_stops(
    processor: Processor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "CALLS_BACK_S", 10 * PATIENCE_S)
    with running(tmp_path) as server:
        lobby = Lobby.of(App(server), processor.arn)
        processor.answers.clear()
        lobby.sends()
        processor.takes()

        async def stop() -> None:
            assert server.server._runner is not None
            stopping = asyncio.create_task(server.server._runner.stop(10 * PATIENCE_S))
            await asyncio.sleep(0)
            processor.answers.set()
            await stopping

        server.run(stop())

        assert rows(server, "executions", state="AWAITING_CALLBACK") == 1
