"""The command line, run as people run it."""

import json
import os
import subprocess
import sys
import tomllib
from dataclasses import fields

import pytest

import campana
from campana.cli import config, main
from campana.settings import LISTS, SECTIONS


@pytest.fixture
def run(tmp_path):
    """`run("config", "show", CAMPANA_…="…")` in an empty folder, with no settings from outside."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("CAMPANA_")}

    def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "campana", *words],
            cwd=tmp_path, env=outside | environment, capture_output=True, text=True,
        )  # fmt: skip

    return run


def test_help_and_version(run):
    assert run("--version").stdout == f"campana {campana.__version__}\n"
    for command in ("serve", "credentials", "config", "keys", "roles"):
        helped = run(command, "--help")
        assert helped.returncode == 0
        assert "examples:\n" in helped.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["bogus"], "campana: argument COMMAND: invalid choice: 'bogus'"),
        (["serve", "--frob"], "campana: unrecognized arguments: --frob"),
        (["serve", "--hos", "::1"], "campana: unrecognized arguments: --hos ::1"),  # abbreviations would bind us
        (["config"], "campana: the following arguments are required: ACTION"),
        (
            ["serve", "--config", "gone.toml"],
            "campana: the settings cannot be used:\n  config (gone.toml): There is no",
        ),
        (["serve", "--auth", "none", "--host", "0.0.0.0"], "campana: the settings cannot be used:\n  auth.mode"),
        (["serve", "--processor", "x"], "campana: the settings cannot be used:\n  processor x"),
    ],
)
def test_called_wrongly(run, words, message):
    done = run(*words)

    assert done.returncode == 2
    assert done.stderr.startswith(message)
    assert done.stdout == ""


def test_without_a_command_there_is_help(run):
    done = run()

    assert done.returncode == 2
    assert done.stderr.startswith("usage: campana")


def test_a_reader_that_goes_away_is_no_error(run, tmp_path):
    reader, writer = os.pipe()
    os.close(reader)

    done = subprocess.run(
        [sys.executable, "-m", "campana", "config", "example"], cwd=tmp_path, stdout=writer, stderr=subprocess.PIPE
    )

    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_every_flag_of_serve_is_a_setting():
    args = vars(main.parser(["serve"]).parse_args(["serve"]))

    paths = {path for path in args if "." in path}
    assert paths <= {f"{name}.{part.name}" for name, section in SECTIONS.items() for part in fields(section)}
    assert set(args) - paths == {"command", "config", "processors", "run"}
    assert all(args[path] is None for path in paths)


def test_serve_imports_little(tmp_path):
    done = subprocess.run(
        [
            *(sys.executable, "-X", "importtime", "-c"),
            "import campana.cli.main as m; m.parser(['serve'])",
        ],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip

    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert imported.isdisjoint({"boto3", "botocore", "httptools", "asyncio", "trustme", "cryptography", "rich"})


def test_config_show_is_a_file_with_the_same_settings(run, tmp_path):
    (tmp_path / "moderate.py").touch()
    (tmp_path / "campana.toml").write_text(
        '[server]\nport = 1\npublic_host = "chat.example.com"\n[[processors]]\narn = "arn:m"\ntarget = "moderate.py:f"'
    )

    shown = run("config", "show", CAMPANA_LOG__LEVEL="debug")
    (tmp_path / "shown.toml").write_text(shown.stdout)
    again = run("config", "show", "--config", "shown.toml")

    assert tomllib.loads(shown.stdout)["log"]["level"] == "debug"
    assert tomllib.loads(shown.stdout)["processors"][0]["target"] == f"{tmp_path}/moderate.py:f"
    assert again.stdout == shown.stdout


def test_config_show_as_json(run):
    found = json.loads(run("config", "show", "--json", CAMPANA_SERVER__PORT="0").stdout)

    assert list(found) == [*SECTIONS, *LISTS]
    assert found["server"]["port"] == 0
    assert found["server"]["public_host"] is None


def test_config_check(run, tmp_path):
    assert run("config", "check").returncode == 0

    (tmp_path / "campana.toml").write_text("[server]\nport = -1")
    done = run("config", "check")

    assert done.returncode == 2
    assert "server.port (campana.toml): Expected `int` >= 0." in done.stderr


def test_the_example_changes_nothing_and_every_line_of_it_can_be_used(run, tmp_path):
    text = run("config", "example").stdout
    (tmp_path / "processors").mkdir()
    (tmp_path / "processors" / "moderate.py").touch()
    for named in ("cert.pem", "key.pem", "chat-user-trust.json", "chat-user.json"):
        (tmp_path / named).write_text("{}")
    lines = [line.removeprefix("#") if line.startswith("#") and line[1] != " " else line for line in text.splitlines()]
    uncommented = "\n".join(lines).replace('tls = "off"', 'tls = "files"')

    (tmp_path / "campana.toml").write_text(text)
    assert run("config", "show").stdout == run("config", "show", "--config", "/dev/null").stdout
    (tmp_path / "campana.toml").write_text(uncommented)
    assert run("config", "check").stderr == ""
    found = tomllib.loads(uncommented)
    assert {name: set(found[name]) for name in SECTIONS} == {
        name: {part.name for part in fields(section)} for name, section in SECTIONS.items()
    }


@pytest.mark.parametrize("structure", [*SECTIONS.values(), *LISTS.values()])
def test_every_setting_is_documented(structure):
    assert structure.__doc__
    assert set(config.documentation(structure)) == {part.name for part in fields(structure)}
    for part in fields(structure):
        assert part.default is not None or "example" in part.metadata, part.name
