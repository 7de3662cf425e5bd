"""A revision of a message: the fields that a sender proposes and processors may replace (spec/channel-flows.md §5)."""

from typing import Self

import msgspec

from campana import limits
from campana.api.base import encode_rest
from campana.api.messaging import ChannelMessageCallback, MessageAttributeMap, PushNotificationConfiguration
from campana.errors import BadRequest
from campana.store.messages import Message

TOO_LONG = "Channel Messages size limit exceeded"


class Revision(msgspec.Struct, frozen=True, omit_defaults=True):
    """Texts as the columns of a message hold them; attributes and push notification are JSON."""

    content: str
    metadata: str | None = None
    content_type: str | None = None
    message_attributes: str | None = None
    push_notification: str | None = None

    @classmethod
    def of(cls, message: Message) -> Self:
        return cls(
            message.content,
            message.metadata,
            message.content_type,
            message.message_attributes,
            message.push_notification,
        )

    def on(self, message: Message) -> Message:
        """The message with this revision's fields."""
        return msgspec.structs.replace(
            message,
            content=self.content,
            metadata=self.metadata,
            content_type=self.content_type,
            message_attributes=self.message_attributes,
            push_notification=self.push_notification,
        )

    def edited(self, callback: ChannelMessageCallback) -> "Revision":
        """With a callback's fields; an omitted one stays, an empty one clears. Raises BadRequest if too long."""
        fresh = self
        if callback.content is not None:
            fresh = msgspec.structs.replace(fresh, content=callback.content)
        if callback.metadata is not None:
            fresh = msgspec.structs.replace(fresh, metadata=callback.metadata or None)
        if callback.content_type is not None:
            fresh = msgspec.structs.replace(fresh, content_type=callback.content_type or None)
        if callback.message_attributes is not None:
            fresh = msgspec.structs.replace(fresh, message_attributes=attributes_json(callback.message_attributes))
        if callback.push_notification is not None:
            fresh = msgspec.structs.replace(fresh, push_notification=push_json(callback.push_notification))
        check_standard_sizes(fresh.content, fresh.metadata)
        return fresh


def check_standard_sizes(content: str, metadata: str | None) -> None:
    """Raises BadRequest above the sizes of a STANDARD message."""
    if len(content.encode()) > limits.STANDARD_CONTENT_BYTES:
        raise BadRequest(TOO_LONG)
    if metadata is not None and len(metadata.encode()) > limits.METADATA_BYTES:
        raise BadRequest(TOO_LONG)


def attributes_json(attributes: MessageAttributeMap | None) -> str | None:
    """For the column; {} clears. Raises BadRequest above the size all attributes may have together."""
    if not attributes:
        return None
    total = sum(
        len(name.encode()) + sum(len(text.encode()) for text in value.string_values or ())
        for name, value in attributes.items()
    )
    if total > limits.ATTRIBUTES_BYTES:
        raise BadRequest(f"MessageAttributes may hold at most {limits.ATTRIBUTES_BYTES} bytes.")
    return encode_rest(attributes).decode()


def push_json(push: PushNotificationConfiguration | None) -> str | None:
    """For the column."""
    return None if push is None else encode_rest(push).decode()
