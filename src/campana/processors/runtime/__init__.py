"""The local Lambda runtime: unmodified handlers in files, run by AWS's own runtime clients in processes beside us."""

from campana.processors.runtime.functions import (
    FailureKind,
    FunctionFailed,
    FunctionLine,
    FunctionSpec,
    NotRunnable,
    Returned,
    Source,
    parse_target,
)
from campana.processors.runtime.local import LocalRuntime

__all__ = [
    "FailureKind",
    "FunctionFailed",
    "FunctionLine",
    "FunctionSpec",
    "LocalRuntime",
    "NotRunnable",
    "Returned",
    "Source",
    "parse_target",
]
