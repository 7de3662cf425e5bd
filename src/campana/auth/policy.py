"""IAM policies: documents, wildcards, variables, conditions → allowed, or the reason why not.

Pure: values in, a decision out. A document is parsed once and says there what is wrong with it; what may be in one
is that of AWS's policy language, Version 2012-10-17 and, without variables, 2008-10-17 (spec/identity-auth.md §4).
"""

import ipaddress
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from enum import Enum, auto
from functools import lru_cache
from typing import Any, Final

DOCUMENT_CHARACTERS_MAX: Final = 20_480

Context = Mapping[str, tuple[str, ...]]
"""Condition keys in lower case → their values; a key that does not apply is absent."""


class PolicyError(ValueError):
    """The document is no policy; the message says where and why."""


class Verdict(Enum):
    """What some policies say about a request."""

    ALLOWED = auto()
    DENIED = auto()  # by a statement
    NOT_ALLOWED = auto()  # by none


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked: one action on one resource. `context` as `context_of` makes it."""

    action: str
    resource: str
    context: Context


@dataclass(frozen=True, slots=True)
class Decision:
    """`reason` continues the sentence "… is not authorized to perform: x on resource: y"; empty where allowed."""

    allowed: bool
    reason: str = ""


def context_of(values: Mapping[str, str | Iterable[str]]) -> Context:
    """Condition keys, which ignore case, with one value or several; keys that differ in case only become one."""
    context: dict[str, tuple[str, ...]] = {}
    for key, value in values.items():
        name = key.lower()
        context[name] = (*context.get(name, ()), *((value,) if isinstance(value, str) else value))
    return context


def request_context(now: int, *, peer: str, over_tls: bool) -> Context:
    """The condition keys that every request has. `now` in milliseconds; `peer`: the client's address, if known."""
    values = {
        "aws:CurrentTime": datetime.fromtimestamp(now // 1000, UTC).isoformat().replace("+00:00", "Z"),
        "aws:EpochTime": str(now // 1000),
        "aws:SecureTransport": "true" if over_tls else "false",
    }
    return context_of(values | ({"aws:SourceIp": peer} if peer else {}))


# Statements.


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement; in a trust policy `principals` says whom it is about and there is no resource."""

    allows: bool
    actions: "tuple[Pattern, ...]"
    actions_negated: bool
    resources: "tuple[Pattern, ...]"
    resources_negated: bool
    conditions: "tuple[Condition, ...]"
    principals: "Principals | None" = None

    def applies(self, request: Request) -> bool:
        """Whether it speaks about the request."""
        if _any_matches(self.actions, _names(request.action), {}) is self.actions_negated:
            return False
        return self._is_about(request) and all(
            condition.holds(request.context, allows=self.allows) for condition in self.conditions
        )

    def _is_about(self, request: Request) -> bool:
        if self.principals is not None:
            return True
        if self.allows and self.resources_negated and not all(each.filled(request.context) for each in self.resources):
            return False  # an exception that cannot be told must not widen what is allowed
        return _any_matches(self.resources, (request.resource,), request.context) is not self.resources_negated


@dataclass(frozen=True, slots=True)
class Principals:
    """Whom a trust policy's statement is about: ARNs, accounts and `*`, and names of identity providers."""

    aws: frozenset[str] = frozenset()
    federated: frozenset[str] = frozenset()

    def names_account(self, account: str) -> bool:
        """The account as a whole, which leaves the choice to the policies of its users and roles."""
        return any(name == account or name.endswith(f":iam::{account}:root") for name in self.aws)

    def names_identity(self, arns: Iterable[str]) -> bool:
        """One of the ARNs, or everybody."""
        return "*" in self.aws or not self.aws.isdisjoint(arns)


@dataclass(frozen=True, slots=True)
class Policy:
    """A parsed document."""

    statements: tuple[Statement, ...]
    mentions_resource_tags: bool = False
    """Whether its decisions may need the tags that are on the resource."""


def verdict(policies: Iterable[Policy], request: Request) -> Verdict:
    """What the policies say together: a statement that denies wins over all that allow."""
    return verdict_of((statement for policy in policies for statement in policy.statements), request)


def verdict_of(statements: Iterable[Statement], request: Request) -> Verdict:
    """`verdict` of single statements."""
    allowed = False
    for statement in statements:
        if (not statement.allows or not allowed) and statement.applies(request):
            if not statement.allows:
                return Verdict.DENIED
            allowed = True
    return Verdict.ALLOWED if allowed else Verdict.NOT_ALLOWED


def evaluate(policies: Sequence[Policy], request: Request, session: Policy | None = None) -> Decision:
    """Whether identity policies allow the request and, where there is one, the session's policy does too."""
    parts = [("an", "identity-based policy", verdict(policies, request))]
    if session is not None:
        parts.append(("a", "session policy", verdict((session,), request)))
    for article, kind, said in parts:
        if said is Verdict.DENIED:
            return Decision(False, f"with an explicit deny in {article} {kind}")
    for _, kind, said in parts:
        if said is Verdict.NOT_ALLOWED:
            return Decision(False, f"because no {kind} allows the {request.action} action")
    return Decision(True)


_ALIASES: Final = {  # older policies name these so (spec/identity-auth.md §4)
    f"chime:{verb}messagingstreamingconfigurations": f"chime:{verb}appinstancestreamingconfigurations"
    for verb in ("put", "get", "delete")
}


def _names(action: str) -> tuple[str, ...]:
    """The names an action goes by, in lower case."""
    name = action.lower()
    alias = _ALIASES.get(name)
    return (name,) if alias is None else (name, alias)


# Patterns: text with wildcards and variables.


class _Wild(Enum):
    MANY = "*"
    ONE = "?"


@dataclass(frozen=True, slots=True)
class _Variable:
    key: str
    default: str | None


_Part = str | _Wild | _Variable


@dataclass(frozen=True, slots=True)
class Pattern:
    """Text that stands for texts: `*` any characters, `?` one, `${key}` the one value of a condition key."""

    parts: tuple[_Part, ...]
    fixed: "re.Pattern[str] | None" = field(default=None, compare=False)
    """What it comes to, if it has no variables."""
    literal: str | None = field(default=None, compare=False)
    """The one text it stands for, if it has no wildcards either: most patterns, and the quickest to compare."""

    def matches(self, text: str, context: Context) -> bool:
        """Wildcards in the value of a variable are ordinary characters. A variable without a value: no match."""
        if self.literal is not None:
            return text == self.literal
        if self.fixed is not None:
            return self.fixed.fullmatch(text) is not None
        parts = self.filled(context)
        return parts is not None and _expression(parts).fullmatch(text) is not None

    def text(self, context: Context) -> str | None:
        """The text itself, where wildcards mean nothing; None if a variable has no value."""
        parts = self.filled(context)
        return None if parts is None else "".join(part.value if isinstance(part, _Wild) else part for part in parts)

    def filled(self, context: Context) -> tuple[str | _Wild, ...] | None:
        """The parts with the values of the variables; None if one has none, or several."""
        filled: list[str | _Wild] = []
        for part in self.parts:
            if not isinstance(part, _Variable):
                filled.append(part)
                continue
            values = context.get(part.key, ())
            if len(values) == 1:
                filled.append(values[0])
            elif not values and part.default is not None:
                filled.append(part.default)
            else:
                return None
        return tuple(filled)


@lru_cache(maxsize=8_192)
def _expression(parts: tuple[str | _Wild, ...]) -> re.Pattern[str]:
    """A regular expression that never goes back over what a `*` has found: each atomic group takes the first place.

    Between two `*` the first place is as good as any; the last `*` reaches back from the end.
    """
    pieces = [""]
    for part in parts:
        if part is _Wild.MANY:
            pieces.append("")
        else:
            pieces[-1] += "." if part is _Wild.ONE else re.escape(part)
    head, *rest = pieces
    if not rest:
        return re.compile(head, re.DOTALL)
    *middle, tail = rest
    between = "".join(f"(?>.*?{piece})" for piece in middle if piece)
    return re.compile(f"{head}{between}.*{tail}", re.DOTALL)


def _any_matches(patterns: Iterable[Pattern], texts: Iterable[str], context: Context) -> bool:
    for pattern in patterns:  # a generator would double what it costs, for every call
        for text in texts:
            if pattern.matches(text, context):
                return True
    return False


_TOKEN: Final = re.compile(r"\$\{([^{}]*)\}|([*?])|([^*?$]+|\$)")


def pattern(text: str, *, variables: bool) -> Pattern:
    """Parse a pattern; raises `PolicyError`. Without `variables` (Version 2008-10-17) `${…}` stands for itself."""
    parts: list[_Part] = []
    for token in _TOKEN.finditer(text):
        name, wild, literal = token.groups()
        if wild:
            parts.append(_Wild(wild))
        elif literal:
            parts.append(literal)
        elif not variables:
            parts += ["${", *pattern(name, variables=False).parts, "}"]
        elif name in ("*", "?", "$"):
            parts.append(name)
        else:
            parts.append(_variable(name))
    return _pattern(parts)


def _pattern(parts: Sequence[_Part]) -> Pattern:
    fixed = [part for part in parts if not isinstance(part, _Variable)]
    if len(fixed) < len(parts):
        return Pattern(tuple(parts))
    literal = [part for part in fixed if isinstance(part, str)]
    return Pattern(tuple(parts), _expression(tuple(fixed)), "".join(literal) if len(literal) == len(fixed) else None)


def _variable(text: str) -> _Variable:
    """What stands between `${` and `}`: a key, and perhaps a default in single quotes."""
    key, comma, default = (part.strip() for part in text.partition(","))
    quoted = len(default) >= 2 and default[0] == default[-1] == "'"
    if not key or "'" in key or (comma and not quoted):
        raise PolicyError(f"${{{text}}} is not a policy variable")
    return _Variable(key.lower(), default[1:-1] if comma else None)


# Conditions.

Compare = Callable[[str, Pattern, Context], bool]
"""Whether a value of the request agrees with one of the policy."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One operator on one key."""

    key: str
    values: tuple[Pattern, ...]
    compare: Compare
    negated: bool = False
    of_set: str | None = None  # "forallvalues", "foranyvalue"
    if_exists: bool = False

    def holds(self, context: Context, *, allows: bool) -> bool:
        """A key that is absent: what is negated holds, what is about all values holds, all else does not.

        Of a key with several values AWS leaves open what an operator without ForAllValues or ForAnyValue means.
        Here what `allows` needs all of them, and what denies one: doubt does not widen what may be done.
        """
        found = context.get(self.key)
        if not found:
            return self.if_exists or self.of_set == "forallvalues" or (self.negated and self.of_set is None)
        each = (self.negated is not self._agrees(value, context) for value in found)
        return all(each) if self.of_set == "forallvalues" or (self.of_set is None and allows) else any(each)

    def _agrees(self, value: str, context: Context) -> bool:
        return any(self.compare(value, wanted, context) for wanted in self.values)


@dataclass(frozen=True, slots=True)
class Null(Condition):
    """Whether the key is absent ("true") or there ("false")."""

    def holds(self, context: Context, *, allows: bool) -> bool:
        absent = not context.get(self.key)
        return any((wanted.text(context) or "").lower() == ("true" if absent else "false") for wanted in self.values)


def _equal(value: str, wanted: Pattern, context: Context) -> bool:
    return value == wanted.text(context)


def _equal_ignoring_case(value: str, wanted: Pattern, context: Context) -> bool:
    text = wanted.text(context)
    return text is not None and value.casefold() == text.casefold()


def _like(value: str, wanted: Pattern, context: Context) -> bool:
    return wanted.matches(value, context)


def _arn_like(value: str, wanted: Pattern, context: Context) -> bool:
    """ARNs are compared part by part: a `*` does not reach over a colon, but in the sixth part."""
    values, patterns = value.split(":", 5), _arn_parts(wanted)
    if len(values) != 6 or len(patterns) != 6:
        return False
    return all(part.matches(text, context) for text, part in zip(values, patterns, strict=True))


@lru_cache(maxsize=4_096)
def _arn_parts(wanted: Pattern) -> list[Pattern]:
    parts: list[list[_Part]] = [[]]
    for part in wanted.parts:  # a colon in a variable's value separates nothing
        if not isinstance(part, str):
            parts[-1].append(part)
            continue
        first, *others = part.split(":", 6 - len(parts))
        parts[-1].append(first)
        parts += [[other] for other in others]
    return [_pattern(part) for part in parts]


def _numbers(compare: Callable[[Decimal, Decimal], bool]) -> Compare:
    def agrees(value: str, wanted: Pattern, context: Context) -> bool:
        text = wanted.text(context)
        found, other = _number(value), None if text is None else _number(text)
        return found is not None and other is not None and compare(found, other)

    return agrees


def _dates(compare: Callable[[Decimal, Decimal], bool]) -> Compare:
    def agrees(value: str, wanted: Pattern, context: Context) -> bool:
        text = wanted.text(context)
        found, other = _moment(value), None if text is None else _moment(text)
        return found is not None and other is not None and compare(found, other)

    return agrees


def _number(text: str) -> Decimal | None:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _moment(text: str) -> Decimal | None:
    """Seconds since the epoch, of ISO 8601 or such seconds."""
    if (seconds := _number(text)) is not None:
        return seconds
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return Decimal((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def _in_network(value: str, wanted: Pattern, context: Context) -> bool:
    try:
        return ipaddress.ip_address(value) in ipaddress.ip_network(wanted.text(context) or "", strict=False)
    except ValueError:
        return False


_COMPARE: Final[dict[str, tuple[Compare, bool]]] = {
    "binaryequals": (_equal, False),
    "stringequals": (_equal, False),
    "stringnotequals": (_equal, True),
    "stringequalsignorecase": (_equal_ignoring_case, False),
    "stringnotequalsignorecase": (_equal_ignoring_case, True),
    "stringlike": (_like, False),
    "stringnotlike": (_like, True),
    "arnequals": (_arn_like, False),
    "arnnotequals": (_arn_like, True),
    "arnlike": (_arn_like, False),
    "arnnotlike": (_arn_like, True),
    "bool": (_equal_ignoring_case, False),
    "ipaddress": (_in_network, False),
    "notipaddress": (_in_network, True),
    **{
        f"{kind}{name}": (make(compare), negated)
        for kind, make in (("numeric", _numbers), ("date", _dates))
        for name, compare, negated in (
            ("equals", Decimal.__eq__, False),
            ("notequals", Decimal.__eq__, True),
            ("lessthan", Decimal.__lt__, False),
            ("lessthanequals", Decimal.__le__, False),
            ("greaterthan", Decimal.__gt__, False),
            ("greaterthanequals", Decimal.__ge__, False),
        )
    },
}


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


# What values must be like: else a slip in the value of a negated operator would let everything pass.
_FORMS: Final[dict[str, tuple[Callable[[str], bool], str]]] = {
    "numeric": (lambda text: _number(text) is not None, "a number"),
    "date": (lambda text: _moment(text) is not None, "a date, as in 2026-03-04T05:06:07Z"),
    "ipaddress": (_is_network, "an IP address or a network"),
    "notipaddress": (_is_network, "an IP address or a network"),
    "bool": (lambda text: text.lower() in ("true", "false"), '"true" or "false"'),
    "null": (lambda text: text.lower() in ("true", "false"), '"true" or "false"'),
}
_OPERATOR: Final = re.compile(r"(?:(forallvalues|foranyvalue):)?([a-z]+?)(ifexists)?", re.IGNORECASE)


# Parsing.

_ACTION: Final = re.compile(r"\*|[A-Za-z0-9-]+:[A-Za-z0-9*?]+")
# A `*` at the end stands for the parts that are missing.
_RESOURCE: Final = re.compile(r"\*|arn:(?:[^:$]|\$\{[^}]*\})*(?::(?:[^:$]|\$\{[^}]*\})*){3}:.+|arn:.*\*", re.DOTALL)
_ELEMENTS: Final = {"Sid", "Effect", "Action", "NotAction", "Condition"}


@lru_cache(maxsize=1_024)
def parse(document: str) -> Policy:
    """A permission policy, or a session's, from its JSON; raises `PolicyError`."""
    return _policy(document, trust=False)


@lru_cache(maxsize=1_024)
def parse_trust(document: str) -> Policy:
    """A role's trust policy, whose statements have principals and no resources; raises `PolicyError`."""
    return _policy(document, trust=True)


def _policy(document: str, *, trust: bool) -> Policy:
    if len(document) > DOCUMENT_CHARACTERS_MAX:
        raise PolicyError(f"the document is longer than {DOCUMENT_CHARACTERS_MAX} characters")
    try:
        tree = json.loads(document, object_pairs_hook=_object)
    except RecursionError:
        raise PolicyError("the document is nested too deeply") from None
    except PolicyError:
        raise
    except ValueError as error:
        raise PolicyError(f"the document is not JSON: {error}") from None
    if not isinstance(tree, dict):
        raise PolicyError("the document must be a JSON object")
    _only(tree, {"Version", "Id", "Statement"}, "the document")
    version = tree.get("Version", "2008-10-17")
    if version not in ("2012-10-17", "2008-10-17"):
        raise PolicyError('Version must be "2012-10-17" or "2008-10-17"')
    statements = tree.get("Statement")
    listed = [statements] if isinstance(statements, dict) else statements
    if not isinstance(listed, list) or not listed:
        raise PolicyError("Statement must be an object or a list of objects")
    parsed = tuple(
        _statement(each, f"Statement[{number}]", trust=trust, variables=version == "2012-10-17")
        for number, each in enumerate(listed)
    )
    return Policy(parsed, any(_mentions_resource_tags(statement) for statement in parsed))


def _statement(tree: object, place: str, *, trust: bool, variables: bool) -> Statement:
    if not isinstance(tree, dict):
        raise PolicyError(f"{place} must be an object")
    _only(tree, _ELEMENTS | ({"Principal"} if trust else {"Resource", "NotResource"}), place)
    if tree.get("Effect") not in ("Allow", "Deny"):
        raise PolicyError(f'{place}.Effect must be "Allow" or "Deny"')
    actions, actions_negated = _either(tree, "Action", "NotAction", place)
    for action in actions:
        if not _ACTION.fullmatch(action):
            raise PolicyError(f"{place}: {action!r} is not an action, as in chime:SendChannelMessage or chime:List*")
    resources, resources_negated = ([], False) if trust else _either(tree, "Resource", "NotResource", place)
    for resource in resources:
        if not _RESOURCE.fullmatch(resource):
            raise PolicyError(f"{place}: {resource!r} is neither an ARN nor *")
    return Statement(
        allows=tree["Effect"] == "Allow",
        actions=tuple(pattern(action.lower(), variables=False) for action in actions),
        actions_negated=actions_negated,
        resources=tuple(pattern(resource, variables=variables) for resource in resources),
        resources_negated=resources_negated,
        conditions=tuple(_conditions(tree.get("Condition", {}), f"{place}.Condition", variables)),
        principals=_principals(tree.get("Principal"), f"{place}.Principal") if trust else None,
    )


def _conditions(tree: object, place: str, variables: bool) -> Iterator[Condition]:
    if not isinstance(tree, dict):
        raise PolicyError(f"{place} must be an object")
    for operator, keys in tree.items():
        found = _OPERATOR.fullmatch(operator)
        name = found[2].lower() if found else ""
        if found is None or (name != "null" and name not in _COMPARE):
            raise PolicyError(f"{place}: there is no operator {operator}")
        if name == "null" and (found[1] or found[3]):
            raise PolicyError(f"{place}: Null takes neither a set operator nor IfExists")
        if not isinstance(keys, dict):
            raise PolicyError(f"{place}.{operator} must be an object")
        for key, values in keys.items():
            texts = _texts(values, f"{place}.{operator}.{key}", loose=True)
            if not texts:
                raise PolicyError(f"{place}.{operator}.{key} must not be empty")
            wanted = tuple(pattern(text, variables=variables) for text in texts)
            _require_form(name, wanted, f"{place}.{operator}.{key}")
            if name == "null":
                yield Null(key.lower(), wanted, _equal)
                continue
            compare, negated = _COMPARE[name]
            of_set = found[1].lower() if found[1] else None
            yield Condition(key.lower(), wanted, compare, negated, of_set, found[3] is not None)


def _require_form(operator: str, values: Iterable[Pattern], place: str) -> None:
    """Raises `PolicyError` if a value cannot be compared; of those with variables that is known only later."""
    for kind, (fits, form) in _FORMS.items():
        for value in values if operator.startswith(kind) else ():
            if value.fixed is not None and not fits(value.text({}) or ""):
                raise PolicyError(f"{place}: {value.text({})!r} is not {form}")


def _principals(tree: object, place: str) -> Principals:
    if tree == "*":
        return Principals(aws=frozenset("*"))  # everybody who signs; an identity provider is always named
    if not isinstance(tree, dict) or not tree:
        raise PolicyError(f'{place} must be "*" or an object with AWS, Federated or Service')
    _only(tree, {"AWS", "Federated", "Service"}, place)
    return Principals(
        aws=frozenset(_texts(tree.get("AWS", []), f"{place}.AWS")),
        federated=frozenset(_texts(tree.get("Federated", []), f"{place}.Federated")),
    )


def _either(tree: Mapping[str, Any], name: str, negated: str, place: str) -> tuple[list[str], bool]:
    if (name in tree) is (negated in tree):
        raise PolicyError(f"{place} must have {name} or {negated}, and not both")
    key = name if name in tree else negated
    values = _texts(tree[key], f"{place}.{key}")
    if not values:
        raise PolicyError(f"{place}.{key} must not be empty")
    return values, key == negated


def _texts(value: object, place: str, *, loose: bool = False) -> list[str]:
    """A text or a list of texts; `loose`: numbers and booleans too, as condition values may be."""
    texts = []
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, str):
            texts.append(item)
        elif loose and isinstance(item, bool):
            texts.append("true" if item else "false")
        elif loose and isinstance(item, int | float):
            texts.append(str(item))
        else:
            raise PolicyError(f"{place} must be a text or a list of texts")
    return texts


def _only(tree: Mapping[str, Any], known: set[str], place: str) -> None:
    if unknown := sorted(set(tree) - known):
        raise PolicyError(f"{place} has an element that does not belong there: {unknown[0]}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    tree = dict(pairs)
    if len(tree) != len(pairs):
        raise PolicyError("an object of the document has the same element twice")
    return tree


def _mentions_resource_tags(statement: Statement) -> bool:
    patterns = [*statement.resources, *(value for condition in statement.conditions for value in condition.values)]
    variables = (part.key for each in patterns for part in each.parts if isinstance(part, _Variable))
    return any(
        key.startswith("aws:resourcetag/")
        for key in (*variables, *(condition.key for condition in statement.conditions))
    )
