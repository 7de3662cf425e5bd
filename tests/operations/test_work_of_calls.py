"""What a call costs the database, in a file with much of everything, through the whole server.

Counted in statements and in steps of SQLite's virtual machine, so the numbers are the same on every machine and
however busy it is.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from bench import fill
from bench.fill import ADMIN, SENDERS, Sizes

from campana.operations.search import LOOK_UPS_MAX
from campana.server.dispatch import Dispatcher
from campana.store import topics
from campana.store.database import Ahead
from campana.store.sqlite import SqliteTx
from tests.harness import RunningServer, running

pytestmark = pytest.mark.sqlite  # it counts the steps of SQLite's machine

SIZES = Sizes(
    messages=4_000,
    channels=20_000,
    users=10_000,
    messages_of_channel=(20, 200, 2_000),
    members_of_channel=(10, 10_000),
    memberships_of_user=(200, 20_000),
    channels_of_app_instance=(100, 20_000),
)
FEW_MESSAGES, MANY_MESSAGES = (fill.channel_of_messages(number) for number in (20, 2_000))
FEW_MEMBERS, MANY_MEMBERS = (fill.channel_of_members(number) for number in SIZES.members_of_channel)
FEW_MEMBERSHIPS, MANY_MEMBERSHIPS = (fill.busy_user(number) for number in SIZES.memberships_of_user)


@dataclass
class Work:
    """Of one call inside its transaction."""

    statements: int = 0
    steps: int = 0


class Counter:
    """A server's calls, counted one at a time."""

    def __init__(self, server: RunningServer) -> None:
        self.server = server
        self.messaging = server.client("chime-sdk-messaging")
        self.identity = server.client("chime-sdk-identity")
        self.last: tuple[Work, Any] = (Work(), None)
        self.ahead = Work()

    def of(self, operation: str, **members: Any) -> tuple[Work, Any]:
        """Of a call, and its answer."""
        client = self.messaging if hasattr(self.messaging, operation) else self.identity
        answer = getattr(client, operation)(**members)
        return self.last[0], answer

    def work(self, operation: str, **members: Any) -> Work:
        return self.of(operation, **members)[0]


def counted(tx: SqliteTx, look: Callable[[], Any]) -> tuple[Work, Any]:
    work = Work()

    def step() -> None:
        work.steps += 1

    def statement(_: str) -> None:
        work.statements += 1

    connection = tx._connection
    connection.set_progress_handler(step, 1)
    connection.set_trace_callback(statement)
    try:
        return work, look()
    finally:
        connection.set_progress_handler(None, 1)
        connection.set_trace_callback(None)


@pytest.fixture(scope="module")
def counter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counter]:
    folder = tmp_path_factory.mktemp("scale")
    (folder / "data").mkdir()
    fill.fill(folder / "data" / "campana.db", SIZES)
    run, look_ahead = Dispatcher._in_transaction, SqliteTx.look_ahead
    with running(folder) as server, pytest.MonkeyPatch.context() as patch:
        counter = Counter(server)

        def ahead(tx: SqliteTx, aheads: Iterable[Ahead]) -> None:
            counter.ahead = counted(tx, lambda: look_ahead(tx, aheads))[0]

        def written(self: Dispatcher, tx: SqliteTx, *arguments: Any) -> Any:
            response = run(self, tx, *arguments)
            tx.flush()
            return response

        def in_transaction(self: Dispatcher, tx: SqliteTx, *arguments: Any) -> Any:
            work, response = counted(tx, lambda: written(self, tx, *arguments))
            counter.last = Work(work.statements + counter.ahead.statements, work.steps + counter.ahead.steps), response
            counter.ahead = Work()
            return response

        patch.setattr(SqliteTx, "look_ahead", ahead)
        patch.setattr(Dispatcher, "_in_transaction", in_transaction)
        yield counter


def send(counter: Counter, channel: str) -> Work:
    members = {"Type": "STANDARD", "Persistence": "PERSISTENT", "Content": "hello", "ChimeBearer": SENDERS[0]}
    return counter.work("send_channel_message", ChannelArn=channel, **members)


def join(counter: Counter, channel: str) -> Work:
    member = {"ChannelArn": channel, "MemberArn": SENDERS[5], "ChimeBearer": ADMIN}
    counter.work("delete_channel_membership", **member)
    return counter.work("create_channel_membership", Type="DEFAULT", **member)


def leave(counter: Counter, channel: str) -> Work:
    member = {"ChannelArn": channel, "MemberArn": SENDERS[5], "ChimeBearer": ADMIN}
    work = counter.work("delete_channel_membership", **member)
    counter.work("create_channel_membership", Type="DEFAULT", **member)
    return work


def some_message(channel: str) -> dict[str, str]:
    messages = int(channel.rpartition("-")[2])
    number = fill.number_in_channel(SIZES, messages, 7)
    sender = fill.sender(SIZES, messages, number)
    return {"ChannelArn": channel, "MessageId": fill.message_id(number), "ChimeBearer": sender}


