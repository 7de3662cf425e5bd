"""Who signed a call: an access key becomes a caller, with the policies that are to be asked.

The server's own keys are in memory. All others are looked up for every call, by primary key: what a command revokes
beside the running server has no power from then on, and there is nothing to invalidate. Only what follows from a row
or a token alone is remembered (secrets opened, documents parsed).
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final, Protocol, TypeVar

import msgspec

from campana import log
from campana.auth import policy
from campana.auth.policy import Context, Decision, Policy, PolicyError
from campana.auth.sealing import Sealer, Unreadable
from campana.auth.session_token import NotAToken, Session, SessionTokens
from campana.errors import ExpiredToken, UnrecognizedClient
from campana.store import keys
from campana.store.database import Tx
from campana.store.keys import Role

T = TypeVar("T")
REMEMBERED_MAX: Final = 4_096


@dataclass(frozen=True, slots=True)
class Grant:
    """What the power of a caller hangs on: a stored access key, or a role as it was made."""

    access_key_id: str = ""
    role_arn: str = ""
    role_id: str = ""


@dataclass(frozen=True, slots=True)
class Caller:
    """The principal behind a signature."""

    access_key_id: str
    account: str
    principal_arn: str
    user_id: str
    policies: tuple[Policy, ...] | None
    """None: the account itself, which may do everything."""
    session: Session | None = None
    session_policy: Policy | None = None
    context: Context = field(default_factory=dict)
    """The condition keys that say who calls."""

    @property
    def expires_at(self) -> int | None:
        """When the credentials end, in milliseconds since the epoch."""
        return None if self.session is None else self.session.expires_at

    @property
    def grant(self) -> Grant | None:
        """What must be there still for the credentials to count; None: they are the server's own."""
        if self.session is None:
            return None if self.policies is None else Grant(self.access_key_id)
        if self.session.role_arn:
            return Grant(role_arn=self.session.role_arn, role_id=self.session.role_id)
        return Grant(self.session.parent_key_id)

    @property
    def unbounded(self) -> bool:
        """Whether there is nothing to evaluate."""
        return self.policies is None and self.session_policy is None

    @property
    def mentions_resource_tags(self) -> bool:
        """Whether a decision may depend on the tags of the resource."""
        asked = (*(self.policies or ()), *((self.session_policy,) if self.session_policy else ()))
        return any(each.mentions_resource_tags for each in asked)

    def may(self, action: str, resource: str, context: Context, *, granted: bool = False) -> Decision:
        """What the policies say. `context` holds the condition keys of the call.

        `granted`: the resource's own policy allows it already, so that only a denial, or the session's, counts.
        """
        policies = self.policies or ()
        if granted or self.policies is None:
            policies = (*policies, _EVERYTHING)
        return policy.evaluate(
            policies, policy.Request(action, resource, {**context, **self.context}), self.session_policy
        )

    @property
    def tags(self) -> dict[str, str]:
        """The principal's tags; the case of their keys, which matters nowhere, is that of `context`."""
        start = "aws:principaltag/"
        return {key.removeprefix(start): values[0] for key, values in self.context.items() if key.startswith(start)}


@dataclass(frozen=True, slots=True)
class Known:
    """A key that can sign, and who signs with it."""

    caller: Caller
    secret: str = field(repr=False)


class Lookup(Protocol):
    """Runs a short work in a transaction that only reads."""

    async def __call__(self, work: Callable[[Tx], T], /) -> T: ...


ALLOW_EVERYTHING: Final = (
    '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}'
)
_EVERYTHING: Final = policy.parse(ALLOW_EVERYTHING)
_INVALID: Final = "The security token included in the request is invalid."


