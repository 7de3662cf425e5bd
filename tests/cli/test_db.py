"""`campana db`: what is outstanding in a database, and who brings it up to date when."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests import stores
from tests.harness import App, RunningServer, running

from campana.cli.main import main
from campana.store import migrate

SHIPPED = migrate._files()
NEXT = len(SHIPPED) + 1
PRE = (f"{NEXT:04}_pre_mark.sql", "ALTER TABLE channels ADD COLUMN mark TEXT NOT NULL DEFAULT '';\n")
POST = (f"{NEXT + 1:04}_post_mark.sql", "-- oldest: 9.0.0\nALTER TABLE channels DROP COLUMN mark;\n")


def becomes(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on this is the program of another version, with the migrations that it has."""
    more = (PRE, POST) if version == "9.0.0" else ()
    monkeypatch.setattr(migrate, "_files", lambda: [*SHIPPED, *more])
    monkeypatch.setattr(migrate, "__version__", version)
    monkeypatch.setattr("campana.cli.db.__version__", version)


def db(server: RunningServer, *words: str) -> int:
    return main(["db", *words, *server.flags])


def checked(server: RunningServer, capsys: pytest.CaptureFixture[str]) -> tuple[int, Any]:
    capsys.readouterr()
    code = db(server, "check", "--json")
    return code, json.loads(capsys.readouterr().out)


def test_a_database_that_its_server_made_is_up_to_date(server: RunningServer, capsys: Any) -> None:
    code, found = checked(server, capsys)

    assert code == 0
    assert found["applied"] == [name for name, _ in SHIPPED]
    assert (found["pre"], found["post"], found["oldest"]) == ([], [], None)
    assert db(server, "check") == 0
    assert f"{len(SHIPPED)} migrations applied; any version can use it" in capsys.readouterr().out


@pytest.mark.postgres
def test_beside_servers_only_what_they_can_live_with_is_applied_unless_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    with running(tmp_path) as server:
        ann = App(server).user("ann")
        becomes("9.0.0", monkeypatch)
        assert checked(server, capsys)[0] == 1
        assert db(server, "upgrade") == 0
        assert f"applied      {PRE[0]}" in (told := capsys.readouterr().out)
        assert f"outstanding  {POST[0]}: by `campana db upgrade --post`" in told
        ann.makes_channel()
        code, found = checked(server, capsys)
        assert (code, found["pre"], found["post"], found["oldest"]) == (1, [], [POST[0]], None)

        server.stop()
        server.start()
        assert checked(server, capsys)[1]["post"] == [POST[0]], "a server leaves it for others"

        assert db(server, "upgrade", "--post") == 0
        ann.makes_channel()
        code, found = checked(server, capsys)
        assert (code, found["pre"], found["post"], found["oldest"]) == (0, [], [], "9.0.0")

        becomes("8.9.9", monkeypatch)
        assert db(server, "check") == 1
        assert "needs Campana 9.0.0 or newer; this is 8.9.9" in capsys.readouterr().err
        becomes("9.0.0", monkeypatch)


@pytest.mark.sqlite
def test_where_one_server_uses_it_everything_is_applied_at_once_but_not_behind_its_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    with running(tmp_path) as server:
        becomes("9.0.0", monkeypatch)
        assert db(server, "upgrade") == 1
        assert "in use" in capsys.readouterr().err
        before = stores.contents(tmp_path / "data")
        assert checked(server, capsys)[0] == 1
        assert stores.contents(tmp_path / "data") == before
        server.stop()

        assert db(server, "upgrade") == 0
        assert checked(server, capsys) == (0, {**checked(server, capsys)[1], "oldest": "9.0.0", "post": []})
        server.start()
        App(server).user("ann").makes_channel()


def test_a_server_ends_when_the_database_is_upgraded_to_what_it_cannot_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(tmp_path) as server:
        server.writes(lambda tx: tx.run("INSERT INTO oldest_version (version) VALUES ('9.0.0')"))
        server.clock.advance(ms=5_000)

        with pytest.raises(ExceptionGroup) as failed:
            server.run(server.server.failed())
        assert failed.group_contains(migrate.SchemaMismatch, match=r"now needs Campana 9\.0\.0")


def test_where_no_server_has_been(tmp_path: Path, capsys: Any) -> None:
    for action in ("check", "upgrade"):
        assert main(["db", action, "--data-dir", str(tmp_path / "none")]) == 1
        assert "there is no database" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
