"""The examples of docs/how-to/clients.md, so that tests can run them as they stand."""

import re
from pathlib import Path

FILE = Path(__file__).parents[2] / "docs" / "how-to" / "clients.md"
URL = "http://127.0.0.1:8600"
"""Where the server is in most examples."""


def block(language: str, containing: str = "") -> str:
    """The example in that language; the one with that text in it, where there are several."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", FILE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    [found] = [each for each in blocks if containing in each]
    return str(found)