class KeyRing:
    """The credentials that this server knows."""

    def __init__(
        self, account: str, own: Iterable[Known], roles: Mapping[str, Role], sealer: Sealer, tokens: SessionTokens,
        look_up: Lookup,
    ) -> None:  # fmt: skip
        """`own`: the keys kept in memory. `roles`: those of the settings, by ARN; they go before those of the store."""
        self.tokens = tokens
        self._account = account
        self._own = {known.caller.access_key_id: known for known in own}
        self._roles = roles
        self._sealer = sealer
        self._look_up = look_up
        self._opened = lru_cache(REMEMBERED_MAX)(self._open)
        self._session_of = lru_cache(REMEMBERED_MAX)(tokens.read)

    def believed(self, access_key_id: str) -> Caller:
        """Who uses the key where signatures are not checked: any will do, and then it is the account itself."""
        known = self._own.get(access_key_id)
        return root(access_key_id, self._account) if known is None else known.caller

    async def find(self, access_key_id: str, session_token: str | None, now: int) -> Known:
        """Whose key this is, and its secret to verify a signature with; raises UnrecognizedClient or ExpiredToken."""
        if session_token is not None:
            return await self._of_session(access_key_id, session_token, now)
        known = await self._lasting(access_key_id)
        if known is None:
            raise UnrecognizedClient(_INVALID)
        return known

    async def role(self, arn: str) -> Role | None:
        """The role as it is now."""
        return self._roles.get(arn) or await self._look_up(lambda tx: keys.find_role(tx, arn))

    async def lost(self, grants: Collection[Grant]) -> set[Grant]:
        """Those among `grants` that are revoked, deleted, or made anew."""
        stored = [grant for grant in grants if grant.access_key_id not in self._own]
        kept = {grant for grant in stored if (role := self._roles.get(grant.role_arn)) and role.id == grant.role_id}
        asked = [grant for grant in stored if grant not in kept]
        return await self._look_up(lambda tx: _lost(tx, asked)) if asked else set()

    async def _lasting(self, access_key_id: str) -> Known | None:
        if (known := self._own.get(access_key_id)) is not None:
            return known
        row = await self._look_up(lambda tx: keys.find(tx, access_key_id))
        return None if row is None else self._opened(row)

    async def _of_session(self, access_key_id: str, token: str, now: int) -> Known:
        try:
            session = self._session_of(token)
        except NotAToken:
            raise UnrecognizedClient(_INVALID) from None
        if session.access_key_id != access_key_id:
            raise UnrecognizedClient(_INVALID)
        if now >= session.expires_at:
            raise ExpiredToken("The security token included in the request is expired")
        policies: tuple[Policy, ...] | None
        if session.role_arn:
            role = await self.role(session.role_arn)
            if role is None or role.id != session.role_id:  # deleted, or made anew
                raise UnrecognizedClient(_INVALID)
            policies = (policy.parse(role.policy),) if role.policy else ()
        else:
            parent = await self._lasting(session.parent_key_id)
            if parent is None:
                raise UnrecognizedClient(_INVALID)
            policies = parent.caller.policies
        return Known(_session_caller(session, policies), self.tokens.secret_of(access_key_id))

    def _open(self, row: keys.AccessKey) -> Known | None:
        documents: list[str] = msgspec.json.decode(row.policies, type=list[str])
        try:
            secret = self._sealer.open(row.secret, row.id).decode()
            policies = tuple(policy.parse(document) for document in documents)
        except (Unreadable, PolicyError) as error:  # the key file was changed, or the database comes from elsewhere
            log.error("credentials.unreadable", access_key=row.id, error=type(error).__name__)
            return None
        tags: dict[str, str] = msgspec.json.decode(row.tags, type=dict[str, str])
        values = _principal_values(row.account, row.principal_arn, row.id, tags)
        caller = Caller(
            access_key_id=row.id,
            account=row.account,
            principal_arn=row.principal_arn,
            user_id=row.id,
            policies=policies,
            context=policy.context_of(
                values | {"aws:username": row.principal_arn.rpartition("/")[2], "aws:PrincipalType": "User"}
            ),
        )
        return Known(caller, secret)


def _lost(tx: Tx, grants: Collection[Grant]) -> set[Grant]:
    ids = keys.valid(tx, [grant.access_key_id for grant in grants if grant.access_key_id])
    roles = keys.role_ids(tx, [grant.role_arn for grant in grants if grant.role_arn])
    return {
        grant
        for grant in grants
        if (roles.get(grant.role_arn) != grant.role_id if grant.role_arn else grant.access_key_id not in ids)
    }


def root(access_key_id: str, account: str) -> Caller:
    """The account itself."""
    arn = f"arn:aws:iam::{account}:root"
    values = _principal_values(account, arn, account, {}) | {"aws:PrincipalType": "Account"}
    return Caller(access_key_id, account, arn, account, None, context=policy.context_of(values))


def functions(access_key_id: str, account: str) -> Caller:
    """The functions that this server runs: whatever they were before, they may do what the account may."""
    return replace(root(access_key_id, account), principal_arn=f"arn:aws:iam::{account}:user/campana-functions")


def _session_caller(session: Session, policies: tuple[Policy, ...] | None) -> Caller:
    # A session of a role has the role's ARN in aws:PrincipalArn, and its own in messages.
    values = _principal_values(
        session.account, session.role_arn or session.principal_arn, session.user_id, session.tags
    ) | {"aws:TokenIssueTime": _seconds(session.issued_at)}
    if session.role_arn:
        values["aws:PrincipalType"] = "AssumedRole"
    elif ":federated-user/" in session.principal_arn:
        values["aws:PrincipalType"] = "FederatedUser"
    elif ":user/" in session.principal_arn:
        values |= {"aws:PrincipalType": "User", "aws:username": session.principal_arn.rpartition("/")[2]}
    return Caller(
        access_key_id=session.access_key_id,
        account=session.account,
        principal_arn=session.principal_arn,
        user_id=session.user_id,
        policies=policies,
        session=session,
        session_policy=policy.parse(session.policy) if session.policy else None,
        context=policy.context_of({**session.claims, **values}),
    )


def _principal_values(account: str, arn: str, user_id: str, tags: Mapping[str, str]) -> dict[str, str]:
    return {
        **{f"aws:PrincipalTag/{key}": value for key, value in tags.items()},
        "aws:PrincipalArn": arn,
        "aws:PrincipalAccount": account,
        "aws:userid": user_id,
    }


def _seconds(ms: int) -> str:
    return str(ms // 1000)
