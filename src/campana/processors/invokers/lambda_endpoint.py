"""The real Lambda `Invoke` API through boto3, which honours AWS_ENDPOINT_URL_LAMBDA and the usual credentials."""

import asyncio
from typing import Any

from campana import tracing
from campana.flows.execution import Invocation
from campana.processors.invokers import Accepted, Outcome, Unreachable


class LambdaInvoker:
    """Asynchronous invocation (`Event`): Lambda answers 202 and keeps the event itself from then on."""

    def __init__(self, region: str, timeout_ms: int) -> None:
        self._region = region
        self._timeout_s = timeout_ms / 1000
        self._client: Any = None

    async def invoke(self, invocation: Invocation) -> Outcome:
        return await asyncio.to_thread(self._invoke, invocation)

    def _invoke(self, invocation: Invocation) -> Outcome:
        import boto3  # half a second, which a server without such targets does not spend
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            if self._client is None:
                patience = Config(
                    connect_timeout=self._timeout_s, read_timeout=self._timeout_s, retries={"total_max_attempts": 1}
                )
                client = boto3.session.Session().client("lambda", region_name=self._region, config=patience)
                client.meta.events.register("before-sign.lambda.Invoke", _add_trace)
                self._client = client
            self._client.invoke(FunctionName=invocation.resource_arn, InvocationType="Event", Payload=invocation.event)
        except ClientError as error:
            return Unreachable(f"Lambda answered {error.response.get('Error', {}).get('Code', 'an error')}.")
        except BotoCoreError as error:
            return Unreachable(f"Lambda could not be reached: {type(error).__name__}.")
        return Accepted()

    async def close(self) -> None:
        """Nothing to let go of."""


def _add_trace(request: Any, **_: Any) -> None:
    """Lambda hands this header on to the function. An asynchronous invocation's client context it does not."""
    if trace := tracing.for_aws(tracing.current().traceparent):
        request.headers["X-Amzn-Trace-Id"] = trace
