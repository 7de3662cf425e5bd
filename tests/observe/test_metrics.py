"""Metrics: what happened at the front door is what /metrics says."""

import http.client
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from campana.metrics import OTHERS, PROCESSORS_MAX, Metrics
from tests import stores
from tests.harness import App, Processor, RunningServer, calls_back, refused, running
from tests.observe.scrape import Scrape


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running(tmp_path_factory.mktemp("metrics"), **{"metrics.enabled": True}) as server:
        yield server


@pytest.fixture(scope="module")
def app(server: RunningServer) -> App:
    return App(server)


def status_of(url: str, method: str = "GET") -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_calls_are_counted_by_operation_and_status(server: RunningServer, app: App) -> None:
    ann, eve = app.users("ann", "eve")
    channel = ann.makes_channel()
    before = Scrape(server.url)

    ann.sends(channel, "one")
    ann.sends(channel, "two")
    with refused("Forbidden"):
        eve.sends(channel, "three")
    after = Scrape(server.url)

    def more(name: str, **labels: str) -> float:
        return after.value(name, **labels) - before.value(name, **labels)

    assert more("campana_requests_total", operation="SendChannelMessage", status="201") == 2
    assert more("campana_requests_total", operation="SendChannelMessage", status="403") == 1
    assert more("campana_request_seconds_count", operation="SendChannelMessage") == 3
    assert more("campana_request_seconds_bucket", operation="SendChannelMessage", le="+Inf") == 3
    assert more("campana_request_seconds_sum", operation="SendChannelMessage") > 0
    # AWS's three names.
    assert more("CallCount_total", operation="SendChannelMessage") == 3
    assert more("ErrorCount_total", operation="SendChannelMessage") == 1
    assert more("ThrottleCount_total", operation="SendChannelMessage") == 0


def test_calls_of_sts_are_counted_too(server: RunningServer) -> None:
    server.client("sts").get_caller_identity()

    seen = Scrape(server.url)
    assert seen.value("campana_requests_total", operation="GetCallerIdentity", status="200") == 1
    assert seen.value("campana_request_seconds_count", operation="GetCallerIdentity") == 1


def test_what_clients_make_up_becomes_no_label(server: RunningServer) -> None:
    host = urlsplit(server.url).netloc
    for path in ("/no/such/route", "/another", "/?Action=Whatever"):
        connection = http.client.HTTPConnection(host, timeout=20)
        connection.request("GET", path)
        assert connection.getresponse().status in (400, 403, 404)
        connection.close()
    connection = http.client.HTTPConnection(host, timeout=20)
    connection.request("GET", "/channels", headers={"x-long": "x" * 70_000})
    assert connection.getresponse().status == 431

    seen = Scrape(server.url)

    assert seen.value("campana_requests_total", operation="unreadable", status="431") == 1
    assert seen.value("campana_request_seconds_count", operation="unknown") == 3
    operations = seen.labels("campana_requests_total", "operation")
    assert all(each.isalnum() for each in operations), operations
    assert not operations & {"Whatever", "another"}


def test_sessions_are_counted_while_they_last_and_by_how_they_ended(server: RunningServer, app: App) -> None:
    ann, bob = app.users("session-ann", "session-bob")
    before = Scrape(server.url)

    sessions = [ann.connects(), bob.connects(), bob.connects(sessionId="same")]
    during = Scrape(server.url)
    replacing = bob.connects(sessionId="same")
    assert sessions[2].closed() == 4002
    for each in (*sessions[:2], replacing):
        each.close()
    server.run(_gone(server))
    after = Scrape(server.url)

    assert during.value("campana_sessions") == before.value("campana_sessions") + 3
    assert after.value("campana_sessions") == before.value("campana_sessions")
    assert after.value("campana_sessions_opened_total") - before.value("campana_sessions_opened_total") == 4
    assert after.value("campana_sessions_closed_total", code="4002") == 1
    assert after.value("campana_sessions_closed_total", code="1000") == 3


async def _gone(server: RunningServer) -> None:
    await server.server._sockets._none_left.wait()


def test_a_message_is_counted_on_its_way_to_sessions(server: RunningServer, app: App) -> None:
    ann, bob = app.users("fan-ann", "fan-bob")
    channel = ann.makes_channel(members=[bob])
    heard = [ann.connects(), bob.connects(), bob.connects()]
    before = Scrape(server.url)

    ann.sends(channel, "hello")
    for each in heard:
        each.until("CREATE_CHANNEL_MESSAGE")
    after = Scrape(server.url)
    for each in heard:
        each.close()

    assert after.value("campana_frames_sent_total") - before.value("campana_frames_sent_total") == 3
    assert after.value("campana_fanout_recipients_count") - before.value("campana_fanout_recipients_count") == 1
    assert after.value("campana_fanout_recipients_sum") - before.value("campana_fanout_recipients_sum") == 3
    assert after.value("campana_journal_lag_seconds_count") - before.value("campana_journal_lag_seconds_count") == 1
    notified = "campana_journal_entries_total"
    assert after.value(notified, source="notified") > before.value(notified, source="notified")


