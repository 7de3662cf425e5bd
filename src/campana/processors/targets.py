"""From the settings to invokers: which target a function's ARN has, and the local runtime for those in files."""

from collections.abc import Callable, Mapping

from campana.clock import Clock, Ids
from campana.processors.invokers import Invoker
from campana.processors.invokers.http import HttpInvoker
from campana.processors.invokers.in_process import InProcessInvoker
from campana.processors.invokers.lambda_endpoint import LambdaInvoker
from campana.processors.invokers.local import LocalInvoker
from campana.processors.runtime import FunctionLine, FunctionSpec, LocalRuntime, NotRunnable
from campana.settings import HttpEndpoint, InProcess, LambdaEndpoint, LocalFunction, Processor, Settings, SetupError

HTTP_ARNS_MAX = 1_000  # processors whose ResourceArn is a URL: one invoker is kept for each


class Targets:
    """The invoker for each function ARN. `environment` is what local functions get to call back with."""

    def __init__(
        self,
        settings: Settings,
        environment: Mapping[str, str],
        log_line: Callable[[FunctionLine], None],
        clock: Clock,
        ids: Ids,
    ) -> None:
        """Raises SetupError for a target that can't work."""
        self._settings = settings
        self._invokers: dict[Processor, Invoker] = {}
        specs = _specs(settings.processors)
        try:
            self._runtime = LocalRuntime(
                specs.values(), environment, log_line, clock, ids, reload=settings.flows.reload_processors
            )
        except NotRunnable as error:
            raise SetupError(str(error)) from error
        for entry in settings.processors:
            self._invokers[entry] = self._made(entry, specs)

    def _made(self, entry: Processor, specs: Mapping[Processor, FunctionSpec]) -> Invoker:
        match entry.target:
            case LocalFunction():
                return LocalInvoker(self._runtime, specs[entry].name, entry.on_error)
            case InProcess(module, function):
                return InProcessInvoker(module, function, entry.concurrency)
            case HttpEndpoint(url):
                return HttpInvoker(url, self._settings.flows.attempt_timeout_ms)
            case LambdaEndpoint():
                return LambdaInvoker(self._settings.account.region, self._settings.flows.attempt_timeout_ms)

    def invoker_for(self, resource_arn: str) -> Invoker | None:
        """The invoker of the longest matching entry; None: no target is configured for this function."""
        entry = self._settings.processor_for(resource_arn)
        if entry is None:
            return None
        if entry not in self._invokers:  # a ResourceArn that is a URL itself
            if len(self._invokers) >= HTTP_ARNS_MAX:
                return None
            self._invokers[entry] = self._made(entry, {})
        return self._invokers[entry]

    async def start(self) -> None:
        """Choose runtime clients and warm workers up; raises SetupError."""
        try:
            await self._runtime.start()
        except NotRunnable as error:
            raise SetupError(str(error)) from error

    async def stop(self) -> None:
        """End the workers; invocations under way end as Stopped."""
        await self._runtime.stop()
        for invoker in self._invokers.values():
            await invoker.close()


def _specs(entries: tuple[Processor, ...]) -> dict[Processor, FunctionSpec]:
    """A function for each entry with a file, named as in its ARN, else as its file; names are unique."""
    specs: dict[Processor, FunctionSpec] = {}
    taken: set[str] = set()
    for entry in entries:
        if not isinstance(entry.target, LocalFunction):
            continue
        stem = entry.arn.partition(":function:")[2].partition(":")[0] or entry.target.path.stem
        name = stem
        number = 1
        while name in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name)
        try:
            specs[entry] = FunctionSpec(
                name=name,
                path=entry.target.path,
                handler=entry.target.handler,
                timeout_s=entry.timeout_ms / 1000,
                memory_mb=entry.memory_mb,
                concurrency=entry.concurrency,
                arn=entry.arn if ":function:" in entry.arn else "",
            )
        except NotRunnable as error:
            raise SetupError(str(error)) from error
    return specs
