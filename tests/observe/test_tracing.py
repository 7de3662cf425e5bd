"""Traces, as a collector gets them: from a call through processors to the sessions that hear of it."""

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from campana import log, tracing
from campana.processors.runtime import clients
from campana.settings import LogFormat, LogLevel
from tests.harness import LAMBDA, App, Processor, User, calls_back, refused, running
from tests.observe.collector import Collector, Seen

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SECRETS = ("a secret", "Ann", "Lobby", "arn:aws")
SERVER, PRODUCER, CONSUMER = 2, 4, 5  # OTLP's numbers


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()  # a second time does no harm


def sends_within(user: User, channel: str, content: str, **headers: str) -> str:
    """`sends`, with headers that a client's own instrumentation adds."""
    events = user.messaging.meta.events

    def add(request: Any, **_: Any) -> None:
        for name, value in headers.items():
            request.headers[name.replace("_", "-")] = value

    events.register("before-send.chime-sdk-messaging.SendChannelMessage", add)
    try:
        return user.sends(channel, content)
    finally:
        events.unregister("before-send.chime-sdk-messaging.SendChannelMessage", add)


def only(spans: list[Seen]) -> Seen:
    [span] = spans
    return span


def of_trace(collector: Collector, trace: str) -> list[Seen]:
    return [span for span in collector.spans if span.trace == trace]


def test_a_message_is_one_trace_from_the_callers_span_to_its_delivery(tmp_path: Path, collector: Collector) -> None:
    with running(tmp_path, **{"tracing.endpoint": collector.endpoint}) as server:
        app = App(server)
        ann, bob = app.users("ann", "bob")
        channel = ann.makes_channel(members=[bob])
        heard = bob.connects()
        sends_within(ann, channel, "a secret", traceparent=f"00-{TRACE}-{PARENT}-01")
        heard.until("CREATE_CHANNEL_MESSAGE")
        heard.close()
        with refused("Forbidden"):
            app.user("eve").sends(channel, "a secret")

    request, transaction, delivery = of_trace(collector, TRACE)
    assert (request.name, request.kind, request.parent) == ("SendChannelMessage", SERVER, PARENT)
    assert request.attributes["http.response.status_code"] == 201
    assert request.attributes["rpc.method"] == "SendChannelMessage"
    assert (transaction.name, transaction.parent) == ("transaction", request.id)
    assert (delivery.name, delivery.kind) == ("deliver", CONSUMER)
    assert delivery.attributes["campana.recipients"] == 1
    # It came of what was decided in the transaction.
    assert delivery.parent == transaction.id
    assert delivery.links == (transaction.place,)
    # One that begins here, and is refused.
    failed = collector.named("SendChannelMessage")[-1]
    assert failed.parent == ""
    assert failed.attributes["error.type"] == "ForbiddenException"
    assert not failed.failed, "a caller's fault is none of the server's"
    service = {
        each.key: each.value.string_value for each in collector.requests[0].resource_spans[0].resource.attributes
    }
    assert service["service.name"] == "campana"
    sent = b"".join(collector.raw)
    assert not [each for each in SECRETS if each.encode() in sent]


def test_a_callback_hours_later_on_another_start_belongs_to_the_trace(tmp_path: Path, collector: Collector) -> None:
    processor = Processor()
    given = {"tracing.endpoint": collector.endpoint, "auth.mode": "none"}  # a signature of now is old by then
    with running(tmp_path, **given) as server:
        app = App(server)
        ann = app.user("ann")
        channel = ann.makes_channel(flow=app.flow(processor.arn))
        sends_within(ann, channel, "a secret", traceparent=f"00-{TRACE}-{PARENT}-01")
        event = processor.takes()
        server.stop()
        server.start()
        server.clock.advance(hours=5)
        app.messaging = ann.messaging = server.client("chime-sdk-messaging")
        heard = ann.connects()
        calls_back(app, event)
        heard.until("CREATE_CHANNEL_MESSAGE")
        heard.close()
    processor.close()

    spans = {span.name: span for span in of_trace(collector, TRACE)}
    request, invocation, release = spans["SendChannelMessage"], spans["invoke processor"], spans["release"]
    transaction = spans["transaction"]
    assert (invocation.parent, invocation.kind) == (transaction.id, PRODUCER)
    assert invocation.attributes["campana.outcome"] == "accepted"
    assert processor.heard[0]["traceparent"] == f"00-{TRACE}-{invocation.id}-01"
    assert release.parent == transaction.id
    assert release.attributes["campana.verdict"] == "SENT"
    assert release.attributes["campana.waited_ms"] >= 5 * 3_600_000
    callback = only(collector.named("ChannelFlowCallback"))
    assert callback.trace != TRACE, "the processor sent no context along"
    deciding = only([span for span in collector.spans if span.parent == callback.id and span.name == "transaction"])
    assert transaction.place in deciding.links
    assert release.links == (deciding.place,)
    assert spans["deliver"].parent == transaction.id
    assert request.parent == PARENT


