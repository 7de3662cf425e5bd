"""Which Lambda runtime client runs a function's file: AWS's own where it is installed, else a small one of ours."""

import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from campana.processors.runtime.functions import NODE_SUFFIXES, PYTHON_SUFFIXES, FunctionSpec, NotRunnable

OURS = Path(__file__).parent
NODE_RIC = "aws-lambda-ric"


@dataclass(frozen=True, slots=True)
class Client:
    """How to start a worker: `command` in the function's folder; `label` says in the log what it is."""

    label: str
    command: tuple[str, ...]


def choose(spec: FunctionSpec, environ: Mapping[str, str], *, own: bool = False) -> Client:
    """The client for this function's language; `own` asks for ours. Raises NotRunnable where there is none."""
    if not spec.path.is_file():
        raise NotRunnable(f"{spec.name}: there is no file {spec.path}.")
    if "." in spec.path.stem:
        raise NotRunnable(f"{spec.name}: the name of {spec.path.name} may hold no other '.' than the suffix's.")
    if spec.path.suffix in PYTHON_SUFFIXES:
        return _python(spec, own)
    if spec.path.suffix in NODE_SUFFIXES:
        return _node(spec, environ, own)
    raise NotRunnable(f"{spec.name}: {spec.path.name} is neither a Python nor a JavaScript file.")


def _python(spec: FunctionSpec, own: bool) -> Client:
    if not sys.executable:
        raise NotRunnable(f"{spec.name}: this Python does not know its own program, so it cannot start workers.")
    # The package can be there without its native part.
    if not own and util.find_spec("awslambdaric") and util.find_spec("runtime_client"):
        label = f"awslambdaric {metadata.version('awslambdaric')}"
        return Client(label, (sys.executable, "-m", "awslambdaric", spec.lambda_handler))
    return Client("Campana's own Python client", (sys.executable, str(OURS / "worker.py"), spec.lambda_handler))


def _node(spec: FunctionSpec, environ: Mapping[str, str], own: bool) -> Client:
    search = environ.get("PATH")
    node = shutil.which("node", path=search)
    if node is None:
        raise NotRunnable(f"{spec.name}: Node.js is not on the PATH.")
    ric = None if own else _node_ric(spec, environ)
    if ric and _finds_this_file(spec):
        return Client(f"{NODE_RIC} {_version(ric)}", (node, str(ric), spec.lambda_handler))
    ours = (node, str(OURS / "worker.mjs"), str(spec.path.absolute()), spec.handler)
    return Client("Campana's own Node.js client", ours)


def _node_ric(spec: FunctionSpec, environ: Mapping[str, str]) -> Path | None:
    """Named by CAMPANA_NODE_RIC, else installed next to the function or above it, else on the PATH."""
    if named := environ.get("CAMPANA_NODE_RIC"):
        if not (found := shutil.which(named, path=environ.get("PATH"))):
            raise NotRunnable(f"CAMPANA_NODE_RIC names {named}, which cannot be run.")
        return Path(found).resolve()
    for folder in (spec.folder, *spec.folder.parents):
        candidate = folder / "node_modules" / ".bin" / NODE_RIC
        if candidate.is_file():
            return candidate.resolve()
    found = shutil.which(NODE_RIC, path=environ.get("PATH"))
    return Path(found).resolve() if found else None


def _finds_this_file(spec: FunctionSpec) -> bool:
    """aws-lambda-ric is told no suffix and would take index.js before index.mjs."""
    return [path.suffix for path in spec.folder.glob(f"{spec.path.stem}.*js")] == [spec.path.suffix]


def _version(ric: Path) -> str:
    """Of the package that this file is in: at its top, in older versions in its bin folder."""
    for folder in ric.parents[:2]:
        try:
            return str(json.loads((folder / "package.json").read_text())["version"])
        except (OSError, ValueError, LookupError, TypeError):
            continue
    return "of unknown version"
