"""IAM policies: which requests documents allow, and which documents are none."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from campana.auth import policy
from campana.auth.policy import Policy, PolicyError, Request, Verdict, context_of, evaluate, parse, parse_trust

APP = "arn:aws:chime:us-east-1:123456789012:app-instance/AI"
ANN, LOBBY = f"{APP}/user/ann", f"{APP}/channel/lobby"
SEND = "chime:SendChannelMessage"


def document(*statements: dict[str, Any], version: str = "2012-10-17") -> str:
    return json.dumps({"Version": version, "Statement": list(statements)})


def statement(effect: str = "Allow", **elements: Any) -> dict[str, Any]:
    """About everything, unless the elements say otherwise."""
    about: dict[str, Any] = {"Effect": effect}
    if "NotAction" not in elements:
        about["Action"] = "*"
    if "NotResource" not in elements:
        about["Resource"] = "*"
    return about | elements


def allows(*statements: dict[str, Any], action: str = SEND, resource: str = LOBBY, **context: Any) -> bool:
    return evaluate([parse(document(*statements))], Request(action, resource, context_of(context))).allowed


def condition(operator: str, key: str, values: Any, **context: Any) -> bool:
    """Whether a condition holds where `context` has the keys, `_` standing for `:` and `__` for `/`."""
    found = {name.replace("__", "/").replace("_", ":"): value for name, value in context.items()}
    held = allows(statement(Condition={operator: {key: values}}), **found)
    if all(isinstance(value, str) for value in found.values()):  # with several values the two are cautious in turn
        denied = not allows(statement(), statement("Deny", Condition={operator: {key: values}}), **found)
        assert denied is held, "a condition means the same in a denial"
    return held


# Actions and resources.


@pytest.mark.parametrize(
    ("pattern", "allowed"),
    [
        ("*", True),
        ("chime:*", True),
        ("chime:SendChannelMessage", True),
        ("CHIME:sendchannelmessage", True),
        ("chime:Send*", True),
        ("chime:*Message", True),
        ("chime:Send*Mess*ge", True),
        ("chime:SendChannelMessag?", True),
        ("chime:SendChannelMessage?", False),
        ("chime:Send", False),
        ("chime:List*", False),
        ("sts:*", False),
        (["chime:ListChannels", "chime:SendChannelMessage"], True),
    ],
)
def test_actions(pattern: str | list[str], allowed: bool) -> None:
    assert allows(statement(Action=pattern)) is allowed
    assert allows(statement(NotAction=pattern)) is not allowed
    assert allows(statement(), statement("Deny", Action=pattern)) is not allowed
    assert allows(statement(), statement("Deny", NotAction=pattern)) is allowed


@pytest.mark.parametrize("verb", ["Put", "Get", "Delete"])
def test_old_names_of_the_streaming_actions(verb: str) -> None:
    old = f"chime:{verb}AppInstanceStreamingConfigurations"
    assert allows(statement(Action=old), action=f"chime:{verb}MessagingStreamingConfigurations")
    assert not allows(
        statement(), statement("Deny", Action=old), action=f"chime:{verb}MessagingStreamingConfigurations"
    )
    assert not allows(statement(Action=old), action="chime:PutChannelExpirationSettings")


@pytest.mark.parametrize(
    ("pattern", "allowed"),
    [
        ("*", True),
        (LOBBY, True),
        (f"{APP}/channel/*", True),
        (f"{APP}/channel/l?bby", True),
        (f"{APP}/*", True),
        (f"{APP}*", True),
        ("arn:aws:chime:*:*:app-instance/*/channel/*", True),
        ("arn:aws:chime:us-east-1:123456789012:app-instance/*", True),
        ("arn:aws:chime:*", True),
        ("arn:*", True),
        (f"{APP}/channel/Lobby", False),
        (f"{APP}/channel", False),
        (f"{APP}/channel/lobby/*", False),
        (f"{APP}/channel/lobb", False),
        (f"{APP}/user/*", False),
        ("arn:aws:chime:eu-central-1:*:app-instance/*", False),
        ("arn:aws:chime:us-east-1:123456789012:app-instance/AI?channel?lobby", True),
        ([ANN, LOBBY], True),
    ],
)
def test_resources(pattern: str | list[str], allowed: bool) -> None:
    assert allows(statement(Resource=pattern)) is allowed
    assert allows(statement(NotResource=pattern)) is not allowed
    assert allows(statement(), statement("Deny", Resource=pattern)) is not allowed
    assert allows(statement(), statement("Deny", NotResource=pattern)) is allowed


def test_without_a_resource_only_a_star_matches() -> None:
    assert allows(statement(), resource="*")
    assert not allows(statement(Resource="arn:*"), resource="*")
    assert allows(statement(NotResource=LOBBY), resource="*")


# Variables.


@pytest.mark.parametrize(
    ("pattern", "context", "allowed"),
    [
        (f"{APP}/user/${{aws:PrincipalTag/AppUserId}}", {"aws:PrincipalTag/AppUserId": "ann"}, True),
        (f"{APP}/user/${{AWS:principaltag/appuserid}}", {"aws:PrincipalTag/AppUserId": "ann"}, True),
        (f"{APP}/user/${{aws:PrincipalTag/AppUserId}}", {"aws:PrincipalTag/AppUserId": "bob"}, False),
        (f"{APP}/user/${{aws:PrincipalTag/AppUserId}}", {"aws:PrincipalTag/AppUserId": "*"}, False),
        (f"{APP}/user/${{aws:PrincipalTag/AppUserId}}", {"aws:PrincipalTag/AppUserId": "?nn"}, False),
        (f"{APP}/user/${{aws:PrincipalTag/AppUserId}}", {"aws:PrincipalTag/AppUserId": ""}, False),
        (f"{APP}/user/${{aws:PrincipalTag/AppUserId}}", {}, False),
        (f"{APP}/user/${{aws:PrincipalTag/AppUserId}}*", {}, False),
        (f"{APP}/user/${{aws:PrincipalTag/AppUserId}}", {"aws:PrincipalTag/AppUserId": ["ann", "bob"]}, False),
        (f"{APP}/user/${{aws:PrincipalTag/AppUserId, 'ann'}}", {}, True),
        (f"{APP}/user/${{aws:PrincipalTag/AppUserId, 'ann'}}", {"aws:PrincipalTag/AppUserId": "bob"}, False),
        (f"{APP}/user/${{cognito-identity.amazonaws.com:sub}}", {"cognito-identity.amazonaws.com:sub": "ann"}, True),
        (f"{APP}/user/a${{aws:username}}n", {"aws:username": "n"}, True),
        (f"{APP}/user/${{*}}", {}, False),
        (f"{APP}/user/an${{?}}", {}, False),
    ],
)
def test_variables(pattern: str, context: dict[str, Any], allowed: bool) -> None:
    assert allows(statement(Resource=pattern), resource=ANN, **context) is allowed


def test_escaped_wildcards_and_dollars_stand_for_themselves() -> None:
    assert allows(statement(Resource=f"{APP}/user/${{*}}${{?}}${{$}}"), resource=f"{APP}/user/*?$")


def test_the_old_version_of_the_language_has_no_variables() -> None:
    old = parse(document(statement(Resource=f"{APP}/user/${{aws:username}}"), version="2008-10-17"))
    asked = context_of({"aws:username": "ann"})
    assert not evaluate([old], Request(SEND, ANN, asked)).allowed
    assert evaluate([old], Request(SEND, f"{APP}/user/${{aws:username}}", asked)).allowed


def test_an_exception_that_cannot_be_told_does_not_widen_what_is_allowed() -> None:
    exception = f"{APP}/user/${{aws:username}}"
    assert not allows(statement(NotResource=exception), resource=ANN)
    assert not allows(statement(), statement("Deny", NotResource=exception), resource=ANN)


def test_a_missing_variable_in_a_condition_equals_nothing() -> None:
    assert not condition("StringEquals", "aws:username", "${aws:PrincipalTag/x}", aws_username="")
    assert condition("StringNotEquals", "aws:username", "${aws:PrincipalTag/x}", aws_username="ann")


# Conditions. Each line: operator, the policy's values, the request's, whether it holds.

TIME = "2026-03-04T05:06:07Z"
OPERATORS: list[tuple[str, Any, str, bool]] = [
    ("StringEquals", "x", "x", True),
    ("StringEquals", "x", "X", False),
    ("StringEquals", "x*", "xy", False),
    ("StringEquals", ["y", "x"], "x", True),
    ("StringNotEquals", "x", "y", True),
    ("StringNotEquals", ["x", "y"], "y", False),
    ("StringEqualsIgnoreCase", "X", "x", True),
    ("StringNotEqualsIgnoreCase", "X", "x", False),
    ("StringLike", "x*z", "xyz", True),
    ("StringLike", "x?z", "xyyz", False),
    ("StringNotLike", "x*", "xyz", False),
    ("stringlike", "x*", "x", True),
    ("BinaryEquals", "QmlnZw==", "QmlnZw==", True),
    ("NumericEquals", 5, "5.0", True),
    ("NumericEquals", "5", "6", False),
    ("NumericEquals", "5", "five", False),
    ("NumericNotEquals", 5, "6", True),
    ("NumericLessThan", 5, "4.9", True),
    ("NumericLessThan", 5, "5", False),
    ("NumericLessThanEquals", 5, "5", True),
    ("NumericGreaterThan", 5, "5", False),
    ("NumericGreaterThan", 5, "10", True),
    ("NumericGreaterThanEquals", 5, "5", True),
    ("DateEquals", TIME, "2026-03-04T06:06:07+01:00", True),
    ("DateEquals", TIME, "1772600767", True),
    ("DateNotEquals", TIME, TIME, False),
    ("DateLessThan", TIME, "2026-03-04T05:06:06Z", True),
    ("DateLessThanEquals", TIME, TIME, True),
    ("DateGreaterThan", TIME, TIME, False),
    ("DateGreaterThan", 1772600766, TIME, True),
    ("DateGreaterThanEquals", TIME, TIME, True),
    ("DateLessThan", TIME, "soon", False),
    ("Bool", "true", "true", True),
    ("Bool", True, "true", True),
    ("Bool", False, "true", False),
    ("IpAddress", "192.0.2.0/24", "192.0.2.7", True),
    ("IpAddress", "192.0.2.7", "192.0.2.7", True),
    ("IpAddress", ["198.51.100.0/24", "192.0.2.0/24"], "203.0.113.1", False),
    ("IpAddress", "2001:db8::/32", "2001:db8::1", True),
    ("IpAddress", "192.0.2.0/24", "not an address", False),
    ("NotIpAddress", "192.0.2.0/24", "192.0.2.7", False),
    ("NotIpAddress", "192.0.2.0/24", "203.0.113.1", True),
    ("ArnEquals", f"{APP}/user/*", ANN, True),
    ("ArnLike", "arn:aws:chime:*:*:app-instance/*", ANN, True),
    ("ArnLike", "arn:aws:*:app-instance/AI/user/ann", ANN, False),
    ("ArnLike", "arn:aws:chime:us-east-1:*", ANN, False),
    ("ArnLike", "*", ANN, False),
    ("ArnLike", f"{APP}/user/*", "ann", False),
    ("ArnNotEquals", f"{APP}/user/*", ANN, False),
    ("ArnNotLike", f"{APP}/user/bob", ANN, True),
]


@pytest.mark.parametrize(("operator", "wanted", "found", "holds"), OPERATORS)
def test_condition_operators(operator: str, wanted: Any, found: str, holds: bool) -> None:
    assert condition(operator, "aws:PrincipalTag/x", wanted, aws_PrincipalTag__x=found) is holds
    assert condition(f"{operator}IfExists", "aws:PrincipalTag/x", wanted, aws_PrincipalTag__x=found) is holds
    assert condition(f"ForAnyValue:{operator}", "aws:PrincipalTag/x", wanted, aws_PrincipalTag__x=found) is holds
    assert condition(f"ForAllValues:{operator}", "aws:PrincipalTag/x", wanted, aws_PrincipalTag__x=found) is holds


@pytest.mark.parametrize("operator", sorted({operator for operator, *_ in OPERATORS}))
def test_a_key_that_is_absent(operator: str) -> None:
    value = next(wanted for name, wanted, *_ in OPERATORS if name == operator)
    assert condition(operator, "aws:PrincipalTag/x", value) is ("Not" in operator)
    assert condition(f"{operator}IfExists", "aws:PrincipalTag/x", value)
    assert condition(f"ForAllValues:{operator}", "aws:PrincipalTag/x", value)
    assert not condition(f"ForAnyValue:{operator}", "aws:PrincipalTag/x", value)
    assert condition(f"ForAnyValue:{operator}IfExists", "aws:PrincipalTag/x", value)


@pytest.mark.parametrize(
    ("operator", "wanted", "found", "holds"),
    [
        ("ForAllValues:StringEquals", ["a", "b"], ["a"], True),
        ("ForAllValues:StringEquals", ["a", "b"], ["a", "b"], True),
        ("ForAllValues:StringEquals", ["a", "b"], ["a", "c"], False),
        ("ForAllValues:StringNotEquals", ["a", "b"], ["c", "d"], True),
        ("ForAllValues:StringNotEquals", ["a", "b"], ["c", "a"], False),
        ("ForAnyValue:StringEquals", ["a", "b"], ["c", "a"], True),
        ("ForAnyValue:StringEquals", ["a", "b"], ["c"], False),
        ("ForAnyValue:StringNotEquals", ["a", "b"], ["a", "c"], True),
        ("ForAnyValue:StringNotEquals", ["a", "b"], ["a", "b"], False),
        ("forallvalues:StringLike", ["a*"], ["a1", "a2"], True),
        ("ForAllValues:StringEquals", ["a"], [], True),
        ("ForAnyValue:StringEquals", ["a"], [], False),
    ],
)
def test_keys_with_several_values(operator: str, wanted: Any, found: list[str], holds: bool) -> None:
    assert condition(operator, "aws:TagKeys", wanted, aws_TagKeys=found) is holds


def test_in_doubt_an_operator_without_a_set_does_not_widen_what_is_allowed() -> None:
    only_team = {"StringEquals": {"aws:TagKeys": "team"}}
    assert allows(statement(Condition=only_team), **{"aws:TagKeys": ["team"]})
    assert not allows(statement(Condition=only_team), **{"aws:TagKeys": ["team", "admin"]})
    assert not allows(statement(), statement("Deny", Condition=only_team), **{"aws:TagKeys": ["team", "admin"]})
    not_admin = {"StringNotEquals": {"aws:TagKeys": "admin"}}
    assert not allows(statement(Condition=not_admin), **{"aws:TagKeys": ["team", "admin"]})


def test_tags_whose_keys_differ_in_case_only_must_all_fit() -> None:
    mine = statement(Condition={"StringEquals": {"aws:ResourceTag/team": "blue"}})
    assert allows(mine, **{"aws:ResourceTag/Team": "blue"})
    for first, second in (("blue", "red"), ("red", "blue")):
        assert not allows(mine, **{"aws:ResourceTag/Team": first, "aws:ResourceTag/team": second})


@pytest.mark.parametrize(
    ("wanted", "context", "holds"),
    [
        ("true", {}, True),
        ("false", {}, False),
        (True, {}, True),
        ("true", {"aws_PrincipalTag__x": "y"}, False),
        ("FALSE", {"aws_PrincipalTag__x": ""}, True),
    ],
)
def test_null(wanted: Any, context: dict[str, str], holds: bool) -> None:
    assert condition("Null", "aws:PrincipalTag/x", wanted, **context) is holds


def test_all_conditions_of_a_statement_must_hold() -> None:
    both = {"StringEquals": {"aws:username": "ann", "aws:PrincipalTag/x": "y"}, "Bool": {"aws:SecureTransport": "true"}}
    context = {"aws:username": "ann", "aws:PrincipalTag/x": "y", "aws:SecureTransport": "true"}
    assert allows(statement(Condition=both), **context)
    for key in context:
        assert not allows(statement(Condition=both), **(context | {key: "other"}))


def test_the_keys_that_every_request_has() -> None:
    context = policy.request_context(1_772_600_767_089, peer="192.0.2.7", over_tls=True)
    assert context == context_of(
        {
            "aws:CurrentTime": TIME,
            "aws:EpochTime": "1772600767",
            "aws:SecureTransport": "true",
            "aws:SourceIp": "192.0.2.7",
        }
    )
    assert "aws:sourceip" not in policy.request_context(0, peer="", over_tls=False)


# What several statements and policies say together.


def test_nothing_is_allowed_that_no_statement_allows() -> None:
    assert not evaluate([], Request(SEND, LOBBY, {})).allowed


def test_a_denial_wins_wherever_it_stands() -> None:
    for statements in (
        [statement(), statement("Deny", Action=SEND)],
        [statement("Deny", Action=SEND), statement()],
    ):
        assert not allows(*statements)
        assert allows(*statements, action="chime:ListChannels")
    split = [parse(document(statement("Deny", Action=SEND))), parse(document(statement()))]
    assert not evaluate(split, Request(SEND, LOBBY, {})).allowed


@pytest.mark.parametrize(
    ("policies", "session", "reason"),
    [
        ([statement()], statement(Action="chime:*"), None),
        ([statement()], statement(Action="chime:List*"), f"because no session policy allows the {SEND} action"),
        ([statement(Action="chime:List*")], None, f"because no identity-based policy allows the {SEND} action"),
        ([statement(Action="chime:List*")], statement(), f"because no identity-based policy allows the {SEND} action"),
        ([statement("Deny")], None, "with an explicit deny in an identity-based policy"),
        ([statement()], statement("Deny"), "with an explicit deny in a session policy"),
        ([], statement("Deny"), "with an explicit deny in a session policy"),
    ],
)
def test_reasons(policies: list[dict[str, Any]], session: dict[str, Any] | None, reason: str | None) -> None:
    narrowed = parse(document(session)) if session else None
    decision = evaluate([parse(document(each)) for each in policies], Request(SEND, LOBBY, {}), narrowed)
    assert decision == policy.Decision(reason is None, reason or "")


# Documents that are none.

MALFORMED: list[tuple[Any, str]] = [
    ("", "not JSON"),
    ("{", "not JSON"),
    ("[]", "must be a JSON object"),
    ("null", "must be a JSON object"),
    ('{"Version": "2012-10-17"}', "Statement must be"),
    ('{"Version": "2012-10-17", "Statement": []}', "Statement must be"),
    ('{"Version": "2012-10-17", "Version": "2012-10-17"}', "twice"),
    ({"Version": "2015-01-01", "Statement": [statement()]}, "Version must be"),
    ({"Version": "2012-10-17", "Statement": [statement()], "Statements": []}, "does not belong there: Statements"),
    ({"Version": "2012-10-17", "Statement": ["x"]}, "Statement[0] must be an object"),
    (statement("allow"), 'Effect must be "Allow" or "Deny"'),
    (statement(Effects="Allow"), "does not belong there: Effects"),
    (statement(Principal="*"), "does not belong there: Principal"),
    (statement(NotAction="*") | {"Action": "*"}, "must have Action or NotAction, and not both"),
    ({"Effect": "Allow", "Resource": "*"}, "must have Action or NotAction"),
    ({"Effect": "Allow", "Action": "*"}, "must have Resource or NotResource"),
    (statement(Action=[]), "Action must not be empty"),
    (statement(Action=[1]), "must be a text or a list of texts"),
    (statement(Action="SendChannelMessage"), "is not an action"),
    (statement(Action="chime:Send Channel"), "is not an action"),
    (statement(Resource=[]), "Resource must not be empty"),
    (statement(Resource="lobby"), "is neither an ARN nor *"),
    (statement(Resource="arn:aws:chime"), "is neither an ARN nor *"),
    (statement(Resource=f"{APP}/user/${{}}"), "is not a policy variable"),
    (statement(Resource=f"{APP}/user/${{aws:username, ann}}"), "is not a policy variable"),
    (statement(Condition=[]), "Condition must be an object"),
    (statement(Condition={"StringEquals": "x"}), "StringEquals must be an object"),
    (statement(Condition={"StringSame": {"aws:username": "x"}}), "there is no operator StringSame"),
    (statement(Condition={"ForSome:StringEquals": {"aws:username": "x"}}), "there is no operator"),
    (statement(Condition={"ForAllValues:Null": {"aws:username": "true"}}), "Null takes neither"),
    (statement(Condition={"StringEquals": {"aws:username": []}}), "must not be empty"),
    (statement(Condition={"StringNotEquals": {"aws:username": [None]}}), "must be a text"),
    (statement(Condition={"NotIpAddress": {"aws:SourceIp": "10.0.0.0/33"}}), "is not an IP address"),
    (statement(Condition={"NumericNotEquals": {"aws:EpochTime": "five"}}), "is not a number"),
    (statement(Condition={"DateNotEqualsIfExists": {"aws:CurrentTime": "soon"}}), "is not a date"),
    (statement(Condition={"Bool": {"aws:SecureTransport": "yes"}}), 'is not "true" or "false"'),
    (statement(Condition={"Null": {"aws:username": "maybe"}}), 'is not "true" or "false"'),
    ("[" * 20_000, "nested too deeply"),
    (" " * 20_481, "longer than"),
]


@pytest.mark.parametrize(("given", "message"), MALFORMED)
def test_malformed_documents(given: Any, message: str) -> None:
    if isinstance(given, dict):
        given = json.dumps(given) if "Statement" in given else document(given)
    with pytest.raises(PolicyError) as error:
        parse(given)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        ({}, "Principal must be"),
        ({"Principal": "ann"}, "Principal must be"),
        ({"Principal": {"Canonical": "x"}}, "does not belong there: Canonical"),
        ({"Principal": "*", "Resource": "*"}, "does not belong there: Resource"),
        ({"NotPrincipal": {"AWS": "x"}, "Principal": "*"}, "does not belong there: NotPrincipal"),
    ],
)
def test_malformed_trust(elements: dict[str, Any], message: str) -> None:
    with pytest.raises(PolicyError) as error:
        parse_trust(document({"Effect": "Allow", "Action": "sts:AssumeRole", **elements}))
    assert message in str(error.value)


# What must always hold.

SIGNS = st.text("ab*?", max_size=8)


def matches(pattern: str, text: str) -> bool:
    """Wildcards, the slow and simple way."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(matches(pattern[1:], text[start:]) for start in range(len(text) + 1))
    return bool(text) and pattern[0] in ("?", text[0]) and matches(pattern[1:], text[1:])


