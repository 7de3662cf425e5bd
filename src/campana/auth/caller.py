"""Who signed a call: an access key becomes a caller."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """The principal behind a signature."""

    access_key_id: str
    account: str
    principal_arn: str


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A key that can sign, with the rights of the account."""

    access_key_id: str
    secret_access_key: str
    principal_arn: str


class KeyRing:
    """The access keys that this server knows."""

    def __init__(self, account: str, keys: Mapping[str, AccessKey]) -> None:
        self._account = account
        self._keys = keys

    def secret_of(self, access_key_id: str) -> str | None:
        """The secret to verify a signature with; None: no such key."""
        key = self._keys.get(access_key_id)
        return None if key is None else key.secret_access_key

    def caller(self, access_key_id: str) -> Caller:
        """Who uses the key. With signatures unchecked any key will do: then it is the account itself."""
        key = self._keys.get(access_key_id)
        principal = f"arn:aws:iam::{self._account}:root" if key is None else key.principal_arn
        return Caller(access_key_id, self._account, principal)
