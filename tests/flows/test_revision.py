"""What a processor's callback makes of the revision it was handed."""

import pytest

from campana.api.messaging import ChannelMessageCallback, MessageAttributeValue, PushNotificationConfiguration
from campana.errors import BadRequest
from campana.flows.revision import Revision, attributes_json, check_standard_sizes, push_json

ATTRIBUTES = {"colour": MessageAttributeValue(string_values=["red"])}
FULL = Revision(
    content="my card is 4111",
    metadata='{"k":1}',
    content_type="text/plain",
    message_attributes=attributes_json(ATTRIBUTES),
    push_notification=push_json(PushNotificationConfiguration(title="Lobby")),
)
TOO_LONG = "Channel Messages size limit exceeded"


def answer(**fields: object) -> ChannelMessageCallback:
    return ChannelMessageCallback(message_id="1", **fields)  # type: ignore[arg-type]


def test_an_answer_without_fields_changes_nothing() -> None:
    assert FULL.edited(answer()) == FULL


@pytest.mark.parametrize(
    ("field", "given", "becomes"),
    [
        ("content", "my card is ****", "my card is ****"),
        ("metadata", "m", "m"),
        ("metadata", "", None),
        ("content_type", "application/json", "application/json"),
        ("content_type", "", None),
        ("message_attributes", ATTRIBUTES, '{"colour":{"StringValues":["red"]}}'),
        ("message_attributes", {}, None),
        ("push_notification", PushNotificationConfiguration(body="b"), '{"Body":"b"}'),
    ],
)
def test_a_given_field_replaces_and_an_empty_one_clears(field: str, given: object, becomes: str | None) -> None:
    edited = FULL.edited(answer(**{field: given}))

    assert getattr(edited, field) == becomes
    others = {"content", "metadata", "content_type", "message_attributes", "push_notification"} - {field}
    assert {each: getattr(edited, each) for each in others} == {each: getattr(FULL, each) for each in others}


@pytest.mark.parametrize(
    ("content", "metadata", "fits"),
    [
        ("a" * 4096, None, True),
        ("a" * 4097, None, False),
        ("ü" * 2048, None, True),  # bytes are counted, not characters
        ("ü" * 2048 + "a", None, False),
        ("😀" * 1024, None, True),
        ("😀" * 1024 + "a", None, False),
        ("a", "m" * 1024, True),
        ("a", "m" * 1025, False),
        ("a", "ü" * 512, True),
        ("a", "ü" * 512 + "m", False),
    ],
)
def test_sizes_at_the_edge(content: str, metadata: str | None, fits: bool) -> None:
    if fits:
        check_standard_sizes(content, metadata)
        assert Revision("x").edited(answer(content=content, metadata=metadata)) == Revision(content, metadata)
        return
    with pytest.raises(BadRequest, match=f"^{TOO_LONG}$"):
        check_standard_sizes(content, metadata)
    with pytest.raises(BadRequest, match=f"^{TOO_LONG}$"):
        Revision("x").edited(answer(content=content, metadata=metadata))


@pytest.mark.parametrize(
    ("attributes", "fits"),
    [
        ({"n" * 24: ["v" * 500, "v" * 500]}, True),
        ({"n" * 24: ["v" * 500, "v" * 501]}, False),
        ({"a": ["v" * 511], "b": ["v" * 511]}, True),
        ({"a": ["v" * 511], "b": ["v" * 512]}, False),
        ({"ü": ["ü" * 511]}, True),
        ({"ü": ["ü" * 511, "v"]}, False),
        ({"a": None}, True),
    ],
)
def test_attributes_share_one_kilobyte(attributes: dict[str, list[str] | None], fits: bool) -> None:
    given = {name: MessageAttributeValue(string_values=values) for name, values in attributes.items()}

    if fits:
        assert FULL.edited(answer(message_attributes=given)).message_attributes is not None
        return
    with pytest.raises(BadRequest, match="1024 bytes"):
        FULL.edited(answer(message_attributes=given))


def test_a_refused_edit_leaves_the_revision_as_it_was() -> None:
    revision = Revision("short", metadata="kept")

    with pytest.raises(BadRequest):
        revision.edited(answer(content="a" * 5000, metadata=""))

    assert revision == Revision("short", metadata="kept")
