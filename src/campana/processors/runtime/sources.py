"""Whether a function's files changed: compared before an invocation, so that no watcher is needed."""

import os
from pathlib import Path

SUFFIXES = frozenset({".py", ".js", ".mjs", ".cjs", ".json", ".yaml", ".yml", ".toml", ".txt"})
LEFT_OUT = frozenset({"node_modules", "__pycache__", "site-packages", "venv"})
FILES_MAX = 2_000

Fingerprint = frozenset[tuple[str, int, int]]


def fingerprint(folder: Path) -> Fingerprint:
    """Path, time of change (ns) and size of the source files in and below a folder, the first FILES_MAX of them."""
    found: set[tuple[str, int, int]] = set()
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in LEFT_OUT and not name.startswith("."))
        for name in sorted(names):
            if os.path.splitext(name)[1] not in SUFFIXES:
                continue
            path = os.path.join(place, name)
            try:
                status = os.stat(path)
            except OSError:  # an editor's temporary file, gone already
                continue
            found.add((path, status.st_mtime_ns, status.st_size))
            if len(found) >= FILES_MAX:
                return frozenset(found)
    return frozenset(found)
