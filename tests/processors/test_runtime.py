"""The local Lambda runtime with real worker processes, mostly on AWS's own clients."""

import asyncio
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.node import NODE_RIC

from campana.clock import Ids, SystemClock
from campana.processors.runtime import (
    FailureKind,
    FunctionFailed,
    FunctionLine,
    FunctionSpec,
    LocalRuntime,
    NotRunnable,
    Source,
    local,
    output,
    parse_target,
)

FUNCTIONS = Path(__file__).parent / "functions"
HANDLERS = FUNCTIONS / "handlers.py"
INDEX = FUNCTIONS / "node" / "index.mjs"
ENVIRONMENT = {
    "AWS_ENDPOINT_URL_CHIME_SDK_MESSAGING": "http://127.0.0.1:9/",
    "AWS_REGION": "eu-central-1",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "of the function",
}
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="limits and parent-death signals are Linux's")


class HandClock(SystemClock):
    """Stands still until moved."""

    def __init__(self) -> None:
        self.at = super().now()

    def now(self) -> int:
        return self.at


class Lines(list[FunctionLine]):
    """The log, and waiting for a line of it."""

    def __init__(self) -> None:
        super().__init__()
        self._came = asyncio.Event()

    def __call__(self, line: FunctionLine) -> None:
        self.append(line)
        self._came.set()

    async def starting_with(self, text: str, count: int = 1) -> list[str]:
        while len(found := [line.text for line in self if line.text.startswith(text)]) < count:
            self._came.clear()
            await self._came.wait()
        return found


@asynccontextmanager
async def running(*specs: FunctionSpec, clock: SystemClock | None = None, **options: bool) -> AsyncIterator:
    lines = Lines()
    runtime = LocalRuntime(specs, ENVIRONMENT, lines, clock or SystemClock(), Ids(seed=1), **options)
    await runtime.start()
    try:
        yield runtime, lines
    finally:
        await runtime.stop()


def of(handler: str, path: Path = HANDLERS, **options) -> FunctionSpec:
    return FunctionSpec(handler, path, handler, **{"concurrency": 1} | options)


def outcome_of(spec: FunctionSpec, event: object = None, **options: bool):
    """What one invocation returns, or how it failed."""

    async def invoke():
        async with running(spec, **options) as (runtime, _):
            try:
                return await call(runtime, spec.name, event)
            except FunctionFailed as failure:
                return failure

    return asyncio.run(invoke())


async def call(runtime: LocalRuntime, name: str, event: object = None):
    return json.loads((await runtime.invoke(name, json.dumps(event).encode())).payload)


def ended(pid: int) -> bool:
    """Whether the process has ended, or does within a minute."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([process], [], [], 60)[0])
    finally:
        os.close(process)


@pytest.fixture(params=[False, True], ids=["awslambdaric", "own client"])
def own_clients(request: pytest.FixtureRequest) -> bool:
    return request.param


# What a function sees and answers.


def test_a_function_gets_the_event_and_its_answer_comes_back(own_clients, monkeypatch):
    monkeypatch.setenv("CAMPANA_ROOT_SECRET_ACCESS_KEY", "of the server")
    spec = of("echo", timeout_s=20, environment={"TABLE": "words"})

    told = outcome_of(spec, {"EventType": "CHANNEL_MESSAGE_EVENT", "Content": "größer ☃"}, own_clients=own_clients)

    assert told["event"] == {"EventType": "CHANNEL_MESSAGE_EVENT", "Content": "größer ☃"}
    assert told["name"] == "echo"
    assert told["arn"] == "arn:aws:lambda:eu-central-1:000000000000:function:echo"
    assert 10_000 < told["left_ms"] <= 20_000
    assert told["cwd"] == told["path"][0] == told["environment"]["LAMBDA_TASK_ROOT"] == str(FUNCTIONS)
    assert ENVIRONMENT.items() | {("TABLE", "words")} <= told["environment"].items()
    assert "of the server" not in told["environment"].values()
    assert told["environment"]["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "512"


TRACED = """
import os

def handler(event, context):
    return os.environ["_X_AMZN_TRACE_ID"]
