"""The examples of docs/how-to/clients.md run as they stand. Those of its browser are what tests/js/page is made of."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.node import JS, why_no_node
from tests.stories import client_docs
from tests.stories.serving import Server, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("client-docs")) as server:
        yield server


def output(server: Server, *command: str, program: str, cwd: Path | None = None) -> str:
    """What a program prints; it is given the server's keys, and its URL instead of the example's."""
    environment = server.environment
    for name in [name for name in environment if name.startswith("AWS_ENDPOINT_URL")]:
        del environment[name]
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    ended = subprocess.run(
        [*command, program.replace(client_docs.URL, server.url)],
        env=environment,
        cwd=cwd,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


QUACK_AND_REFUSAL = r"quack\nForbiddenException [0-9a-f-]{36}\n"


def test_the_example_for_boto3(server):
    said = output(server, sys.executable, "-c", program=client_docs.block("python"))

    assert re.fullmatch(QUACK_AND_REFUSAL, said)


def test_the_example_for_the_aws_cli(server):
    endpoints, commands = client_docs.block("sh", "export AWS_ENDPOINT"), client_docs.block("sh", "aws chime")

    said = output(server, "bash", "-euo", "pipefail", "-c", program=endpoints + commands)

    assert '"Status"' in said
    assert said.endswith("}\nquack\n")


@pytest.mark.skipif(bool(why_no_node()), reason=why_no_node())
def test_the_example_for_node(server):
    program = client_docs.block("js", "// In Node.js")

    said = output(server, "node", "--input-type=module", "-e", program=program, cwd=JS)

    assert re.fullmatch(QUACK_AND_REFUSAL, said)
