"""Messages: send, get, ask for the status, list, update, redact, delete."""

import msgspec

from campana import events, limits, views
from campana.api.messaging import (
    DeleteChannelMessageRequest,
    GetChannelMessageRequest,
    GetChannelMessageResponse,
    GetChannelMessageStatusRequest,
    GetChannelMessageStatusResponse,
    ListChannelMessagesRequest,
    ListChannelMessagesResponse,
    RedactChannelMessageRequest,
    RedactChannelMessageResponse,
    SendChannelMessageRequest,
    SendChannelMessageResponse,
    UpdateChannelMessageRequest,
    UpdateChannelMessageResponse,
)
from campana.auth.roles import ADMIN, INVOLVED, MEMBER, MODERATOR, OWN, PLAIN, PUBLIC, SENT, VISIBLE, WELCOME
from campana.errors import BadRequest, Conflict, Forbidden, NotFound
from campana.flows import execution
from campana.flows.revision import TOO_LONG, Revision, attributes_json, check_standard_sizes, push_json
from campana.limits import MESSAGE_LISTS, MESSAGE_READS, MESSAGE_WRITES
from campana.operations.registry import operation
from campana.store import executions, memberships, messages
from campana.store.database import Tx
from campana.store.messages import Message
from campana.unit_of_work import Call

FAR_FUTURE_MS = 2**53


def _check_sizes(type: str, content: str, metadata: str | None) -> None:
    if type == "STANDARD":
        check_standard_sizes(content, metadata)
    elif len(content.encode()) > limits.CONTROL_CONTENT_BYTES:
        raise BadRequest(TOO_LONG)
    elif metadata:
        raise BadRequest("Metadata is not for CONTROL messages.")


def _processors_for(call: Call, type: str) -> str | None:
    """Those that a message of this type has to pass in the channel: JSON of the flow's ProcessorList."""
    return call.processors if type == "STANDARD" else None


def _next_time(call: Call) -> int:
    """Now, or, if the clock was put back, just after the last message: lists and those who poll by time miss none."""
    last = call.channel.last_message_at or 0
    return last + 1 if call.now < last <= call.now + limits.CLOCK_PUT_BACK_MS else call.now


@operation(on="channel_arn", allow=[{MEMBER, VISIBLE}], rate=MESSAGE_WRITES, together=True)
def send_channel_message(call: Call, request: SendChannelMessageRequest) -> SendChannelMessageResponse:
    """Send, or, in a channel with a flow, hand to its processors first: then the answer says PENDING."""
    _check_sizes(request.type, request.content, request.metadata)
    target_arn = request.target[0].member_arn if request.target else None
    if request.target and (
        target_arn is None or memberships.find(call.tx, call.channel.arn, target_arn, call.sub_channel_id) is None
    ):
        raise BadRequest("The Target must be a member of the channel.")
    processors = _processors_for(call, request.type)
    at = _next_time(call)
    message = Message(
        id=call.ids.message(at, call.channel.last_message_id),
        channel_arn=call.channel.arn,
        sub_channel_id=call.sub_channel_id,
        sender_arn=call.bearer.arn,
        type=request.type.value,
        persistence=request.persistence.value,
        status="SENT" if processors is None else "PENDING",
        status_detail=None,
        content=request.content,
        metadata=request.metadata or None,
        content_type=request.content_type or None,
        message_attributes=attributes_json(request.message_attributes),
        push_notification=push_json(request.push_notification),
        target_arn=target_arn,
        created_at=at,
        updated_at=at,
        edited_at=None,
        redacted_at=None,
    )
    if processors is None:
        execution.release_new(call, message, stored=False)
    else:
        messages.insert(call.tx, message)
        events.publish_message(call, events.PENDING_CREATE_CHANNEL_MESSAGE, message)
        execution.start(call, execution.CREATE, message, Revision.of(message), processors)
    return SendChannelMessageResponse(
        channel_arn=message.channel_arn,
        message_id=message.id,
        status=views.status(message.status),
        sub_channel_id=message.sub_channel_id or None,
    )


@operation(on="channel_arn", allow=[{ADMIN}, {MODERATOR}, {MEMBER}, {PUBLIC, WELCOME, PLAIN}], rate=MESSAGE_READS)
def get_channel_message(call: Call, request: GetChannelMessageRequest) -> GetChannelMessageResponse:
    """One message. While it is in processing, nobody but its sender sees it, admins included."""
    message = call.message
    if message is None or (message.involved is not None and call.bearer.arn not in message.involved):
        raise NotFound("There is no such message.")
    shown = _as_seen_by(call.tx, call.bearer.arn, message)
    if shown is None:
        raise Forbidden
    return GetChannelMessageResponse(channel_message=views.message(call, shown))


def _as_seen_by(tx: Tx, reader_arn: str, message: Message) -> Message | None:
    """Others see what was sent; the sender sees a proposed edit, and what is pending or failed."""
    if message.sender_arn == reader_arn:
        pending = execution.find_pending(tx, message.id)
        return message if pending is None else execution.as_proposed(pending, message)
    return message if message.status == "SENT" else None


