"""`campana keys` and `campana roles`, beside a running server: what they print, and how they are called wrongly."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from tests.auth.principals import Principal, allow, answered, arn_of, campana, make_role, policy, trusting
from tests.harness import KEY, SECRET, App, RunningServer, running

from campana.cli.main import main
from campana.store import migrate


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["keys", "create"], "one of the arguments --policy --user --admin is required"),
        (["keys", "create", "--admin", "--user", "x"], "not allowed with"),
        (["keys", "create", "--user", "ann"], "ann is not the ARN of an app instance user"),
        (["keys", "create", "--user", "arn:aws:chime:us-east-1:1:app-instance/a/bot/b"], "is not the ARN"),
        (["keys", "create", "--policy", "gone.json"], "gone.json cannot be read"),
        (["keys", "create", "--policy", "bad.json"], "bad.json is not a policy: the document is not JSON"),
        (["keys", "create", "--admin", "--name", "a/b"], "'a/b' cannot be a name"),
        (["keys", "create", "--admin", "--tag", "x"], "'x' is not a tag"),
        (["keys", "create", "--admin", "--tag", "aws:x=y"], "is not a tag"),
        (["keys", "create", "--admin", "--tag", "x=1", "--tag", "X=2"], "the tag X is given twice"),
        (["keys", "session", "--user", "ann"], "ann is not the ARN of an app instance user"),
        (["keys", "session", "--user", "ann", "--hours", "37"], "--hours"),
        (["keys", "revoke", "CAMPNOBODY"], "there is no key CAMPNOBODY in use"),
        (["keys"], "the following arguments are required: ACTION"),
        (["roles", "create", "r"], "the following arguments are required: --trust"),
        (["roles", "create", "a b", "--trust", "trust.json"], "'a b' cannot be a role's name"),
        (["roles", "create", "r", "--trust", "bad.json"], "bad.json cannot be used: the document is not JSON"),
        (["roles", "create", "r", "--trust", "trust.json", "--policy", "trust.json"], "trust.json cannot be used"),
        (["roles", "show", "nobody"], "there is no role nobody"),
        (["roles", "delete", "nobody"], "there is no role nobody to delete"),
    ],
)
def test_called_wrongly(
    server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, words: list[str], message: str
) -> None:
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "trust.json").write_text(json.dumps(trusting("*")))
    monkeypatch.chdir(tmp_path)
    more = server.flags if len(words) > 1 else []
    assert main([*words, *more]) in (1, 2)
    said = capsys.readouterr()
    assert said.err.startswith("campana: ")
    assert message in said.err
    assert said.out == ""


def test_where_no_server_has_been(tmp_path: Path, capsys: Any) -> None:
    for command in ("keys", "roles"):
        assert main([command, "list", "--data-dir", str(tmp_path / "none")]) == 1
        assert "there is no database" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


@pytest.mark.sqlite
def test_a_database_of_an_older_version_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    files = migrate._files
    monkeypatch.setattr(migrate, "_files", lambda: files()[:1])
    with running(tmp_path):  # makes the folder, with the first migration alone
        pass
    monkeypatch.undo()
    assert main(["keys", "list", "--data-dir", str(tmp_path / "data")]) == 1
    assert "was last used by an older version: start the server of this version first" in capsys.readouterr().err
    with sqlite3.connect(tmp_path / "data" / "campana.db") as connection:
        assert connection.execute("SELECT number FROM migrations").fetchall() == [(1,)]


def test_a_file_that_is_no_database(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "campana.db").write_bytes(b"not a database" * 100)
    (tmp_path / "secrets.key").write_text("x" * 64)
    assert main(["roles", "list", "--data-dir", str(tmp_path)]) == 1
    assert "can't be opened as a SQLite database" in capsys.readouterr().err


def test_what_the_terminal_shows(server: RunningServer, tmp_path: Path, capsys: Any) -> None:
    assert campana(server, "keys", "create", "--admin", "--name", "ops") == 0
    shown = capsys.readouterr()
    key_line, secret_line, principal_line = shown.out.splitlines()
    assert principal_line == "principal          arn:aws:iam::123456789012:user/ops"
    assert shown.err == "The secret is not shown again.\n"
    key, secret = key_line.split()[-1], secret_line.split()[-1]
    assert Principal(server, key, secret).arn.endswith("user/ops")
    assert campana(server, "keys", "create", "--admin", "--env") == 0
    assert [line.partition("=")[0] for line in capsys.readouterr().out.splitlines()] == [
        "export AWS_ACCESS_KEY_ID", "export AWS_SECRET_ACCESS_KEY",
    ]  # fmt: skip
    assert campana(server, "keys", "revoke", key) == 0
    assert capsys.readouterr().out == f"{key} is revoked.\n"
    assert campana(server, "keys", "list") == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith(key))
    assert "revoked" in line
    assert secret not in line


def test_a_session_for_a_user(
    server: RunningServer, app: App, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ann, bob = app.users("ann", "bob")
    assert campana(server, "keys", "session", "--user", ann.arn) == 1
    assert "the server's root key is needed" in capsys.readouterr().err
    monkeypatch.setenv("CAMPANA_ROOT_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("CAMPANA_ROOT_SECRET_ACCESS_KEY", SECRET)
    assert campana(server, "keys", "session", "--user", ann.arn, "--hours", "2", "--json") == 0
    given = json.loads(capsys.readouterr().out)
    assert given["Version"] == 1
    assert given["Expiration"].endswith("Z")
    caller = Principal.vended(server, {"Credentials": given})

    assert caller.arn == "arn:aws:sts::123456789012:federated-user/ann"
    caller.connects(ann.arn).close()
    caller.messaging.list_channels(AppInstanceArn=app.arn, ChimeBearer=ann.arn)
    with answered("AccessDeniedException", f"on resource: {bob.arn} because no session policy allows"):
        caller.messaging.list_channels(AppInstanceArn=app.arn, ChimeBearer=bob.arn)
    with answered("AccessDenied"):
        caller.assumes("any")
    assert campana(server, "keys", "session", "--user", ann.arn, "--env") == 0
    assert [line.partition("=")[0] for line in capsys.readouterr().out.splitlines()] == [
        "export AWS_ACCESS_KEY_ID", "export AWS_SECRET_ACCESS_KEY", "export AWS_SESSION_TOKEN",
    ]  # fmt: skip


def test_roles_by_command(server: RunningServer, tmp_path: Path, capsys: Any) -> None:
    trust, may = trusting("*"), policy(allow("chime:List*"))
    make_role(server, tmp_path, "listers", trust, may)
    assert capsys.readouterr().out == f"{arn_of('listers')}\n"
    assert campana(server, "roles", "create", "listers", "--trust", str(tmp_path / "trust.json")) == 1
    assert "there is a role listers already" in capsys.readouterr().err
    assert campana(server, "roles", "show", "listers") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["Arn"], shown["Trust"], shown["Policy"]) == (arn_of("listers"), trust, may)
    assert campana(server, "roles", "list", "--json") == 0
    assert shown in json.loads(capsys.readouterr().out)
    assert campana(server, "roles", "list") == 0
    assert arn_of("listers") in capsys.readouterr().out
    Principal(server, KEY, SECRET).assumes("listers").identity.list_app_instances()
    assert campana(server, "roles", "delete", "listers", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"Arn": arn_of("listers")}
    with answered("AccessDenied"):
        Principal(server, KEY, SECRET).assumes("listers")


def test_roles_of_the_settings_are_shown_and_not_changed(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "trust.json").write_text(json.dumps(trusting("*")))
    file = tmp_path / "campana.toml"
    file.write_text('[[roles]]\nname = "fixed"\ntrust = "trust.json"\n')
    with running(tmp_path) as server:
        more = ("--config", str(file))
        assert campana(server, "roles", "list", *more) == 0
        assert capsys.readouterr().out == f"{arn_of('fixed')}  settings\n"
        assert campana(server, "roles", "show", "fixed", *more) == 0
        assert json.loads(capsys.readouterr().out)["Policy"] is None
        assert campana(server, "roles", "delete", "fixed", *more) == 1
        assert "it is in the settings" in capsys.readouterr().err
        assert campana(server, "roles", "create", "fixed", "--trust", str(tmp_path / "trust.json"), *more) == 1
        assert Principal(server, KEY, SECRET).assumes("fixed")
