"""The committed contract is the one the service models say."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_the_generated_files_are_current():
    check = subprocess.run(
        [sys.executable, "tools/generate_api.py", "--check"], cwd=ROOT, capture_output=True, text=True
    )

    assert (check.returncode, check.stderr) == (0, "")


def test_the_server_does_not_need_botocore_for_its_contract():
    code = "import sys, campana.wire.codec, campana.wire.router; sys.exit('botocore' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
