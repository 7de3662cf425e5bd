"""The pages of the documentation that are read off the program are current."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_generated_pages_are_current() -> None:
    check = [sys.executable, "tools/generate_docs.py", "--check"]

    run = subprocess.run(check, cwd=ROOT, capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stderr
