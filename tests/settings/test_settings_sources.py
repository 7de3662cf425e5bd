"""Where settings come from, which of two goes first, and what is said when they cannot be used."""

from pathlib import Path

import pytest

from campana import settings
from campana.settings import (
    AuthMode,
    HttpEndpoint,
    InProcess,
    LambdaEndpoint,
    LocalFunction,
    LogLevel,
    OnError,
    Settings,
    SettingsError,
    SqliteUrl,
    TlsMode,
)

NATS = "Expected nats://host:port, or several with commas between them."
ALONE = "This needs a PostgreSQL database: a SQLite file has one node alone."
URLS = "sqlite:///relative/path, sqlite:////absolute/path or postgresql://user:password@host/name."


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def load(toml: str = "", environment: dict[str, str] | None = None, **flags: object) -> Settings:
    """Settings from a file, variables, and flags written as `server__port=…`."""
    Path("campana.toml").write_text(toml, "utf-8")
    return settings.load(None, environment or {}, {name.replace("__", "."): value for name, value in flags.items()})


def problems(*sources: object, **flags: object) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        load(*sources, **flags)
    return [f"{problem.path}: {problem.message}" for problem in raised.value.problems]


def test_the_passwords_of_urls_are_not_shown():
    found = load(
        '[database]\nurl = "postgresql://ann:geheim@db/name?password=geheim&sslmode=require"\n'
        '[notifier]\nurl = "nats://bob:geheim@one,nats://two"'
    )

    assert str(found.database.url) == "postgresql://ann:***@db/name?password=***&sslmode=require"
    assert str(found.notifier.url) == "nats://bob:***@one,nats://two"
    assert "geheim" not in repr(found)


def test_without_sources_there_are_the_defaults(tmp_path):
    found = settings.load(None, {}, {})

    assert (found.server.host, found.server.port, found.server.tls) == ("127.0.0.1", 8600, TlsMode.OFF)
    assert found.server.data_dir == tmp_path / "campana-data"
    assert found.database_url == SqliteUrl(tmp_path / "campana-data" / "campana.db")
    assert found.account.triple == ("aws", "us-east-1", "123456789012")
    assert (found.flows.callback_timeout_ms, found.flows.retry_delays_ms) == (172_800_000, (200, 1_000))
    assert found.processors == ()


@pytest.mark.parametrize(
    ("toml", "environment", "flag", "port"),
    [
        ("", {}, None, 8600),
        ("[server]\nport = 1", {}, None, 1),
        ("[server]\nport = 1", {"CAMPANA_SERVER__PORT": "2"}, None, 2),
        ("[server]\nport = 1", {"CAMPANA_SERVER__PORT": "2"}, "3", 3),
        ("[server]\nport = 1", {"CAMPANA_SERVER__PORT": "2"}, 0, 0),
        ("[server]\nport = 1", {"CAMPANA_SERVER__PORT": ""}, None, 1),  # empty is not given
        ("", {"CAMPANA_PORT": "tcp://10.0.0.1:80", "OTHER_SERVER__PORT": "9"}, None, 8600),
    ],
)
def test_precedence(toml, environment, flag, port):
    assert load(toml, environment, server__port=flag).server.port == port


@pytest.mark.parametrize(
    ("variable", "text", "section", "value"),
    [
        ("CAMPANA_AUTH__STRICT_REGION", "true", "auth.strict_region", True),
        ("CAMPANA_AUTH__MODE", "none", "auth.mode", AuthMode.NONE),
        ("CAMPANA_LOG__LEVEL", "debug", "log.level", LogLevel.DEBUG),
        ("CAMPANA_FLOWS__RETRY_DELAYS_MS", "5, 10,15", "flows.retry_delays_ms", (5, 10, 15)),
        ("CAMPANA_SERVER__CORS_ORIGINS", "https://a.example,http://b:1", "server.cors_origins", ("https://a.example", "http://b:1")),
        ("CAMPANA_ACCOUNT__ACCOUNT_ID", "000000000001", "account.account_id", "000000000001"),
        ("CAMPANA_CHANNELS__DEFAULT_PRIVACY", "PUBLIC", "channels.default_privacy", "PUBLIC"),
        ("CAMPANA_SERVER__PUBLIC_HOST", "[::1]:8600", "server.public_host", "[::1]:8600"),
    ],
)  # fmt: skip
def test_text_of_the_environment_becomes_the_settings_type(variable, text, section, value):
    name, _, field = section.partition(".")

    found = getattr(getattr(load("", {variable: text}), name), field)

    assert found == value
    assert type(found) is type(value)


