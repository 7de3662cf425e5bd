"""Runs command lines of the AWS CLI (version 1), each in a process of its own, forked when the CLI has been loaded.

Loading takes most of a command's time, and a story has many commands. Each line of input is a JSON list, the words
after `aws`; each line of output an object: `code`, `output`, `errors`. Behind the fork is what the program `aws` does.
"""

import json
import os
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

from awscli.clidriver import create_clidriver


def main() -> None:
    driver = create_clidriver()
    loader = driver.session.get_component("data_loader")
    for service in ("chime-sdk-messaging", "chime-sdk-identity"):
        for kind in ("service-2", "endpoint-rule-set-1"):
            loader.load_service_model(service, kind)
    for line in sys.stdin:
        answer = forked(driver, json.loads(line))
        print(json.dumps(answer), flush=True)


def forked(driver: Any, words: Sequence[str]) -> dict[str, Any]:
    """What the command printed, and its exit code."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = os.fork()
        if process == 0:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(output.fileno(), 1)
            os.dup2(errors.fileno(), 2)
            code = driver.main(words)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        _, status = os.waitpid(process, 0)
        output.seek(0)
        errors.seek(0)
        return {
            "code": os.waitstatus_to_exitcode(status),
            "output": output.read().decode(),
            "errors": errors.read().decode(),
        }


if __name__ == "__main__":
    main()