"""
TRACED_NODE = "export const handler = async () => process.env._X_AMZN_TRACE_ID;"


def test_a_function_is_told_its_trace(own_clients, tmp_path):
    (tmp_path / "traced.py").write_text(TRACED)
    told = outcome_of(of("handler", tmp_path / "traced.py"), own_clients=own_clients)
    assert re.fullmatch("Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=0", told)


def test_the_runtime_works_on_uvloop():
    uvloop = pytest.importorskip("uvloop")

    async def story():
        async with running(of("pid", concurrency=2), of("hangs", timeout_s=0.1)) as (runtime, _):
            assert len({await call(runtime, "pid") for _ in range(3)}) == 1
            with pytest.raises(FunctionFailed, match="timed out"):
                await call(runtime, "hangs")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(story())


def test_boto3_finds_the_server_from_inside_a_function():
    assert outcome_of(of("uses_boto3")) == "http://127.0.0.1:9/"


def test_the_log_says_which_client_runs_a_function(own_clients):
    async def story():
        async with running(of("pid"), own_clients=own_clients) as (_, lines):
            return [line.text for line in lines if line.source is Source.RUNTIME]

    (said,) = asyncio.run(story())
    assert said.endswith("own Python client" if own_clients else "run by awslambdaric " + said.split()[-1])


# How functions fail.


@pytest.mark.parametrize(
    ("handler", "kind", "message", "stack"),
    [
        ("raises", FailureKind.ERROR, "ValueError: no dice", 'raise ValueError(f"no {event}")'),
        ("returns_what_is_not_json", FailureKind.ERROR, "not JSON serializable", ""),
        ("exits", FailureKind.CRASH, "ended with status 3", "on my way out"),
        ("sys_exits", FailureKind.CRASH, "ended with status 4", ""),
        ("is_killed", FailureKind.CRASH, "killed by SIGKILL (by the system, if it ran out of memory)", ""),
        ("hangs", FailureKind.TIMEOUT, "Task timed out after 1.00 seconds.", ""),
        ("returns_too_much", FailureKind.ERROR, "larger than 6 MB", ""),
        pytest.param("takes_too_much", FailureKind.ERROR, "out of memory: the function's limit is 512 MB", "bytearray",
                     marks=on_linux),
    ],
)  # fmt: skip
def test_a_failure_says_what_happened_and_the_next_event_is_handled(own_clients, handler, kind, message, stack):
    async def story():
        async with running(of(handler, timeout_s=1), own_clients=own_clients) as (runtime, _):
            for _ in range(2):
                with pytest.raises(FunctionFailed) as caught:
                    await call(runtime, handler, "dice")
                assert caught.value.kind is kind
                assert message in caught.value.message
                assert stack in caught.value.stack

    asyncio.run(story())


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("def handler(event, context)\n    pass\n", "expected ':'"),
        ("import no_such_module\n", "No module named 'no_such_module'"),
        ("1 / 0\n", "ZeroDivisionError: division by zero"),
        ("other = 1\n", "Handler 'handler' missing on module 'broken'"),
        ("import os\nprint('bye')\nos._exit(7)\n", "ended with status 7"),
    ],
)
def test_code_that_does_not_load_fails_as_init(own_clients, tmp_path, code, told):
    (tmp_path / "broken.py").write_text(code)

    failure = outcome_of(of("handler", tmp_path / "broken.py"), own_clients=own_clients)

    assert failure.kind is FailureKind.INIT
    assert told in failure.message


def test_a_function_that_does_not_load_is_not_started_again_and_again(tmp_path):
    (tmp_path / "broken.py").write_text("open('starts', 'a').write('x')\n1 / 0\n")

    async def story():
        clock = HandClock()
        starts = []
        async with running(of("handler", tmp_path / "broken.py"), clock=clock) as (runtime, lines):
            await lines.starting_with("failed to start: ZeroDivisionError")
            for wait_ms in (0, 499, 1, 999, 1, 1999, 1):
                clock.at += wait_ms
                with pytest.raises(FunctionFailed, match="ZeroDivisionError"):
                    await call(runtime, "handler")
                starts.append(len((tmp_path / "starts").read_text()))
        return starts

    assert asyncio.run(story()) == [1, 1, 2, 2, 3, 3, 4]


def test_a_worker_that_dies_while_idle_is_replaced():
    async def story():
        async with running(of("pid")) as (runtime, lines):
            os.kill(first := await call(runtime, "pid"), signal.SIGKILL)
            await lines.starting_with("a worker ended while idle")
            assert await call(runtime, "pid") != first

    asyncio.run(story())


@on_linux
def test_a_cancelled_caller_ends_the_function():
    async def story():
        async with running(of("hangs")) as (runtime, lines):
            task = asyncio.create_task(runtime.invoke("hangs", b"null"))
            pid = int((await lines.starting_with("pid "))[0].split()[1])
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(ended, pid)

    asyncio.run(story())


def test_a_process_that_cannot_be_started_fails_as_init():
    failure = outcome_of(of("pid", environment={"WORD": "with a \0 in it"}))

    assert failure.kind is FailureKind.INIT
    assert "could not be started" in failure.message


# Output.


def test_each_line_belongs_to_its_invocation(own_clients):
    async def story():
        async with running(of("prints"), own_clients=own_clients) as (runtime, lines):
            one, two = [(await runtime.invoke("prints", event)).request_id for event in (b"1", b"2")]
            assert [(line.request_id, line.text) for line in lines if line.source is Source.FUNCTION] == [
                (one, "out 1"), (one, "err 1"), (one, "the end"), (two, "out 2"), (two, "err 2"), (two, "the end"),
            ]  # fmt: skip

    asyncio.run(story())


def test_output_without_end_or_encoding_is_bounded():
    async def story():
        async with running(of("prints_anything")) as (runtime, lines):
            assert await call(runtime, "prints_anything") == "done"
            texts = [line.text for line in lines if line.source is Source.FUNCTION]
        assert texts[:2] == ["\\xff\\xfe not text \\x1b[31m", "größer"]
        assert max(map(len, texts)) <= output.LINE_CHARACTERS_MAX
        assert sum(map(len, texts)) <= output.OUTPUT_CHARACTERS_MAX + output.LINE_CHARACTERS_MAX
        assert texts[-1] == "… more output is left out."

    asyncio.run(story())


# Workers.


def test_a_burst_is_shared_by_a_few_warm_workers():
    async def story():
        async with running(of("pid", concurrency=3)) as (runtime, _):
            pids = await asyncio.gather(*(call(runtime, "pid", 0.02) for _ in range(20)))
            assert 2 <= len(set(pids)) <= 3
            assert await call(runtime, "pid") in pids

    asyncio.run(story())


def test_a_slow_invocation_does_not_hold_up_the_others():
    async def story():
        async with running(of("hangs", concurrency=1), FunctionSpec("pid", HANDLERS, "pid")) as (runtime, lines):
            slow = asyncio.create_task(runtime.invoke("hangs", b"null"))
            await lines.starting_with("pid ")
            assert await call(runtime, "pid")
            assert not slow.done()
            slow.cancel()

    asyncio.run(story())


def test_too_many_waiting_invocations_are_refused(monkeypatch):
    monkeypatch.setattr(local, "QUEUE_MAX", 2)

    async def story():
        async with running(of("hangs")) as (runtime, lines):
            tasks = [asyncio.create_task(runtime.invoke("hangs", b"null"))]
            await lines.starting_with("pid ")
            tasks += [asyncio.create_task(runtime.invoke("hangs", b"null")) for _ in range(3)]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            await runtime.stop()
            failures = await asyncio.gather(*tasks, return_exceptions=True)
            assert [failure.kind for failure in failures] == ["stopped", "stopped", "stopped", "busy"]

    asyncio.run(story())


def test_a_changed_file_is_what_the_next_event_meets(tmp_path):
    file, beside = tmp_path / "function.py", tmp_path / "words.py"
    file.write_text("import words\ndef handler(event, context):\n    return words.WORD\n")
    beside.write_text("WORD = 'one'\n")

    async def story():
        async with running(of("handler", file), reload=True) as (runtime, lines):
            heard = [await call(runtime, "handler")]
            beside.write_text("WORD = 'two'\n")
            heard.append(await call(runtime, "handler"))
            beside.write_text("WORD = \n")
            with pytest.raises(FunctionFailed, match="invalid syntax"):
                await call(runtime, "handler")
            beside.write_text("WORD = 'four'\n")  # mended: it does not wait for the back-off to end
            heard += [await call(runtime, "handler") for _ in range(2)]
            changes = [line for line in lines if line.text.startswith("files changed")]
            return heard, len(changes)

    assert asyncio.run(story()) == (["one", "two", "four", "four"], 2)


@on_linux
def test_stopping_leaves_no_process_behind():
    async def story():
        async with running(of("hangs_with_a_child"), of("pid"), of("hangs")) as (runtime, lines):
            pids = [await call(runtime, "pid")]
            tasks = [asyncio.create_task(runtime.invoke(name, b"null")) for name in ("hangs_with_a_child", "hangs")]
            for said in await lines.starting_with("pid ", count=2):
                pids += map(int, said.split()[1:])
            await runtime.stop()
            failures = await asyncio.gather(*tasks, return_exceptions=True)
            assert [failure.kind for failure in failures] == [FailureKind.STOPPED] * 2
        return pids

    pids = asyncio.run(story())
    assert len(pids) == 4
    assert all(ended(pid) for pid in pids)


SERVER = """
import asyncio, sys
from pathlib import Path
from campana.clock import Ids, SystemClock
from campana.processors.runtime import FunctionSpec, LocalRuntime

