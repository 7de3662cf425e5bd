"""The settings: one frozen tree, read once at the start and passed down in parts.

Defaults give way to `campana.toml`, that to `CAMPANA_SECTION__FIELD`, that to flags. All problems are reported
at once, each with its path. The text under a field is its documentation (`campana config example`).
"""

import difflib
import ipaddress
import os
import re
import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields, make_dataclass
from enum import Enum, StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from campana import limits

Port = Annotated[int, Meta(ge=0, le=65_535)]
Count = Annotated[int, Meta(ge=0, le=2_147_483_647)]
PerSecond = Annotated[int, Meta(ge=1, le=1_000_000)]
Seconds = Annotated[int, Meta(ge=1, le=86_400)]
Milliseconds = Annotated[int, Meta(ge=1, le=2_147_483_647)]
Host = Annotated[
    str, Meta(pattern=r"\A[^\s/\[\]]{1,253}\Z", description="a name or an address, without brackets or a port")
]
Authority = Annotated[
    str,
    Meta(
        pattern=r"\A(?:\[[0-9A-Fa-f:.]+\]|[^\s/:@?#\[\]]{1,253})(?::\d{1,5})?\Z",
        description="host or host:port, no more",
    ),
]
Origin = Annotated[
    str,
    Meta(pattern=r"\A(?:\*|[a-z][a-z0-9+.-]*://[^\s/?#]+)\Z", description='"*" or an origin as in https://example.com'),
]
Region = Annotated[str, Meta(pattern=r"\A[a-z0-9-]{1,64}\Z", description="a name as in us-east-1")]
Partition = Annotated[str, Meta(pattern=r"\Aaws[a-z-]{0,32}\Z", description="a name as in aws or aws-cn")]
AccountId = Annotated[str, Meta(pattern=r"\A[0-9]{12}\Z", description="twelve digits, as text")]
FunctionArn = Annotated[
    str,
    Meta(
        pattern=r"\A(?:arn:|https?://)\S{0,2048}\Z",
        description="a Lambda function's ARN, or the beginning of one, as in arn:aws:lambda:",
    ),
]


RoleName = Annotated[
    str, Meta(pattern=r"\A[A-Za-z0-9_+=,.@-]{1,64}\Z", description="up to 64 letters, digits or _+=,.@-")
]
IssuerUrl = Annotated[
    str, Meta(pattern=r"\Ahttps?://[^\s?#]{1,255}\Z", description="a URL as in https://id.example.com/realms/chat")
]


class TlsMode(StrEnum):
    """Who ends TLS, and with which certificate."""

    OFF = "off"
    SELF_SIGNED = "self-signed"
    FILES = "files"


class AuthMode(StrEnum):
    """Whether signatures are checked."""

    SIGV4 = "sigv4"
    NONE = "none"


class OnError(StrEnum):
    """What becomes of a message whose local function raised or was killed."""

    PENDING = "pending"
    FALLBACK = "fallback"


class LogFormat(StrEnum):
    """How log lines look."""

    TEXT = "text"
    JSON = "json"


