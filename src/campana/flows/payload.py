"""What a processor is handed: the event of its invocation (spec/channel-flows.md §4)."""

from typing import Any

from campana import views
from campana.api.base import encode_frame, iso
from campana.flows.revision import Revision
from campana.store.executions import Execution
from campana.store.messages import Message
from campana.unit_of_work import UnitOfWork


def render(unit: UnitOfWork, execution: Execution, message: Message, draft: Revision, callback_id: str) -> str:
    """The JSON text of the event. Target, attributes and content type are left out, as in the original, unless
    `flows.extended_payload` is set; LastEditedTimestamp alone tells an edit from a new message."""
    content: dict[str, Any] = {
        "MessageId": message.id,
        "ChannelArn": message.channel_arn,
        "Content": draft.content,
        "Metadata": draft.metadata,
        "Sender": unit.identity(message.sender_arn),
        "Persistence": message.persistence,
        "Type": message.type,
        "CreatedTimestamp": iso(message.created_at),
        "LastEditedTimestamp": iso(execution.created_at) if execution.operation == "UPDATE" else None,
        "PushNotification": views.push_notification(draft.push_notification),
        "SubChannelId": message.sub_channel_id or None,
    }
    if unit.settings.flows.extended_payload:
        content["ContentType"] = draft.content_type
        content["MessageAttributes"] = views.attributes(draft.message_attributes)
        content["Target"] = None if message.target_arn is None else [{"MemberArn": message.target_arn}]
    present = {name: value for name, value in content.items() if value is not None}
    return encode_frame({"EventType": "CHANNEL_MESSAGE_EVENT", "CallbackId": callback_id, "ChannelMessage": present})
