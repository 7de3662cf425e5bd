"""Two versions of the program side by side on one database, while it is upgraded from the one to the other.

The newer version is a copy of this one with two more migrations, one for before and one for after.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import campana
from tests import stores
from tests.cluster.nodes import SETTINGS
from tests.cluster.scene import scene
from tests.stories.serving import Ended

pytestmark = pytest.mark.postgres

NEW = "99.0.0"
TABLES = ("channels", "memberships", "messages", "identities", "executions", "topics", "app_instances")
PRE = "\n".join(f"ALTER TABLE {table} ADD COLUMN mark TEXT NOT NULL DEFAULT '';" for table in TABLES)
POST = "\n".join([f"-- oldest: {NEW}", *(f"ALTER TABLE {table} DROP COLUMN mark;" for table in TABLES)])


def newer_version(folder: Path) -> Path:
    """Where Python finds it."""
    package = folder / "new" / "campana"
    shutil.copytree(Path(campana.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    text, found = re.subn(r"__version__ = .*", f'__version__ = "{NEW}"', (package / "__init__.py").read_text())
    assert found == 1
    (package / "__init__.py").write_text(text)
    migrations = package / "store" / "migrations"
    number = len(list(migrations.glob("*.sql")))
    (migrations / f"{number + 1:04}_pre_mark.sql").write_text(PRE + "\n")
    (migrations / f"{number + 2:04}_post_mark.sql").write_text(POST + "\n")
    return package.parent


def db(program: Path, folder: Path, *words: str) -> str:
    """What `campana db` of a version says."""
    environment = {"PYTHONPATH": str(program), **SETTINGS, **stores.environment(folder)}
    command = [sys.executable, "-m", "campana", "db", *words, "--data-dir", str(folder / "none")]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False).stdout


def test_a_version_gives_way_to_the_next_and_nobody_notices(tmp_path: Path) -> None:
    old, new = Path(campana.__file__).parents[1], newer_version(tmp_path)
    with scene(tmp_path, 2) as now:
        now.talks()

        now.nodes[0].becomes(new)
        now.restarts(1)  # and applies what comes before, under the old node's feet
        now.load.goes_on()
        both = db(new, tmp_path, "check")
        for_old = db(old, tmp_path, "check")
        now.nodes[1].becomes(new)
        now.restarts(2)
        after = db(new, tmp_path, "upgrade", "--post")  # under the new nodes' feet
        now.load.goes_on()
        now.ends()

        now.nobody_noticed()
        assert "_pre_mark.sql" in now.nodes[0].log.read_text()
        assert "_pre_mark.sql" not in both
        assert f"any version can use it, this is {campana.__version__}" in for_old
        assert "_post_mark.sql: by `campana db upgrade --post`" in both
        assert f"version {NEW} and newer ones can use it" in after
        now.nodes[0].stop()
        now.nodes[0].becomes(old)
        with pytest.raises(Ended, match=f"needs Campana {NEW} or newer; this is {campana.__version__}"):
            now.nodes[0].start()
