"""Tokens of identity providers (OpenID Connect): who they speak of, once signature, issuer, audience and time hold.

Signatures are PyJWT's business, which is imported when the first token comes: it is a tenth of a start. Times are
checked here, against the `now` that is handed in.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

TOKEN_CHARACTERS_MAX: Final = 20_000
LEEWAY_S: Final = 60  # how far the provider's clock may be ahead
RSA_BITS_MIN: Final = 2_048

# Which signatures a key may make, by its type and curve. Symmetric ones, and none, are not among them: who can read
# the key could make tokens.
_ALGORITHMS: Final = {
    ("RSA", None): ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
}
TAGS_CLAIM: Final = "https://aws.amazon.com/tags"
COGNITO: Final = "cognito-identity.amazonaws.com"


class BadToken(ValueError):
    """The token proves nothing; the message is for the client."""


class Expired(BadToken):
    """It did, until a while ago."""


@dataclass(frozen=True, slots=True)
class Provider:
    """Who is believed, about tokens made for whom."""

    issuer: str
    audiences: tuple[str, ...]

    @property
    def name(self) -> str:
        """As policies write it: the issuer without its scheme."""
        return self.issuer.partition("://")[2].rstrip("/")


@dataclass(frozen=True, slots=True)
class WebIdentity:
    """Somebody a provider vouches for."""

    provider: Provider
    subject: str
    audience: str
    claims: dict[str, list[str]]
    """Condition keys: `<provider>:sub`, `:aud`, `:amr`, and the same under Cognito's name."""
    tags: dict[str, str]
    transitive: list[str]


@dataclass(frozen=True, slots=True)
class Unverified:
    """What a token says of itself: where to look for the key."""

    issuer: str
    key_id: str | None


def read(token: str) -> Unverified:
    """Raises `BadToken`."""
    import jwt

    if not 4 <= len(token) <= TOKEN_CHARACTERS_MAX:
        raise BadToken("The token's length is out of range")
    try:
        header = jwt.get_unverified_header(token)
        claims = jwt.decode(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise BadToken("The ID Token provided is not a valid JWT.") from None
    issuer, key_id = claims.get("iss"), header.get("kid")
    if not isinstance(issuer, str):
        raise BadToken("Missing a required claim: iss")
    return Unverified(issuer, key_id if isinstance(key_id, str) else None)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A provider's public key, and the algorithms of the signatures it is good for."""

    id: str | None
    algorithms: tuple[str, ...]
    key: "RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey"


def signing_keys(document: str) -> list[SigningKey]:
    """The usable keys of a JSON Web Key Set (RFC 7517), others left out; raises ValueError if it is none."""
    tree = json.loads(document)
    listed = tree.get("keys") if isinstance(tree, dict) else None
    if not isinstance(listed, list):
        raise ValueError("not a JSON Web Key Set")
    return [key for each in listed if isinstance(each, dict) and (key := _signing_key(each)) is not None]


def _signing_key(jwk: dict[str, Any]) -> SigningKey | None:
    import jwt
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    if jwk.get("use", "sig") != "sig":
        return None
    kind, curve, algorithm, key_id = (jwk.get(name) for name in ("kty", "crv", "alg", "kid"))
    if not isinstance(kind, str) or not isinstance(curve, str | None):
        return None
    algorithms = _ALGORITHMS.get((kind, curve), ())
    if algorithm is not None:
        algorithms = tuple(each for each in algorithms if each == algorithm)
    if not algorithms:
        return None
    try:
        key = jwt.PyJWK(jwk, algorithms[0]).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    if not isinstance(key, RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey) or (
        isinstance(key, RSAPublicKey) and key.key_size < RSA_BITS_MIN
    ):
        return None
    return SigningKey(key_id if isinstance(key_id, str) else None, algorithms, key)


def choose(keys: Sequence[SigningKey], key_id: str | None) -> SigningKey | None:
    """The key of that id; without an id, the only one."""
    if key_id is None:
        return keys[0] if len(keys) == 1 else None
    return next((key for key in keys if key.id == key_id), None)


def verify(token: str, provider: Provider, key: SigningKey, now: int) -> WebIdentity:
    """Whom the token speaks of; raises `BadToken`. `now` in milliseconds."""
    import jwt

    try:
        claims = jwt.decode(
            token,
            key.key,
            algorithms=key.algorithms,
            audience=provider.audiences,
            issuer=provider.issuer,
            options={
                "require": ["exp", "iss", "aud", "sub"],
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            },
        )
    except jwt.InvalidAudienceError:
        raise BadToken("Incorrect token audience") from None
    except jwt.MissingRequiredClaimError as error:
        raise BadToken(f"Missing a required claim: {error.claim}") from None
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise BadToken("The ID Token's signature or issuer could not be verified") from None
    _require_current(claims, now // 1000)
    subject = claims["sub"]
    if not isinstance(subject, str) or not 1 <= len(subject) <= 255:
        raise BadToken("The claim sub must have 1 to 255 characters")
    given = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
    audience = next(each for each in given if each in provider.audiences)
    # OpenID Connect Core §3.1.3.7: of several audiences one has asked for the token, and that one must be known here.
    if len(given) > 1 and claims.get("azp", audience) not in provider.audiences:
        raise BadToken("Incorrect token audience")
    tags, transitive = _tags(claims.get(TAGS_CLAIM))
    about = {"sub": [subject], "aud": [audience], "amr": _texts(claims.get("amr"))}
    return WebIdentity(
        provider,
        subject,
        audience,
        {f"{name}:{key}": values for name in (provider.name, COGNITO) for key, values in about.items() if values},
        tags,
        transitive,
    )


def _require_current(claims: dict[str, Any], now_s: int) -> None:
    for name in ("exp", "nbf", "iat"):
        if name in claims and (isinstance(claims[name], bool) or not isinstance(claims[name], int | float)):
            raise BadToken(f"The claim {name} must be a number")
    if claims["exp"] <= now_s:
        raise Expired("Token expired: the current date/time must be before the expiration date/time")
    if max(claims.get("nbf", 0), claims.get("iat", 0)) > now_s + LEEWAY_S:
        raise BadToken("The token is not valid yet")


def _tags(claim: object) -> tuple[dict[str, str], list[str]]:
    """Session tags: `{"principal_tags": {"Key": ["value"]}, "transitive_tag_keys": ["Key"]}`."""
    if claim is None:
        return {}, []
    if not isinstance(claim, dict) or not isinstance(claim.get("principal_tags", {}), dict):
        raise BadToken(f"The claim {TAGS_CLAIM} is malformed")
    tags = {}
    for key, value in claim.get("principal_tags", {}).items():
        values = _texts(value)
        if len(values) != 1:
            raise BadToken(f"The claim {TAGS_CLAIM} is malformed")
        tags[key] = values[0]
    return tags, _texts(claim.get("transitive_tag_keys"))


def _texts(value: object) -> list[str]:
    return [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str)]
