"""The environment of a worker: what Lambda sets, on a base so small that no secret of the server slips through."""

import sys
from collections.abc import Mapping

from campana.processors.runtime.functions import PYTHON_SUFFIXES, FunctionSpec

BASE = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR",
        "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")  # fmt: skip


def of_worker(
    spec: FunctionSpec, runtime_api: str, given: Mapping[str, str], server: Mapping[str, str], *, reload: bool = False
) -> dict[str, str]:
    """All variables of a worker that speaks to `runtime_api` (host:port).

    Later ones win: a few of the server's own, defaults, the given ones, the function's, what Lambda reserves.
    """
    folder = str(spec.folder)
    environment = {name: server[name] for name in BASE if name in server}
    environment.setdefault("LANG", "C.UTF-8")
    environment |= {
        "TZ": ":UTC",
        "PYTHONUNBUFFERED": "1",
        "AWS_EC2_METADATA_DISABLED": "true",  # without keys an SDK would wait for a metadata service
    }
    environment |= given
    environment |= spec.environment
    environment |= {
        "AWS_LAMBDA_RUNTIME_API": runtime_api,
        "AWS_LAMBDA_FUNCTION_NAME": spec.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(spec.memory_mb),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{spec.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": "local",
        "LAMBDA_TASK_ROOT": folder,
        "_HANDLER": spec.lambda_handler,
    }
    if spec.path.suffix in PYTHON_SUFFIXES:
        environment["AWS_EXECUTION_ENV"] = f"AWS_Lambda_python{sys.version_info.major}.{sys.version_info.minor}"
        environment["PYTHONPATH"] = ":".join(filter(None, (folder, environment.get("PYTHONPATH"))))
        if reload:  # compiled files are told apart by whole seconds: too coarse for somebody who saves often
            environment["PYTHONDONTWRITEBYTECODE"] = "1"
    elif spec.memory_mb:
        options = environment.get("NODE_OPTIONS", "")
        environment["NODE_OPTIONS"] = f"--max-old-space-size={spec.memory_mb} {options}".strip()
    return environment
