"""Filter rules of membership preferences: which messages a member is notified of (spec/integrations.md §3).

Pure. A rule is a JSON object: keys are attribute names, values lists of alternatives, each a string or
`{"anything-but": ["…"]}`; several keys all have to hold; `"$or"` holds alternatives of such objects.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

RULE_BYTES_MAX: Final = 2048
OR_CONSTRAINTS_MAX: Final = 5
COMPLEXITY_MAX: Final = 20

Rule = Mapping[str, Any]


class NotARule(ValueError):
    """The text is no filter rule; the message says why."""


def parse(text: str) -> Rule:
    """The rule; raises `NotARule`."""
    if len(text.encode()) > RULE_BYTES_MAX:
        raise NotARule(f"it may have {RULE_BYTES_MAX} bytes at most")
    try:
        rule = msgspec.json.decode(text.encode())
    except (msgspec.DecodeError, RecursionError):
        raise NotARule("it is not JSON") from None
    if _complexity(rule) > COMPLEXITY_MAX:
        raise NotARule(f"its keys and values may be {COMPLEXITY_MAX} at most")
    return rule  # type: ignore[no-any-return]  # _complexity has looked at every part


def _complexity(rule: Any) -> int:
    """How many keys and values it has; raises `NotARule` for a part of another form."""
    if not isinstance(rule, dict) or not rule:
        raise NotARule("an object with at least one key is expected")
    total = 0
    for name, alternatives in rule.items():
        if not isinstance(alternatives, list) or not alternatives:
            raise NotARule("the value of each key must be a list that is not empty")
        if name == "$or":
            if len(alternatives) > OR_CONSTRAINTS_MAX:
                raise NotARule(f"$or may have {OR_CONSTRAINTS_MAX} constraints at most")
            total += sum(_complexity(each) for each in alternatives)
        else:
            total += 1 + sum(_values(each) for each in alternatives)
    return total


def _values(alternative: Any) -> int:
    if isinstance(alternative, str):
        return 1
    if isinstance(alternative, dict) and alternative.keys() == {"anything-but"}:
        excluded = alternative["anything-but"]
        if isinstance(excluded, list) and excluded and all(isinstance(value, str) for value in excluded):
            return len(excluded)
    raise NotARule('each alternative must be a string or {"anything-but": [strings]}')


def matches(rule: Rule, attributes: Mapping[str, Sequence[str]]) -> bool:
    """Whether a message with these attributes passes."""
    return all(
        any(matches(each, attributes) for each in alternatives)
        if name == "$or"
        else any(_passes(each, attributes.get(name)) for each in alternatives)
        for name, alternatives in rule.items()
    )


def _passes(alternative: Any, values: Sequence[str] | None) -> bool:
    if isinstance(alternative, str):
        return values is not None and alternative in values
    return values is None or not set(alternative["anything-but"]) & set(values)
