"""The Security Token Service's rules: who may take which role, and what the session is like.

Synchronous: parameters, caller, role and identity in, an answer out. Names and limits are those of AWS's
STS API, version 2011-06-15.
"""

import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from campana.api.base import iso
from campana.auth import policy
from campana.auth.caller import Caller
from campana.auth.policy import Context, Policy, PolicyError, Statement, Verdict
from campana.auth.session_token import Credentials, Session, SessionTokens
from campana.auth.web_identity import WebIdentity
from campana.store.keys import Role

Parameters = Mapping[str, str]
Answer = dict[str, Any]
"""The members of a result, in order; what is nested is a dictionary."""

DURATION_S_DEFAULT: Final = 3_600
DURATION_S_MIN: Final = 900
DURATION_S_MAX: Final = 43_200
CHAINED_DURATION_S_MAX: Final = 3_600
SESSION_TOKEN_DURATION_S_DEFAULT: Final = 43_200
SESSION_TOKEN_DURATION_S_MAX: Final = 129_600
POLICY_CHARACTERS_MAX: Final = 2_048
PACKED_BYTES_MAX: Final = 4_096
TAGS_MAX: Final = 50

_SESSION_NAME: Final = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
_ROLE_ARN: Final = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]{1,576}", re.ASCII)
_TAG_TEXT: Final = re.compile(r"[\w\s.:/=+@-]*")
_UNSUPPORTED: Final = frozenset(
    {"PolicyArns", "ProvidedContexts", "ProviderId", "SerialNumber", "SourceIdentity", "TokenCode"}
)