def test_paths_of_a_file_start_from_the_file_and_others_from_the_current_folder(tmp_path):
    there = tmp_path / "etc" / "campana.toml"
    there.parent.mkdir()
    (there.parent / "moderate.py").touch()
    there.write_text(
        'database.url = "sqlite:///rows.db"\n[server]\ndata_dir = "../data"\n'
        '[[processors]]\narn = "arn:a"\ntarget = "moderate.py:handler"'
    )

    found = settings.load(there, {}, {})
    flagged = settings.load(there, {}, {"server.data_dir": "here", "database.url": "sqlite:////rows.db"})

    assert found.server.data_dir == tmp_path / "data"
    assert found.database_url == SqliteUrl(tmp_path / "etc" / "rows.db")
    assert found.processors[0].target == LocalFunction(there.parent / "moderate.py", "handler")
    assert flagged.server.data_dir == tmp_path / "here"
    assert flagged.database.url == SqliteUrl(Path("/rows.db"))


def test_every_problem_is_reported_at_once_with_path_and_source():
    with pytest.raises(SettingsError) as raised:
        load(
            '[server]\nport = "8600"\nprot = 1\n[flows]\nmax_processors = 4\n[srever]\n[log]\nlevel = "loud"',
            {"CAMPANA_SERVER__DRAIN_S": "soon", "CAMPANA_SERVR__PORT": "1"},
            server__tls="tls",
        )

    assert str(raised.value).splitlines() == [
        "the settings cannot be used:",
        "  server.port (campana.toml): Expected `int`, got `str`.",
        "  server.prot (campana.toml): There is no such setting. Did you mean port?",
        "  flows.max_processors (campana.toml): Expected `int` <= 3.",
        "  srever (campana.toml): There is no such section. Did you mean server?",
        '  log.level (campana.toml): Expected one of "debug", "info", "warning", "error".',
        "  server.drain_s (CAMPANA_SERVER__DRAIN_S): Expected `int`, got `str`.",
        "  servr.port (CAMPANA_SERVR__PORT): There is no such section. Did you mean server?",
        '  server.tls (command line): Expected one of "off", "self-signed", "files".',
    ]


@pytest.mark.parametrize(
    ("toml", "problem"),
    [
        ("server = 1", "server: Expected a table: [server]."),
        ("nothing = 1", "nothing: There is no such section."),
        ("[processors]\narn = 1", "processors: Expected a list of tables: [[processors]]."),
        ("processors = [1]", "processors[0]: Expected a table: [[processors]]."),
        ('[server]\ndata_dir = ""', "server.data_dir: Expected text."),
        ('[server]\nhost = ""', "server.host: Expected a name or an address, without brackets or a port."),
        ('[server]\npublic_host = "https://a"', "server.public_host: Expected host or host:port, no more."),
        ('[server]\ncors_origins = ["example.com"]', 'server.cors_origins: Expected "*" or an origin as in https://example.com.'),
        ("[account]\naccount_id = 123456789012", "account.account_id: Expected twelve digits, as text."),
        ('[channels]\ndefault_mode = "OPEN"', 'channels.default_mode: Expected one of "RESTRICTED", "UNRESTRICTED".'),
        ('[database]\nurl = "mysql://db"', f"database.url: Expected {URLS}"),
            ('[notifier]\nurl = "nats://"', f"notifier.url: {NATS}"),
            ('[notifier]\nurl = "nats://n"', f"notifier.url: {ALONE}"),
        ('[database]\nurl = "sqlite:///:memory:"', f"database.url: Expected {URLS}"),
        ("[flows]\ncallback_timeout_ms = inf", "flows.callback_timeout_ms: Expected `int`, got `float`."),
    ],
)  # fmt: skip
def test_unusable_values(toml, problem):
    assert problems(toml) == [problem]


