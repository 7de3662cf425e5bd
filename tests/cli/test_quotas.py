"""`campana quotas` beside a running server."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.harness import App, RunningServer, refused, running

from campana import limits
from campana.cli import main
from campana.store import counts

NOWHERE = "arn:aws:chime:us-east-1:1:app-instance/a"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def app(server: RunningServer) -> App:
    return App(server)


@pytest.fixture
def run(server: RunningServer, capfd: pytest.CaptureFixture[str]) -> Run:
    """`run("list", …)`: exit code, standard output, standard error."""

    def run(*words: str) -> tuple[int, str, str]:
        code = main.main(["quotas", *words, *server.flags])
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return run


def listed(run: Run, *words: str) -> dict[str, dict[str, Any]]:
    code, out, _ = run("list", *words, "--json")
    assert code == 0
    return {each["name"]: each for each in json.loads(out)}


def test_everything_is_listed_with_where_it_comes_from(run: Run, app: App) -> None:
    found = listed(run)

    assert list(found) == [limits.RATES_ENFORCED, *limits.LIMITS]
    assert (found["users-per-app-instance"]["value"], found["users-per-app-instance"]["set_by"]) == (
        100_000,
        "settings",
    )
    code, out, _ = run("list", app.arn)
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == list(found)


def test_what_is_set_is_in_force_at_once_on_a_running_server(run: Run, app: App) -> None:
    ann = app.user("ann")
    name = "channels-per-app-instance"
    assert run("set", name, "0", app.arn)[0] == 0
    with refused("ResourceLimitExceeded"):
        ann.makes_channel()
    assert listed(run, app.arn)[name] | {"what": ""} == {
        "name": name, "value": 0, "set_by": "app instance", "what": ""
    }  # fmt: skip
    assert listed(run)[name]["set_by"] == "settings"

    assert run("set", name, "1")[0] == 0
    with refused("ResourceLimitExceeded"):
        ann.makes_channel()
    assert run("reset", name, app.arn)[0] == 0
    assert listed(run, app.arn)[name]["set_by"] == "server"
    ann.makes_channel()
    assert run("reset", "all")[0] == 0
    ann.makes_channel()


def test_rates_are_in_force_within_a_second(run: Run, app: App) -> None:
    ann = app.user("ann")
    channel = ann.makes_channel()
    assert run("set", "rates-enforced", "1", app.arn)[0] == 0
    assert run("set", "message-writes", "1", app.arn)[0] == 0
    app.server.clock.advance(ms=1_000)

    for _ in range(2):
        ann.sends(channel, "hello")
    with pytest.raises(ClientError, match="ThrottledClientException"):
        ann.sends(channel, "hello")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("set", "bogus", "1"), "there is no quota or rate bogus"),
        (("set", "all", "1"), "there is no quota or rate all"),
        (("set", "users-per-app-instance", "2147483648"), "may be 0 to"),
        (("set", "messaging-calls", "0"), "may be 1 to"),
        (("set", "rates-enforced", "2"), "may be 0 to 1"),
        (("set", "users-per-app-instance", "1", "nothing"), "not the ARN of an app instance"),
        (("set", "users-per-app-instance", "1", "arn:aws:chime:us-east-1:1:app-instance/a/user/u"), "not the ARN of"),
        (
            ("set", "users-per-app-instance", "1", "arn:aws:chime:us-east-1:1:app-instance/a"),
            "there is no app instance",
        ),
        (("list", "arn:aws:chime:us-east-1:1:app-instance/a"), "there is no app instance"),
        (
            ("set", "app-instances-per-account", "1", "arn:aws:chime:us-east-1:1:app-instance/a"),
            "for the account as a whole",
        ),
    ],
)
def test_called_wrongly(run: Run, words: tuple[str, ...], complaint: str) -> None:
    code, out, err = run(*words)

    assert code in (1, 2)
    assert complaint in err
    assert out == ""


def test_without_a_database_it_says_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main.main(["quotas", "list", "--data-dir", str(tmp_path)]) == 1
    assert "there is no database" in capfd.readouterr().err


def test_what_is_set_goes_with_the_app_instance(run: Run, app: App) -> None:
    run("set", "users-per-app-instance", "7", app.arn)
    app.identity.delete_app_instance(AppInstanceArn=app.arn)
    app.server.settle()
    assert app.server.writes(counts.of, app.arn, "users") == 0
    left = app.server.writes(
        lambda tx: tx.scalar("SELECT COUNT(*) FROM quotas WHERE app_instance_arn = :app", app=app.arn)
    )
    assert left == 0