class StsError(Exception):
    """An answer that is a refusal."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


def _invalid(message: str) -> StsError:
    return StsError(400, "ValidationError", message)


@dataclass(frozen=True, slots=True)
class _Tags:
    """Session tags, and the keys of those that later sessions inherit."""

    values: dict[str, str]
    transitive: list[str]


@dataclass(frozen=True, slots=True)
class Sts:
    """Makes sessions of one account."""

    account: str
    partition: str
    tokens: SessionTokens

    def get_caller_identity(self, caller: Caller) -> Answer:
        """Who calls; no policy can forbid to ask."""
        return {"Arn": caller.principal_arn, "UserId": caller.user_id, "Account": caller.account}

    def get_session_token(self, parameters: Parameters, caller: Caller, now: int) -> Answer:
        """Temporary credentials with the caller's own permissions."""
        _refuse_unsupported(parameters)
        if caller.session is not None:
            raise StsError(403, "AccessDenied", "Cannot call GetSessionToken with session credentials")
        seconds = _duration(parameters, SESSION_TOKEN_DURATION_S_DEFAULT, SESSION_TOKEN_DURATION_S_MAX)
        credentials = self.tokens.issue(
            Session(
                access_key_id=self.tokens.new_access_key_id(),
                account=caller.account,
                principal_arn=caller.principal_arn,
                user_id=caller.user_id,
                issued_at=now,
                expires_at=now + seconds * 1000,
                parent_key_id=caller.access_key_id,
                tags=caller.tags,
            )
        )
        return {"Credentials": _credentials(credentials)}

    def assume_role(
        self, parameters: Parameters, caller: Caller, role: Role | None, context: Context, now: int
    ) -> Answer:
        """A session of a role, for a caller whom its trust policy admits. `role`: that of RoleArn, if there is one."""
        _refuse_unsupported(parameters)
        asked_arn, name = role_arn_of(parameters), _session_name(parameters)
        chained = caller.session is not None and bool(caller.session.role_arn)
        seconds = _duration(parameters, DURATION_S_DEFAULT, DURATION_S_MAX)
        if chained and seconds > CHAINED_DURATION_S_MAX:
            raise _invalid(
                "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining"
            )
        session_policy = _session_policy(parameters)
        tags = _inheriting(_given_tags(parameters), caller.session)
        asked = {**context, **_tag_context(tags, name)}
        if external_id := parameters.get("ExternalId"):
            asked |= policy.context_of({"sts:ExternalId": external_id})
        for action in ("sts:AssumeRole", *(("sts:TagSession",) if tags.values else ())):
            if role is None or not _may_assume(caller, role, action, asked):
                raise StsError(
                    403,
                    "AccessDenied",
                    f"User: {caller.principal_arn} is not authorized to perform: {action} on resource: {asked_arn}",
                )
        assert role is not None
        return self._session(role, name, seconds, session_policy, tags, {}, now)

    def assume_role_with_web_identity(
        self, parameters: Parameters, identity: WebIdentity, role: Role | None, context: Context, now: int
    ) -> Answer:
        """A session of a role, for somebody an identity provider vouches for."""
        _refuse_unsupported(parameters)
        name = _session_name(parameters)
        seconds = _duration(parameters, DURATION_S_DEFAULT, DURATION_S_MAX)
        session_policy = _session_policy(parameters)
        tags = _checked(_Tags(identity.tags, identity.transitive))
        asked = {**context, **_tag_context(tags, name), **policy.context_of(identity.claims)}
        for action in ("sts:AssumeRoleWithWebIdentity", *(("sts:TagSession",) if tags.values else ())):
            if role is None or not self._admits(role, identity, action, asked):
                raise StsError(403, "AccessDenied", f"Not authorized to perform {action}")
        assert role is not None
        answer = self._session(role, name, seconds, session_policy, tags, identity.claims, now)
        return answer | {
            "SubjectFromWebIdentityToken": identity.subject,
            "Provider": identity.provider.name,
            "Audience": identity.audience,
        }

    def _admits(self, role: Role, identity: WebIdentity, action: str, context: Context) -> bool:
        provider = identity.provider
        names = {
            provider.name,
            provider.issuer,
            f"arn:{self.partition}:iam::{self.account}:oidc-provider/{provider.name}",
        }
        statements = [
            statement
            for statement in _trust(role).statements
            if statement.principals is not None and not statement.principals.federated.isdisjoint(names)
        ]
        return policy.verdict_of(statements, policy.Request(action, role.arn, context)) is Verdict.ALLOWED

    def _session(
        self,
        role: Role,
        name: str,
        seconds: int,
        session_policy: str,
        tags: _Tags,
        claims: dict[str, list[str]],
        now: int,
    ) -> Answer:
        said = (session_policy, tags.values, claims)
        packed = len(zlib.compress(msgspec.json.encode(said))) if any(said) else 0
        if packed > PACKED_BYTES_MAX:
            raise StsError(
                400,
                "PackedPolicyTooLarge",
                "Policy, tags and claims together are larger than a session token can hold.",
            )
        user_id = f"{role.id}:{name}"
        arn = f"arn:{self.partition}:sts::{self.account}:assumed-role/{role.arn.rpartition('/')[2]}/{name}"
        credentials = self.tokens.issue(
            Session(
                access_key_id=self.tokens.new_access_key_id(),
                account=self.account,
                principal_arn=arn,
                user_id=user_id,
                issued_at=now,
                expires_at=now + seconds * 1000,
                role_arn=role.arn,
                role_id=role.id,
                policy=session_policy,
                tags=tags.values,
                transitive=tags.transitive,
                claims=claims,
            )
        )
        return {
            "Credentials": _credentials(credentials),
            "AssumedRoleUser": {"AssumedRoleId": user_id, "Arn": arn},
            "PackedPolicySize": -(-packed * 100 // PACKED_BYTES_MAX),
        }


def role_arn(partition: str, account: str, name: str) -> str:
    """The ARN of a role."""
    return f"arn:{partition}:iam::{account}:role/{name}"


def role_id(token: str) -> str:
    """An id that tells a role from others of its name; `token` is hexadecimal."""
    return "CAMPAROA" + token[:16].upper()


def role_arn_of(parameters: Parameters) -> str:
    """The role that is asked for; raises `StsError`."""
    return _text(parameters, "RoleArn", _ROLE_ARN)


def _trust(role: Role) -> Policy:
    return policy.parse_trust(role.trust)


def _may_assume(caller: Caller, role: Role, action: str, context: Context) -> bool:
    """The trust policy admits the caller by name, or their account, and their own policies allow it.

    By name suffices, inside an account, unless the caller's policies deny it.
    """
    request = policy.Request(action, role.arn, {**context, **caller.context})
    arns = {caller.principal_arn, *caller.context.get("aws:principalarn", ())}
    by_name: list[Statement] = []
    by_account: list[Statement] = []
    for statement in _trust(role).statements:
        if statement.principals is not None and statement.principals.names_identity(arns):
            by_name.append(statement)
        elif statement.principals is not None and statement.principals.names_account(caller.account):
            by_account.append(statement)
    if policy.verdict_of([*by_name, *by_account], request) is not Verdict.ALLOWED:
        return False
    granted = policy.verdict_of(by_name, request) is Verdict.ALLOWED
    return caller.may(action, role.arn, context, granted=granted).allowed


# Parameters.


def _text(parameters: Parameters, name: str, form: re.Pattern[str]) -> str:
    value = parameters.get(name, "")
    if not form.fullmatch(value):
        constraint = "satisfy its regular expression pattern and length" if value else "not be null"
        member = name[0].lower() + name[1:]
        raise _invalid(
            f"1 validation error detected: Value at '{member}' failed to satisfy constraint: Member must {constraint}"
        )
    return value


def _session_name(parameters: Parameters) -> str:
    return _text(parameters, "RoleSessionName", _SESSION_NAME)


def _duration(parameters: Parameters, default: int, most: int) -> int:
    given = parameters.get("DurationSeconds", "")
    if not given:
        return default
    if not (given.isascii() and given.isdigit() and len(given) <= 9 and DURATION_S_MIN <= int(given) <= most):
        raise _invalid(
            "1 validation error detected: Value at 'durationSeconds' failed to satisfy constraint: "
            f"Member must be between {DURATION_S_MIN} and {most}"
        )
    return int(given)


def _session_policy(parameters: Parameters) -> str:
    document = parameters.get("Policy", "")
    if len(document) > POLICY_CHARACTERS_MAX:
        raise _invalid(
            "1 validation error detected: Value at 'policy' failed to satisfy constraint: "
            f"Member must have length less than or equal to {POLICY_CHARACTERS_MAX}"
        )
    if document:
        try:
            policy.parse(document)
        except PolicyError as error:
            raise StsError(400, "MalformedPolicyDocument", f"The policy is malformed: {error}.") from None
    return document


def _refuse_unsupported(parameters: Parameters) -> None:
    """What would change who may do what is refused rather than ignored."""
    given = {name.partition(".")[0] for name, value in parameters.items() if value}
    if unsupported := sorted(given & _UNSUPPORTED):
        raise _invalid(f"{unsupported[0]} is not supported by this server.")


def _given_tags(parameters: Parameters) -> _Tags:
    tags: dict[str, str] = {}
    for number in range(1, TAGS_MAX + 2):
        key = parameters.get(f"Tags.member.{number}.Key")
        if key is None:
            break
        if key in tags:
            raise _duplicate_tags()
        tags[key] = parameters.get(f"Tags.member.{number}.Value", "")
    transitive = [
        value
        for number in range(1, TAGS_MAX + 1)
        if (value := parameters.get(f"TransitiveTagKeys.member.{number}")) is not None
    ]
    return _checked(_Tags(tags, transitive))


def _duplicate_tags() -> StsError:
    return StsError(400, "InvalidParameterValue", "Duplicate tag keys found. Tag keys are case insensitive.")


def _checked(tags: _Tags) -> _Tags:
    if len(tags.values) > TAGS_MAX:
        raise _invalid(f"A session may have at most {TAGS_MAX} tags.")
    if len({key.lower() for key in tags.values}) != len(tags.values):
        raise _duplicate_tags()
    for key, value in tags.values.items():
        if not 1 <= len(key) <= 128 or not _TAG_TEXT.fullmatch(key) or key.lower().startswith("aws:"):
            raise _invalid("A tag key must have 1 to 128 letters, digits, spaces or _.:/=+-@, and not begin with aws:.")
        if len(value) > 256 or not _TAG_TEXT.fullmatch(value):
            raise _invalid("A tag value must have at most 256 letters, digits, spaces or _.:/=+-@.")
    if not set(tags.transitive) <= set(tags.values):
        raise StsError(400, "InvalidParameterValue", "Transitive tag keys must be keys of the session's tags.")
    return tags


def _inheriting(tags: _Tags, session: Session | None) -> _Tags:
    """With the transitive tags of the session that asks; they cannot be changed."""
    if session is None or not session.transitive:
        return tags
    inherited = {key: session.tags[key] for key in session.transitive}
    if {key.lower() for key in inherited} & {key.lower() for key in tags.values}:
        raise StsError(
            400,
            "InvalidParameterValue",
            "One of the specified tag keys conflicts with a transitive tag key of the calling session.",
        )
    return _Tags(tags.values | inherited, [*tags.transitive, *inherited])


def _tag_context(tags: _Tags, session_name: str) -> Context:
    values: dict[str, str | Iterable[str]] = {f"aws:RequestTag/{key}": value for key, value in tags.values.items()}
    values["sts:RoleSessionName"] = session_name
    if tags.values:
        values["aws:TagKeys"] = list(tags.values)
    if tags.transitive:
        values["sts:TransitiveTagKeys"] = tags.transitive
    return policy.context_of(values)


def _credentials(credentials: Credentials) -> Answer:
    return {
        "AccessKeyId": credentials.access_key_id,
        "SecretAccessKey": credentials.secret_access_key,
        "SessionToken": credentials.session_token,
        "Expiration": iso(credentials.expires_at),
    }
