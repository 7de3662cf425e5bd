"""`campana demo`, run as people run it."""

import ast
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from campana.cli import demo
from campana.cli.demo import cases

DEMO = (sys.executable, "-m", "campana", "demo")

# `campana demo` with another processor than its own: argv is the file.
WITH_PROCESSOR = (
    "import sys; from pathlib import Path; from campana.cli import demo, main;"
    "demo.PROCESSOR = Path(sys.argv[1]); sys.exit(main.main(['demo']))"
)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Settings of a user that are meant for something else, and a place for temporary folders."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    misleading = {
        "AWS_PROFILE": "none-such",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_SESSION_TOKEN": "stale",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "CAMPANA_SERVER__PORT": "1",
        "CAMPANA_ROOT_ACCESS_KEY_ID": "incomplete",
    }
    plain = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "FORCE_COLOR")}
    return plain | misleading | {"TMPDIR": str(folder), "PYTHONIOENCODING": "utf-8"}


@pytest.fixture
def temporary(environment: dict[str, str]) -> Path:
    return Path(environment["TMPDIR"])


def test_every_message_goes_as_the_specification_says(environment, temporary, tmp_path):
    done = subprocess.run(DEMO, env=environment, cwd=tmp_path, capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")
    ways = re.split(r"\n +\d  sends ", done.stdout)[1:]
    heard = [re.findall(r"\b\w*CREATE_CHANNEL_MESSAGE\b", way) for way in ways]
    released = [cases.PENDING, cases.CREATED, cases.CREATED]
    assert heard == [released, released, [cases.PENDING, cases.DENIED], released, [cases.PENDING, cases.FAILED]]
    for way, words in zip(
        ways,
        (
            ["moderate: passed", "status SENT"],
            ["moderate: changed", "“Card: ****”", "status SENT"],
            ["moderate: denied", "– nothing", "403, not stored"],
            ["attempt 3: not reached", "given up, so CONTINUE", "status SENT"],
            ["attempt 3: not reached", "given up, so ABORT", "– nothing", "status FAILED"],
        ),
        strict=True,
    ):
        assert all(word in way for word in words), way
    assert done.stdout.count("✓ yes") == 5
    assert "All five went as the specification says" in done.stdout
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (
            "import boto3\n"
            "def handler(event, context):\n"
            "    message = {'MessageId': event['ChannelMessage']['MessageId']}\n"
            "    print('passed', message['MessageId'])\n"
            "    boto3.client('chime-sdk-messaging').channel_flow_callback(CallbackId=event['CallbackId'],\n"
            "        ChannelArn=event['ChannelMessage']['ChannelArn'], ChannelMessage=message)\n",
            ["✗ NO", "“You won the jackpot!” went another way", "expected  ForbiddenException", "came      SENT"],
        ),
        (
            "def handler(event, context):\n    raise ValueError('no')\n",
            ["✗ The demo stopped here", "expected  the processor to answer", "came      error: ValueError: no"],
        ),
    ],
    ids=["lets everything pass", "raises"],
)
def test_what_went_another_way_is_told_with_the_end_of_the_log(environment, temporary, tmp_path, source, words):
    (tmp_path / "moderator.py").write_text(source)

    done = subprocess.run(
        [sys.executable, "-c", WITH_PROCESSOR, tmp_path / "moderator.py"],
        env=environment, cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (1, "")
    assert all(word in done.stdout for word in [*words, "the end of the server's log", '"event": "function.output"'])
    assert list(temporary.iterdir()) == []


@contextmanager
def kept(environment: dict[str, str], folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A demo that goes on, with its standard input closed, and what it said until then."""
    with subprocess.Popen(
        [*DEMO, "--keep"],
        env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        said = []
        try:
            for line in process.stdout:
                said.append(line)
                if "Ctrl-C ends the server" in line:
                    break
            yield process, "".join(said)
        finally:
            process.terminate()


def hears(process: subprocess.Popen[str], pattern: str) -> str:
    assert process.stdout is not None
    return next(line for line in process.stdout if re.search(pattern, line))


def test_kept_it_goes_on_until_a_signal_and_leaves_nothing(environment, temporary, tmp_path):
    with kept(environment, tmp_path) as (process, said):
        (folder,) = temporary.iterdir()
        assert f"{folder}/functions/moderator.py" in said

        process.terminate()

        assert process.stdout is not None
        assert "Stopping; nothing will be left." in process.stdout.read()
        assert process.wait() == 0
    assert list(temporary.iterdir()) == []


def test_a_signal_before_the_end_leaves_nothing(environment, temporary, tmp_path):
    with subprocess.Popen(DEMO, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        hears(process, "sends")
        process.send_signal(signal.SIGINT)

        assert process.wait() == 130
    assert list(temporary.iterdir()) == []


AWS = shutil.which("aws", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")


@pytest.mark.skipif(AWS is None, reason="needs the AWS CLI")
def test_what_kept_prints_can_be_pasted(environment, tmp_path):
    assert AWS is not None
    shell = environment | {"PATH": f"{Path(AWS).parent}:{environment['PATH']}", "EDITOR": "cat"}
    del shell["HTTP_PROXY"]  # that one the shell's owner has to know about
    with kept(environment, tmp_path) as (process, said):
        lines = said[said.index("export AWS_ENDPOINT_URL") : said.index(" What Ann and Bob hear")]

        done = subprocess.run(["bash", "-eu"], input=lines, env=shell, cwd=tmp_path, capture_output=True, text=True)

        assert (done.returncode, done.stderr) == (0, "")
        assert '"Value": "PENDING"' in done.stdout
        assert '"Name": "moderation"' in done.stdout
        assert '"Name": "Bob"' in done.stdout
        assert "def handler" in done.stdout
        hears(process, "PENDING_CREATE_CHANNEL_MESSAGE")
        hears(process, r"“My card: \*\*\*\*”")


def test_the_processor_is_an_ordinary_lambda_function():
    module = ast.parse(demo.PROCESSOR.read_text())

    imported = {alias.name for node in ast.walk(module) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(module) if isinstance(node, ast.ImportFrom)}
    assert imported == {"re", "typing", "boto3"}


def test_each_verdict_of_a_flow_is_among_the_messages():
    assert {case.verdict for case in cases.CASES} == set(cases.Verdict)
    assert {case.flow.fallback for case in cases.CASES if not case.flow.reachable} == {"CONTINUE", "ABORT"}
