"""Live sessions: from an accepted WebSocket to SESSION_ESTABLISHED, and to the close code that ends it.

A session is a few slots, without a task of its own: frames go straight from the journal reader to the socket. The
socket layer frames, buffers, pings, and closes those that are too slow; close codes are those of spec/realtime.md §3.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence, Set
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from campana import log
from campana.clock import Clock
from campana.delivery.hub import Follower
from campana.delivery.journal_reader import JournalReader
from campana.frames import SESSION_ESTABLISHED
from campana.metrics import Metrics
from campana.operations.channel_details import Order
from campana.store import identities, topics
from campana.store.database import Database, Tx

Request = TypeVar("Request")
Follows = Callable[[Tx, str], Sequence[tuple[str, int]] | None]
Lost = Callable[[Set[Any]], Awaitable[Set[Any]]]
"""Which of some grants do not count any more."""

GOING_AWAY = 1001
INTERNAL_ERROR = 1011
SERVICE_RESTART = 1012
REPLACED = 4002
FORBIDDEN = 4003
TOO_MANY = 4005
NOT_AUTHORISED = 4401

CONNECTIONS_PER_USER = 10
REVIEW_PAUSE_S = 2
"""How late a session may end after its credentials have."""
REVIEW_BATCH = 500


class Socket(Protocol):
    """One accepted WebSocket. `write` and `close` neither raise nor wait; after the connection's end they do nothing.

    However the connection ends, the socket layer then calls `Sessions.closed(socket)`, once.
    """

    def write(self, frames: bytes, number: int) -> None:
        """Queue the bytes of whole WebSocket frames, as many as `number` says."""

    def close(self, code: int, reason: str = "") -> None:
        """Send what is queued, then a close frame."""

    async def drained(self) -> bool:
        """Wait until the peer has read most of what was written; False: the connection ended."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """What a good request asks for: a session of this user under this name, until its credentials expire."""

    user_arn: str
    session_id: str
    expires_at: int | None = None
    """Milliseconds since the epoch."""
    grant: Hashable = None
    """What the credentials hang on, for `Sessions.review`."""
    prefetch: Order | None = None
    """Hand it the details of its user's channels, in this order; None: do not."""
    connections_max: int | None = None
    """How many sessions the user may have; None: what holds for everybody."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The close code, and the reason for the client."""

    code: int
    reason: str


class Session(Follower):
    """One user's session on one socket."""

    __slots__ = ("_registry", "expires_at", "grant", "id", "socket")

    def __init__(self, registry: "Registry", socket: Socket, admitted: Admitted) -> None:
        super().__init__(admitted.user_arn)
        self._registry = registry
        self.socket = socket
        self.id = admitted.session_id
        self.expires_at = admitted.expires_at
        self.grant = admitted.grant

    def write(self, frames: bytes, number: int) -> None:
        if self.live:
            self.socket.write(frames, number)

    def end(self, code: int, reason: str = "") -> None:
        if self.live:
            self._registry.forget(self)
            log.info("session.closed", code=code, reason=reason)
            self.socket.close(code, reason)


class Registry(Protocol):
    """Where a session is known until it ends."""

    def forget(self, session: Session) -> None: ...


