"""`NextToken`: a position in a list, sealed so that only this server can make one and only its list accepts it."""

import base64
import binascii
import hashlib
import hmac

import msgspec

from campana.store.database import Position

_SEAL_BYTES = 16


class NotAToken(ValueError):
    """The text is no token of this list."""


def seal(position: Position, scope: str, key: bytes) -> str:
    """The token for `position`; `scope` names the operation and what it lists."""
    content = msgspec.json.encode(position)
    return base64.urlsafe_b64encode(_seal_of(content, scope, key) + content).rstrip(b"=").decode()


def unseal(token: str, scope: str, key: bytes) -> Position:
    """The position in `token`; raises `NotAToken`."""
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise NotAToken from error
    content = raw[_SEAL_BYTES:]
    if not hmac.compare_digest(raw[:_SEAL_BYTES], _seal_of(content, scope, key)):
        raise NotAToken
    return msgspec.json.decode(content, type=tuple[str | int, ...])


def _seal_of(content: bytes, scope: str, key: bytes) -> bytes:
    return hmac.digest(key, scope.encode() + b"\0" + content, hashlib.sha256)[:_SEAL_BYTES]
