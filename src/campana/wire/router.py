"""Which operation a request means: method, raw path, query → route (spec/wire.md §1).

ARNs are labels that hold encoded slashes, so the path is split first and each part decoded once, afterwards.
"""

import re
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from campana.api.base import Route
from campana.api.routes import ROUTES
from campana.errors import BadRequest, MethodNotAllowed, UnknownOperation

Pairs = list[tuple[str, str]]


def match(method: str, raw_path: str, raw_query: str) -> tuple[Route, dict[str, str], Pairs]:
    """The route, its labels by name, and the query's pairs in order, both decoded.

    Raises `UnknownOperation`, `MethodNotAllowed`, or `BadRequest` for text that is no percent-encoded UTF-8.
    """
    words = raw_path.split("/")
    if "app-instance/" in raw_path:  # cannot be part of a path whose ARNs are encoded
        words = _with_whole_arns(words)
    methods = _FIXED_PATHS.get(raw_path) or _PATHS.get((len(words), *words[1::2]))
    if methods is None or words[0]:
        raise UnknownOperation("There is no such path.")
    operations = methods.get(method)
    if operations is None:
        raise MethodNotAllowed(f"The path allows {', '.join(methods)}.")
    pairs = query_pairs(raw_query)
    route = operations.get(_fixed_pair(pairs))
    if route is None:
        raise UnknownOperation("There is no such operation.")
    labels = {}
    for name, at in _LABELS[route.operation]:
        if not words[at]:
            raise UnknownOperation("There is no such path.")
        labels[name] = decode(words[at])
    return route, labels, pairs


def query_pairs(raw_query: str) -> Pairs:
    """Names and values, decoded once. A plus sign is a plus sign: tokens may hold one."""
    pairs = []
    for piece in raw_query.split("&") if raw_query else ():
        if piece:
            name, _, value = piece.partition("=")
            pairs.append((decode(name), decode(value)))
    return pairs


def decode(text: str) -> str:
    """Percent-decode once; raises `BadRequest` for what is not UTF-8, and for U+0000, which PostgreSQL cannot hold."""
    if "%" in text or not text.isascii() or "\0" in text:
        return _decoded(text) if len(text) <= _CACHED_MAX else _decoded.__wrapped__(text)
    return text


_CACHED_MAX = 1024  # characters


@lru_cache(maxsize=2048)  # ARNs come again and again
def _decoded(text: str) -> str:
    try:
        raw = text.encode("latin-1")
        if _BAD_ESCAPE.search(raw):
            raise BadRequest("The request target has an incomplete percent escape.")
        text = unquote_to_bytes(raw).decode()
    except UnicodeError:
        raise BadRequest("The request target is not percent-encoded UTF-8.") from None
    if "\0" in text:
        raise BadRequest("The request target must not contain the character U+0000.")
    return text


_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_ARN_START = re.compile(r"arn(:|%3a).*(:|%3a)app-instance", re.IGNORECASE)
_ARN_KINDS = frozenset({"user", "bot", "channel", "channel-flow"})


def _with_whole_arns(words: list[str]) -> list[str]:
    """The parts of a path with those of an unencoded ARN put together again.

    `arn:…:app-instance`, an id, and if a kind follows, that and another id: no word that may follow an ARN is a kind.
    """
    whole: list[str] = []
    at = 0
    while at < len(words):
        length = 1
        if _ARN_START.fullmatch(words[at]):
            length = 4 if len(words) > at + 3 and words[at + 2] in _ARN_KINDS else 2
        whole.append("/".join(words[at : at + length]))
        at += length
    return whole


def _fixed_pair(pairs: Pairs) -> tuple[str, str] | None:
    for pair in pairs:
        if pair[0] == "operation" or pair[0] == "scope":
            return pair
    return None


# Built once: path → method → fixed query pair → route. In a path with labels every second part is one.
Methods = dict[str, dict[tuple[str, str] | None, Route]]
_FIXED_PATHS: dict[str, Methods] = {}
_PATHS: dict[tuple[int | str, ...], Methods] = {}
_LABELS: dict[str, tuple[tuple[str, int], ...]] = {}

for _route in ROUTES:
    _words = ["", *_route.path]
    _places = tuple((word[1:-1], at) for at, word in enumerate(_words) if word.startswith("{"))
    assert [at for _, at in _places] == list(range(2, len(_words), 2))[: len(_places)], _route.path
    _LABELS[_route.operation] = _places
    _methods = (
        _PATHS.setdefault((len(_words), *_words[1::2]), {})
        if _places
        else _FIXED_PATHS.setdefault("/".join(_words), {})
    )
    assert _route.fixed not in _methods.setdefault(_route.method, {}), _route.operation
    _methods[_route.method][_route.fixed] = _route
