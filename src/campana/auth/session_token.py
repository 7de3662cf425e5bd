"""Session tokens: temporary credentials that are kept nowhere.

A token is the sealed description of its session; the secret is made from the access key id and the server's key.
Whoever shows a token that can be opened got it from this server.
"""

import hmac
import zlib
from base64 import b64encode
from dataclasses import dataclass, field

import msgspec

from campana.auth.sealing import Sealer, Unreadable, derived
from campana.clock import Ids

ACCESS_KEY_PREFIX = "CAMPASIA"
CHARACTERS_MAX = 16_384
"""Of a token: it travels in a header or in a URL. What goes into one is bounded by auth/sts.py."""


class Session(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a token says. `role_arn` with `role_id`, or `parent_key_id`, says whose permissions it has."""

    access_key_id: str
    account: str
    principal_arn: str
    user_id: str
    issued_at: int
    expires_at: int
    role_arn: str = ""
    role_id: str = ""
    parent_key_id: str = ""
    policy: str = ""
    """JSON of the session policy, which narrows those permissions."""
    tags: dict[str, str] = {}
    transitive: list[str] = []
    """Keys of tags that sessions made with this one inherit."""
    claims: dict[str, list[str]] = {}
    """Condition keys that an identity provider vouches for."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client signs with; `expires_at` in milliseconds since the epoch."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)
    expires_at: int


class NotAToken(ValueError):
    """This server made no such token, or not with its present key."""


class SessionTokens:
    """Makes tokens and reads them."""

    def __init__(self, key: bytes, ids: Ids) -> None:
        self._sealer = Sealer(key, "session tokens", ids)
        self._secrets = derived(key, "secrets of sessions")
        self._ids = ids

    def new_access_key_id(self) -> str:
        """For a session to be."""
        return ACCESS_KEY_PREFIX + self._ids.token(16).upper()

    def issue(self, session: Session) -> Credentials:
        """The credentials of a session."""
        content = zlib.compress(msgspec.json.encode(session))
        return Credentials(
            session.access_key_id, self.secret_of(session.access_key_id), self._sealer.seal(content), session.expires_at
        )

    def read(self, token: str) -> Session:
        """The session of a token, which may be over; raises `NotAToken`."""
        if len(token) > CHARACTERS_MAX:
            raise NotAToken
        try:
            return _sessions.decode(zlib.decompress(self._sealer.open(token)))
        except (Unreadable, zlib.error, msgspec.MsgspecError):
            raise NotAToken from None

    def secret_of(self, access_key_id: str) -> str:
        """40 characters, as secrets of AWS have."""
        return b64encode(hmac.digest(self._secrets, access_key_id.encode(), "sha256")[:30]).decode()


_sessions = msgspec.json.Decoder(Session)
