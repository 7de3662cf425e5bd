"""Two server processes, one database: whatever is asked of one is heard at the other."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from botocore.exceptions import ClientError

from campana.cli.main import main as campana
from tests import stores
from tests.brokers import nats
from tests.cluster.nodes import SETTINGS, connects, nodes, through, user
from tests.harness import LAMBDA, App, Processor, Session, calls_back, client
from tests.stories.serving import Ended, Server, serving

pytestmark = pytest.mark.postgres

MESSAGES = 30


class Pair:
    """Two nodes, and a channel of Ann's and Bob's with a session of each at both."""

    def __init__(self, one: Server, other: Server) -> None:
        self.one, self.other = one, other
        self.app = App(one)  # type: ignore[arg-type]
        self.ann, self.bob = self.app.users("ann", "bob")
        self.channel = self.ann.makes_channel(members=[self.bob])

    def sessions(self) -> list[Session]:
        """Of Ann and of Bob at the first node, of Ann and of Bob at the other."""
        return [connects(node, each) for node in (self.one, self.other) for each in (self.ann, self.bob)]


@pytest.fixture(scope="module", params=["postgres", "nats"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "postgres":
        with nodes(folder, 2) as (one, other):
            yield Pair(one, other)
        return
    with nats() as broker, nodes(folder, 2, CAMPANA_NOTIFIER__URL=broker.url) as (one, other):
        yield Pair(one, other)


def contents(session: Session, last: str) -> list[str]:
    """Of the messages that the session hears up to the last one."""
    heard = session.until("CREATE_CHANNEL_MESSAGE", Content=last)
    return [each.payload["Content"] for each in heard if each.type == "CREATE_CHANNEL_MESSAGE"]


def test_all_sessions_hear_the_messages_sent_through_both_in_one_order(pair: Pair) -> None:
    sessions = pair.sessions()

    for number in range(MESSAGES):
        user((pair.one, pair.other)[number % 2], pair.ann).sends(pair.channel, f"{number}")

    wanted = [f"{number}" for number in range(MESSAGES)]
    assert [contents(each, wanted[-1]) for each in sessions] == [wanted] * 4
    assert [each["Content"] for each in user(pair.other, pair.bob).reads(pair.channel)] == wanted[::-1]


def test_a_session_follows_a_channel_that_its_user_joins_through_the_other_node(pair: Pair) -> None:
    cid = through(pair.other, pair.app).user("cid")
    heard = connects(pair.one, cid)

    user(pair.other, pair.ann).create_channel_membership(ChannelArn=pair.channel, MemberArn=cid.arn, Type="DEFAULT")
    user(pair.other, pair.ann).sends(pair.channel, "welcome")

    assert heard.next().payload["Member"]["Arn"] == cid.arn
    assert contents(heard, "welcome") == ["welcome"]

    user(pair.other, pair.ann).delete_channel_membership(ChannelArn=pair.channel, MemberArn=cid.arn)
    assert heard.until("DELETE_CHANNEL_MEMBERSHIP")[-1].payload["Member"]["Arn"] == cid.arn


def test_a_deleted_users_sessions_at_the_other_node_are_closed(pair: Pair) -> None:
    dan = through(pair.one, pair.app).user("dan")
    heard = connects(pair.one, dan)

    pair.other.client("chime-sdk-identity").delete_app_instance_user(AppInstanceUserArn=dan.arn)

    assert heard.closed() == 4003


def test_a_key_that_is_revoked_beside_one_node_is_refused_by_both_with_the_next_call(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    beside_one = [
        "--data-dir",
        str(pair.one.data_dir),
        "--database-url",
        stores.environment(pair.one.folder.parent)["CAMPANA_DATABASE__URL"],
    ]
    monkeypatch.setenv("CAMPANA_SECRETS_KEY", SETTINGS["CAMPANA_SECRETS_KEY"])
    assert campana(["keys", "create", "--user", pair.ann.arn, "--json", *beside_one]) == 0
    made = json.loads(capsys.readouterr().out)
    key = {"key": made["AccessKeyId"], "secret": made["SecretAccessKey"]}
    both = [client("chime-sdk-messaging", node.url, **key) for node in (pair.one, pair.other)]
    for each in both:
        each.list_channels(AppInstanceArn=pair.app.arn, ChimeBearer=pair.ann.arn)
    live = Session(pair.other, pair.ann.arn, **key)  # type: ignore[arg-type]

    assert campana(["keys", "revoke", key["key"], *beside_one]) == 0

    for each in both:
        with pytest.raises(ClientError, match="UnrecognizedClientException"):
            each.list_channels(AppInstanceArn=pair.app.arn, ChimeBearer=pair.ann.arn)
    assert live.closed() == 4401


@pytest.mark.parametrize("answered_through", ["one", "other"])
def test_a_processor_is_invoked_once_and_calls_back_through_either(
    pair: Pair, processor: Processor, answered_through: str
) -> None:
    flow = pair.app.flow(processor.arn)
    moderated = pair.ann.makes_channel(members=[pair.bob], flow=flow)
    at_one, at_other = connects(pair.one, pair.bob), connects(pair.other, pair.bob)

    for sender in (pair.one, pair.other):
        user(sender, pair.ann).sends(moderated, "hello")
        event = processor.takes()
        answering: Callable[[Server, App], App] = through
        calls_back(answering(getattr(pair, answered_through), pair.app), event, Content="hello, moderated")

        assert contents(at_one, "hello, moderated") == contents(at_other, "hello, moderated") == ["hello, moderated"]
    assert processor.events.empty()


def test_what_a_killed_node_had_begun_is_done_by_the_other(tmp_path: Path, processor: Processor) -> None:
    processor.answers.clear()  # so the node that invokes does not learn that it was heard
    with nodes(tmp_path, 2) as (one, other):
        pair = Pair(one, other)
        moderated = pair.ann.makes_channel(members=[pair.bob], flow=pair.app.flow(processor.arn))
        heard = connects(other, pair.bob)
        pair.ann.sends(moderated, "hello")
        first = processor.takes()

        one.kill()
        processor.answers.set()
        again = processor.takes()
        calls_back(through(other, pair.app), again)

        assert again == first
        assert contents(heard, "hello") == ["hello"]


def test_what_a_stopped_node_had_begun_is_handed_over(tmp_path: Path, processor: Processor) -> None:
    processor.answers.clear()
    patient = {"CAMPANA_FLOWS__LEASE_MS": "600000", "CAMPANA_FLOWS__ATTEMPT_TIMEOUT_MS": "600000"}
    with nodes(tmp_path, 2, **patient) as (one, other):
        pair = Pair(one, other)
        moderated = pair.ann.makes_channel(members=[pair.bob], flow=pair.app.flow(processor.arn))
        pair.ann.sends(moderated, "hello")
        first = processor.takes()

        assert one.stop() == 0

        assert processor.takes() == first
        processor.answers.set()


def test_what_is_sent_to_a_node_that_is_stopping_is_handed_over_too(tmp_path: Path, processor: Processor) -> None:
    processor.answers.clear()
    patient = {"CAMPANA_FLOWS__LEASE_MS": "600000", "CAMPANA_FLOWS__ATTEMPT_TIMEOUT_MS": "600000"}
    with nodes(tmp_path, 2, **patient, CAMPANA_SERVER__DRAIN_S="600") as (one, other):
        pair = Pair(one, other)
        moderated = pair.ann.makes_channel(members=[pair.bob], flow=pair.app.flow(processor.arn))
        pair.ann.sends(moderated, "its invocation is waited for")
        first = processor.takes()
        one.leave()
        while is_ready(one):
            pass

        second = pair.ann.sends(moderated, "nothing more is invoked here")

        event = processor.takes()
        assert event["ChannelMessage"]["MessageId"] == second
        heard = connects(other, pair.bob)
        calls_back(through(other, pair.app), event)
        calls_back(through(one, pair.app), first)
        assert len(contents(heard, "its invocation is waited for")) == 2
        processor.answers.set()
        assert one.ended() == 0


def test_a_function_that_a_stopped_node_was_running_runs_at_the_other(tmp_path: Path) -> None:
    (tmp_path / "function.py").write_text(FUNCTION)
    flags = ["--processor", f"{LAMBDA}slow={tmp_path / 'function.py'}:handler"]
    with nodes(tmp_path, 2, *flags, CAMPANA_FLOWS__LEASE_MS="600000", CAMPANA_SERVER__DRAIN_S="0") as (one, other):
        pair = Pair(one, other)
        moderated = pair.ann.makes_channel(members=[pair.bob], flow=pair.app.flow(f"{LAMBDA}slow"))
        heard = connects(other, pair.bob)
        (tmp_path / "begun").touch()
        with (tmp_path / "begun").open() as begun:
            pair.ann.sends(moderated, "hello")
            while "begun" not in begun.read():
                pass

            assert one.stop() == 0

        (tmp_path / "go on").touch()
        assert contents(heard, "hello") == ["hello"]


FUNCTION = """
import pathlib
import boto3

