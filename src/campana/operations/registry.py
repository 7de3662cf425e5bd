"""`@operation`: what is declared about an operation beside its function, and the table of all of them."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec

from campana.api.base import Route, Shape
from campana.api.routes import BY_OPERATION
from campana.arn import Kind
from campana.auth.roles import Rows
from campana.limits import Rate
from campana.store.database import Tx
from campana.unit_of_work import Call

F = TypeVar("F", bound=Callable[..., Any])
Prepare = Callable[[Tx, Any, int], object]
"""(transaction, request, now) → what the operation wants to know from before it queued for the lock."""


@dataclass(frozen=True, slots=True)
class Inside:
    """What policies are matched against where a request names an app instance and something in it, but not by ARN."""

    kind: Kind
    id: str | None = None
    """The request's field with the id; without, all of that kind are meant."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: its route, its function, and what dispatch does around it."""

    route: Route
    run: Callable[[Call, Any], Shape | None]
    on: str | None
    """The request's field that holds the resource the call is about; its row is locked for writing calls."""
    allow: Rows
    iam: "tuple[str | Inside, ...]"
    """The request's fields whose ARNs policies are matched against, beside the bearer's; all are required members."""
    reads: bool
    """Whether it runs in a transaction that only reads."""
    rate: Rate | None
    """How often it may be called, beside what holds for every call of a bearer."""
    prepare: Prepare | None
    together: bool
    """Whether it writes only what belongs to the resource it is about: such calls may share a transaction."""

    @property
    def name(self) -> str:
        return self.route.operation


APP_INSTANCE: Final = "app_instance_arn"
OPERATIONS: Final[dict[str, Operation]] = {}


def operation(
    *,
    on: str | None,
    allow: Rows | list[set[Any]],
    iam: tuple[str | Inside, ...] | None = None,
    reads: bool | None = None,
    rate: Rate | None = None,
    prepare: Prepare | None = None,
    together: bool = False,
) -> Callable[[F], F]:
    """Declare the function below as the operation of its name.

    `allow`: who may call, as rows of facts (auth/roles.py). `iam`: by default `on`; an empty one without a bearer
    stands for the resource `*`. `reads`: by default whether the method is GET. `rate`: a row of limits.py. `together`:
    it writes only what belongs to `on`, and nothing that others look up ahead (store/standing.py).
    Raises TypeError at import if name or annotations disagree with the contract.
    """
    matched = iam if iam is not None else () if on is None else (on,)

    def register(function: F) -> F:
        name = "".join(word.capitalize() for word in function.__name__.split("_"))
        route = BY_OPERATION.get(name)
        if route is None:
            raise TypeError(f"{function.__name__}: the API has no operation {name}")
        signature = inspect.signature(function)
        request = list(signature.parameters.values())[1].annotation
        if request is not route.request or signature.return_annotation is not route.response:
            raise TypeError(f"{function.__name__}: the shapes of {name} are {route.request} and {route.response}")
        if on is not None and on not in route.request.__struct_fields__:
            raise TypeError(f"{function.__name__}: {name} has no member {on}")
        required = {field.name for field in msgspec.structs.fields(route.request) if field.required}
        asked = {name for each in matched for name in ((each,) if isinstance(each, str) else (APP_INSTANCE, each.id))}
        if not required.issuperset(asked - {None}):  # what may be left out would not be authorised
            raise TypeError(f"{function.__name__}: not all of {matched} are required members of {name}")
        OPERATIONS[name] = Operation(
            route=route,
            run=function,
            on=on,
            allow=tuple(frozenset(row) for row in allow),
            iam=matched,
            reads=route.method == "GET" if reads is None else reads,
            rate=rate,
            prepare=prepare,
            together=together,
        )
        return function

    return register