class LogLevel(StrEnum):
    """The least important lines that are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class SqliteUrl:
    """A database in a file of its own: `sqlite:///relative` or `sqlite:////absolute`."""

    path: Path

    def __str__(self) -> str:
        return f"sqlite:///{self.path}"


@dataclass(frozen=True, slots=True)
class PostgresUrl:
    """A PostgreSQL database, as libpq spells it: `postgresql://user:password@host:port/name?parameters`."""

    text: str = field(repr=False)

    def __str__(self) -> str:
        return _without_password(self.text)


@dataclass(frozen=True, slots=True)
class NatsUrl:
    """One or several NATS servers of a cluster: `nats://host:port,nats://host:port`."""

    servers: tuple[str, ...] = field(repr=False)

    def __str__(self) -> str:
        return ",".join(map(_without_password, self.servers))


DatabaseUrl = SqliteUrl | PostgresUrl


def _without_password(url: str) -> str:
    return re.sub(r"(//[^/@]*?):[^/@]*@", r"\1:***@", re.sub(r"([?&]password=)[^&]*", r"\1***", url))


# Where a function runs. `str()` of each gives it back in the spelling of campana.toml.


@dataclass(frozen=True, slots=True)
class LocalFunction:
    """A handler in a file, run in the local Lambda runtime."""

    path: Path
    handler: str

    def __str__(self) -> str:
        return f"{self.path}:{self.handler}"


@dataclass(frozen=True, slots=True)
class InProcess:
    """A Python function, called inside the server."""

    module: str
    function: str

    def __str__(self) -> str:
        return f"python:{self.module}:{self.function}"


@dataclass(frozen=True, slots=True)
class HttpEndpoint:
    """A URL that events are posted to."""

    url: str

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True, slots=True)
class LambdaEndpoint:
    """Lambda's own Invoke API, at AWS or where AWS_ENDPOINT_URL_LAMBDA points."""

    def __str__(self) -> str:
        return "lambda:"


Target = LocalFunction | InProcess | HttpEndpoint | LambdaEndpoint
JwksSource = HttpEndpoint | Path


@dataclass(frozen=True, slots=True)
class Processor:
    """Where the Lambda functions run whose ARN begins with `arn`; the longest such entry wins."""

    arn: FunctionArn
    """A Lambda function's ARN, or the beginning of ARNs: "arn:aws:lambda:" stands for every function."""
    target: Target
    """`path/to/file.py:handler` or `path/to/index.mjs:handler` (local Lambda runtime),
    `python:package.module:function` (inside the server), `https://…`, or `lambda:` (Lambda's Invoke API)."""
    timeout_ms: Milliseconds = 30_000
    """How long one run of a local function may take before it is killed."""
    concurrency: Annotated[int, Meta(ge=1, le=1_000)] = 4
    """How many invocations may run at once; others wait."""
    memory_mb: Annotated[int, Meta(ge=0, le=1_048_576)] = 512
    """Memory a local function may use; 0 for no limit."""
    on_error: OnError = OnError.PENDING
    """When a local function raises or is killed: "pending" leaves the message waiting for its callback, as AWS
    does; "fallback" applies the processor's FallbackAction at once."""


@dataclass(frozen=True, slots=True)
class Document:
    """A JSON document, given as its text or as the file that holds it."""

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Role:
    """An IAM role, for AssumeRole and AssumeRoleWithWebIdentity."""

    name: RoleName
    """The role's name; its ARN is arn:aws:iam::ACCOUNT:role/NAME."""
    trust: Document
    """Who may take the role: a trust policy, as JSON text or as a path to a file."""
    policy: Document | None = field(default=None, metadata={"example": "chat-user.json"})
    """What its sessions may do: a policy, as JSON text or as a path to a file. Not set: nothing."""


@dataclass(frozen=True, slots=True)
class Oidc:
    """An identity provider (OpenID Connect) whose tokens AssumeRoleWithWebIdentity accepts."""

    issuer: IssuerUrl
    """The `iss` of its tokens, exactly."""
    audiences: Annotated[tuple[Annotated[str, Meta(min_length=1)], ...], Meta(min_length=1)]
    """The `aud` that tokens may be for: client ids of the application."""
    jwks: JwksSource
    """Where its signing keys are: the URL of its JSON Web Key Set, or a path to a file."""


