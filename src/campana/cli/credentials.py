"""`campana credentials`: the root key pair, also while a server is running."""

import argparse
import json
import os
import shlex
from pathlib import Path

from campana import settings
from campana.settings import SetupError

_EXAMPLES = """\
examples:
  eval "$(campana credentials --env)"
  credential_process = campana credentials --json --data-dir /var/lib/campana      (in ~/.aws/config)
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EXAMPLES
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings (default: ./campana.toml, if any)")
    parser.add_argument("--data-dir", metavar="DIR", help="data folder (default: ./campana-data)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--env", action="store_true", help="as export lines for a shell")
    form.add_argument("--json", action="store_true", help="as JSON, in the form of AWS's credential_process")


def run(args: argparse.Namespace) -> int:
    """Print the key pair; raises `SetupError` if there is none yet."""
    from campana.server import data_folder

    folder = settings.load(args.config, os.environ, {"server.data_dir": args.data_dir}).server.data_dir
    found = data_folder.find_root_credentials(folder, os.environ)
    if found is None:
        raise SetupError(
            f"there are no root credentials in {folder}; `campana serve` makes them at its first start, "
            f"unless it is given {data_folder.ACCESS_KEY_ID_VARIABLE}; for another folder say --data-dir"
        )
    if args.json:
        print(
            json.dumps(
                {"Version": 1, "AccessKeyId": found.access_key_id, "SecretAccessKey": found.secret_access_key}, indent=2
            )
        )
    elif args.env:
        print(f"export AWS_ACCESS_KEY_ID={shlex.quote(found.access_key_id)}")
        print(f"export AWS_SECRET_ACCESS_KEY={shlex.quote(found.secret_access_key)}")
    else:
        print(f"access key id      {found.access_key_id}")
        print(f"secret access key  {found.secret_access_key}")
    return 0