@given(SIGNS, st.text("ab\n", max_size=8))
@example("*a*", "ba")
@example("a*ab", "aab")
def test_wildcards_match_what_they_say(pattern: str, text: str) -> None:
    assert policy.pattern(pattern, variables=True).matches(text, {}) is matches(pattern, text)


@given(SIGNS, SIGNS, SIGNS, st.text("ab*", max_size=8))
def test_the_value_of_a_variable_stands_for_itself(before: str, value: str, after: str, text: str) -> None:
    ends = [
        (text[:start], text[start + len(value) :]) for start in range(len(text) + 1) if text[start:].startswith(value)
    ]
    expected = any(matches(before, head) and matches(after, tail) for head, tail in ends)
    assert policy.pattern(before + "${k}" + after, variables=True).matches(text, {"k": (value,)}) is expected


NAMES = st.sampled_from(["chime:SendChannelMessage", "chime:Send*", "chime:ListChannels", "*", "sts:AssumeRole"])
ARNS = st.sampled_from(["*", ANN, LOBBY, f"{APP}/channel/*", f"{APP}/user/${{aws:username}}"])
KEYS = st.sampled_from(["aws:username", "aws:TagKeys", "aws:ResourceTag/x", "aws:SourceIp", "aws:EpochTime"])
VALUES = st.sampled_from(["ann", "", "*", "5", "192.0.2.0/24", "true", TIME, "${aws:username}", ANN, "9" * 40, "NaN"])
CONDITIONS = st.builds(
    lambda of_set, row, if_exists, key: {f"{of_set}{row[0]}{if_exists}": {key: row[1]}},
    st.sampled_from(["", "ForAllValues:", "ForAnyValue:"]),
    st.sampled_from(OPERATORS),
    st.sampled_from(["", "IfExists"]),
    KEYS,
) | st.builds(lambda key, wanted: {"Null": {key: wanted}}, KEYS, st.booleans())
STATEMENTS = st.builds(
    lambda effect, action, resource, condition: {"Effect": effect, **action, **resource, "Condition": condition},
    st.sampled_from(["Allow", "Deny"]),
    st.dictionaries(st.sampled_from(["Action", "NotAction"]), NAMES, min_size=1, max_size=1),
    st.dictionaries(st.sampled_from(["Resource", "NotResource"]), ARNS, min_size=1, max_size=1),
    CONDITIONS | st.just({}),
)
CONTEXTS = st.dictionaries(KEYS, VALUES | st.lists(VALUES, max_size=3)).map(context_of)
REQUESTS = st.builds(Request, NAMES, ARNS, CONTEXTS)