END_S = 20
"""For clients that take no note of the end, each time that one is waited for: 5 s for its half of a closing handshake,
5 s for reading a refusal."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where the server listens, where its data is, and its patience with connections."""

    host: Host = "127.0.0.1"
    """Address or name to listen on. The default can be reached from this machine only; 0.0.0.0 from everywhere."""
    port: Port = 8600
    """Port to listen on; 0 takes a free one."""
    public_host: Authority | None = field(default=None, metadata={"example": "chat.example.com"})
    """The host or host:port that clients see, handed out as the WebSocket address. Not set: the one they called."""
    tls: TlsMode = TlsMode.OFF
    """One of "off", "self-signed" (a certificate from an authority of its own, in the data folder), "files"."""
    tls_cert: Path | None = field(default=None, metadata={"example": "cert.pem"})
    """With tls = "files": the certificate and its chain, PEM."""
    tls_key: Path | None = field(default=None, metadata={"example": "key.pem"})
    """With tls = "files": the private key, PEM."""
    data_dir: Path = Path("campana-data")
    """The data folder: database, root credentials, certificates. One server at a time."""
    request_timeout_s: Seconds = 30
    """How long a client may take to send a request."""
    keep_alive_s: Seconds = 75
    """How long an idle connection is kept for the client's next request."""
    body_bytes_max: Annotated[int, Meta(ge=1_024, le=67_108_864)] = 1_048_576
    """The largest body of a request, in bytes."""
    drain_notice_s: Annotated[int, Meta(ge=0, le=3_600)] = 0
    """After SIGTERM: how long requests are still taken while /readyz answers 503 already, so that a load balancer
    notices in time and no request fails. Longer than its checks take: 5 for one that looks each second."""
    drain_sessions_s: Annotated[int, Meta(ge=0, le=3_600)] = 10
    """Then, with PostgreSQL: how long closing live sessions may take, a few at a time, so that other nodes can take
    them in. It is 250 a second, or more if the time would not do."""
    drain_s: Annotated[int, Meta(ge=0, le=3_600)] = 10
    """At the same time, how long functions under way may take to finish, and after that requests in progress."""
    cors_origins: tuple[Origin, ...] = ("*",)
    """The web origins whose pages may call the API; "*" is every one."""

    @property
    def stop_max_s(self) -> int:
        """How long a stop may take: whoever kills what does not end must wait for longer."""
        return self.drain_notice_s + max(self.drain_sessions_s, self.drain_s) + self.drain_s + END_S


@dataclass(frozen=True, slots=True)
class Database:
    """Where rows are kept."""

    url: DatabaseUrl | None = field(default=None, metadata={"example": "postgresql://campana@db.example.com/campana"})
    """A SQLite file, as sqlite:///relative or sqlite:////absolute, or a PostgreSQL database that several nodes may
    share, as postgresql://user:password@host/name. Not set: campana.db in the data folder."""
    connections_max: Annotated[int, Meta(ge=2, le=1_000)] = 16
    """With PostgreSQL: how many connections this node may open, half of them for calls that write."""


@dataclass(frozen=True, slots=True)
class Notifier:
    """How nodes that share a database tell one another that there is something new."""

    url: NatsUrl | None = field(default=None, metadata={"example": "nats://nats.example.com:4222"})
    """NATS servers, as nats://host:port, several with commas between them. Not set: the PostgreSQL database itself
    (LISTEN and NOTIFY)."""


@dataclass(frozen=True, slots=True)
class Account:
    """The AWS account and region the server stands for: they appear in every new ARN."""

    partition: Partition = "aws"
    """Partition of new ARNs."""
    region: Region = "us-east-1"
    """Region of new ARNs."""
    account_id: AccountId = "123456789012"
    """Account of new ARNs."""

    @property
    def triple(self) -> tuple[str, str, str]:
        """Partition, region and account, as `arn.app_instance` wants them."""
        return self.partition, self.region, self.account_id


@dataclass(frozen=True, slots=True)
class Auth:
    """How callers prove who they are."""

    mode: AuthMode = AuthMode.SIGV4
    """One of "sigv4" (signatures are checked), "none" (every caller is believed: for tests)."""
    clock_skew_s: Seconds = 300
    """How far the time in a signature may be from the server's."""
    strict_region: bool = False
    """Refuse signatures made for a region other than account.region."""
    open_to_network: bool = False
    """Allow mode = "none" on an address that other machines can reach (the flag --i-know)."""