class Sessions(Generic[Request]):
    """All sessions of this node."""

    def __init__(
        self,
        db: Database,
        reader: JournalReader,
        clock: Clock,
        text_frame: Callable[[str], bytes],
        judge: Callable[[Request], Awaitable[Admitted | Refusal]],
        *,
        prefetch: Callable[[Session, Order], Awaitable[None]] | None = None,
        connections_per_user: int = CONNECTIONS_PER_USER,
        follows: Follows | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        """`judge` decides on a request (signature, policies, user); `prefetch` writes what those ask for who
        want more than SESSION_ESTABLISHED.

        `follows` gives the topics of a user with their heads, or None if the user is no more, in the transaction it
        is handed.
        """
        self._db = db
        self._reader = reader
        self._clock = clock
        self._judge = judge
        self._prefetch = prefetch
        self._connections_per_user = connections_per_user
        self._follows = follows or following_if_live
        self._established = text_frame(SESSION_ESTABLISHED)
        self._sockets: dict[Socket, Session | None] = {}  # None: not judged yet
        self._users: dict[str, list[Session]] = {}
        self._metrics = metrics or Metrics()
        self._metrics.sessions.reads(lambda: len(self._sockets))

    def __len__(self) -> int:
        """Sockets that are open, established or not."""
        return len(self._sockets)

    async def open(self, socket: Socket, request: Request) -> Session | None:
        """Judge the request of an accepted socket and establish its session; None if the socket was closed instead.

        SESSION_ESTABLISHED is the session's first frame, and all that is committed after it is heard.
        """
        self._sockets[socket] = None
        try:
            verdict = await self._judge(request)
            if socket not in self._sockets:  # gone meanwhile
                return None
            verdict = self._within_limits(verdict)
            if isinstance(verdict, Refusal):
                self._refuse(socket, verdict)
                return None
            session = self._sockets[socket] = Session(self, socket, verdict)
            self._users.setdefault(session.user, []).append(session)
            # Read after the user was judged: a user deleted in between is not missed.
            follows = await self._db.read(self._follows, session.user)
            if not session.live:
                return None
            if follows is None:
                session.end(FORBIDDEN, "The user does not exist")
                return None
            session.write(self._established, 1)
            self._reader.open(session, [(topic, head + 1) for topic, head in follows])
            self._metrics.sessions_opened.inc()
            log.info("session.established", topics=len(follows))
            if self._prefetch is not None and verdict.prefetch is not None:
                await self._prefetch(session, verdict.prefetch)
        except BaseException as error:
            if socket in self._sockets:
                self.closed(socket)
                socket.close(INTERNAL_ERROR, "Internal error")
            if not isinstance(error, Exception):  # cancelled
                raise
            log.exception("session.failed")  # here, since a socket has no other answer than its close code
            return None
        return session if session.live else None

    def closed(self, socket: Socket) -> None:
        """The connection has ended, for whatever reason. A second time changes nothing."""
        session = self._sockets.pop(socket, None)
        if session is not None:
            self.forget(session)

    def forget(self, session: Session) -> None:
        """The session hears nothing more and does not count any more. A second time changes nothing."""
        self._sockets.pop(session.socket, None)
        self._reader.close(session)
        peers = self._users.get(session.user, [])
        if session in peers:
            peers.remove(session)
            if not peers:
                del self._users[session.user]

    async def watch(self, lost: Lost) -> None:
        """Review again and again, until cancelled. What fails is logged and tried again."""
        while True:
            await self._clock.sleep(REVIEW_PAUSE_S)
            try:
                await self.review(lost)
            except Exception:  # a full disk passes; without this loop no session would ever lose its credentials
                log.exception("session.review_failed")

    async def review(self, lost: Lost) -> None:
        """End the sessions whose credentials have expired or been taken back.

        Some at a time: there may be very many, most of them with credentials from the same few roles. An expired one
        may come back with fresh credentials (1001); one taken back is told what it would hear at the door (4401).
        """
        sessions = [each for each in self._sockets.values() if each is not None]
        for start in range(0, len(sessions), REVIEW_BATCH):
            batch = sessions[start : start + REVIEW_BATCH]
            now = self._clock.now()
            for session in batch:
                if session.expires_at is not None and session.expires_at <= now:
                    session.end(GOING_AWAY, "The credentials have expired")
            gone = await lost({session.grant for session in batch if session.grant is not None})
            for session in batch:
                if session.grant in gone:
                    session.end(NOT_AUTHORISED, "The credentials are not valid any more")
            await asyncio.sleep(0)

    def _within_limits(self, verdict: Admitted | Refusal) -> Admitted | Refusal:
        """Of a user's sessions one may have this id, the newest; and there may be only so many."""
        if isinstance(verdict, Refusal):
            return verdict
        for peer in [*self._users.get(verdict.user_arn, ())]:
            if peer.id == verdict.session_id:
                peer.end(REPLACED, "Replaced by a newer connection of this session")
        most = self._connections_per_user if verdict.connections_max is None else verdict.connections_max
        if len(self._users.get(verdict.user_arn, ())) >= most:
            return Refusal(TOO_MANY, "The user has too many connections")
        return verdict

    def _refuse(self, socket: Socket, refusal: Refusal) -> None:
        del self._sockets[socket]
        log.info("session.refused", code=refusal.code, reason=refusal.reason)
        socket.close(refusal.code, refusal.reason)


def following_if_live(tx: Tx, user_arn: str) -> Sequence[tuple[str, int]] | None:
    """The topics a user's sessions follow, with their heads; None if there is no such user any more."""
    return None if identities.find(tx, user_arn) is None else topics.following(tx, user_arn)
