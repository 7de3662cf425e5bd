"""One story of a chat application (one_story.py) passes, told by boto3, by the AWS CLI and by the AWS SDK for
JavaScript, and to all of them the API says the same; and each of them finds the server in every way it knows.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import boto3
import pytest

from tests.node import JS, why_no_node
from tests.stories import client_docs
from tests.stories.one_story import Teller, identity, messaging, people, told
from tests.stories.serving import Program, Server
from tests.stories.tellers import AwsCli, Boto3, JavaScript, command, loaded_aws_cli

AWS_CLI_1 = (sys.executable, "-m", "awscli")
needs_node = pytest.mark.skipif(bool(why_no_node()), reason=why_no_node())


def test_boto3_tells_the_story(reference):
    assert [status for _, status in reference.statuses].count(204) == 7


def test_the_aws_cli_tells_the_story(story_server, moderator, reference, tmp_path):
    with loaded_aws_cli(story_server.environment, tmp_path) as aws:
        story = told(AwsCli(aws), moderator)

    assert story.transcript == reference.transcript


def aws_cli_2() -> str | None:
    """The path of a version 2, which PyPI does not have."""
    for path in (shutil.which("aws"), "/usr/bin/aws", "/usr/local/bin/aws"):
        if path is not None and Path(path).exists():
            version = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
            if version.startswith("aws-cli/2."):
                return path
    return None


def test_the_aws_cli_2_tells_the_beginning_of_the_story(story_server, moderator, reference):
    path = aws_cli_2()
    if path is None:
        pytest.skip("version 2 of the AWS CLI is not installed (Debian has it: apt-get install awscli)")

    # Debian's 2.9 is older than the environment's endpoint variables.
    story = told(
        AwsCli(command(path, "--endpoint-url", story_server.url, environment=story_server.environment)),
        moderator,
        [people],
    )

    assert story.transcript == reference.transcript[: len(story.transcript)]


@needs_node
def test_the_javascript_sdk_tells_the_story(story_server, moderator, reference, tmp_path):
    program = Program(["node", str(JS / "story.mjs")], story_server.environment, tmp_path, tmp_path / "story.log")
    try:
        story = told(JavaScript(program), moderator)
        program.close_input()
        assert program.rest() == []
    finally:
        program.end(signal.SIGKILL)

    assert story.transcript == reference.transcript
    assert story.statuses == reference.statuses


# Where a client finds the server, besides the variables for each service that the story is told with.


@pytest.fixture(params=["a variable for all services", "a configuration file"])
def environment(request: pytest.FixtureRequest, story_server: Server, tmp_path: Path) -> dict[str, str]:
    """The environment of a program that is told where the server is in that way."""
    environment = story_server.environment
    del environment["AWS_ENDPOINT_URL_CHIME_SDK_MESSAGING"], environment["AWS_ENDPOINT_URL_CHIME_SDK_IDENTITY"]
    if request.param == "a variable for all services":
        return environment | {"AWS_ENDPOINT_URL": story_server.url}
    file = tmp_path / "config"
    file.write_text(client_docs.block("ini").replace(client_docs.URL, story_server.url))
    return environment | {"AWS_CONFIG_FILE": str(file)}


WHERE = (messaging("GetMessagingSessionEndpoint"), identity("ListAppInstances", MaxResults=1))


def finds(server: Server, teller: Teller) -> None:
    endpoint, listed = [told.outcome for told in teller.tell_together(WHERE)]
    assert endpoint == {"Endpoint": {"Url": server.url.removeprefix("https://")}}
    assert isinstance(listed, dict)
    assert listed["AppInstances"]


def test_boto3_finds_the_server(reference, story_server, environment, monkeypatch):
    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    finds(story_server, Boto3(boto3.Session().client))


def test_the_aws_cli_finds_the_server(reference, story_server, environment):
    finds(story_server, AwsCli(command(*AWS_CLI_1, environment=environment)))


@needs_node
def test_the_javascript_sdk_finds_the_server(reference, story_server, environment, tmp_path):
    program = Program(["node", str(JS / "story.mjs")], environment, tmp_path, tmp_path / "story.log")
    try:
        finds(story_server, JavaScript(program))
    finally:
        program.end(signal.SIGKILL)


def test_the_aws_cli_takes_a_whole_request_as_json(reference, story_server):
    """And what it is given as options goes before it."""
    aws = command(*AWS_CLI_1, "--endpoint-url", story_server.url, environment=story_server.environment)
    request = {"AppInstanceArn": reference.app_instance, "MaxResults": 4}

    code, output, errors = aws(
        "chime-sdk-identity",
        "list-app-instance-users",
        "--cli-input-json",
        json.dumps(request),
        "--max-results",
        "2",
        "--query",
        "length(AppInstanceUsers)",
    )

    assert (code, output, errors) == (0, "2\n", "")