@dataclass(frozen=True, slots=True)
class Channels:
    """What a new channel is when CreateChannel does not say."""

    default_mode: Literal["RESTRICTED", "UNRESTRICTED"] = "RESTRICTED"
    """RESTRICTED: members may not add others. UNRESTRICTED: they may."""
    default_privacy: Literal["PRIVATE", "PUBLIC"] = "PRIVATE"
    """PRIVATE: only members find it. PUBLIC: every user of the app instance does."""


@dataclass(frozen=True, slots=True)
class Flows:
    """Channel flows and the invocation of their processors."""

    max_processors: Annotated[int, Meta(ge=1, le=3)] = 3
    """Processors a flow may have; AWS allows 1 unless asked."""
    callback_timeout_ms: Milliseconds = 172_800_000
    """How long a processor may take to call back before its FallbackAction applies; 48 hours, as on AWS."""
    attempt_timeout_ms: Milliseconds = 2_500
    """How long a processor may take to accept an invocation."""
    retry_delays_ms: tuple[Milliseconds, ...] = (200, 1_000)
    """Pauses before further attempts; after the last failure the FallbackAction applies."""
    lease_ms: Annotated[int, Meta(ge=1_000, le=3_600_000)] = 15_000
    """How long an invocation belongs to the server process that began it, before another may repeat it."""
    accept_http_resource_arns: bool = False
    """Let a processor's ResourceArn be an http:// or https:// URL. Whoever may create flows can then make the
    server post to any address it reaches."""
    extended_payload: bool = False
    """Hand Target, MessageAttributes and ContentType to processors too; AWS leaves them out."""
    reload_processors: bool = False
    """Start local functions anew when their files change (for development)."""


@dataclass(frozen=True, slots=True)
class Sessions:
    """Live sessions: the WebSockets of clients."""

    ping_interval_s: Seconds = 30
    """Pause between pings; a client that misses two is gone."""
    connections_per_user: Annotated[int, Meta(ge=1, le=10_000)] = 10
    """Sessions one user may have at a time; the next is refused with close code 4005."""
    queue_frames_max: Annotated[int, Meta(ge=8, le=100_000)] = 500
    """Frames that may wait for a slow client before its session is closed with 1013."""
    prefetch_channels: Annotated[int, Meta(ge=1, le=1_000)] = 50
    """Channels whose details a session is handed that asks for prefetch."""
    prefetch_messages: Annotated[int, Meta(ge=1, le=50)] = 20
    """Messages in the details of a channel, the newest."""
    prefetch_memberships: Annotated[int, Meta(ge=1, le=50)] = 30
    """Memberships in the details of a channel, the oldest."""


def _rows(rows: Iterable[limits.Quota | limits.Rate], type: Any) -> list[tuple[str, Any, Any]]:
    return [(row.path.partition(".")[2], type, field(default=row.default, metadata={"text": row.text})) for row in rows]


# Made of the table in limits.py; `text` in a field's metadata stands for the text under it.
_quotas: Any = make_dataclass(
    "Quotas",
    _rows((each for each in limits.QUOTAS.values() if not each.setting), Count),
    frozen=True,
    slots=True,
    namespace={"__doc__": "How many of everything there may be. `campana quotas` sets them while the server runs."},
)
_rates: Any = make_dataclass(
    "Rates",
    [
        (
            "enforce",
            bool,
            field(default=False, metadata={"text": "Whether calls above the rates below are refused with 429."}),
        ),
        *_rows(limits.RATES, PerSecond),
    ],
    frozen=True,
    slots=True,
    namespace={
        "__doc__": "Calls a second, and twice as many at once. `campana quotas` sets them while the server runs."
    },
)
QUOTAS, RATES = _quotas(), _rates()


