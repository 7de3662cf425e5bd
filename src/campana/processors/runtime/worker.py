"""A Lambda runtime client for Python in the standard library alone, for where awslambdaric has no wheel.

Run as `python worker.py FILE.HANDLER` in the function's folder. Imports nothing of Campana: it runs in the worker.
"""

import http.client
import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

PREFIX = "/2018-06-01/runtime"


class LambdaContext:
    """What a handler gets as its second argument."""

    def __init__(self, headers: http.client.HTTPMessage) -> None:
        self.aws_request_id = headers["Lambda-Runtime-Aws-Request-Id"]
        self.invoked_function_arn = headers["Lambda-Runtime-Invoked-Function-Arn"]
        self.function_name = os.environ.get("AWS_LAMBDA_FUNCTION_NAME")
        self.function_version = os.environ.get("AWS_LAMBDA_FUNCTION_VERSION")
        self.memory_limit_in_mb = os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.log_group_name = os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME")
        self.identity = None
        self.client_context = None
        self._deadline_ms = int(headers["Lambda-Runtime-Deadline-Ms"])

    def get_remaining_time_in_millis(self) -> int:
        return max(0, self._deadline_ms - time.time_ns() // 1_000_000)  # noqa: TID251 - the function's clock


def main(lambda_handler: str) -> None:
    """Load the handler, then ask for events and answer them until the server is gone."""
    server = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    sys.path[0] = os.getcwd()  # this file's own folder has no business there
    try:
        handle = load(lambda_handler)
    except Exception as problem:
        post(server, "/init/error", error(problem))
        sys.exit(1)
    while True:
        server.request("GET", f"{PREFIX}/invocation/next")
        answer = server.getresponse()
        event = answer.read()
        if answer.status != 200:
            sys.exit(f"The server answered {answer.status} instead of an event.")
        context = LambdaContext(answer.headers)
        # AWS's SDKs send it along, so that the callback belongs to the trace of the invocation.
        os.environ["_X_AMZN_TRACE_ID"] = answer.headers["Lambda-Runtime-Trace-Id"]
        path = f"/invocation/{context.aws_request_id}"
        try:
            result = json.dumps(handle(json.loads(event), context)).encode()
        except Exception as problem:
            post(server, f"{path}/error", error(problem, context.aws_request_id))
        else:
            post(server, f"{path}/response", result)


def load(lambda_handler: str) -> Callable[[Any, LambdaContext], Any]:
    module, _, name = lambda_handler.rpartition(".")
    handle = getattr(importlib.import_module(module), name, None)
    if not callable(handle):
        raise LookupError(f"Handler '{name}' missing on module '{module}'")
    return handle  # type: ignore[no-any-return]


def post(server: http.client.HTTPConnection, path: str, body: bytes) -> None:
    server.request("POST", PREFIX + path, body, {"Content-Type": "application/json"})
    answer = server.getresponse()
    answer.read()
    if answer.status != 202:
        sys.exit(f"The server refused what the function answered: {answer.status}.")


def error(problem: Exception, request_id: str = "") -> bytes:
    """The problem as Lambda words it; printed, too, without the frames of this file."""
    frames = [frame for frame in traceback.extract_tb(problem.__traceback__) if frame.filename != __file__]
    lines = traceback.format_list(frames)
    print(f"[ERROR] {type(problem).__name__}: {problem}\n{''.join(lines)}", file=sys.stderr, flush=True)
    told = {
        "errorMessage": str(problem),
        "errorType": type(problem).__name__,
        "requestId": request_id,
        "stackTrace": lines,
    }
    return json.dumps(told).encode()


if __name__ == "__main__":
    main(sys.argv[1])
