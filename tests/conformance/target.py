"""The service under test, as the environment names it: its endpoints, its credentials, and what it is.

    CAMPANA_CONFORMANCE_ENDPOINT                  one URL for both services, or
    AWS_ENDPOINT_URL_CHIME_SDK_MESSAGING          one for each, as every AWS SDK reads them
    AWS_ENDPOINT_URL_CHIME_SDK_IDENTITY
    AWS_ACCESS_KEY_ID, AWS_PROFILE, AWS_REGION …  credentials and region, as every AWS SDK reads them

With none of the endpoints, and without `--aws`, a Campana server is started for the run.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config

MESSAGING, IDENTITY = "chime-sdk-messaging", "chime-sdk-identity"
SERVICES = (MESSAGING, IDENTITY)
THROTTLED_TRIES = 9
KEY, SECRET = "CAMPCONFORMANCE", "conformance-secret"

STAND_INS = {
    "PROCESSOR_ARN": "arn:aws:lambda:us-east-1:123456789012:function:conformance",
    "LEX_BOT_ALIAS_ARN": "arn:aws:lex:us-east-1:123456789012:bot-alias/ABCDEFGHIJ/KLMNOPQRST",
    "KINESIS_STREAM_ARN": "arn:aws:kinesis:us-east-1:123456789012:stream/chime-messaging-conformance",
    "PINPOINT_APP_ARN": "arn:aws:mobiletargeting:us-east-1:123456789012:apps/conformance",
}
"""What a channel flow, a bot, a streaming configuration and an endpoint point at. AWS wants real ones."""


@dataclass(frozen=True)
class Target:
    """The service under test."""

    name: str
    """For the report: what was tested, and its version where it is known."""
    endpoints: dict[str, str | None]
    """By service; None: boto3's own."""
    aws: bool
    calls_http: bool
    """Whether a processor may be a URL on this machine."""
    session: boto3.Session
    given: bool
    """Whether the environment named it."""

    def client(self, service: str) -> Any:
        """A client that sends what it is told, right or wrong, and waits where it is throttled."""
        client = self.session.client(
            service,
            endpoint_url=self.endpoints[service],
            config=Config(
                parameter_validation=False,
                retries={"total_max_attempts": 1},
                max_pool_connections=20,
                read_timeout=60,
            ),
        )
        # No retry mode of boto3 knows ThrottledClientException.
        client.meta.events.register(f"needs-retry.{service}", _seconds_to_wait)
        return client

    @property
    def plain(self) -> bool:
        """Whether it speaks HTTP without TLS."""
        return (self.endpoints[MESSAGING] or "").startswith("http://")

    def resource(self, name: str) -> str:
        """The ARN of something outside the service, from the environment; skips the test where AWS would need one."""
        given = os.environ.get(f"CAMPANA_CONFORMANCE_{name}")
        if given is None and self.aws:
            pytest.skip(f"needs a real resource: CAMPANA_CONFORMANCE_{name}")
        return given or STAND_INS[name]


def _seconds_to_wait(response: Any, attempts: int, **_: Any) -> float | None:
    if response is None or attempts >= THROTTLED_TRIES:
        return None
    code = response[1].get("Error", {}).get("Code", "")
    return 0.2 * 2**attempts if code in ("ThrottledClientException", "ThrottlingException") else None


@contextmanager
def found(folder: Path, *, aws: bool) -> Iterator[Target]:
    """The target that the environment names, or one that is started with its data in `folder`."""
    shared = os.environ.get("CAMPANA_CONFORMANCE_ENDPOINT")
    messaging = shared or os.environ.get("AWS_ENDPOINT_URL_CHIME_SDK_MESSAGING")
    identity = shared or os.environ.get("AWS_ENDPOINT_URL_CHIME_SDK_IDENTITY")
    endpoints = {MESSAGING: messaging, IDENTITY: identity}
    if aws or messaging or identity:
        hosts = [urlsplit(url).hostname or "" for url in endpoints.values() if url]
        aws = aws or any(host.endswith((".amazonaws.com", ".api.aws")) for host in hosts)
        local = all(host in ("127.0.0.1", "localhost", "::1") for host in hosts)
        name = "AWS" if aws else hosts[0]
        session = boto3.Session(region_name=_region())
        yield Target(name, endpoints, aws, calls_http=local and not aws, session=session, given=True)
        return
    with _own_server(folder) as url:
        session = boto3.Session(KEY, SECRET, region_name="us-east-1")
        yield Target(
            _own_name(), dict.fromkeys(SERVICES, url), aws=False, calls_http=True, session=session, given=False
        )


def _region() -> str:
    """boto3 doesn't read AWS_REGION, as all other SDKs do."""
    given = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return given or boto3.Session().region_name or "us-east-1"


def _own_name() -> str:
    try:
        return f"Campana {version('campana')}"
    except PackageNotFoundError:
        return "Campana"


@contextmanager
def _own_server(folder: Path) -> Iterator[str]:
    """`campana serve` on a free port; its URL. No setting of this machine's user reaches it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CAMPANA_"))}
    environment = {
        **kept,
        "CAMPANA_ROOT_ACCESS_KEY_ID": KEY,
        "CAMPANA_ROOT_SECRET_ACCESS_KEY": SECRET,
        "CAMPANA_FLOWS__ACCEPT_HTTP_RESOURCE_ARNS": "true",
    }
    command = [sys.executable, "-m", "campana", "serve", "--port", "0", "--data-dir", str(folder / "data")]
    log = folder / "server.log"
    with (
        log.open("wb") as errors,
        subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=errors) as server,
    ):
        assert server.stdout is not None
        line = server.stdout.readline().decode()
        if " listening on " not in line:
            raise AssertionError(f"campana serve did not start:\n{log.read_text('utf-8', 'replace')}")
        try:
            yield line.split(" listening on ")[1].strip()
        finally:
            server.terminate()
            server.wait(60)