def test_processors_callbacks_and_verdicts_are_counted(server: RunningServer, app: App) -> None:
    [ann] = app.users("flow-ann")
    processor = Processor()
    channel = ann.makes_channel(flow=app.flow(processor.arn))
    heard = ann.connects()
    for deny in (False, True):
        ann.sends(channel, "hello")
        event = processor.takes()
        if not deny:
            server.run(server.server._backlog.look())
            waiting = Scrape(server.url)
        calls_back(app, event, deny=deny)
        heard.until("DENIED_CREATE_CHANNEL_MESSAGE" if deny else "CREATE_CHANNEL_MESSAGE")
    processor.status = 500
    ann.sends(channel, "hello")
    heard.until("FAILED_CREATE_CHANNEL_MESSAGE")
    server.run(server.server._backlog.look())
    seen = Scrape(server.url)
    heard.close()
    processor.close()

    pending = sum(waiting.value("campana_executions", state=each) for each in ("INVOKING", "AWAITING_CALLBACK"))
    assert pending == 1
    assert seen.value("campana_executions", state="AWAITING_CALLBACK") == 0
    assert seen.value("campana_executions", state="FAILED") == 1
    assert seen.value("campana_execution_oldest_seconds", state="FAILED") > 0
    assert seen.value("campana_callbacks_total", decision="passed") == 1
    assert seen.value("campana_callbacks_total", decision="denied") == 1
    for verdict in ("SENT", "DENIED", "FAILED"):
        assert seen.value("campana_execution_seconds_count", verdict=verdict) == 1, verdict
    invocations = "campana_processor_invocations_total"
    assert seen.value(invocations, processor=processor.arn, outcome="accepted") == 2
    assert seen.value(invocations, processor=processor.arn, outcome="unreachable") == 3  # with its retries
    assert seen.value("campana_processor_seconds_count", processor=processor.arn) == 5


def test_the_store_the_process_and_the_workers_are_seen(server: RunningServer, app: App) -> None:
    app.users("store-ann")
    seen = Scrape(server.url)

    assert seen.value("campana_store_commit_seconds_count") > 0
    assert seen.has("campana_store_waiting_calls")
    if stores.on_postgres():
        assert seen.value("campana_store_pool_connections_max") == 16
        assert seen.value("campana_store_pool_connections", use="idle") > 0
        assert seen.has("campana_store_pool_wait_seconds_total")
    else:
        assert seen.value("campana_sqlite_wal_bytes") > 0
        assert seen.value("campana_store_batch_calls_sum") >= seen.value("campana_store_batch_calls_count") > 0
    assert seen.value("campana_notifier_up") == 1
    assert seen.value("campana_notifier_connects_total") == 1
    assert seen.value("campana_ready") == 1
    for name in ("process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"):
        assert seen.value(name) > 0, name


def test_calls_that_rates_refuse_are_counted_by_rate(tmp_path: Path) -> None:
    given = {"metrics.enabled": True, "rates.enforce": True, "rates.identity_calls": 1}
    with running(tmp_path, **given) as server:
        identity = server.client("chime-sdk-identity")
        identity.list_app_instances()
        identity.list_app_instances()
        with pytest.raises(identity.exceptions.ThrottledClientException):
            identity.list_app_instances()
        seen = Scrape(server.url)

    [rate] = seen.labels("campana_throttled_total", "rate")
    assert seen.value("campana_throttled_total", rate=rate) == 1
    assert seen.value("ThrottleCount_total", operation="ListAppInstances") == 1
    assert seen.value("ErrorCount_total", operation="ListAppInstances") == 0


def test_nobody_sees_metrics_unless_asked_for(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        assert status_of(f"{server.url}/metrics") == 404


def test_metrics_have_a_listener_of_their_own_if_asked_for(tmp_path: Path) -> None:
    with running(tmp_path, **{"metrics.listen": "127.0.0.1:0"}) as server:
        listener = server.server._metrics_http
        assert listener is not None
        App(server)

        assert Scrape(listener.url).value("campana_requests_total", operation="CreateAppInstance", status="201") == 1
        assert status_of(f"{listener.url}/readyz") == 200
        assert status_of(f"{listener.url}/app-instances") == 404
        assert status_of(f"{listener.url}/metrics", "POST") == 405
        assert status_of(f"{server.url}/metrics") == 404


def test_the_processors_that_flows_name_are_bounded() -> None:
    metrics = Metrics()

    for number in range(PROCESSORS_MAX + 50):
        metrics.invoked(f"https://example.com/{number}", "accepted", 0.1)

    samples = [sample for family in metrics.registry.collect() for sample in family.samples]
    counted = {
        sample.labels["processor"]: sample.value
        for sample in samples
        if sample.name == "campana_processor_seconds_count"
    }
    assert len(counted) == PROCESSORS_MAX + 1
    assert counted[OTHERS] == 50


def test_what_is_declared_is_what_is_shown() -> None:
    """Documentation and dashboards go by the declarations."""
    metrics = Metrics()
    families = {family.name: family for family in metrics.registry.collect()}

    for each in metrics.described:
        family = families[each.name.removesuffix("_total") if each.kind == "counter" else each.name]
        assert (family.type, family.documentation) == (each.kind, each.text)
    assert {each.name.removesuffix("_total") for each in metrics.described} >= {
        name for name in families if name.startswith("campana_")
    }
