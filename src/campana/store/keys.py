"""Rows of credentials: access keys and roles. Commands write them beside a running server."""

from collections.abc import Sequence

from campana.store.database import Row, Tx


class AccessKey(Row, frozen=True):
    id: str
    secret: str
    """Sealed."""
    account: str
    principal_arn: str
    policies: str
    """JSON: a list of policy documents, each a text."""
    tags: str
    """JSON: an object of texts."""
    created_at: int
    revoked_at: int | None


class Role(Row, frozen=True):
    arn: str
    id: str
    trust: str
    """The trust policy's document."""
    policy: str
    """The permission policy's document; '' for none."""
    created_at: int


def find(tx: Tx, access_key_id: str) -> AccessKey | None:
    """The key, unless it is revoked."""
    return tx.one(AccessKey, "SELECT * FROM access_keys WHERE id = :id AND revoked_at IS NULL", id=access_key_id)


class _Id(Row, frozen=True):
    id: str


class _RoleId(Row, frozen=True):
    arn: str
    id: str


def valid(tx: Tx, access_key_ids: Sequence[str]) -> set[str]:
    """Those of them that are not revoked."""
    if not access_key_ids:
        return set()
    sql = "SELECT id FROM access_keys WHERE id IN (:ids) AND revoked_at IS NULL"
    return {row.id for row in tx.all(_Id, sql, ids=access_key_ids)}


def role_ids(tx: Tx, arns: Sequence[str]) -> dict[str, str]:
    """The present ids of roles, by ARN."""
    if not arns:
        return {}
    return {row.arn: row.id for row in tx.all(_RoleId, "SELECT arn, id FROM roles WHERE arn IN (:arns)", arns=arns)}


def insert(tx: Tx, key: AccessKey) -> None:
    tx.run(
        """
        INSERT INTO access_keys (id, secret, account, principal_arn, policies, tags, created_at, revoked_at)
        VALUES (:id, :secret, :account, :principal, :policies, :tags, :created_at, NULL)
        """,
        id=key.id,
        secret=key.secret,
        account=key.account,
        principal=key.principal_arn,
        policies=key.policies,
        tags=key.tags,
        created_at=key.created_at,
    )


def listed(tx: Tx) -> list[AccessKey]:
    """The oldest first, revoked ones too."""
    return tx.all(AccessKey, "SELECT * FROM access_keys ORDER BY created_at, id")


def revoke(tx: Tx, access_key_id: str, at: int) -> bool:
    """From now on nothing is signed with it, and its secret is forgotten; False if there is no such key."""
    return (
        tx.run(
            "UPDATE access_keys SET revoked_at = :at, secret = '' WHERE id = :id AND revoked_at IS NULL",
            id=access_key_id,
            at=at,
        )
        == 1
    )


def find_role(tx: Tx, arn: str) -> Role | None:
    return tx.one(Role, "SELECT * FROM roles WHERE arn = :arn", arn=arn)


def insert_role(tx: Tx, role: Role) -> bool:
    """False if there is one of that name."""
    return (
        tx.run(
            """
            INSERT INTO roles (arn, id, trust, policy, created_at) VALUES (:arn, :id, :trust, :policy, :created_at)
            ON CONFLICT DO NOTHING
            """,
            arn=role.arn,
            id=role.id,
            trust=role.trust,
            policy=role.policy,
            created_at=role.created_at,
        )
        == 1
    )


def listed_roles(tx: Tx) -> list[Role]:
    """The oldest first."""
    return tx.all(Role, "SELECT * FROM roles ORDER BY created_at, arn")


def delete_role(tx: Tx, arn: str) -> bool:
    """Its sessions end with it; False if there is no such role."""
    return tx.run("DELETE FROM roles WHERE arn = :arn", arn=arn) == 1