def test_a_processor_that_fails_is_a_failed_span(tmp_path: Path, collector: Collector) -> None:
    processor = Processor()
    processor.status = 500
    given = {"tracing.endpoint": collector.endpoint, "flows.retry_delays_ms": (1,)}
    with running(tmp_path, **given) as server:
        app = App(server)
        ann = app.user("ann")
        channel = ann.makes_channel(flow=app.flow(processor.arn))
        heard = ann.connects()
        sends_within(ann, channel, "a secret", traceparent=f"00-{TRACE}-{PARENT}-01")
        heard.until("FAILED_CREATE_CHANNEL_MESSAGE")
        heard.close()
    processor.close()

    spans = of_trace(collector, TRACE)
    attempts = [span for span in spans if span.name == "invoke processor"]
    assert [span.attributes["campana.attempt"] for span in attempts] == [1, 2]
    assert all(span.failed and span.attributes["campana.outcome"] == "unreachable" for span in attempts)
    assert only([span for span in spans if span.name == "end of flow"]).attributes["campana.verdict"] == "FAILED"


HANDLER = """
import boto3

def handler(event, context):
    message = event["ChannelMessage"]
    boto3.client("chime-sdk-messaging").channel_flow_callback(
        CallbackId=event["CallbackId"], ChannelArn=message["ChannelArn"],
        ChannelMessage={"MessageId": message["MessageId"]})
"""


