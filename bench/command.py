"""The end of a command that has started processes: whatever ends it, they are ended first."""

import signal
import sys
from collections.abc import Callable
from typing import NoReturn


def run(main: Callable[[], int]) -> NoReturn:
    """Exit with what `main` returns, or with 130 after Ctrl-C.

    SIGTERM is the same as Ctrl-C, which event loops know as well: `finally` and `with` are left as they should be.
    """
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
