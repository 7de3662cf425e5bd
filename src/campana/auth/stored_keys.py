"""Access keys as they are stored: how one is made, and whether the present key of secrets is the one they need."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from campana.auth.sealing import Sealer, Unreadable
from campana.clock import Ids
from campana.store import keys, secrets
from campana.store.database import Tx
from campana.store.keys import AccessKey

PURPOSE: Final = "access keys"
"""What the secrets of access keys are sealed for."""
ACCESS_KEY_PREFIX: Final = "CAMPAKIA"
_WITNESS: Final = "sealed with the key of secrets"


def make(
    tx: Tx,
    sealer: Sealer,
    ids: Ids,
    *,
    account: str,
    principal_arn: str,
    policies: Sequence[str],
    tags: Mapping[str, str],
    now: int,
) -> tuple[AccessKey, str]:
    """A new access key, stored, and its secret, which nothing else will show. `policies`: documents, parsed before."""
    access_key_id, secret = ACCESS_KEY_PREFIX + ids.token(16).upper(), ids.token(40)
    key = AccessKey(
        id=access_key_id,
        secret=sealer.seal(secret.encode(), access_key_id),
        account=account,
        principal_arn=principal_arn,
        policies=msgspec.json.encode(policies).decode(),
        tags=msgspec.json.encode(tags).decode(),
        created_at=now,
        revoked_at=None,
    )
    keys.insert(tx, key)
    return key, secret


def fit(tx: Tx, sealer: Sealer) -> bool:
    """Whether the database's access keys were sealed with this key; so they are when it has not seen another."""
    try:
        sealer.open(secrets.get_or_make(tx, _WITNESS, sealer.seal(b"")))
    except Unreadable:
        return False
    return True


def give_up(tx: Tx, sealer: Sealer) -> None:
    """From now on access keys are sealed with this key; those that were sealed with another are lost."""
    secrets.put(tx, _WITNESS, sealer.seal(b""))
