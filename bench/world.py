"""What a measurement finds in the server: an app instance, users, a channel that all of them are members of."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, cycle

import msgspec

from bench.client import Api
from bench.servers import Process
from bench.signing import Signer, label

BATCH = 100  # members that one call may add
SESSIONS_PER_USER = 10

_tokens = count(int(time.time() * 100))  # other ones than the last run's: a file may be used again


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel's ARN and its members', the moderator first."""

    arn: str
    members: tuple[str, ...]


async def channel(api: Api, users: int) -> Channel:
    """A new app instance with so many users, all in one channel."""
    instance = await api.call("POST", "/app-instances", {"Name": "bench", "ClientRequestToken": token()})
    app_arn = instance["AppInstanceArn"]
    members = []
    for number in range(users):
        fields = {"AppInstanceArn": app_arn, "AppInstanceUserId": f"user-{number}", "Name": f"User {number}"}
        user = await api.call("POST", "/app-instance-users", {**fields, "ClientRequestToken": token()})
        members.append(user["AppInstanceUserArn"])
    return await another_channel(api, app_arn, tuple(members))


async def another_channel(api: Api, app_arn: str, members: tuple[str, ...]) -> Channel:
    """A new channel of these users."""
    fields = {"AppInstanceArn": app_arn, "Name": "bench", "ClientRequestToken": token()}
    made = await api.call("POST", "/channels", fields, bearer=members[0])
    path = f"/channels/{label(made['ChannelArn'])}/memberships"
    for start in range(1, len(members), BATCH):
        batch = {"MemberArns": members[start : start + BATCH]}
        await api.call("POST", path, batch, query="operation=batch-create", bearer=members[0])
    return Channel(made["ChannelArn"], members)


def message(signer: Signer, channel: Channel, sender: str) -> bytes:
    """A signed SendChannelMessage with a token of its own and a body of some 500 bytes."""
    fields = {
        "Content": "x" * 300,
        "Metadata": '{"client":"bench"}',
        "Type": "STANDARD",
        "Persistence": "PERSISTENT",
        "ClientRequestToken": token(),
    }
    return signer.request(
        "POST", f"/channels/{label(channel.arn)}/messages", msgspec.json.encode(fields), bearer=sender
    )


def messages(signer: Signer, channel: Channel, number: int) -> list[bytes]:
    """So many, the members taking turns as senders."""
    senders: Iterator[str] = cycle(channel.members)
    return [message(signer, channel, next(senders)) for _ in range(number)]


def handshakes(server: Process, channel: Channel, sessions: int) -> list[bytes]:
    """Of so many sessions, spread evenly over the members."""
    signer, users = server.signer(), cycle(channel.members)
    return [signer.connect(next(users), f"session-{next(_tokens)}") for _ in range(sessions)]


def token() -> str:
    """A client request token that no other request has; a UUID's 36 characters, as boto3 sends."""
    return f"00000000-0000-4000-8000-{next(_tokens):012d}"
