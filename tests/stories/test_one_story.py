"""One story of a chat application (one_story.py) passes told by boto3, by the AWS CLI and by the AWS SDK for JavaScript,
and to all of them the API says the same.
"""

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import Processor
from tests.stories.node import JS, why_no_node
from tests.stories.one_story import MODERATE, Story, people, told
from tests.stories.serving import Program, Server, serving
from tests.stories.tellers import AwsCli, Boto3, JavaScript, command, loaded_aws_cli

AWS_CLI_1 = [sys.executable, "-m", "awscli"]


@pytest.fixture(scope="module")
def processor() -> Iterator[Processor]:
    processor = Processor()
    yield processor
    processor.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, processor: Processor) -> Iterator[Server]:
    """A server with TLS and the processor of the story."""
    folder = tmp_path_factory.mktemp("one-story")
    with serving(folder, "--tls", "self-signed", processors={MODERATE: processor.arn}) as server:
        yield server


@pytest.fixture(scope="module")
def reference(server: Server, processor: Processor) -> Story:
    """The story, told by boto3."""
    return told(Boto3(server), processor)


def test_boto3_tells_the_story(reference):
    assert len(reference.told) > 60


def test_the_aws_cli_tells_the_story(server, processor, reference, tmp_path):
    with loaded_aws_cli(server.environment, tmp_path) as aws:
        story = told(AwsCli(aws), processor)

    assert story.transcript == reference.transcript


def aws_cli_2() -> str | None:
    """The path of a version 2, which PyPI does not have."""
    for path in (shutil.which("aws"), "/usr/bin/aws", "/usr/local/bin/aws"):
        if path is not None and Path(path).exists():
            version = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
            if version.startswith("aws-cli/2."):
                return path
    return None


def test_the_aws_cli_2_tells_the_beginning_of_the_story(server, processor, reference):
    path = aws_cli_2()
    if path is None:
        pytest.skip("version 2 of the AWS CLI is not installed (Debian has it: apt-get install awscli)")

    # Debian's 2.9 is older than the environment's endpoint variables.
    story = told(
        AwsCli(command(path, "--endpoint-url", server.url, environment=server.environment)), processor, [people]
    )

    assert story.transcript == reference.transcript[: len(story.transcript)]


@pytest.mark.skipif(bool(why_no_node()), reason=why_no_node())
def test_the_javascript_sdk_tells_the_story(server, processor, reference, tmp_path):
    program = Program(["node", str(JS / "story.mjs")], server.environment, tmp_path, tmp_path / "story.log")
    try:
        story = told(JavaScript(program), processor)
        program.close_input()
        assert program.rest() == []
    finally:
        program.end(signal.SIGKILL)

    assert story.transcript == reference.transcript
    assert story.statuses == reference.statuses