@dataclass(frozen=True, slots=True)
class Log:
    """Log lines, on standard error."""

    format: LogFormat = LogFormat.TEXT
    """One of "text" (key=value), "json"."""
    level: LogLevel = LogLevel.INFO
    """The least important lines that are written, one of "debug", "info", "warning", "error"."""
    calls: bool = False
    """Write a line for every call, `call.answered`, with who called what and how it ended; level "info"."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """Numbers for Prometheus, at /metrics: anybody who reaches it can read them."""

    enabled: bool = False
    """Show them where the API is, at server.host and server.port; for networks that only friends are in."""
    listen: Authority | None = field(default=None, metadata={"example": "127.0.0.1:9464"})
    """Show them at a host:port of their own, with /healthz and /readyz, without TLS. Not set: nowhere else."""


@dataclass(frozen=True, slots=True)
class Tracing:
    """Traces for OpenTelemetry; needs campana[otel]."""

    endpoint: HttpEndpoint | None = field(
        default=None, metadata={"example": "http://collector.example.com:4318/v1/traces"}
    )
    """The URL of a collector that takes OTLP over HTTP. Not set: there are no traces."""
    sample_ratio: Annotated[float, Meta(ge=0, le=1)] = 1.0
    """Which part of the traces that begin here is kept; for others it is said by who began them."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All of it."""

    server: Server = Server()
    database: Database = Database()
    notifier: Notifier = Notifier()
    account: Account = Account()
    auth: Auth = Auth()
    channels: Channels = Channels()
    flows: Flows = Flows()
    sessions: Sessions = Sessions()
    quotas: Any = QUOTAS
    rates: Any = RATES
    log: Log = Log()
    metrics: Metrics = Metrics()
    tracing: Tracing = Tracing()
    processors: tuple[Processor, ...] = ()
    roles: tuple[Role, ...] = ()
    oidc: tuple[Oidc, ...] = ()

    @property
    def database_url(self) -> DatabaseUrl:
        """The database, which by default is a file in the data folder."""
        return self.database.url or SqliteUrl(self.server.data_dir / "campana.db")

    def processor_for(self, resource_arn: str) -> Processor | None:
        """Where the function `resource_arn` runs: the entry with the longest matching beginning."""
        matching = [entry for entry in self.processors if resource_arn.startswith(entry.arn)]
        if not matching and self.flows.accept_http_resource_arns and _URL.match(resource_arn):
            return Processor(resource_arn, HttpEndpoint(resource_arn))
        return max(matching, key=lambda entry: len(entry.arn), default=None)


LISTS: Mapping[str, type[Any]] = {"processors": Processor, "roles": Role, "oidc": Oidc}
"""Lists of tables, `[[processors]]`; the first field of an entry tells it from the others."""
SECTIONS: Mapping[str, type[Any]] = {
    part.name: type(part.default) for part in fields(Settings) if part.name not in LISTS
}


def value_at(settings: Settings, path: str) -> Any:
    """The setting at a path as in "server.port"."""
    section, _, name = path.partition(".")
    return getattr(getattr(settings, section), name)


class SetupError(Exception):
    """What keeps a command from doing its work, in words for the person at the terminal."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with the settings: `path` as in "server.port", `source` as in "CAMPANA_SERVER__PORT"."""

    path: str
    source: str
    message: str

    def __str__(self) -> str:
        return f"{self.path} ({self.source}): {self.message}"


class SettingsError(SetupError):
    """The settings cannot be used; `problems` has every reason."""

    exit_code = 2

    def __init__(self, problems: Collection[Problem]) -> None:
        super().__init__("the settings cannot be used:" + "".join(f"\n  {problem}" for problem in problems))
        self.problems = list(problems)


def load(config_file: Path | None, environment: Mapping[str, str], flags: Mapping[str, object]) -> Settings:
    """The settings from all sources; raises `SettingsError`.

    Without `config_file`, `campana.toml` in the current folder is read if there is one. `flags` maps paths
    ("server.port") to values or text, and "processors" to a list of "ARN=TARGET"; None means "not given".
    """
    draft = _Draft()
    draft.read_file(config_file)
    draft.read_environment(environment)
    draft.read_flags(flags)
    settings = draft.settings()
    draft.problems += _contradictions(settings)
    if draft.problems:
        raise SettingsError(draft.problems)
    return settings


@dataclass(frozen=True, slots=True)
class _Source:
    """Where values were given: its name, what relative paths start from, whether text stands for other types."""

    name: str
    folder: Path
    text: bool


