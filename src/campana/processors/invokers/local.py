"""Functions in files, run by the local Lambda runtime (processors/runtime)."""

from campana.flows.execution import Invocation
from campana.processors.invokers import Accepted, Failed, Outcome, Stopped, Unreachable
from campana.processors.runtime import FailureKind, FunctionFailed, LocalRuntime
from campana.settings import OnError


class LocalInvoker:
    """One function. Its queue is memory, so the event counts as accepted when the function has ended."""

    def __init__(self, runtime: LocalRuntime, name: str, on_error: OnError) -> None:
        self._runtime = runtime
        self._name = name
        self._on_error = on_error

    async def invoke(self, invocation: Invocation) -> Outcome:
        try:
            await self._runtime.invoke(self._name, invocation.event)
        except FunctionFailed as failure:
            if failure.kind is FailureKind.STOPPED:
                return Stopped()
            reason = f"{failure.kind.value}: {failure.message}"
            return Unreachable(reason) if self._on_error is OnError.FALLBACK else Failed(reason, failure.stack)
        return Accepted()

    async def close(self) -> None:
        """The runtime is stopped by whoever started it."""
