"""How the interpreter is set for a server: short turns of threads, and rare collections of garbage."""

import gc
import sys
from typing import Final

SWITCH_INTERVAL_S: Final = 0.0005
"""The store's threads and the event loop share the interpreter: short turns keep the tail of single sends short."""
COLLECTIONS: Final = (20_000, 50, 100)
"""Calls leave hardly any cycles behind, but hundreds under way look like garbage that is none: looked through at
CPython's own 700 new objects, they cost a send up to a twelfth (256 under way; a thirtieth with 32)."""


def tune() -> None:
    """Once everything that stays is built: that is left out of all collections from then on."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTIONS)
