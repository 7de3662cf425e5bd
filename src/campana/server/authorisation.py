"""The second gate: what the caller's policies say about an operation (spec/identity-auth.md §4).

`chime:<Operation>` must be allowed on the bearer's ARN and on each ARN that the operation declares with `iam`. The
request is not typed yet, so members may be of any form; one that is no text can match `*` only.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from campana.api.base import wire_names
from campana.auth.caller import Caller, Lookup
from campana.auth.policy import Context, context_of, request_context
from campana.clock import Clock
from campana.errors import AccessDenied
from campana.operations.registry import APP_INSTANCE, Inside, Operation
from campana.store import tags

EVERYTHING: Final = "*"

FURTHER_ACTIONS: Final = {
    ("CreateChannel", "ExpirationSettings"): "PutChannelExpirationSettings",
    ("CreateAppInstanceUser", "ExpirationSettings"): "PutAppInstanceUserExpirationSettings",
}
"""What a member asks for beyond the operation, at creation."""


@dataclass(frozen=True, slots=True)
class Authorisation:
    """Asks policies; the tags of resources are read only for policies that mention them."""

    look_up: Lookup
    clock: Clock
    over_tls: bool

    async def require(self, caller: Caller, operation: Operation, members: Mapping[str, Any], peer: str) -> None:
        """Raises AccessDenied with the reason. `members` by the model's names, `peer` the client's address."""
        if caller.unbounded:
            return
        context = self._context(members, peer)
        for resource in resources(operation, members):
            for action in actions(operation, members):
                await self._require(caller, action, resource, context)

    async def require_connect(self, caller: Caller, user_arn: str, peer: str) -> None:
        """Raises AccessDenied unless the caller may open a live session of the user."""
        if not caller.unbounded:
            await self._require(caller, "chime:Connect", user_arn, self._context({}, peer))

    async def _require(self, caller: Caller, action: str, resource: str, context: Context) -> None:
        if caller.mentions_resource_tags and resource != EVERYTHING:
            rows = await self.look_up(lambda tx: tags.of(tx, resource))
            context = {**context, **context_of({f"aws:ResourceTag/{row.key}": row.value for row in rows})}
        decision = caller.may(action, resource, context)
        if not decision.allowed:
            raise AccessDenied(
                f"User: {caller.principal_arn} is not authorized to perform: {action} on resource: {resource} "
                f"{decision.reason}"
            )

    def _context(self, members: Mapping[str, Any], peer: str) -> Context:
        given = dict(_tags(members.get("Tags")))
        values: dict[str, str | list[str]] = {f"aws:RequestTag/{key}": value for key, value in given.items()}
        if keys := [*given, *_texts(members.get("TagKeys"))]:
            values["aws:TagKeys"] = keys
        return {**request_context(self.clock.now(), peer=peer, over_tls=self.over_tls), **context_of(values)}


def resources(operation: Operation, members: Mapping[str, Any]) -> list[str]:
    """The ARNs on which a call must be allowed, the bearer's first; `*` if it has none."""
    names = wire_names(operation.route.request)
    fields = [name for name in ("chime_bearer",) if name in names and names[name] in members]
    found = [_arn(each, names, members) for each in (*fields, *operation.iam)]
    return [each if isinstance(each, str) else EVERYTHING for each in found] or [EVERYTHING]


def _arn(meant: str | Inside, names: Mapping[str, str], members: Mapping[str, Any]) -> Any:
    if isinstance(meant, str):
        return members.get(names[meant])
    app_instance_arn = members.get(names[APP_INSTANCE])
    id = EVERYTHING if meant.id is None else members.get(names[meant.id])
    if not isinstance(app_instance_arn, str) or not isinstance(id, str):
        return None
    return f"{app_instance_arn}/{meant.kind}/{id}"


def actions(operation: Operation, members: Mapping[str, Any]) -> list[str]:
    """The actions that a call consists of."""
    found = [operation.name]
    if members.get("Tags") and operation.name != "TagResource":
        found.append("TagResource")
    found += [
        action for (name, member), action in FURTHER_ACTIONS.items() if name == operation.name and member in members
    ]
    return [f"chime:{name}" for name in found]


def _tags(given: object) -> Iterator[tuple[str, str]]:
    for each in given if isinstance(given, list) else ():
        if isinstance(each, dict):
            key, value = each.get("Key"), each.get("Value")
            if isinstance(key, str) and isinstance(value, str):
                yield key, value


def _texts(given: object) -> list[str]:
    return [each for each in given if isinstance(each, str)] if isinstance(given, list) else []
