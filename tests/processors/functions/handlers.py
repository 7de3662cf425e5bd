"""Lambda handlers of every temper, for the tests of the local runtime."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time


def echo(event, context):
    return {
        "event": event,
        "pid": os.getpid(),
        "cwd": os.getcwd(),
        "path": sys.path,
        "environment": dict(os.environ),
        "request_id": context.aws_request_id,
        "arn": context.invoked_function_arn,
        "name": context.function_name,
        "left_ms": context.get_remaining_time_in_millis(),
    }


def pid(event, context):
    time.sleep(event or 0)
    return os.getpid()


def raises(event, context):
    raise ValueError(f"no {event}")


def returns_what_is_not_json(event, context):
    return object()


def exits(event, context):
    print("on my way out")
    os._exit(3)


def sys_exits(event, context):
    sys.exit(4)


def is_killed(event, context):
    os.kill(os.getpid(), signal.SIGKILL)


def hangs(event, context):
    print(f"pid {os.getpid()}")
    while True:
        signal.pause()


def hangs_with_a_child(event, context):
    child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    print(f"pid {os.getpid()} {child.pid}")
    signal.pause()


def prints(event, context):
    print("out", event)
    print("err", event, file=sys.stderr)
    print("the end", end="")


def prints_anything(event, context):
    os.write(1, b"\xff\xfe not text \x1b[31m\n")
    os.write(2, "größer\n".encode())
    for _ in range(40):
        os.write(1, b"x" * 65_536)
    return "done"


def uses_boto3(event, context):
    import boto3

    return boto3.client("chime-sdk-messaging").meta.endpoint_url


def takes_too_much(event, context):
    return len(bytearray(1 << 30))


def returns_too_much(event, context):
    return "x" * 7_000_000


def asks_the_runtime_api(event, context):
    """The status of each [method, path, headers] in the event; {id} stands for this invocation."""
    statuses = []
    for method, path, headers in event:
        server = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
        server.request(method, "/2018-06-01/runtime" + path.replace("{id}", context.aws_request_id), headers=headers)
        statuses.append(server.getresponse().status)
    return statuses


def sends_garbage(event, context):
    """What comes back for bytes that are no request, and for a head without end."""
    host, port = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
    answers = []
    for start, more in ((b"\x16\x03\x01 hello\r\n\r\n", b""), (b"GET / HTTP/1.1\r\nx: ", b"y" * 65_536)):
        with socket.create_connection((host, int(port))) as server:
            try:
                server.sendall(start)
                while more:
                    server.sendall(more)
                answers.append(server.recv(100).decode())
            except OSError:
                answers.append("")
    return answers
