"""Targets that are URLs."""

import subprocess
import sys


def test_the_first_message_to_a_url_does_not_hold_everybody_up_with_an_import(tmp_path):
    done = subprocess.run(
        [
            *(sys.executable, "-c"),
            "import sys; from campana.processors.invokers.http import HttpInvoker\n"
            "before = 'aiohttp' in sys.modules; HttpInvoker('http://127.0.0.1:9/', 1_000)\n"
            "print(before, 'aiohttp' in sys.modules)",
        ],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert done.stdout == "False True\n"  # a server without such targets does not load it at all
