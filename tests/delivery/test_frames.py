"""Frames as clients parse them (spec/realtime.md §4)."""

import json

from campana import frames


def test_the_payload_is_json_within_json() -> None:
    payload = '{"Content":"a \\"word\\" – ✓"}'

    frame = json.loads(frames.render("CREATE_CHANNEL_MESSAGE", "STANDARD", payload))

    assert frame["Headers"] == {
        "x-amz-chime-event-type": "CREATE_CHANNEL_MESSAGE",
        "x-amz-chime-message-type": "STANDARD",
    }
    assert json.loads(frame["Payload"]) == {"Content": 'a "word" – ✓'}


def test_headers_that_not_every_event_has() -> None:
    frame = json.loads(
        frames.render("DELETE_CHANNEL_MEMBERSHIP", "SYSTEM", "{}", "subchannel_DELETED", membership_type="DEFAULT")
    )

    assert frame["Headers"]["x-amz-chime-event-reason"] == "subchannel_DELETED"
    assert frame["Headers"]["x-amz-chime-membership-type"] == "DEFAULT"


def test_session_established_has_no_payload() -> None:
    assert json.loads(frames.SESSION_ESTABLISHED) == {
        "Headers": {"x-amz-chime-event-type": "SESSION_ESTABLISHED", "x-amz-chime-message-type": "SYSTEM"}
    }