async def main(path, *handlers):
    specs = [FunctionSpec(handler, Path(path), handler, concurrency=1) for handler in handlers]
    runtime = LocalRuntime(specs, {}, lambda line: print(line.text, flush=True), SystemClock(), Ids())
    await runtime.start()
    for handler in handlers:
        print("answer", (await runtime.invoke(handler, b"null")).payload.decode(), flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


@on_linux
def test_workers_end_with_a_server_that_is_killed():
    command = [sys.executable, "-c", SERVER, str(HANDLERS), "pid", "hangs"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        pids = {}
        while len(pids) < 2:  # an idle one, and one whose function is running
            word, _, rest = server.stdout.readline().partition(" ")
            if word in ("answer", "pid"):
                pids[word] = int(rest)
        server.kill()

    assert ended(pids["answer"])
    assert ended(pids["pid"])


# The Runtime API against those who are no runtime client.


def test_the_runtime_api_refuses_what_no_client_says():
    event = [
        ["GET", "/invocation/next", {}],  # while an event is under way
        ["GET", "/invocation/next", {"Origin": "http://evil.example"}],
        ["GET", "/invocation/next", {"Sec-Fetch-Site": "cross-site"}],
        ["GET", "/invocation/next", {"Host": "evil.example"}],
        ["POST", "/invocation/another/response", {}],
        ["POST", "/invocation/another/error", {}],
        ["DELETE", "/invocation/next", {}],
        ["GET", "/", {}],
    ]

    assert outcome_of(of("asks_the_runtime_api"), event) == [403, 403, 403, 403, 400, 400, 404, 404]


def test_the_runtime_api_hangs_up_on_garbage():
    assert outcome_of(of("sends_garbage")) == ["", ""]


# Node.js.


@pytest.fixture(params=[False, True], ids=["aws-lambda-ric", "own client"])
def own_node_client(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    if shutil.which("node") is None:
        pytest.skip("Node.js is not installed")
    if not request.param:
        if not NODE_RIC.exists():
            pytest.skip("tests/js/ric/node_modules is missing: run `make node-ric`")
        monkeypatch.setenv("CAMPANA_NODE_RIC", str(NODE_RIC))
    return request.param


def test_a_javascript_function_gets_the_event_and_its_answer_comes_back(own_node_client):
    async def story():
        async with running(of("echo", INDEX), own_clients=own_node_client) as (runtime, lines):
            told = [await call(runtime, "echo", {"Content": word}) for word in ("größer ☃", "two")]
            assert [one["event"]["Content"] for one in told] == ["größer ☃", "two"]
            assert told[0]["pid"] == told[1]["pid"]
            assert told[0]["endpoint"] == "http://127.0.0.1:9/"
            assert told[0]["name"] == "echo"
            assert 10_000 < told[0]["left"] <= 30_000
            said = [line for line in lines if line.request_id == told[1]["requestId"]]
            assert any("hello" in line.text for line in said)
            assert any(
                ("own Node.js client" if own_node_client else "run by aws-lambda-ric") in line.text for line in lines
            )

    asyncio.run(story())


def test_a_javascript_function_is_told_its_trace(own_node_client, tmp_path):
    (tmp_path / "traced.mjs").write_text(TRACED_NODE)
    told = outcome_of(of("handler", tmp_path / "traced.mjs"), own_clients=own_node_client)
    assert told.startswith("Root=1-")


def test_older_modules_work(own_node_client):
    assert outcome_of(of("echo", INDEX.with_name("legacy.cjs")), 2, own_clients=own_node_client) == {"event": 2}


def test_handlers_with_a_callback_work_with_our_client_and_no_longer_with_awss(own_node_client):
    outcome = outcome_of(of("calls_back", INDEX), 1, own_clients=own_node_client)

    if own_node_client:
        assert outcome == {"event": 1}
    else:
        assert outcome.kind is FailureKind.INIT
        assert "AWS Lambda has removed support for callback-based function handlers" in outcome.message


@pytest.mark.parametrize(
    ("handler", "kind", "message"),
    [
        ("raises", FailureKind.ERROR, "TypeError: no"),
        ("exits", FailureKind.CRASH, "ended with status 3"),
        ("hangs", FailureKind.TIMEOUT, "Task timed out after 2.00 seconds."),
        ("missing", FailureKind.INIT, "missing"),
    ],
)
def test_a_javascript_function_that_fails(own_node_client, handler, kind, message):
    failure = outcome_of(of(handler, INDEX, timeout_s=2), own_clients=own_node_client)

    assert failure.kind is kind
    assert message in failure.message


def test_a_javascript_exception_that_nobody_catches_is_told_by_our_client_and_ends_awss(own_node_client):
    failure = outcome_of(of("raises_later", INDEX), own_clients=own_node_client)

    if own_node_client:
        assert failure.kind is FailureKind.ERROR
        assert "TypeError: too late" in failure.message
    else:
        assert failure.kind is FailureKind.CRASH
        assert "ended with status 1" in failure.message


def test_a_javascript_function_that_runs_out_of_memory(own_node_client):
    failure = outcome_of(of("takes_too_much", INDEX, memory_mb=32), own_clients=own_node_client)

    assert failure.kind is FailureKind.CRASH
    assert "out of memory: the function's limit is 32 MB" in failure.message


def test_javascript_that_does_not_parse(own_node_client, tmp_path):
    (tmp_path / "broken.mjs").write_text("export const handler = async ( => 1\n")

    failure = outcome_of(of("handler", tmp_path / "broken.mjs"), own_clients=own_node_client)

    assert failure.kind is FailureKind.INIT
    assert "SyntaxError" in failure.message


# Configuration.


def test_targets_are_a_file_and_a_handler():
    assert parse_target("functions/deny.py:handler") == (Path("functions/deny.py"), "handler")
    assert parse_target("C:/functions/index.mjs:handler") == (Path("C:/functions/index.mjs"), "handler")


@pytest.mark.parametrize("target", ["deny.py", "deny.py:", ":handler", "deny.rb:handler", "https://example.org:80", ""])
def test_other_targets_are_refused(target):
    with pytest.raises(NotRunnable, match="is not of the form"):
        parse_target(target)


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        (lambda tmp: of("handler", tmp / "absent.py"), "there is no file"),
        (lambda tmp: of("handler", made(tmp / "two.dots.py")), "no other '.'"),
        (lambda tmp: of("handler", made(tmp / "function.rb")), "neither a Python nor a JavaScript file"),
        (lambda tmp: FunctionSpec("a\r\nb", HANDLERS, "pid"), "cannot be the name"),
        (lambda tmp: FunctionSpec("a", HANDLERS, "pid.x"), "cannot be a handler"),
        (lambda tmp: FunctionSpec("a", HANDLERS, "pid", arn="arn:\n"), "not the ARN"),
        (lambda tmp: FunctionSpec("a", HANDLERS, "pid", concurrency=0), "must be positive"),
    ],
)
def test_what_cannot_be_run_is_said_at_the_start(tmp_path, spec, problem):
    async def story():
        async with running(spec(tmp_path)):
            pass

    with pytest.raises(NotRunnable, match=problem):
        asyncio.run(story())


def made(path: Path) -> Path:
    path.touch()
    return path