def parsed(statements: list[dict[str, Any]]) -> Policy:
    return parse(document(*statements))


@given(st.lists(STATEMENTS, min_size=1, max_size=4), REQUESTS)
def test_a_denial_that_applies_always_wins_and_nothing_raises(statements: list[Any], request: Request) -> None:
    whole = parsed(statements)
    applying = [each for each in whole.statements if each.applies(request)]
    expected = (
        Verdict.DENIED
        if any(not each.allows for each in applying)
        else Verdict.ALLOWED
        if applying
        else Verdict.NOT_ALLOWED
    )
    assert policy.verdict([whole], request) is expected
    assert evaluate([whole], request).allowed is (expected is Verdict.ALLOWED)


@given(st.lists(STATEMENTS, min_size=1, max_size=3), st.lists(STATEMENTS, min_size=1, max_size=3), REQUESTS)
def test_a_session_policy_never_widens(identity: list[Any], session: list[Any], request: Request) -> None:
    policies = [parsed(identity)]
    if evaluate(policies, request, parsed(session)).allowed:
        assert evaluate(policies, request).allowed


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=10) | NAMES | ARNS,
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["Version", "Statement", "Effect", "Action", "Resource", "Condition", "Bool",
                                       "DateLessThan", "IpAddress", "2012-10-17", "Principal", "AWS"]),
                      inner, max_size=5),
    max_leaves=20,
)  # fmt: skip


@given(JSON | STATEMENTS.map(lambda each: {"Version": "2012-10-17", "Statement": each}) | st.text().map(str))
@example({"Version": "2012-10-17", "Statement": statement(Condition={"DateLessThan": {"a": "0001-01-01T00:00+23:59"}})})
@example({"Version": "2012-10-17", "Statement": statement(Condition={"NumericEquals": {"a": "1e999999999"}})})
def test_whatever_is_no_policy_raises_policy_error(tree: Any) -> None:
    for read in (parse, parse_trust):
        try:
            read(tree if isinstance(tree, str) else json.dumps(tree))
        except PolicyError:
            continue