@operation(on="channel_arn", allow=[{ADMIN}, {MODERATOR}, {MEMBER}, {PUBLIC, WELCOME, PLAIN}], rate=MESSAGE_LISTS)
def list_channel_messages(call: Call, request: ListChannelMessagesRequest) -> ListChannelMessagesResponse:
    """Persistent messages, newest first unless asked otherwise. What the bearer may not see is skipped, so a page
    may be shorter than asked for although there are more."""
    page = messages.page(
        call.tx,
        call.channel.arn,
        call.sub_channel_id,
        not_before=max(call.oldest_kept, 0 if request.not_before is None else request.not_before.ms),
        not_after=FAR_FUTURE_MS if request.not_after is None else request.not_after.ms,
        descending=request.sort_order != "ASCENDING",
        after=call.after,
        limit=call.limit,
    )
    shown = [seen for row in page.rows if (seen := as_listed_for(call.tx, call.bearer.arn, row)) is not None]
    call.look_up(row.sender_arn for row in shown)
    return ListChannelMessagesResponse(
        channel_arn=call.channel.arn,
        channel_messages=[views.message_summary(call, row) for row in shown],
        next_token=call.token(page),
        sub_channel_id=call.sub_channel_id or None,
    )


def as_listed_for(tx: Tx, reader_arn: str, message: Message) -> Message | None:
    """The message as it stands in a list for this user or bot; None: not at all."""
    if message.persistence != "PERSISTENT":
        return None
    if message.involved is not None and reader_arn not in message.involved:
        return None
    return _as_seen_by(tx, reader_arn, message)


@operation(on="channel_arn", allow=[{PLAIN, OWN}, {MEMBER, OWN}])
def get_channel_message_status(call: Call, request: GetChannelMessageStatusRequest) -> GetChannelMessageStatusResponse:
    """How far the bearer's own message has come; a denied one is not there any more, so Forbidden."""
    message = call.message
    assert message is not None
    newest = executions.newest_of(call.tx, message.id)
    if newest is None or newest.state in ("SENT", "CANCELLED"):
        status = views.status(message.status, message.status_detail)
    elif newest.state == "FAILED":
        status = views.status("FAILED", message.status_detail)
    else:
        status = views.status("PENDING")
    return GetChannelMessageStatusResponse(status=status)


@operation(on="channel_arn", allow=[{MEMBER, OWN, SENT}], rate=MESSAGE_WRITES, together=True)
def update_channel_message(call: Call, request: UpdateChannelMessageRequest) -> UpdateChannelMessageResponse:
    """Edit an own message; through the channel's flow if it has one, while others still see the last revision."""
    message = call.message
    assert message is not None
    if message.redacted_at is not None:
        raise Conflict("The message is redacted.")
    if execution.find_pending(call.tx, message.id) is not None:
        raise Forbidden
    _check_sizes(message.type, request.content, request.metadata)
    proposed = Revision(
        content=request.content,
        metadata=message.metadata if request.metadata is None else request.metadata or None,
        content_type=message.content_type if request.content_type is None else request.content_type or None,
        message_attributes=message.message_attributes,
        push_notification=message.push_notification,
    )
    edited = msgspec.structs.replace(proposed.on(message), edited_at=call.now, updated_at=call.now)
    processors = _processors_for(call, message.type)
    if processors is None:
        messages.update(call.tx, edited)
        events.publish_message(call, events.UPDATE_CHANNEL_MESSAGE, edited)
    else:
        edited = msgspec.structs.replace(edited, status="PENDING")
        events.publish_message(call, events.PENDING_UPDATE_CHANNEL_MESSAGE, edited)
        execution.start(call, execution.UPDATE, message, proposed, processors)
    return UpdateChannelMessageResponse(
        channel_arn=message.channel_arn,
        message_id=message.id,
        status=views.status(edited.status),
        sub_channel_id=message.sub_channel_id or None,
    )


@operation(
    on="channel_arn",
    allow=[{ADMIN, SENT, INVOLVED}, {MODERATOR, SENT, INVOLVED}, {MEMBER, OWN, SENT}],
    rate=MESSAGE_WRITES,
    together=True,
)
def redact_channel_message(call: Call, request: RedactChannelMessageRequest) -> RedactChannelMessageResponse:
    """Empty a message and tell its audience; a second time changes nothing. A pending edit of it is dropped."""
    message = call.message
    assert message is not None
    if message.redacted_at is None:
        execution.cancel(call, message)
        redacted = msgspec.structs.replace(Revision(content="").on(message), redacted_at=call.now, updated_at=call.now)
        messages.update(call.tx, redacted)
        events.publish_message(call, events.REDACT_CHANNEL_MESSAGE, redacted)
    return RedactChannelMessageResponse(
        channel_arn=message.channel_arn, message_id=message.id, sub_channel_id=message.sub_channel_id or None
    )


@operation(on="channel_arn", allow=[{ADMIN}], rate=MESSAGE_WRITES, together=True)
def delete_channel_message(call: Call, request: DeleteChannelMessageRequest) -> None:
    """Remove a sent message with everything known of it. Unknown: nothing changes."""
    message = call.message
    if message is None:
        return
    if message.status != "SENT":
        raise Forbidden
    executions.delete_of_message(call.tx, message.id)
    messages.delete(call.tx, message.id)
    events.publish_message(call, events.DELETE_CHANNEL_MESSAGE, msgspec.structs.replace(message, updated_at=call.now))
