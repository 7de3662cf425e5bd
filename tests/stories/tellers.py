"""The clients that tell stories: boto3, the AWS CLI, and what runs in Node.js or a browser (tests/js)."""

import json
import queue
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from botocore import xform_name
from botocore.exceptions import ClientError

from tests.stories import aws_cli
from tests.stories.one_story import Call, Refused, Told
from tests.stories.serving import Program

CLI_PATIENCE_S = 60
CLI_AT_ONCE = 2


class Boto3:
    """The reference: what it makes of the API is what the others must make of it."""

    def __init__(self, client: Callable[[str], Any]) -> None:
        """`client` makes the client of a service, or has it."""
        self._client = client

    def tell(self, call: Call) -> Told:
        client = self._client(call.service)
        try:
            answer = getattr(client, xform_name(call.operation))(**call.members)
        except ClientError as refusal:
            name = refusal.response["Error"]["Code"]
            if type(refusal) is not getattr(client.exceptions, name):
                raise AssertionError(f"{type(refusal)} is not the client's {name}") from None
            outcome = Refused(name, refusal.response["Error"]["Message"])
            return Told(outcome, refusal.response["ResponseMetadata"]["HTTPStatusCode"])
        status = answer.pop("ResponseMetadata")["HTTPStatusCode"]
        return Told(answer, status)

    def tell_together(self, calls: Sequence[Call]) -> list[Told]:
        return [self.tell(call) for call in calls]


class Command(Protocol):
    """A program: words in; its exit code, output and errors out."""

    def __call__(self, *words: str) -> tuple[int, str, str]: ...


class AwsCli:
    """The AWS CLI, a process for each call."""

    def __init__(self, command: Command) -> None:
        self._command = command

    def tell(self, call: Call) -> Told:
        code, output, errors = self._command(call.service, *arguments_of(call))
        if code == 0:
            return Told(_with_times(json.loads(output or "{}")))
        said = re.search(r"An error occurred \((\w+)\) when calling the (\w+) operation: (.*)", errors)
        assert said, errors
        assert said[2] == call.operation
        return Told(Refused(said[1], said[3]))

    def tell_together(self, calls: Sequence[Call]) -> list[Told]:
        with ThreadPoolExecutor(CLI_AT_ONCE) as pool:
            return list(pool.map(self.tell, calls))


def command(*program: str, environment: Mapping[str, str]) -> Command:
    """A program as somebody types it."""

    def run(*words: str) -> tuple[int, str, str]:
        ended = subprocess.run(
            [*program, *words],
            env={**environment, "AWS_PAGER": "", "PYTHONUTF8": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=CLI_PATIENCE_S,
            check=False,
        )
        return ended.returncode, ended.stdout, ended.stderr

    return run


@contextmanager
def loaded_aws_cli(environment: Mapping[str, str], folder: Path) -> Iterator[Command]:
    """The AWS CLI, version 1, without its loading for each command (aws_cli.py)."""
    idle: queue.SimpleQueue[Program] = queue.SimpleQueue()
    programs = [
        Program(
            [sys.executable, aws_cli.__file__], {**environment, "PYTHONUTF8": "1"}, folder, folder / f"aws-{number}"
        )
        for number in range(CLI_AT_ONCE)
    ]
    for program in programs:
        idle.put(program)

    def run(*words: str) -> tuple[int, str, str]:
        program = idle.get()
        try:
            program.say(json.dumps(words))
            ended = program.json()
        finally:
            idle.put(program)
        return ended["code"], ended["output"], ended["errors"]

    try:
        yield run
    finally:
        for program in programs:
            program.end(signal.SIGKILL)


def arguments_of(call: Call) -> list[str]:
    """A call as somebody types it: an option for each member, structures as JSON."""
    words = [xform_name(call.operation, "-")]
    for name, value in call.members.items():
        option = "--" + xform_name(name, "-")
        match value:
            case bool():
                words.append(option if value else option.replace("--", "--no-", 1))
            case [str(), *_]:
                words += [option, *value]
            case list() | dict():
                words += [option, json.dumps(value, ensure_ascii=False)]
            case datetime():
                words += [option, value.isoformat()]
            case _:
                words += [option, str(value)]
    return words


def _with_times(value: Any) -> Any:
    """Version 1 prints times as they come, in seconds; version 2 in ISO 8601."""
    match value:
        case dict():
            return {
                name: _time(member) if name.endswith("Timestamp") else _with_times(member)
                for name, member in value.items()
            }
        case list():
            return [_with_times(each) for each in value]
    return value


def _time(value: float | str) -> datetime:
    if isinstance(value, str):
        return datetime.fromisoformat(value)
    return datetime.fromtimestamp(value, UTC)


class JavaScript:
    """A program of tests/js that is asked in lines of JSON, and answers each with one: tests/js/requests.mjs.

    Its calls go through the AWS SDK for JavaScript v3.
    """

    def __init__(self, program: Program) -> None:
        self.program = program

    def asks(self, what: str, **details: Any) -> Any:
        """What the program answers."""
        self.program.say(json.dumps({"ask": what, **details}, default=_date))
        return json.loads(self.program.line(), object_hook=_dates)

    def tell(self, call: Call) -> Told:
        answer = self.asks("call", service=call.service, operation=call.operation, input=call.members)
        assert answer["requestId"], answer
        if "answer" in answer:
            return Told(answer["answer"], answer["status"])
        assert answer["typed"], answer
        return Told(Refused(answer["name"], answer["message"]), answer["status"])

    def tell_together(self, calls: Sequence[Call]) -> list[Told]:
        return [self.tell(call) for call in calls]


def _date(value: Any) -> Any:
    assert isinstance(value, datetime), value
    return {"$date": value.isoformat()}


def _dates(value: dict[str, Any]) -> Any:
    """What was a Date in JavaScript, and only that, is a `datetime` here."""
    return datetime.fromisoformat(value["$date"]) if value.keys() == {"$date"} else value
