"""Composition: builds everything once, starts and stops the workers. The only place where parts meet."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import TypeVar

from campana import __version__, log, operations
from campana.auth import stored_keys
from campana.auth.caller import KeyRing, Known, functions, root
from campana.auth.configured_roles import configured_roles
from campana.auth.sealing import Sealer
from campana.auth.session_token import SessionTokens
from campana.auth.sts import Sts
from campana.auth.web_identity import Provider
from campana.clock import Clock, Ids, SystemClock
from campana.delivery.hub import Hub
from campana.delivery.journal_reader import JournalReader
from campana.delivery.notifier import WORK, Notification, Notifier
from campana.delivery.notifier.memory import MemoryNotifier
from campana.delivery.prefetch import Prefetch
from campana.delivery.session import SERVICE_RESTART, Sessions
from campana.errors import ServiceUnavailable
from campana.metrics import Metrics
from campana.operations.channel_details import Sizes
from campana.processors.runner import Runner
from campana.processors.runtime import FunctionLine, Source
from campana.processors.targets import Targets
from campana.server import data_folder, interpreter, tls
from campana.server.authentication import Authentication
from campana.server.authorisation import Authorisation
from campana.server.backlog import Backlog
from campana.server.connect import Judge
from campana.server.connection import Bounds
from campana.server.cors import Cors
from campana.server.dispatch import Dispatcher
from campana.server.front import Front, nothing_else
from campana.server.jwks import Jwks
from campana.server.listener import HttpListener, tls_context
from campana.server.sts import StsFront, is_for_sts
from campana.server.throttle import Throttle
from campana.server.watch import Watch
from campana.server.websocket import Socket, SocketBounds, Sockets, text_frame
from campana.settings import AuthMode, PostgresUrl, Settings, SetupError
from campana.store import engines, migrate, secrets
from campana.store.database import CannotOpen, Database, Tx
from campana.store.topics import Entry
from campana.sweeper import Sweeper
from campana.tracing import NoTracing, Tracing
from campana.unit_of_work import Units
from campana.wire.http import HttpRequest, HttpResponse

T = TypeVar("T")

assert operations  # importing them fills the registry


DATABASE_ASKED_EVERY_S = 1
SILENT_MAX_S = 3
"""A node whose database has been silent for longer is not ready: each of its calls would wait for seconds and be
refused, while others may be better off. What takes less (a restart, a quick fail-over) is waited for."""
AT_ONCE_S = 1
"""How long clients may take to hear of the end when somebody has asked for it a second time."""


class Server:
    """A whole server on one event loop. `start`, then `url` is where it listens; `drain` and `close`, or `stop`."""

    def __init__(self, settings: Settings, clock: Clock, ids: Ids, environment: Mapping[str, str]) -> None:
        """Opens the data; raises SetupError. The data folder must be held."""
        self._settings = settings
        folder = settings.server.data_dir
        self._tls = tls.files(settings.server, clock.now(), ids)
        root_key = data_folder.root_credentials(folder, environment, ids)
        secrets_key = data_folder.secrets_key(folder, environment, ids)
        self._functions_key = data_folder.function_credentials(folder, ids)
        self._metrics = Metrics()
        self._metrics.version_is(__version__)
        self._tracing = _tracing(settings)
        self._db = _opened(settings, clock, ids, self._metrics)
        page_key = self._db.write_now(lambda tx: secrets.get_or_make(tx, "page tokens", ids.token())).encode()
        account = settings.account.account_id
        over_tls = self._tls is not None
        tokens = SessionTokens(secrets_key, ids)
        sealer = Sealer(secrets_key, stored_keys.PURPOSE, ids)
        if not self._db.write_now(lambda tx: stored_keys.fit(tx, sealer)):
            if not self._db.exclusive:
                self._db.close_now()
                raise SetupError(
                    f"the nodes of a database share one key of secrets: set {data_folder.SECRETS_KEY_VARIABLE} to the"
                    " same on all"
                )
            log.warning("credentials.key_changed", lost="access keys that were made with another key of secrets")
            self._db.write_now(lambda tx: stored_keys.give_up(tx, sealer))
        keys = KeyRing(
            account,
            [
                Known(root(root_key.access_key_id, account), root_key.secret_access_key),
                Known(functions(self._functions_key.access_key_id, account), self._functions_key.secret_access_key),
            ],
            roles=configured_roles(settings),
            sealer=sealer,
            tokens=tokens,
            look_up=self._look_up,
        )
        self._keys = keys
        authentication = Authentication(settings, keys, clock, over_tls)
        authorisation = Authorisation(self._look_up, clock, over_tls)
        throttle = Throttle(settings, self._look_up, clock, self._metrics)
        units = Units(clock, ids, settings)
        notifier = self._notifier_for(settings, clock, ids)
        self._notifier = notifier
        self._reader = JournalReader(
            self._db, notifier, Hub(), clock, text_frame, metrics=self._metrics, tracing=self._tracing
        )
        self._sessions: Sessions[HttpRequest] = Sessions(
            self._db,
            self._reader,
            clock,
            text_frame,
            Judge(self._db, authentication, authorisation, throttle),
            prefetch=Prefetch(
                self._db,
                units,
                text_frame,
                Sizes(
                    channels=settings.sessions.prefetch_channels,
                    messages=settings.sessions.prefetch_messages,
                    memberships=settings.sessions.prefetch_memberships,
                ),
            ),
            connections_per_user=settings.sessions.connections_per_user,
            metrics=self._metrics,
        )
        self._dispatcher = Dispatcher(
            self._db, clock, ids, settings, authentication, authorisation, throttle, page_key, self._tracing
        )
        self._sts = StsFront(
            Sts(account, settings.account.partition, tokens),
            authentication,
            {each.issuer: (Provider(each.issuer, each.audiences), Jwks(each.jwks, clock)) for each in settings.oidc},
            clock,
            over_tls,
        )
        self._ready = False
        self._watch = Watch(self._metrics, self._tracing, audits=settings.log.calls)
        self._metrics.ready.reads(self._is_ready)
        front = Front(
            self._handle,
            ids=ids,
            cors=Cors(settings.server.cors_origins),
            ready=self._is_ready,
            metrics=self._metrics,
            shows_metrics=settings.metrics.enabled,
        )
        self._sockets = Sockets(
            self._open_session,
            bounds=SocketBounds(
                ping_interval_s=settings.sessions.ping_interval_s,
                buffer_frames_max=settings.sessions.queue_frames_max,
            ),
        )
        self._http = HttpListener(
            front,
            self._sockets,
            clock=clock,
            host=settings.server.host,
            port=settings.server.port,
            tls=None if self._tls is None else tls_context(self._tls.cert, self._tls.key),
            keep_alive_s=settings.server.keep_alive_s,
            bounds=Bounds(
                body_bytes_max=settings.server.body_bytes_max, request_timeout_s=settings.server.request_timeout_s
            ),
        )
        self._metrics_http = self._metrics_listener(settings, clock, ids)
        self._backlog = Backlog(self._db, clock, self._metrics)
        self._sweeper = Sweeper(self._db, units, clock, self._metrics)
        self._units, self._clock, self._ids = units, clock, ids
        self._runner: Runner | None = None
        self._targets: Targets | None = None
        self._workers: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return self._http.url

    def _handle(self, request: HttpRequest, request_id: str) -> Awaitable[HttpResponse]:
        answer = self._sts.handle if is_for_sts(request) else self._dispatcher.handle
        return self._watch.over(answer, request, request_id)

    def _metrics_listener(self, settings: Settings, clock: Clock, ids: Ids) -> HttpListener | None:
        if settings.metrics.listen is None:
            return None
        host, _, port = settings.metrics.listen.rpartition(":")
        front = Front(
            nothing_else, ids=ids, cors=Cors(()), ready=self._is_ready, metrics=self._metrics, shows_metrics=True
        )
        return HttpListener(front, None, clock=clock, host=host.strip("[]"), port=int(port))

    def _notifier_for(self, settings: Settings, clock: Clock, ids: Ids) -> Notifier:
        state = self._metrics.notifier
        if not isinstance(settings.database_url, PostgresUrl):
            return MemoryNotifier(state)
        cluster = self._db.write_now(lambda tx: secrets.get_or_make(tx, "cluster", ids.token(16)))
        if settings.notifier.url is None:
            from campana.delivery.notifier.postgres import PostgresNotifier

            return PostgresNotifier(
                settings.database_url.text, cluster=cluster, node=ids.token(16), clock=clock, state=state
            )
        try:
            from campana.delivery.notifier.nats import NatsNotifier
        except ImportError as error:
            raise SetupError(f"NATS needs a client ({error}): pip install 'campana[nats]'.") from None
        return NatsNotifier(settings.notifier.url.servers, cluster=cluster, state=state)

    async def _look_up(self, work: Callable[[Tx], T], /) -> T:
        return await self._db.peek(work)

    async def start(self) -> None:
        """Listen and start the workers; raises SetupError."""
        await self._http.start()
        if self._metrics_http is not None:
            await self._metrics_http.start()
        self._targets = Targets(
            self._settings, self._function_environment(), _log_function_line, self._clock, self._ids
        )
        await self._targets.start()
        self._runner = Runner(
            self._db,
            self._units,
            self._clock,
            self._targets,
            self._metrics,
            self._tracing,
            lease_ms=self._settings.flows.lease_ms,
            handed_over=lambda: self._notifier.notify({WORK: ()}),
        )
        self._db.listen(self._take)
        self._notifier.subscribe(self._hear)
        self._workers = asyncio.create_task(self._work(self._runner))
        self._ready = True

    async def _work(self, runner: Runner) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._notifier.run())
            tasks.create_task(self._reader.run())
            tasks.create_task(runner.run())
            tasks.create_task(self._sweeper.run())
            if self._settings.metrics.enabled or self._metrics_http is not None:
                tasks.create_task(self._backlog.run())
            tasks.create_task(self._sessions.watch(self._keys.lost))
            tasks.create_task(self._watch_database())

    def _is_ready(self) -> bool:
        return self._ready and self._db.silent_s < SILENT_MAX_S

    async def _watch_database(self) -> None:
        """Ask it so often that its silence means something, also while nobody calls.

        Ends with an error, and the server with it, when it is upgraded to what this version cannot use.
        """
        while True:
            await self._clock.sleep(DATABASE_ASKED_EVERY_S)
            with suppress(ServiceUnavailable):
                least = await self._db.peek(migrate.oldest)
                if least is not None and migrate.is_older(__version__, least):
                    raise migrate.SchemaMismatch(f"The database now needs Campana {least}; this is {__version__}.")

    def _take(self, notices: Sequence[object]) -> None:
        """What committed transactions announced: entries to sessions first, then work to the runner."""
        entries: dict[str, list[Entry]] = {}
        for notice in notices:
            if isinstance(notice, Entry):
                entries.setdefault(notice.topic, []).append(notice)
        for each in entries.values():
            each.sort(key=lambda entry: entry.number)  # of transactions that ended at the same time on other threads
        if entries:
            self._notifier.notify(entries)
        assert self._runner is not None
        self._runner.take(notices)

    def _hear(self, notification: Notification) -> None:
        """What nodes tell one another beside news of topics."""
        if WORK in notification and self._runner is not None:
            self._runner.look()

    def _function_environment(self) -> dict[str, str]:
        """What an unmodified handler needs in order to call back here."""
        region = self._settings.account.region
        environment = {
            "AWS_ENDPOINT_URL_CHIME_SDK_MESSAGING": self.url,
            "AWS_ENDPOINT_URL_CHIME_SDK_IDENTITY": self.url,
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_ACCESS_KEY_ID": self._functions_key.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self._functions_key.secret_access_key,
        }
        if self._tls is not None and self._tls.authority is not None:
            authority = str(self._tls.authority.absolute())
            environment["AWS_CA_BUNDLE"] = environment["NODE_EXTRA_CA_CERTS"] = authority
        return environment

    async def _open_session(self, socket: Socket, request: HttpRequest) -> None:
        socket.when_closed(lambda code: self._closed(socket, code))
        await self._sessions.open(socket, request)

    def _closed(self, socket: Socket, code: int) -> None:
        self._sessions.closed(socket)
        self._metrics.closed(code)

    async def failed(self) -> None:
        """Returns only if a worker fails, which none should: raises its error."""
        assert self._workers is not None
        await asyncio.shield(self._workers)

    async def drain(self) -> None:
        """Be seen to leave; then send live sessions elsewhere, finish what is under way, and take no new connections.

        May be cancelled: what is left is then up to `close`.
        """
        settings = self._settings.server
        self._ready = False
        self._http.leave()
        await asyncio.sleep(settings.drain_notice_s)
        async with asyncio.TaskGroup() as tasks:
            if not self._db.exclusive:
                tasks.create_task(
                    self._sockets.close_all(
                        SERVICE_RESTART, within_s=settings.drain_sessions_s, jitter=self._ids.jitter
                    )
                )
            # Otherwise sessions have nowhere else to go. They give up 10 s after the first attempt that fails
            # (spec/realtime.md §3), so they are closed last: this server is back by then.
            if self._runner is not None:
                # Functions call back over HTTP, so they end before HTTP does.
                tasks.create_task(self._runner.stop(settings.drain_s))
        if self._targets is not None:
            await self._targets.stop()
        await self._http.stop(settings.drain_s)

    async def close(self, patience_s: float | None = None) -> None:
        """End what `drain` has left: cut requests off with 503, hand executions over, close sessions with 1012.

        `patience_s`: how long to wait for clients to take note of it.
        """
        self._ready = False
        if self._runner is not None:
            await self._runner.stop(0)
        if self._targets is not None:
            await self._targets.stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await self._http.stop(0)
                await self._sockets.close_all(SERVICE_RESTART)
        if self._runner is not None:
            await self._runner.settled()
        if self._workers is not None:
            self._workers.cancel()
            await asyncio.gather(self._workers, return_exceptions=True)
        if self._metrics_http is not None:
            await self._metrics_http.stop(0)
        await self._db.close()
        await asyncio.to_thread(self._tracing.close)

    async def stop(self) -> None:
        """Drain, then close."""
        await self.drain()
        await self.close()

    def introduction(self) -> str:
        """What the terminal shows once it listens."""
        server = self._settings.server
        lines = [
            f"campana: listening on {self.url}",
            f"  data      {server.data_dir.absolute()}",
            f'  boto3     boto3.client("chime-sdk-messaging", endpoint_url="{self.url}",'
            f' region_name="{self._settings.account.region}")',
            f"  keys      campana credentials --env --data-dir {server.data_dir}",
        ]
        if self._tls is not None and self._tls.authority is not None:
            lines.append(
                f"  trust     export AWS_CA_BUNDLE={self._tls.authority.absolute()}  (Node: NODE_EXTRA_CA_CERTS)"
            )
        if self._settings.auth.mode is AuthMode.NONE:
            lines.append("  WARNING   signatures are not checked (--auth none): every caller is believed")
        return "\n".join(lines)


def _tracing(settings: Settings) -> Tracing:
    if settings.tracing.endpoint is None:
        return NoTracing()
    try:
        from campana.tracing.otel import OtelTracing
    except ImportError as error:
        raise SetupError(f"Traces need OpenTelemetry ({error}): pip install 'campana[otel]'.") from None
    return OtelTracing(settings.tracing.endpoint.url, sample_ratio=settings.tracing.sample_ratio, version=__version__)


def _opened(settings: Settings, clock: Clock, ids: Ids, metrics: Metrics) -> Database:
    try:
        db = engines.opened(
            settings.database_url, connections_max=settings.database.connections_max, ids=ids, metrics=metrics
        )
        # Where nobody else uses it, nobody has to live with what is taken away.
        applied = db.write_now(lambda tx: migrate.apply(tx, clock.now(), post=db.exclusive))
    except (CannotOpen, migrate.SchemaMismatch, ServiceUnavailable) as error:
        raise SetupError(str(error)) from error
    for name in applied:
        log.info("store.migrated", migration=name)
    return db


def _log_function_line(line: FunctionLine) -> None:
    event = "function.output" if line.source is Source.FUNCTION else "function.runtime"
    log.info(event, function=line.function, invocation=line.request_id, text=line.text)


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; the exit code. Raises SetupError."""
    with data_folder.held(settings.server.data_dir):
        try:
            import uvloop

            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                return runner.run(_serve(settings))
        except ImportError:
            return asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> int:
    stopping, at_once = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        (at_once if stopping.is_set() else stopping).set()

    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stop)
    server = await asyncio.to_thread(Server, settings, SystemClock(), Ids(), os.environ)
    await server.start()
    interpreter.tune()
    print(server.introduction(), flush=True)
    asked = asyncio.create_task(stopping.wait())
    failed = asyncio.create_task(server.failed())
    await asyncio.wait((asked, failed), return_when=asyncio.FIRST_COMPLETED)
    code = 0
    if failed.done():
        log.error("server.failed", error=repr(failed.exception()))
        code = 1
    failed.cancel()
    asked.cancel()
    log.info("server.stopping", within_s=settings.server.stop_max_s)
    draining = asyncio.create_task(server.drain())
    asked_again = asyncio.create_task(at_once.wait())
    await asyncio.wait((draining, asked_again), return_when=asyncio.FIRST_COMPLETED)
    asked_again.cancel()
    if draining.done():
        await draining
        await server.close()
    else:
        log.warning("server.stopping_at_once")
        draining.cancel()
        await asyncio.gather(draining, return_exceptions=True)
        await server.close(AT_ONCE_S)
    return code
