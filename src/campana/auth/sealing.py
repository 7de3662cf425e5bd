"""Sealing: what leaves this process or is stored, readable and unchangeable only with the server's key.

AES-256-GCM. The key lies outside the database (server/data_folder.py); every purpose has a key of its own made from
it, so that nothing sealed for one is accepted for another.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from campana.clock import Ids

KEY_BYTES = 32
_NONCE_BYTES = 12


class Unreadable(ValueError):
    """Not sealed with this key, not for this purpose, not about this, or changed since."""


def derived(key: bytes, purpose: str) -> bytes:
    """A key for one purpose."""
    return hmac.digest(key, purpose.encode(), "sha256")


class Sealer:
    """Seals and opens for one purpose."""

    def __init__(self, key: bytes, purpose: str, ids: Ids) -> None:
        self._cipher = AESGCM(derived(key, purpose))
        self._ids = ids

    def seal(self, content: bytes, about: str = "") -> str:
        """`content` as URL-safe text; opening it takes the same `about`, which is not in it."""
        nonce = bytes.fromhex(self._ids.token(2 * _NONCE_BYTES))
        return urlsafe_b64encode(nonce + self._cipher.encrypt(nonce, content, about.encode())).decode().rstrip("=")

    def open(self, text: str, about: str = "") -> bytes:
        """What was sealed; raises `Unreadable`."""
        try:
            sealed = urlsafe_b64decode(text + "=" * (-len(text) % 4))
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], about.encode())
        except (ValueError, InvalidTag):  # also what is no base64, or too short
            raise Unreadable from None
