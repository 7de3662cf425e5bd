"""Callers with credentials of their own, and an identity provider that vouches for some."""

import json
import threading
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from websockets.exceptions import ConnectionClosed

from campana.auth import stored_keys
from campana.cli.main import main
from tests.harness import PATIENCE_S, RunningServer, Session, client, connect_url, websocket

ACCOUNT = "123456789012"


def policy(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def allow(*actions: str, on: str | list[str] = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": on, **more}


def deny(*actions: str, on: str | list[str] = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Deny", "Action": list(actions), "Resource": on, **more}


EVERYTHING = policy(allow("*"))


class Principal:
    """Somebody with credentials: boto3 clients and live sessions."""

    def __init__(self, server: RunningServer, key: str, secret: str, token: str | None = None) -> None:
        self.server, self.key, self.secret, self.token = server, key, secret, token
        self._clients: dict[str, Any] = {}

    @classmethod
    def vended(cls, server: RunningServer, answer: dict[str, Any]) -> "Principal":
        """Who signs with the credentials that STS answered."""
        given = answer["Credentials"]
        return cls(server, given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])

    @classmethod
    def with_key(cls, server: RunningServer, document: Any, *, name: str = "somebody", **tags: str) -> "Principal":
        """Who signs with a new access key."""
        sealer = server.server._keys._sealer
        key, secret = server.writes(
            lambda tx: stored_keys.make(
                tx,
                sealer,
                server.server._ids,
                account=ACCOUNT,
                principal_arn=f"arn:aws:iam::{ACCOUNT}:user/{name}",
                policies=[json.dumps(document)],
                tags=tags,
                now=server.clock.now(),
            )
        )
        return cls(server, key.id, secret)

    def client(self, service: str, *, validates: bool = True) -> Any:
        if service not in self._clients:
            self._clients[service] = client(
                service, self.server.url, key=self.key, secret=self.secret, token=self.token, validates=validates
            )
        return self._clients[service]

    @property
    def sts(self) -> Any:
        return self.client("sts")

    @property
    def messaging(self) -> Any:
        return self.client("chime-sdk-messaging")

    @property
    def identity(self) -> Any:
        return self.client("chime-sdk-identity")

    @property
    def arn(self) -> str:
        arn: str = self.sts.get_caller_identity()["Arn"]
        return arn

    def assumes(self, role: str, **more: Any) -> "Principal":
        """Who the principal is in a role."""
        return Principal.vended(
            self.server, self.sts.assume_role(**({"RoleArn": arn_of(role), "RoleSessionName": "test"} | more))
        )

    def connects(self, user_arn: str) -> Session:
        return Session(self.server, user_arn, **self._signs())

    def refused_with(self, user_arn: str) -> int:
        """The close code of a session that is not let in."""
        with websocket(connect_url(self.server.url, user_arn, **self._signs())) as socket:
            with pytest.raises(ConnectionClosed) as end:
                socket.recv(timeout=PATIENCE_S)
            assert end.value.rcvd is not None
            return int(end.value.rcvd.code)

    def _signs(self) -> dict[str, str]:
        return {"key": self.key, "secret": self.secret} | ({} if self.token is None else {"token": self.token})


def arn_of(role: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:role/{role}"


def trusting(*principals: str, action: str | list[str] = "sts:AssumeRole", **more: Any) -> dict[str, Any]:
    """A trust policy for principals of this account."""
    return policy({"Effect": "Allow", "Principal": {"AWS": list(principals)}, "Action": action, **more})


def campana(server: RunningServer, *words: str) -> int:
    """A command, as it is run beside the server."""
    return main([*words, *server.flags])


def make_role(server: RunningServer, folder: Path, name: str, trust: Any, document: Any = None) -> str:
    """Its ARN."""
    (folder / "trust.json").write_text(json.dumps(trust))
    (folder / "policy.json").write_text(json.dumps(document))
    more = [] if document is None else ["--policy", str(folder / "policy.json")]
    assert campana(server, "roles", "create", name, "--trust", str(folder / "trust.json"), *more) == 0
    return arn_of(name)


@contextmanager
def answered(code: str, message: str = "", *, status: int = 403) -> Iterator[None]:
    """What is done inside is refused with this code, and a message that holds this text."""
    try:
        yield
    except ClientError as error:
        answer = error.response
        assert answer["Error"]["Code"] == code, answer
        assert message in answer["Error"]["Message"], answer
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == status, answer
    else:
        raise AssertionError(f"not refused with {code}")


class IdentityProvider:
    """An OpenID Connect provider: signs tokens, and serves its keys over HTTP until it is closed."""

    def __init__(self, now_s: Any) -> None:
        """`now_s` says what time it is, in seconds."""
        self._now_s = now_s
        self.asked = 0
        self.keys: dict[str, tuple[str, Any]] = {}
        self.status = 200
        self.document: bytes | None = None
        """Served in place of its keys."""
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked += 1
                content = provider.jwks() if provider.document is None else provider.document
                self.send_response(provider.status)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self._http.server_port}/realms/chat"
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def name(self) -> str:
        return self.issuer.removeprefix("http://")

    def make_key(self, key_id: str, algorithm: str = "RS256") -> Any:
        curves = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
        key: Any = (
            ec.generate_private_key(curves[algorithm])
            if algorithm in curves
            else rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
        )
        self.keys[key_id] = (algorithm, key)
        return key

    def jwks(self) -> bytes:
        return json.dumps({"keys": [self.jwk(key_id) for key_id in self.keys]}).encode()

    def jwk(self, key_id: str) -> dict[str, Any]:
        algorithm, key = self.keys[key_id]
        made = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True)
        return {**made, "kid": key_id, "use": "sig"}

    def claims(self, **claims: Any) -> dict[str, Any]:
        now = self._now_s()
        given = {"iss": self.issuer, "aud": "chat-web", "sub": "ann", "iat": now, "exp": now + 600, **claims}
        return {name: value for name, value in given.items() if value is not None}

    def token(self, key_id: str, **claims: Any) -> str:
        algorithm, key = self.keys[key_id]
        return jwt.encode(self.claims(**claims), key, algorithm, headers={"kid": key_id})

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


def forged(header: dict[str, Any], claims: Any, signature: bytes = b"") -> str:
    """A token put together by hand."""
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), signature]
    return ".".join(urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