class _Draft:
    """Values and problems as they come in; a later value replaces an earlier one."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._values: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
        self._values["server"]["data_dir"] = Path.cwd() / Server().data_dir
        self._lists: dict[str, dict[str, Any]] = {name: {} for name in LISTS}

    def read_file(self, file: Path | None) -> None:
        path = file or Path("campana.toml")
        source = _Source(str(path), path.absolute().parent, text=False)
        try:
            tables = tomllib.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            if file is not None:
                self.problems.append(Problem("config", source.name, "There is no such file."))
        except OSError as error:
            self.problems.append(Problem("config", source.name, f"The file cannot be read: {error.strerror}."))
        except ValueError as error:  # not TOML, or not UTF-8
            self.problems.append(Problem("config", source.name, f"The file is not TOML: {error}."))
        else:
            for section, table in tables.items():
                self._read_table(section, table, source)

    def read_environment(self, environment: Mapping[str, str]) -> None:
        for name in sorted(environment):
            # Names without "__" are not settings: Kubernetes makes up CAMPANA_PORT and the like for a service.
            if not name.startswith("CAMPANA_") or "__" not in name or not environment[name]:
                continue
            section, _, key = name.removeprefix("CAMPANA_").lower().partition("__")
            self._set(section, key, environment[name], _Source(name, Path.cwd(), text=True))

    def read_flags(self, flags: Mapping[str, Any]) -> None:
        source = _Source("command line", Path.cwd(), text=True)
        given = {path: value for path, value in flags.items() if value is not None}
        for text in given.pop("processors", ()):
            arn, equals, target = text.partition("=")
            if equals:
                self._add("processors", f"processor {arn}", {"arn": arn, "target": target}, source)
            else:
                self.problems.append(Problem(f"processor {text}", source.name, "Expected ARN=TARGET."))
        for path, value in given.items():
            section, _, key = path.partition(".")
            self._set(section, key, value, source)

    def settings(self) -> Settings:
        """What the values amount to; defaults stand where a value was unusable."""
        sections = {name: section(**self._values[name]) for name, section in SECTIONS.items()}
        lists: dict[str, Any] = {name: tuple(entries.values()) for name, entries in self._lists.items()}
        return Settings(**sections, **lists)

    def _read_table(self, section: str, table: object, source: _Source) -> None:
        match table:
            case list() if section in LISTS:
                key = fields(LISTS[section])[0].name
                seen: set[str] = set()
                for number, entry in enumerate(table):
                    path = f"{section}[{number}]"
                    if not isinstance(entry, dict):
                        self.problems.append(Problem(path, source.name, f"Expected a table: [[{section}]]."))
                        continue
                    if (name := str(entry.get(key, path))) in seen:
                        word = "ARN" if key == "arn" else key
                        self.problems.append(
                            Problem(f"{path}.{key}", source.name, f"The same {word} stands further up.")
                        )
                    seen.add(name)
                    self._add(section, path, entry, source)
            case _ if section in LISTS:
                self.problems.append(Problem(section, source.name, f"Expected a list of tables: [[{section}]]."))
            case _ if section not in SECTIONS:
                known = [*SECTIONS, *LISTS]
                self.problems.append(Problem(section, source.name, _unknown("section", section, known)))
            case dict():
                for key, value in table.items():
                    self._set(section, key, value, source)
            case _:
                self.problems.append(Problem(section, source.name, f"Expected a table: [{section}]."))

    def _set(self, section: str, key: str, value: object, source: _Source) -> None:
        if section not in SECTIONS:
            self.problems.append(Problem(f"{section}.{key}", source.name, _unknown("section", section, SECTIONS)))
            return
        self._values[section] |= self._converted(SECTIONS[section], section, {key: value}, source)

    def _add(self, section: str, path: str, entry: Mapping[str, object], source: _Source) -> None:
        structure = LISTS[section]
        before = len(self.problems)
        values = self._converted(structure, path, entry, source)
        for part in fields(structure):
            if part.default is MISSING and part.name not in entry:
                self.problems.append(Problem(f"{path}.{part.name}", source.name, "This is required."))
        if len(self.problems) == before:
            self._lists[section][values[fields(structure)[0].name]] = structure(**values)

    def _converted(
        self, structure: type[Any], path: str, given: Mapping[str, object], source: _Source
    ) -> dict[str, Any]:
        """The usable values among those `given` for fields of `structure`; the others become problems."""
        hints = {part.name: part.type for part in fields(structure)}
        values = {}
        for key, value in given.items():
            if key not in hints:
                self.problems.append(Problem(f"{path}.{key}", source.name, _unknown("setting", key, hints)))
                continue
            try:
                values[key] = _convert(value, hints[key], source)
            except ValueError as error:
                self.problems.append(Problem(f"{path}.{key}", source.name, str(error)))
        return values


def _convert(value: object, hint: Any, source: _Source) -> Any:
    """`value` as the type `hint`; raises ValueError."""
    if (parse := _PARSERS.get(hint)) is not None:
        if not isinstance(value, str | Path) or not str(value):
            raise ValueError("Expected text.")
        return parse(str(value), source.folder)
    if source.text and isinstance(value, str) and get_origin(hint) is tuple:
        value = [item.strip() for item in value.split(",")]
    try:
        return msgspec.convert(value, hint, strict=not source.text)
    except msgspec.ValidationError as error:
        raise ValueError(next(_expectations(hint), str(error)) + ".") from None


def _expectations(hint: Any) -> Iterator[str]:
    """What `hint` allows, where that can be said better than msgspec does."""
    if isinstance(hint, type) and issubclass(hint, Enum):
        yield "Expected one of " + ", ".join(f'"{member.value}"' for member in hint)
    elif get_origin(hint) is Literal:
        yield "Expected one of " + ", ".join(f'"{choice}"' for choice in get_args(hint))
    else:
        yield from (f"Expected {meta.description}" for meta in getattr(hint, "__metadata__", ()) if meta.description)
        for part in get_args(hint):
            yield from _expectations(part)


def _unknown(kind: str, name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"There is no such {kind}." + (f" Did you mean {near[0]}?" if near else "")


_URL = re.compile(r"\Ahttps?://", re.IGNORECASE)
_MODULE = re.compile(r"\A[^\W\d]\w*(?:\.[^\W\d]\w*)*\Z")
_HANDLER = re.compile(r"\A[A-Za-z_$][A-Za-z0-9_$]*\Z")
_LOCAL_SUFFIXES = frozenset({".py", ".mjs", ".js", ".cjs"})


def parse_target(text: str, folder: Path) -> Target:
    """The target that `text` spells, relative paths from `folder`; raises ValueError with the reason."""
    if text == "lambda:":
        return LambdaEndpoint()
    if _URL.match(text):
        return HttpEndpoint(_endpoint(text))
    if text.startswith("python:"):
        module, _, function = text.removeprefix("python:").rpartition(":")
        if not (_MODULE.match(module) and _HANDLER.match(function)):
            raise ValueError("Expected python:package.module:function.")
        return InProcess(module, function)
    file, _, handler = text.rpartition(":")
    if Path(file).suffix not in _LOCAL_SUFFIXES or not _HANDLER.match(handler):
        raise ValueError(
            "Expected path/to/file.py:handler, path/to/index.mjs:handler, python:package.module:function, "
            "https://… or lambda:."
        )
    path = _path(file, folder)
    if not path.is_file():
        raise ValueError(f"There is no file {path}.")
    return LocalFunction(path, handler)


def _endpoint(url: str) -> str:
    parts = urlsplit(url)
    if not parts.hostname or parts.port == 0 or not url.isprintable() or " " in url:
        raise ValueError("Expected a URL with a host.")
    if parts.username is not None:
        raise ValueError("A URL with a user name or a password is not supported.")
    return url


def _path(text: str, folder: Path) -> Path:
    if "\0" in text:
        raise ValueError("A path may not contain a NUL character.")
    return Path(os.path.normpath(folder.absolute() / Path(text).expanduser()))


def _database_url(text: str, folder: Path) -> DatabaseUrl:
    if re.match(r"postgres(?:ql)?://", text):
        try:
            urlsplit(text)
        except ValueError:
            raise ValueError("Expected postgresql://user:password@host:port/name.") from None
        return PostgresUrl(text)
    file = text.removeprefix("sqlite:///")
    if file in (text, "", ":memory:"):
        raise ValueError(
            "Expected sqlite:///relative/path, sqlite:////absolute/path or postgresql://user:password@host/name."
        )
    return SqliteUrl(_path(file, folder))


def _nats_url(text: str, folder: Path) -> NatsUrl:
    servers = tuple(each.strip() for each in text.split(","))
    for each in servers:
        parts = urlsplit(each)
        if parts.scheme not in ("nats", "tls") or not parts.hostname or parts.port == 0:
            raise ValueError("Expected nats://host:port, or several with commas between them.")
    return NatsUrl(servers)


def _document(text: str, folder: Path) -> Document:
    if not text.lstrip().startswith("{"):
        path = _path(text, folder)
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeError):
            raise ValueError(f"The file {path} cannot be read.") from None
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise ValueError(f"Expected JSON, or the path of a file with JSON: {error}.") from None
    return Document(text)


def _collector(text: str, folder: Path) -> HttpEndpoint:
    if not _URL.match(text):
        raise ValueError("Expected https://host/path or http://host/path.")
    return HttpEndpoint(_endpoint(text))


def _jwks_source(text: str, folder: Path) -> JwksSource:
    return HttpEndpoint(_endpoint(text)) if _URL.match(text) else _path(text, folder)


# The types that a text spells in a way of their own.
_PARSERS: Mapping[Any, Callable[[str, Path], Any]] = {
    Path: _path,
    Path | None: _path,
    DatabaseUrl | None: _database_url,
    NatsUrl | None: _nats_url,
    Target: parse_target,
    Document: _document,
    Document | None: _document,
    JwksSource: _jwks_source,
    HttpEndpoint | None: _collector,
}


def loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _port_of(authority: str) -> int | None:
    try:
        return urlsplit(f"//{authority}").port
    except ValueError:  # above 65535
        return None


def _contradictions(settings: Settings) -> list[Problem]:
    """What is wrong with settings that are each fine by themselves."""
    server, auth, source = settings.server, settings.auth, "taken together"
    problems = []
    for path, file in (("server.tls_cert", server.tls_cert), ("server.tls_key", server.tls_key)):
        if server.tls is not TlsMode.FILES:
            if file is not None:
                problems.append(Problem(path, source, 'This needs server.tls = "files" (--tls files).'))
        elif file is None:
            problems.append(Problem(path, source, 'server.tls = "files" needs it.'))
        elif not file.is_file():
            problems.append(Problem(path, source, f"There is no file {file}."))
    if settings.notifier.url is not None and not isinstance(settings.database_url, PostgresUrl):
        problems.append(
            Problem("notifier.url", source, "This needs a PostgreSQL database: a SQLite file has one node alone.")
        )
    if settings.metrics.listen is not None and _port_of(settings.metrics.listen) is None:
        problems.append(Problem("metrics.listen", source, "It needs a port, as in 127.0.0.1:9464."))
    names = [entry.issuer.partition("://")[2].rstrip("/") for entry in settings.oidc]
    for number, name in enumerate(names):
        if name in names[:number]:
            problems.append(
                Problem(
                    f"oidc[{number}].issuer", source, f"Another issuer is {name} too; policies cannot tell them apart."
                )
            )
    if auth.mode is AuthMode.NONE and not auth.open_to_network and not loopback(server.host):
        problems.append(
            Problem(
                "auth.mode",
                source,
                f'"none" lets everybody who reaches {server.host} do everything. '
                "Listen on 127.0.0.1, or say --i-know (auth.open_to_network).",
            )
        )
    return problems
