"""JSON that no schema describes: what a library that keeps to schemas does not send.

Also names, headers and ranges that are odd, on routes that take no document.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from support.bases import made, publish
from support.gradients import manifest

from sparsegrad_shared.bases import BasisManifest

from .frames import HUGE, TEXTS
from .tally import Tally
from .target import Target
from .uploads import NAMES, client
from .wire import exchange, head

ODD: tuple[Any, ...] = (
    None, True, False, -1, 0, 0.5, -0.0, 1e308, 1e-320, float("nan"), float("inf"), "", "x", [],
    {}, [[]], *HUGE, *(-n for n in HUGE), *TEXTS, ["a"] * 2000, {str(i): i for i in range(2000)},
    "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "2026-02-30T00:00:00Z", "1e400",
)  # fmt: skip
TAGS = (
    "", "*", '"1"', "1", '"0"', '"-1"', '"999999999"', '"' + "1" * 5000 + '"', 'W/"1"', "é",
    '"1", "2"', '"' * 3000, '"\u0661"', " ", '"1"\t',
)  # fmt: skip
RANGES = (
    "bytes=0-0", "bytes=-1", "bytes=5-1", "bytes=0-99999999999999999999", "bytes=", "items=0-1",
    "bytes=" + "0-0," * 5000, "bytes=" + ",".join(f"{i}-{i + 5000}" for i in range(1500)),
    "bytes=a-b", "bytes=-99999999", "bytes=0-,0-,0-,0-", "bytes=--1", "bytes=0-0,-1",
)  # fmt: skip
TARGETS = (
    "/v1/bases?{}", "/v1/calibrations?{}", "/v1/audit?{}", "/v1/bases/{}", "/v1/jobs/{}",
    "/v1/jobs/{}/events", "/v1/tokens/{}", "/v1/calibrations/{}", "/v1/bases/team/{}/aliases",
    "/v1/bases/team/base/versions/{}", "/v1/bases/team/base/versions/1/files/{}",
    "/v1/bases/team/base/aliases/{}", "/v1/bases/{}/diff/{}", "/{}",
)  # fmt: skip
FIELDS = (
    "ref", "q", "name", "namespace", "model", "dataset", "digest", "shape", "tag", "alias",
    "limit", "after",
    "state", "token", "action", "since", "until", "refused", "x",
)  # fmt: skip

# Method, target, headers, body.
Request = tuple[str, str, dict[str, str], bytes]


class Documents:
    """Requests with JSON, queries and headers that are wrong."""

    def __init__(self, target: Target, tally: Tally) -> None:
        self._target = target
        self._tally = tally
        self._basis = made()
        with client(target, "admin") as http:
            publish(http, "team/base", self._basis)
        self._kinds: dict[str, Callable[[random.Random], Request]] = {
            "json": _json,
            "query": _query,
            "path": _path,
            "alias": self._alias,
            "range": self._range,
            "import": self._import,
        }

    def send(self, seed: str) -> None:
        """Send one."""
        chance = random.Random(seed)
        kind = chance.choice(tuple(self._kinds))
        method, target, headers, body = self._kinds[kind](chance)
        scope = chance.choice(("admin", "admin", "admin", "read"))  # what is forbidden is logged
        fixed = {
            "Host": "127.0.0.1",
            "Authorization": f"Bearer {self._target.tokens[scope]}",
            "Content-Length": str(len(body)),
            "Connection": "close",
        }
        sent = [*fixed.items(), *headers.items()]
        answer = exchange(self._target.address, [head(method, target, sent), body])
        case = f"{method} {target[:200]} {body[:200]!r} (seed {seed})"
        self._tally.count(f"document: {kind}", answer.status, answer.seconds, case)
        if answer.status == "silent":
            self._tally.complain(f"document: {kind}", "no answer came", case)

    def _alias(self, chance: random.Random) -> Request:
        name = chance.choice(("If-Match", "If-None-Match"))
        headers = {name: chance.choice(TAGS), "Content-Type": "application/json"}
        document = {"version": chance.choice((1, 1, *ODD))}
        method = chance.choice(("PUT", "PUT", "DELETE"))
        target = f"/v1/bases/team/base/aliases/{quote(chance.choice(('prod', *NAMES)), safe='%/')}"
        return method, target, headers, _dump(document)

    def _range(self, chance: random.Random) -> Request:
        target = "/v1/bases/team/base/versions/1/files/up.safetensors"
        headers = {"Range": chance.choice(RANGES)}
        if chance.random() < 0.3:
            headers["If-None-Match"] = chance.choice(TAGS)
        if chance.random() < 0.3:
            headers["If-Range"] = chance.choice((*TAGS, "Wed, 21 Oct 2015 07:28:00 GMT", "x" * 999))
        return "GET", target, headers, b""

    def _import(self, chance: random.Random) -> Request:
        basis = self._basis
        document = json.loads(basis.manifest.canonical_bytes())
        digest = basis.digest if chance.random() < 0.7 else quote(chance.choice(NAMES), safe="%/")
        target = f"/v1/bases/team/copy/imports/{digest}"
        if chance.random() < 0.4:
            file = chance.choice(("up.safetensors", "report.json", "manifest.json", *NAMES))
            return "PUT", f"{target}/files/{quote(file, safe='%/')}", {}, chance.randbytes(100)
        headers = {"Content-Type": "application/json"}
        changed = hostile_manifest(chance, document)
        if chance.random() < 0.7:
            digest = digest_as_server(changed)
            target = f"/v1/bases/team/copy/imports/{digest}"
        return "PUT", target, headers, changed


def _json(chance: random.Random) -> Request:
    target, document = chance.choice(
        (
            ("/v1/calibrations", manifest()),
            ("/v1/tokens", {"name": "x", "namespace": "team", "scope": "read", "expires": None}),
        )
    )
    headers = {"Content-Type": chance.choice(("application/json",) * 8 + ("text/plain", "", "é"))}
    return "POST", target, headers, odd_text(chance, document)


def hostile_manifest(chance: random.Random, document: dict[str, Any]) -> bytes:
    """A manifest of a basis with something odd in it."""
    group = document["groups"][0]
    match chance.randrange(4):
        case 0:
            group["file"]["name"] = chance.choice(NAMES)
        case 1:
            key = chance.choice(("d_out", "d_in", "rank_out", "rank_in", "gradients", "held_out"))
            group[key] = chance.choice(HUGE) * chance.choice((1, -1))
        case 2:
            group["file"]["bytes"] = chance.choice((0, *HUGE))
        case _:
            return odd_text(chance, document)
    return _dump(document)


def digest_as_server(content: bytes) -> str:
    """The digest of what is sent; the server's, where that is canonical."""
    try:
        return BasisManifest.model_validate_json(content).digest()
    except ValueError:
        return "sha256:" + "0" * 64


