"""What tests need in order to run the programs of tests/js."""

import shutil
import subprocess
from pathlib import Path

JS = Path(__file__).parent / "js"
NODE_RIC = JS / "ric" / "node_modules" / ".bin" / "aws-lambda-ric"
"""Lambda's own client, where `make node-ric` puts it."""


def why_no_node() -> str:
    """What this machine has not got; empty if it has all."""
    if (node := shutil.which("node")) is None:
        return "Node is not installed"
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.removeprefix("v").partition(".")[0]) < 20:
        return f"Node {version} is older than 20, which the AWS SDK needs"
    if not (JS / "node_modules").is_dir():
        return "tests/js/node_modules is missing: run `make js`"
    return ""