@pytest.mark.parametrize("own_client", [True, False], ids=["own client", "awslambdaric"])
def test_a_local_functions_callback_is_in_the_trace_by_the_sdks_own_header(
    tmp_path: Path, collector: Collector, own_client: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if own_client:
        monkeypatch.setattr(clients, "util", SimpleNamespace(find_spec=lambda name: None))
    (tmp_path / "pass_on.py").write_text(HANDLER)
    arn = f"{LAMBDA}pass-on"
    given = {"tracing.endpoint": collector.endpoint, "processors": [f"{arn}={tmp_path}/pass_on.py:handler"]}
    with running(tmp_path, **given) as server:
        app = App(server)
        ann = app.user("ann")
        channel = ann.makes_channel(flow=app.flow(arn))
        heard = ann.connects()
        sends_within(ann, channel, "a secret", traceparent=f"00-{TRACE}-{PARENT}-01")
        heard.until("CREATE_CHANNEL_MESSAGE")
        heard.close()

    invocation = only([span for span in of_trace(collector, TRACE) if span.name == "invoke processor"])
    callback = only(collector.named("ChannelFlowCallback"))
    assert (callback.trace, callback.parent) == (TRACE, invocation.id)


IN_PROCESS = """
from opentelemetry import trace

seen = []

def passes(event):
    seen.append(trace.get_current_span().get_span_context())
    return {"ChannelMessage": {}}

async def awaits(event):
    return passes(event)
"""


@pytest.mark.parametrize("function", ["passes", "awaits"])
def test_a_function_in_the_process_runs_inside_the_span(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    (tmp_path / f"inside_{function}.py").write_text(IN_PROCESS)
    monkeypatch.syspath_prepend(str(tmp_path))
    arn = f"{LAMBDA}inside"
    given = {"tracing.endpoint": collector.endpoint, "processors": [f"{arn}=python:inside_{function}:{function}"]}
    with running(tmp_path, **given) as server:
        app = App(server)
        ann = app.user("ann")
        channel = ann.makes_channel(flow=app.flow(arn))
        with ann.connects() as heard:
            ann.sends(channel, "a secret")
            heard.until("CREATE_CHANNEL_MESSAGE")

    invocation = only(collector.named("invoke processor"))
    seen = only(sys.modules[f"inside_{function}"].seen)
    assert (f"{seen.trace_id:032x}", f"{seen.span_id:016x}") == invocation.place


def test_lambda_is_told_the_trace_in_its_own_header(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = Processor()
    service.status = 202
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", service.arn.removesuffix("/processor"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    given = {"tracing.endpoint": collector.endpoint, "processors": [f"{LAMBDA}=lambda:"]}
    with running(tmp_path, **given) as server:
        app = App(server)
        ann = app.user("ann")
        channel = ann.makes_channel(flow=app.flow(f"{LAMBDA}far"))
        sends_within(ann, channel, "a secret", traceparent=f"00-{TRACE}-{PARENT}-01")
        service.takes()
    service.close()

    invocation = only(collector.named("invoke processor"))
    assert service.heard[0]["x-amzn-trace-id"] == tracing.for_aws(f"00-{TRACE}-{invocation.id}-01")


def test_every_line_about_a_call_has_its_request_and_trace(tmp_path: Path, collector: Collector) -> None:
    stream = io.StringIO()
    root, own = logging.getLogger(), logging.getLogger("campana")
    before = list(root.handlers), root.level, own.level
    try:
        root.handlers = []
        with running(tmp_path, **{"tracing.endpoint": collector.endpoint, "log.calls": True}) as server:
            log.configure(LogFormat.JSON, LogLevel.DEBUG, stream)
            app = App(server)
            ann = app.user("ann")
            processor = Processor()
            channel = ann.makes_channel(flow=app.flow(processor.arn))
            sends_within(ann, channel, "a secret", traceparent=f"00-{TRACE}-{PARENT}-01")
            heard = ann.connects()
            answer = calls_back(app, processor.takes(), deny=True)
            heard.until("DENIED_CREATE_CHANNEL_MESSAGE")
            heard.close()
            processor.close()
            with refused("Forbidden"):
                app.user("eve").sends(channel, "a secret")
    finally:
        root.handlers, root.level, own.level = before
        logging.captureWarnings(False)
        own.manager._clear_cache()

    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    sent = only([each for each in lines if each.get("operation") == "SendChannelMessage" and each.get("status") == 201])
    assert sent["event"] == "call.answered"
    assert sent["trace"] == TRACE
    assert len(sent["request"]) == 36
    assert sent["service"] == "chime.amazonaws.com"
    assert sent["bearer"] == ann.arn
    assert sent["resource"] == channel
    # Written inside the transaction, which other calls may share.
    denied = only([each for each in lines if each["event"] == "execution.denied"])
    assert denied["request"] == answer["ResponseMetadata"]["RequestId"]
    assert len(denied["trace"]) == 32
    assert denied["trace"] != TRACE
    refusal, audited = [each for each in lines if each.get("status") == 403]
    assert (refusal["event"], audited["event"]) == ("call.refused", "call.answered")
    assert refusal["request"] == audited["request"]
    assert audited["error"] == "ForbiddenException"
    assert "a secret" not in stream.getvalue()
    assert "Lobby" not in stream.getvalue()


def test_what_is_not_sampled_is_not_sent_and_does_no_harm(tmp_path: Path, collector: Collector) -> None:
    processor = Processor()
    with running(tmp_path, **{"tracing.endpoint": collector.endpoint, "tracing.sample_ratio": 0.0}) as server:
        app = App(server)
        ann = app.user("ann")
        channel = ann.makes_channel(flow=app.flow(processor.arn))
        heard = ann.connects()
        ann.sends(channel, "unseen")
        calls_back(app, processor.takes())
        heard.until("CREATE_CHANNEL_MESSAGE")
        sends_within(ann, channel, "seen", traceparent=f"00-{TRACE}-{PARENT}-01")
        calls_back(app, processor.takes())
        heard.until("CREATE_CHANNEL_MESSAGE", Content="seen")
        heard.close()
    processor.close()

    assert {span.trace for span in collector.spans} == {TRACE}, "what its caller wants to see is sent all the same"
    assert processor.heard[0]["traceparent"].endswith("-00")
    assert processor.heard[1]["traceparent"].endswith("-01")


def test_a_collector_that_is_away_is_nobodys_trouble(tmp_path: Path, collector: Collector) -> None:
    collector.close()
    with running(tmp_path, **{"tracing.endpoint": collector.endpoint}) as server:
        app = App(server)
        [ann] = app.users("ann")
        channel = ann.makes_channel()
        with ann.connects() as heard:
            ann.sends(channel, "hello")
            heard.until("CREATE_CHANNEL_MESSAGE")


def test_without_an_endpoint_opentelemetry_is_not_even_imported() -> None:
    check = "import campana.server.app, sys; sys.exit('opentelemetry' in sys.modules)"

    run = subprocess.run([sys.executable, "-c", check], check=False)

    assert run.returncode == 0


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({"traceparent": f"00-{TRACE}-{PARENT}-01"}, f"00-{TRACE}-{PARENT}-01"),
        ({"traceparent": f"cc-{TRACE}-{PARENT}-01-what-will-be"}, f"00-{TRACE}-{PARENT}-01"),
        ({"traceparent": f"00-{TRACE}-{PARENT}-01-more"}, ""),
        ({"traceparent": f"ff-{TRACE}-{PARENT}-01"}, ""),
        ({"traceparent": f"00-{'0' * 32}-{PARENT}-01"}, ""),
        ({"traceparent": f"00-{TRACE}-{'0' * 16}-01"}, ""),
        ({"traceparent": f"00-{TRACE.upper()}-{PARENT}-01"}, ""),
        ({"traceparent": "x" * 5000}, ""),
        ({"x-amzn-trace-id": f"Root=1-{TRACE[:8]}-{TRACE[8:]};Parent={PARENT};Sampled=1"}, f"00-{TRACE}-{PARENT}-01"),
        ({"x-amzn-trace-id": f"Root=1-{TRACE[:8]}-{TRACE[8:]}"}, ""),
        ({}, ""),
    ],
)
def test_the_callers_span(headers: dict[str, str], found: str) -> None:
    assert tracing.of_headers(headers) == found


def test_aws_form_and_back() -> None:
    aws = tracing.for_aws(f"00-{TRACE}-{PARENT}-01")

    assert aws == f"Root=1-{TRACE[:8]}-{TRACE[8:]};Parent={PARENT};Sampled=1"
    assert tracing.of_headers({"x-amzn-trace-id": aws}) == f"00-{TRACE}-{PARENT}-01"
    assert tracing.for_aws("") == ""