@pytest.mark.parametrize("toml", ["[server", "a = 1\na = 2", '[server]\nhost = "\\ud800"'])
def test_a_file_that_is_not_toml(toml):
    (problem,) = problems(toml)

    assert problem.startswith("config: The file is not TOML: ")


def test_a_file_that_is_not_utf_8_or_not_there_or_no_file():
    Path("latin.toml").write_bytes(b"# caf\xe9")

    for name, reason in (("latin.toml", "not TOML"), ("absent.toml", "no such file"), (".", "cannot be read")):
        with pytest.raises(SettingsError, match=reason):
            settings.load(Path(name), {}, {})


def test_without_signatures_the_server_is_for_this_machine_only():
    none = {"CAMPANA_AUTH__MODE": "none"}

    assert load("", none).auth.mode is AuthMode.NONE
    assert load("", none, server__host="::1").auth.mode is AuthMode.NONE
    assert load("", none, server__host="0.0.0.0", auth__open_to_network=True).auth.mode is AuthMode.NONE
    for host in ("0.0.0.0", "::", "10.1.2.3", "chat.example.com"):
        (problem,) = problems("", none, server__host=host)
        assert problem.startswith('auth.mode: "none" lets everybody')
        assert load("", {}, server__host=host).server.host == host


def test_certificate_files_go_with_their_mode():
    Path("here.pem").touch()

    assert len(problems("", {}, server__tls="files")) == 2
    assert len(problems("", {}, server__tls="files", server__tls_cert="here.pem", server__tls_key="gone.pem")) == 1
    assert len(problems("", {}, server__tls_cert="here.pem", server__tls_key="here.pem")) == 2
    assert load("", {}, server__tls="files", server__tls_cert="here.pem", server__tls_key="here.pem")


OIDC = '[[oidc]]\nissuer = "{}"\naudiences = ["web"]\njwks = "{}"\n'


def test_identity_providers_and_roles(tmp_path):
    Path("trust.json").write_text('{"Version": "2012-10-17"}')
    found = load(
        OIDC.format("https://id.example.com/a", "https://id.example.com/jwks")
        + OIDC.format("https://id.example.com/b", "jwks.json")
        + '[[roles]]\nname = "chat"\ntrust = "trust.json"\npolicy = \'{"Statement": []}\'\n'
    )

    first, second = found.oidc
    assert (first.jwks, first.audiences) == (HttpEndpoint("https://id.example.com/jwks"), ("web",))
    assert second.jwks == tmp_path / "jwks.json"
    (role,) = found.roles
    assert (role.trust.text, role.policy.text) == ('{"Version": "2012-10-17"}', '{"Statement": []}')


@pytest.mark.parametrize(
    ("toml", "problem"),
    [
        (OIDC.format("id.example.com", "jwks.json"), "oidc[0].issuer: Expected a URL"),
        (OIDC.format("https://id.example.com", "https://u:p@id.example.com"), "oidc[0].jwks: A URL with a user"),
        (OIDC.format("https://id.example.com", "a").replace('["web"]', "[]"), "oidc[0].audiences: Expected"),
        (OIDC.format("https://id/a", "a") + OIDC.format("https://id/a", "a"), "oidc[1].issuer: The same issuer stands"),
        (
            OIDC.format("https://id/a", "a") + OIDC.format("https://id/a/", "a"),
            "oidc[1].issuer: Another issuer is id/a",
        ),
        (OIDC.format("https://id/a", "a") + OIDC.format("http://id/a", "a"), "oidc[1].issuer: Another issuer is id/a"),
        ('[[roles]]\nname = "a b"\ntrust = "{}"', "roles[0].name: Expected up to 64 letters"),
        ('[[roles]]\nname = "a"\ntrust = "gone.json"', "roles[0].trust: The file"),
        ('[[roles]]\nname = "a"\ntrust = "{x"', "roles[0].trust: Expected JSON"),
        ('[[roles]]\nname = "a"', "roles[0].trust: This is required."),
    ],
)
def test_identity_providers_and_roles_that_cannot_be_used(toml, problem):
    found = problems(toml)
    assert any(each.startswith(problem) for each in found), found


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("lambda:", LambdaEndpoint()),
        ("https://example.com/hook?a=b", HttpEndpoint("https://example.com/hook?a=b")),
        ("http://[::1]:9000", HttpEndpoint("http://[::1]:9000")),
        ("python:package.module:function", InProcess("package.module", "function")),
    ],
)
def test_targets(text, target):
    found = settings.parse_target(text, Path("/"))

    assert found == target
    assert str(found) == text


