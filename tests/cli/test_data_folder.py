"""The data folder's hold and its root credentials, from one process and from several."""

import json
import os
import shlex
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from campana.clock import Ids
from campana.server import data_folder
from campana.server.data_folder import DataFolderError, KeyPair
from campana.settings import SettingsError

PAIR = {"CAMPANA_ROOT_ACCESS_KEY_ID": "ROOT", "CAMPANA_ROOT_SECRET_ACCESS_KEY": "it's/secret"}

HOLDER = """
import sys
from pathlib import Path
from campana.server import data_folder
with data_folder.held(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "some" / "data"


@pytest.fixture
def holder(folder):
    """Another process that holds the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def credentials(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    outside = {name: value for name, value in os.environ.items() if not name.startswith("CAMPANA_")}
    return subprocess.run(
        [sys.executable, "-m", "campana", "credentials", "--data-dir", str(folder), *words],
        env=outside | environment, cwd=folder.parent, capture_output=True, text=True,
    )  # fmt: skip


def test_a_second_server_is_refused_and_told_by_whom(folder, holder):
    with pytest.raises(DataFolderError, match=rf"in use by another campana server \(process {holder.pid}\)"):
        data_folder.held(folder).__enter__()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_hold_ends_with_the_process(folder, holder, number):
    holder.send_signal(number)
    holder.wait()

    with data_folder.held(folder):
        assert (folder / "campana.lock").read_text() == f"{os.getpid()}\n"


def test_a_folder_can_be_held_again_after_an_error(folder):
    with pytest.raises(KeyError), data_folder.held(folder):
        raise KeyError

    with data_folder.held(folder):
        assert mode(folder) == 0o700


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(DataFolderError, match="cannot be used"):
        data_folder.held(tmp_path / "file").__enter__()


def test_a_pair_is_made_once_and_only_the_owner_may_read_it(folder):
    folder.mkdir(parents=True)

    made = data_folder.root_credentials(folder, {}, Ids(seed=1))

    assert data_folder.root_credentials(folder, {}, Ids(seed=2)) == made
    assert len(made.access_key_id) == 20
    assert len(made.secret_access_key) == 40
    assert made.secret_access_key not in repr(made)
    assert mode(folder / "root-credentials.json") == 0o600
    assert [path.name for path in folder.iterdir()] == ["root-credentials.json"]


def test_a_pair_made_by_somebody_else_meanwhile_is_kept(folder, monkeypatch):
    folder.mkdir(parents=True)
    first = data_folder.root_credentials(folder, {}, Ids(seed=1))

    monkeypatch.setattr(data_folder, "find_root_credentials", lambda *_: None)  # looked before the file was there

    assert data_folder.root_credentials(folder, {}, Ids(seed=2)) == first


def test_servers_that_start_at_once_agree_on_one_pair(folder):
    folder.mkdir(parents=True)
    code = (
        "import sys; from pathlib import Path; from campana.clock import Ids; from campana.server import data_folder\n"
        "print(data_folder.root_credentials(Path(sys.argv[1]), {}, Ids()).access_key_id)"
    )

    def start(_: int) -> str:
        return subprocess.run(
            [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True
        ).stdout

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(start, range(4)))) == 1


def test_the_environment_goes_first(folder):
    folder.mkdir(parents=True)

    assert data_folder.root_credentials(folder, PAIR, Ids(seed=1)) == KeyPair("ROOT", "it's/secret")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"CAMPANA_ROOT_ACCESS_KEY_ID": ""}, "ACCESS_KEY_ID .environment.: This is not set, but CAMPANA_ROOT_SECRET"),
        ({"CAMPANA_ROOT_SECRET_ACCESS_KEY": ""}, "This is not set, but CAMPANA_ROOT_ACCESS_KEY_ID is"),
        ({"CAMPANA_ROOT_ACCESS_KEY_ID": "a/b/c"}, "Expected 3 to 128 letters"),
        ({"CAMPANA_ROOT_SECRET_ACCESS_KEY": "with space"}, "Expected 3 to 128 ASCII characters"),
    ],
)
def test_a_pair_of_the_environment_that_cannot_be_used(folder, changed, message):
    with pytest.raises(SettingsError, match=message):
        data_folder.root_credentials(folder, PAIR | changed, Ids(seed=1))


def test_a_spoilt_file_is_not_replaced(folder):
    folder.mkdir(parents=True)
    (folder / "root-credentials.json").write_text("{")

    with pytest.raises(DataFolderError, match="holds no credentials"):
        data_folder.root_credentials(folder, {}, Ids(seed=1))
    assert (folder / "root-credentials.json").read_text() == "{"


def test_the_command_shows_them_beside_a_running_server(folder, holder):
    made = data_folder.root_credentials(folder, {}, Ids(seed=1))

    assert credentials(folder).stdout.split() == [
        *("access", "key", "id", made.access_key_id),
        *("secret", "access", "key", made.secret_access_key),
    ]
    assert json.loads(credentials(folder, "--json").stdout) == {
        "Version": 1,
        "AccessKeyId": made.access_key_id,
        "SecretAccessKey": made.secret_access_key,
    }
    assert credentials(folder, "--env").stdout == (
        f"export AWS_ACCESS_KEY_ID={made.access_key_id}\nexport AWS_SECRET_ACCESS_KEY={made.secret_access_key}\n"
    )


def test_the_command_quotes_for_the_shell(folder):
    folder.mkdir(parents=True)

    lines = credentials(folder, "--env", **PAIR).stdout.splitlines()

    assert shlex.split(lines[1]) == ["export", "AWS_SECRET_ACCESS_KEY=it's/secret"]


def test_the_command_makes_nothing(folder):
    folder.parent.mkdir()

    done = credentials(folder)

    assert done.returncode == 1
    assert done.stderr.startswith(f"campana: there are no root credentials in {folder};")
    assert not folder.exists()
