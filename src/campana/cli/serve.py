"""`campana serve`: flags → settings → the server."""

import argparse
import os
from pathlib import Path

from campana import log, settings

_EXAMPLES = """\
examples:
  campana serve
  campana serve --port 0 --data-dir /tmp/try
  campana serve --processor arn:aws:lambda:us-east-1:123456789012:function:moderate=moderate.py:handler
  campana serve --processor arn:aws:lambda:=https://example.com/processors
  campana serve --database-url postgresql://campana@db.example.com/campana --notifier nats://nats.example.com
  campana serve --tls self-signed --host 0.0.0.0 --public-host chat.example.com

a TARGET is one of
  path/to/file.py:handler, path/to/index.mjs:handler   a Lambda handler, run locally
  python:package.module:function                       a function called inside the server
  https://…                                            a URL that events are posted to
  lambda:                                              Lambda's Invoke API (AWS_ENDPOINT_URL_LAMBDA)

environment
  CAMPANA_ROOT_ACCESS_KEY_ID, CAMPANA_ROOT_SECRET_ACCESS_KEY   the root key pair; without, one is made
  CAMPANA_SECTION__FIELD, as in CAMPANA_SERVER__PORT           any setting (see campana config example)

Flags go before the environment, that before campana.toml.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Flags that stand for a setting have its path as their name in the namespace."""
    parser.epilog = _EXAMPLES
    add = parser.add_argument
    add("--config", type=Path, metavar="FILE", help="settings (default: ./campana.toml, if there is one)")
    add("--host", dest="server.host", metavar="HOST", help="address to listen on (default: 127.0.0.1)")
    add("--port", dest="server.port", metavar="PORT", help="port to listen on, 0 for a free one (default: 8600)")
    add("--data-dir", dest="server.data_dir", metavar="DIR", help="data folder (default: ./campana-data)")
    add(
        "--database-url",
        dest="database.url",
        metavar="URL",
        help="sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME (default: a file in the data folder)",
    )
    add("--notifier", dest="notifier.url", metavar="URL", help="nats://HOST:PORT, between nodes (default: PostgreSQL)")
    add("--tls", dest="server.tls", metavar="MODE", help="off, self-signed or files (default: off)")
    add("--tls-cert", dest="server.tls_cert", metavar="FILE", help="with --tls files: certificate and chain, PEM")
    add("--tls-key", dest="server.tls_key", metavar="FILE", help="with --tls files: private key, PEM")
    add("--auth", dest="auth.mode", metavar="MODE", help="sigv4, or none for tests (default: sigv4)")
    add(
        "--processor",
        dest="processors",
        action="append",
        metavar="ARN=TARGET",
        help="where Lambda functions whose ARN begins with ARN run; may be repeated, the longest ARN wins",
    )
    add("--public-host", dest="server.public_host", metavar="HOST[:PORT]", help="the host that clients see")
    add(
        "--reload-processors",
        dest="flows.reload_processors",
        action="store_true",
        default=None,
        help="start local functions anew when their files change",
    )
    add(
        "--i-know",
        dest="auth.open_to_network",
        action="store_true",
        default=None,
        help="allow --auth none on an address that others can reach",
    )


def run(args: argparse.Namespace) -> int:
    """Serve until stopped; raises `SetupError`."""
    flags = {path: value for path, value in vars(args).items() if "." in path or path == "processors"}
    tree = settings.load(args.config, os.environ, flags)
    log.configure(tree.log.format, tree.log.level)
    from campana.server import app

    return app.run(tree)
