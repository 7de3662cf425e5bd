"""What a balancer and clients see of a server process that is asked to stop."""

import http.client
import signal
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.cluster.nodes import connects
from tests.harness import App, Processor, calls_back
from tests.stories.serving import Server, serving

LONG = "600"
HTTP_PROCESSORS = {"CAMPANA_FLOWS__ACCEPT_HTTP_RESOURCE_ARNS": "true"}


def asked(server: Server, path: str) -> http.client.HTTPResponse:
    """The answer to a request on a connection of its own."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc)
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    return answer


def leaves(server: Server) -> None:
    """Ask it to stop; returns when /readyz says so."""
    server.leave()
    while asked(server, "/readyz").status != 503:
        pass


def test_a_server_that_leaves_serves_on_until_everybody_knows_and_a_second_signal_ends_it_at_once(
    tmp_path: Path,
) -> None:
    with serving(tmp_path, environment={"CAMPANA_SERVER__DRAIN_NOTICE_S": LONG}) as server:
        app = App(server)  # type: ignore[arg-type]
        ann = app.user("ann")
        channel = ann.makes_channel()
        heard = connects(server, ann)

        leaves(server)

        ann.sends(channel, "on the connection of before")
        ann.sends(channel, "on a new connection")
        heard.until("CREATE_CHANNEL_MESSAGE", Content="on a new connection")
        with connects(server, ann) as late:
            ann.sends(channel, "to a new session")
            late.until("CREATE_CHANNEL_MESSAGE", Content="to a new session")
        health = asked(server, "/healthz")
        assert (health.status, health.headers["connection"]) == (200, "close")

        server.leave(signal.SIGINT)

        assert heard.closed() == 1012
        assert server.ended() == 0


def test_a_second_signal_does_not_wait_for_functions_nor_for_requests(tmp_path: Path, processor: Processor) -> None:
    processor.answers.clear()
    patient = {"CAMPANA_SERVER__DRAIN_S": LONG, **HTTP_PROCESSORS}
    with serving(tmp_path, environment=patient) as server:
        app = App(server)  # type: ignore[arg-type]
        ann = app.user("ann")
        channel = ann.makes_channel(flow=app.flow(processor.arn))
        ann.sends(channel, "hello")
        event = processor.takes()

        leaves(server)
        assert server.stop() == 0

        processor.answers.set()
        server.start()
        assert processor.takes() == event
        calls_back(app, event)
        assert [each["Status"]["Value"] for each in ann.reads(channel)] == ["SENT"]


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_with_nobody_to_wait_for_one_signal_is_enough(tmp_path: Path, by: signal.Signals) -> None:
    with serving(tmp_path) as server:
        ann = App(server).user("ann")  # type: ignore[arg-type]
        heard = connects(server, ann)

        server.leave(by)

        assert heard.closed() == 1012
        assert server.ended() == 0