folder = pathlib.Path(__file__).parent
messaging = boto3.client("chime-sdk-messaging")


def handler(event, context):
    with (folder / "begun").open("a") as begun:
        begun.write("begun ")
    while not (folder / "go on").exists():
        pass
    message = event["ChannelMessage"]
    messaging.channel_flow_callback(
        CallbackId=event["CallbackId"],
        ChannelArn=message["ChannelArn"],
        ChannelMessage={"MessageId": message["MessageId"]},
    )
"""


def is_ready(node: Server) -> bool:
    """What a balancer is told."""
    try:
        with urlopen(f"{node.url}/readyz"):
            return True
    except HTTPError:
        return False


def test_a_node_whose_database_is_silent_is_not_ready_until_it_speaks_again(tmp_path: Path) -> None:
    with nodes(tmp_path, 1) as (one,):
        ann = App(one).user("ann")  # type: ignore[arg-type]
        channel = ann.makes_channel()
        heard = connects(one, ann)

        with stores.closed(tmp_path):
            while is_ready(one):
                pass
            with urlopen(f"{one.url}/healthz"):
                pass
        while not is_ready(one):
            pass

        ann.sends(channel, "in the same session")
        heard.until("CREATE_CHANNEL_MESSAGE", Content="in the same session")


def test_nothing_is_missed_while_nats_is_away(tmp_path: Path) -> None:
    with nats() as broker, nodes(tmp_path, 2, CAMPANA_NOTIFIER__URL=broker.url) as (one, other):
        pair = Pair(one, other)
        heard = connects(other, pair.bob)

        broker.kill()
        pair.ann.sends(pair.channel, "by the regular look alone")
        assert contents(heard, "by the regular look alone") == ["by the regular look alone"]

        pair.ann.sends(pair.channel, "while it was away")
        broker.start()
        pair.ann.sends(pair.channel, "when it was back")
        assert contents(heard, "when it was back") == ["while it was away", "when it was back"]


def test_a_node_starts_and_serves_without_nats(tmp_path: Path) -> None:
    with nats() as broker:
        broker.kill()
        with nodes(tmp_path, 1, CAMPANA_NOTIFIER__URL=broker.url) as (one,):
            app = App(one)  # type: ignore[arg-type]
            ann = app.user("ann")
            channel = ann.makes_channel()
            heard = connects(one, ann)
            ann.sends(channel, "hello")
            assert contents(heard, "hello") == ["hello"]


def test_nodes_with_different_keys_of_secrets_do_not_serve_together(tmp_path: Path) -> None:
    with nodes(tmp_path, 1):
        (tmp_path / "stranger").mkdir()
        own = {**stores.environment(tmp_path), "CAMPANA_SECRETS_KEY": "another one, also long enough to be one"}
        stranger = serving(tmp_path / "stranger", environment=own)
        with pytest.raises(Ended, match="CAMPANA_SECRETS_KEY"):
            stranger.__enter__()