@pytest.mark.parametrize("name", ["moderate.py", "index.mjs", "with space.js", "a:b.py"])
def test_targets_that_are_local_files(tmp_path, name):
    (tmp_path / name).touch()

    assert settings.parse_target(f"{name}:handler", tmp_path) == LocalFunction(tmp_path / name, "handler")


@pytest.mark.parametrize(
    "text",
    [
        "moderate.py", "moderate.rb:handler", "gone.py:handler", "moderate.py:", "moderate.py:a-b", ":handler",
        "python:module", "python:a..b:c", "python::f", "http://", "https://user:word@example.com", "http://h:x",
        "ftp://example.com", "lambda:name", "\0.py:handler",
    ],
)  # fmt: skip
def test_texts_that_are_no_targets(tmp_path, text):
    (tmp_path / "moderate.py").touch()

    with pytest.raises(ValueError):
        settings.parse_target(text, tmp_path)


def test_the_longest_beginning_of_an_arn_wins():
    found = load(
        "", {}, processors=["arn:aws:lambda:=lambda:", "arn:aws:lambda:r:1:function:m=http://m", "arn:x=http://x/?a=b"]
    )

    assert found.processor_for("arn:aws:lambda:r:1:function:m:PROD").target == HttpEndpoint("http://m")
    assert found.processor_for("arn:aws:lambda:r:1:function:n").target == LambdaEndpoint()
    assert found.processor_for("arn:x").target == HttpEndpoint("http://x/?a=b")
    assert found.processor_for("arn:aws:sqs:x") is None


def test_an_http_resource_arn_is_its_own_target_only_if_allowed():
    url = "http://10.0.0.1/processor"
    allowed = {"CAMPANA_FLOWS__ACCEPT_HTTP_RESOURCE_ARNS": "true"}

    assert load().processor_for(url) is None
    assert load("", allowed).processor_for(url).target == HttpEndpoint(url)
    assert load("", allowed, processors=["http://10.=lambda:"]).processor_for(url).target == LambdaEndpoint()


def test_a_processor_of_the_file_has_options_and_a_flag_replaces_it_whole():
    toml = '[[processors]]\narn = "arn:m"\ntarget = "lambda:"\nconcurrency = 1\non_error = "fallback"\ntimeout_ms = 9'

    (of_file,) = load(toml).processors
    (of_flag,) = load(toml, {}, processors=["arn:m=http://m"]).processors

    assert (of_file.concurrency, of_file.on_error, of_file.timeout_ms) == (1, OnError.FALLBACK, 9)
    assert (of_flag.target, of_flag.concurrency, of_flag.on_error) == (HttpEndpoint("http://m"), 4, OnError.PENDING)


def test_processors_that_cannot_be_used():
    assert problems(
        '[[processors]]\narn = "arn:m"\n[[processors]]\narn = "arn:m"\ntarget = "lambda:"\nspeed = 1\n'
        '[[processors]]\ntarget = 1\n[[processors]]\narn = "moderate"\ntarget = "lambda:"',
        {},
        processors=["arn:lonely"],
    ) == [
        "processors[0].target: This is required.",
        "processors[1].arn: The same ARN stands further up.",
        "processors[1].speed: There is no such setting.",
        "processors[2].target: Expected text.",
        "processors[2].arn: This is required.",
        "processors[3].arn: Expected a Lambda function's ARN, or the beginning of one, as in arn:aws:lambda:.",
        "processor arn:lonely: Expected ARN=TARGET.",
    ]
