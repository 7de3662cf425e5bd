from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.harness import App, RunningServer, running
from tests.operations.helpers import answered


@pytest.mark.parametrize("asked", [{}, {"NetworkType": "IPV4_ONLY"}, {"NetworkType": "DUAL_STACK"}])
def test_sessions_connect_to_where_the_client_calls(server: RunningServer, asked: dict[str, str]) -> None:
    found = server.client("chime-sdk-messaging").get_messaging_session_endpoint(**asked)

    assert answered(200, found) == {"Endpoint": {"Url": urlsplit(server.url).netloc}}


def test_a_network_that_does_not_exist_is_a_bad_request(server: RunningServer) -> None:
    messaging = server.client("chime-sdk-messaging")

    with pytest.raises(messaging.exceptions.BadRequestException):
        messaging.get_messaging_session_endpoint(NetworkType="PIGEON")


def test_the_public_host_is_what_clients_are_told(tmp_path: Path) -> None:
    with running(tmp_path, **{"server.public_host": "chat.example.com:8443"}) as server:
        found = App(server).messaging.get_messaging_session_endpoint()

    assert found["Endpoint"]["Url"] == "chat.example.com:8443"