IN_CHANNEL: dict[str, Callable[[Counter, str], Work]] = {
    "send": send,
    "join": join,
    "leave": leave,
    "describe": lambda counter, channel: counter.work("describe_channel", ChannelArn=channel, ChimeBearer=SENDERS[0]),
    "describe a member": lambda counter, channel: counter.work(
        "describe_channel_membership", ChannelArn=channel, MemberArn=SENDERS[3], ChimeBearer=SENDERS[0]
    ),
    "list members": lambda counter, channel: counter.work(
        "list_channel_memberships", ChannelArn=channel, MaxResults=5, ChimeBearer=ADMIN
    ),
}
WITH_MESSAGES: dict[str, Callable[[Counter, str], Work]] = {
    "list messages": lambda counter, channel: counter.work(
        "list_channel_messages", ChannelArn=channel, MaxResults=5, ChimeBearer=ADMIN
    ),
    "list messages from the oldest": lambda counter, channel: counter.work(
        "list_channel_messages", ChannelArn=channel, MaxResults=5, SortOrder="ASCENDING", ChimeBearer=ADMIN
    ),
    "get": lambda counter, channel: counter.work("get_channel_message", **some_message(channel)),
    "update": lambda counter, channel: counter.work("update_channel_message", Content="new", **some_message(channel)),
    "redact": lambda counter, channel: counter.work("redact_channel_message", **some_message(channel)),
}


@pytest.mark.parametrize("call", IN_CHANNEL)
def test_a_call_costs_the_same_in_a_channel_of_ten_thousand_members(counter: Counter, call: str) -> None:
    run = IN_CHANNEL[call]
    run(counter, FEW_MEMBERS)  # what is made at the first time only, is made

    few, many = (run(counter, channel) for channel in (FEW_MEMBERS, MANY_MEMBERS))

    assert few.steps > 0
    assert few == many


@pytest.mark.parametrize("call", [*IN_CHANNEL, *WITH_MESSAGES])
def test_a_call_costs_the_same_in_a_channel_of_many_messages(counter: Counter, call: str) -> None:
    run = (IN_CHANNEL | WITH_MESSAGES)[call]

    few, many = (run(counter, channel) for channel in (FEW_MESSAGES, MANY_MESSAGES))

    assert few.statements == many.statements
    # A few steps depend on how many different senders a page has.
    assert 0 < many.steps < 1.1 * few.steps if "list" in call else 0 < many.steps == few.steps


def test_pages_of_a_user_with_twenty_thousand_memberships_cost_no_more(counter: Counter) -> None:
    few, many = (
        counter.work("list_channel_memberships_for_app_instance_user", MaxResults=50, ChimeBearer=user)
        for user in (FEW_MEMBERSHIPS, MANY_MEMBERSHIPS)
    )

    assert few.steps > 0
    assert few == many


def test_pages_of_an_app_instance_with_twenty_thousand_channels_cost_no_more(counter: Counter) -> None:
    few, many = (
        counter.work("list_channels", AppInstanceArn=app, MaxResults=50, ChimeBearer=f"{app}/user/admin")
        for app in (fill.app_instance(1), fill.app_instance(0))
    )

    assert 0 < many.steps < 1.1 * few.steps


def search(counter: Counter, bearer: str, operator: str, *members: str) -> tuple[Work, int, bool]:
    """Of the first page: the work, how many channels it has, and whether there are more."""
    fields = [{"Key": "MEMBERS", "Operator": operator, "Values": list(members)}]
    work, answer = counter.of("search_channels", Fields=fields, ChimeBearer=bearer)
    return work, len(answer["Channels"]), "NextToken" in answer


def test_a_search_in_which_all_match_costs_no_more_among_many(counter: Counter) -> None:
    few, many = (search(counter, user, "INCLUDES", user) for user in (FEW_MEMBERSHIPS, MANY_MEMBERSHIPS))

    assert few[1:] == many[1:] == (50, True)
    assert many[0].steps < 2 * few[0].steps  # it looks at the next hundred together


def test_a_search_walks_the_memberships_of_whoever_has_fewest(counter: Counter) -> None:
    few, many = (
        search(counter, user, "INCLUDES", user, fill.user(3), MANY_MEMBERSHIPS)
        for user in (FEW_MEMBERSHIPS, MANY_MEMBERSHIPS)
    )

    assert many[2] is False
    assert few[2] is False
    assert many[0].steps < 2 * few[0].steps


@pytest.mark.parametrize("bearer", [MANY_MEMBERSHIPS, ADMIN])
def test_a_search_that_finds_nothing_ends_its_page_all_the_same(counter: Counter, bearer: str) -> None:
    work, found, more = search(counter, bearer, "EQUALS", MANY_MEMBERSHIPS)

    assert (found, more) == (0, True)
    assert work.steps < 30 * LOOK_UPS_MAX


def test_a_search_for_the_members_of_a_large_channel_does_not_count_them(counter: Counter) -> None:
    twenty = [fill.user(number) for number in range(20)]

    few = search(counter, ADMIN, "EQUALS", *twenty[:10])
    many = search(counter, ADMIN, "EQUALS", *twenty)

    assert few[1:] == (4, False)  # those of messages, and the one of ten members
    assert many[1:] == (0, False)
    assert many[0].steps < 4 * few[0].steps


def test_a_session_costs_as_much_as_its_user_has_memberships(counter: Counter) -> None:
    few, many = (
        counter.server.writes(lambda tx, user=user: counted(tx, lambda: topics.following(tx, user)))
        for user in (FEW_MEMBERSHIPS, MANY_MEMBERSHIPS)
    )

    assert [len(topics) for _, topics in (few, many)] == [201, 20_001]
    assert many[0].steps / 20_000 < 1.1 * few[0].steps / 200


def test_deleting_a_user_answers_at_once_however_many_memberships_are_left_behind(counter: Counter) -> None:
    few, many = (
        counter.work("delete_app_instance_user", AppInstanceUserArn=user)
        for user in (fill.user(5_000), MANY_MEMBERSHIPS)
    )

    assert few.steps > 0
    assert few == many
