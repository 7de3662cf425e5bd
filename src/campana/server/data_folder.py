"""The data folder: whose it is, and the root key pair and the key of secrets kept in it.

One server at a time holds the folder. Reading keys needs no hold, so `campana credentials` and `campana keys` work
beside a running server.
"""

import fcntl
import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from campana.clock import Ids
from campana.settings import Problem, SettingsError, SetupError

LOCK_FILE = "campana.lock"
CREDENTIALS_FILE = "root-credentials.json"
FUNCTION_CREDENTIALS_FILE = "function-credentials.json"
ACCESS_KEY_ID_VARIABLE = "CAMPANA_ROOT_ACCESS_KEY_ID"
SECRET_ACCESS_KEY_VARIABLE = "CAMPANA_ROOT_SECRET_ACCESS_KEY"
SECRETS_KEY_FILE = "secrets.key"
SECRETS_KEY_VARIABLE = "CAMPANA_SECRETS_KEY"
SECRETS_KEY_CHARACTERS_MIN = 32

# An access key id stands between slashes in a signature's scope.
_ACCESS_KEY_ID = re.compile(r"\A[A-Za-z0-9_-]{3,128}\Z")
_SECRET_ACCESS_KEY = re.compile(r"\A[!-~]{3,128}\Z")


@dataclass(frozen=True, slots=True)
class KeyPair:
    """An access key and its secret."""

    access_key_id: str
    secret_access_key: str = field(repr=False)


class DataFolderError(SetupError):
    """The data folder cannot be used, or has not got what is asked of it."""


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Make `folder` if it is missing and keep other servers out of it; raises `DataFolderError`.

    The hold is the kernel's (flock), so it ends with the process, however that ends.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise DataFolderError(f"the data folder {folder} cannot be used: {error.strerror}") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            process = os.read(descriptor, 20).decode("ascii", "replace").strip()
            raise DataFolderError(
                f"the data folder {folder} is in use by another campana server"
                + (f" (process {process})" if process else "")
                + "; stop that one, or give this one a folder of its own with --data-dir"
            ) from None
        except OSError as error:
            raise DataFolderError(f"the data folder {folder} cannot be locked: {error.strerror}") from None
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
        yield
    finally:
        os.close(descriptor)


def root_credentials(folder: Path, environment: Mapping[str, str], ids: Ids) -> KeyPair:
    """The root key pair: of the environment, else the folder's, made now if there is none.

    Raises `SettingsError`, `DataFolderError`.
    """
    return find_root_credentials(folder, environment) or _kept(folder / CREDENTIALS_FILE, "CAMP", ids)


def function_credentials(folder: Path, ids: Ids) -> KeyPair:
    """The key pair that local functions call back with: the folder's, made now if there is none."""
    return _kept(folder / FUNCTION_CREDENTIALS_FILE, "CAMPFN", ids)


def secrets_key(folder: Path, environment: Mapping[str, str], ids: Ids, *, make: bool = True) -> bytes:
    """The key that seals stored secrets and session tokens: of the environment, else the folder's, which is made if it
    is missing and `make`.

    Without it the access keys in the database are lost. Raises `SettingsError`, `DataFolderError`.
    """
    if text := environment.get(SECRETS_KEY_VARIABLE, ""):
        if len(text) < SECRETS_KEY_CHARACTERS_MIN:
            expected = f"Expected at least {SECRETS_KEY_CHARACTERS_MIN} random characters."
            raise SettingsError([Problem(SECRETS_KEY_VARIABLE, "environment", expected)])
        return hashlib.sha256(text.encode()).digest()
    file = folder / SECRETS_KEY_FILE
    try:
        with suppress(FileExistsError):
            if make and not file.exists():
                write_private(file, ids.token(64).encode() + b"\n", replace=False)
        content = file.read_bytes().strip()
    except OSError as error:
        raise DataFolderError(f"the key in {file} cannot be read or written: {error.strerror}") from None
    if len(content) < SECRETS_KEY_CHARACTERS_MIN:
        raise DataFolderError(f"{file} holds no key; restore it: without it stored access keys cannot be used")
    return hashlib.sha256(content).digest()


def _kept(file: Path, prefix: str, ids: Ids) -> KeyPair:
    """The pair in `file`, which is made if it is missing; raises `DataFolderError`."""
    with suppress(FileNotFoundError):
        return _read(file)
    made = KeyPair(prefix + ids.token(16).upper(), ids.token(40))
    try:
        write_private(file, msgspec.json.format(msgspec.json.encode(made)) + b"\n", replace=False)
    except FileExistsError:  # somebody else was first
        return _read(file)
    except OSError as error:
        raise DataFolderError(f"credentials cannot be written to {file}: {error.strerror}") from None
    return made


def find_root_credentials(folder: Path, environment: Mapping[str, str]) -> KeyPair | None:
    """The root key pair of the environment, else the folder's, if there is one.

    Raises `SettingsError`, `DataFolderError`.
    """
    access_key_id = environment.get(ACCESS_KEY_ID_VARIABLE, "")
    secret_access_key = environment.get(SECRET_ACCESS_KEY_VARIABLE, "")
    if not access_key_id and not secret_access_key:
        with suppress(FileNotFoundError):
            return _read(folder / CREDENTIALS_FILE)
        return None
    problems = []
    for variable, value, other, form, expected in (
        (ACCESS_KEY_ID_VARIABLE, access_key_id, SECRET_ACCESS_KEY_VARIABLE, _ACCESS_KEY_ID, "letters, digits, - or _"),
        (SECRET_ACCESS_KEY_VARIABLE, secret_access_key, ACCESS_KEY_ID_VARIABLE, _SECRET_ACCESS_KEY, "ASCII characters"),
    ):
        if not value:
            problems.append(Problem(variable, "environment", f"This is not set, but {other} is."))
        elif not form.match(value):
            problems.append(Problem(variable, "environment", f"Expected 3 to 128 {expected}, without spaces."))
    if problems:
        raise SettingsError(problems)
    return KeyPair(access_key_id, secret_access_key)


def write_private(file: Path, content: bytes, *, replace: bool) -> None:
    """Write a whole file that only its owner may read, or nothing.

    Raises OSError; FileExistsError if it is there and may not be replaced.
    """
    draft = file.with_name(f"{file.name}.{os.getpid()}.draft")
    draft.unlink(missing_ok=True)  # of a process that died and had our number
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(descriptor)
        if replace:
            draft.replace(file)
        else:
            os.link(draft, file)  # unlike a rename, this refuses to replace
    finally:
        draft.unlink(missing_ok=True)


def _read(file: Path) -> KeyPair:
    """Raises FileNotFoundError, `DataFolderError`."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=KeyPair)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DataFolderError(f"the credentials in {file} cannot be read: {error.strerror}") from None
    except ValueError:
        raise DataFolderError(
            f"{file} holds no credentials; restore it, or delete it to have new ones made at the next start"
        ) from None