def _dump(document: object, *, ascii_only: bool = True) -> bytes:
    return json.dumps(document, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")


def odd_text(chance: random.Random, document: dict[str, Any]) -> bytes:
    """A document with something odd somewhere, or none at all."""
    match chance.randrange(8):
        case 0:
            opening, closing = chance.choice((("[", "]"), ('{"a":', "}")))
            depth = chance.choice((chance.randint(100, 1000), 20_000))
            return (opening * depth + "1" + closing * depth * chance.randint(0, 1)).encode()
        case 1:
            flipped = bytearray(_dump(document))
            for _ in range(chance.randint(1, 5)):
                flipped[chance.randrange(len(flipped))] = chance.getrandbits(8)
            return bytes(flipped)
        case 2:
            text = _dump(document)
            return text[: chance.randrange(len(text))]
        case 3:
            return _dump(chance.choice(ODD))
        case 4:
            document = dict(document)
            document[chance.choice(TEXTS)] = chance.choice(ODD)
            return _dump(document, ascii_only=chance.random() < 0.5)
    place, key = chance.choice(list(_places(document)))
    place[key] = chance.choice(ODD)
    return _dump(document, ascii_only=chance.random() < 0.5)


def _places(document: Any) -> list[tuple[Any, Any]]:
    """Every member of a document, as its holder and key."""
    found: list[tuple[Any, Any]] = []
    items = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in items:
        found.append((document, key))
        if isinstance(value, dict | list):
            found += _places(value)
    return found


def _query(chance: random.Random) -> Request:
    pairs = []
    for _ in range(chance.choice((1, 1, 2, 100))):
        value = str(chance.choice(ODD))[:5000].encode("utf-8", "surrogatepass")
        pairs.append(f"{chance.choice(FIELDS)}={quote(value)}")
    target = chance.choice(TARGETS[:3]).format("&".join(pairs)[:50_000])
    return "GET", target, {}, b""


def _path(chance: random.Random) -> Request:
    name = quote(chance.choice(NAMES), safe="%/")
    method = chance.choice(("GET", "GET", "PUT", "DELETE", "POST", "PATCH", "OPTIONS", "HEAD"))
    return method, chance.choice(TARGETS[3:]).format(name, name), {}, b""
