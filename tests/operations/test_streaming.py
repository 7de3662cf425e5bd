from typing import Any

import pytest

from tests.harness import App, client, refused
from tests.operations.helpers import answered, rows

STREAM = "arn:aws:kinesis:us-east-1:123456789012:stream/chime-messaging-"
NOBODY = "arn:aws:chime:us-east-1:123456789012:app-instance/00000000-0000-4000-8000-000000000000"


def configurations(**streams: str) -> list[dict[str, str]]:
    return [{"DataType": data_type, "ResourceArn": STREAM + stream} for data_type, stream in streams.items()]


def put(app: App, given: list[dict[str, str]]) -> dict[str, Any]:
    return app.messaging.put_messaging_streaming_configurations(AppInstanceArn=app.arn, StreamingConfigurations=given)


def got(app: App) -> dict[str, Any]:
    return app.messaging.get_messaging_streaming_configurations(AppInstanceArn=app.arn)


def test_configurations_are_put_got_replaced_and_deleted(app: App) -> None:
    with refused("NotFound"):
        got(app)

    for given in (
        configurations(Channel="a", ChannelMessage="b"),
        configurations(ChannelMessage="c"),
        configurations(Channel="c", ChannelMessage="c"),
    ):
        expected = {"StreamingConfigurations": given}
        assert answered(200, put(app, given)) == expected
        assert answered(200, got(app)) == expected
    for _ in range(2):
        answered(204, app.messaging.delete_messaging_streaming_configurations(AppInstanceArn=app.arn))
        with refused("NotFound"):
            got(app)


def test_they_belong_to_one_app_instance_and_go_with_it(app: App) -> None:
    other = App(app.server)
    put(app, configurations(Channel="a"))

    with refused("NotFound"):
        got(other)
    app.identity.delete_app_instance(AppInstanceArn=app.arn)

    assert rows(app.server, "streaming_configurations", app_instance_arn=app.arn) == 0
    with refused("Forbidden"):
        got(app)
    with refused("NotFound"):
        put(app, configurations(Channel="a"))
    with refused("Forbidden"):
        app.messaging.delete_messaging_streaming_configurations(AppInstanceArn=app.arn)


@pytest.mark.parametrize("arn", [NOBODY, "arn:aws:s3:::bucket", NOBODY + "/channel/x"])
def test_an_app_instance_that_is_not_there(app: App, arn: str) -> None:
    with refused("NotFound"):
        app.messaging.put_messaging_streaming_configurations(
            AppInstanceArn=arn, StreamingConfigurations=configurations(Channel="a")
        )
    with refused("Forbidden"):
        app.messaging.get_messaging_streaming_configurations(AppInstanceArn=arn)
    with refused("Forbidden"):
        app.messaging.delete_messaging_streaming_configurations(AppInstanceArn=arn)


@pytest.mark.parametrize(
    "given",
    [
        [],
        [*configurations(Channel="a"), *configurations(Channel="b")],
        [*configurations(Channel="a"), *configurations(Channel="a")],
        [*configurations(Channel="a", ChannelMessage="b"), *configurations(Channel="c")],
        configurations(Channels="a"),
        [{"DataType": "Channel"}],
        [{"ResourceArn": STREAM}],
        [{"DataType": "Channel", "ResourceArn": "nonsense"}],
        [*configurations(ChannelMessage="a"), {"DataType": "Channel", "ResourceArn": ""}],
    ],
    ids=lambda given: str(given)[:60],
)
def test_a_bad_configuration_is_refused_and_the_former_one_stays(app: App, given: list[dict[str, str]]) -> None:
    former = configurations(ChannelMessage="former")
    put(app, former)
    sends_anything = client("chime-sdk-messaging", app.server.url, validates=False)

    with refused("BadRequest"):
        sends_anything.put_messaging_streaming_configurations(AppInstanceArn=app.arn, StreamingConfigurations=given)

    assert got(app)["StreamingConfigurations"] == former
