"""Uploads of gradients: good ones, and those in which body, digest, length or name are wrong."""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import quote

import httpx
import numpy as np
from support.gradients import D_IN, D_OUT, dense, dense_frame, open_calibration

from sparsegrad_server.store.files import Staging
from sparsegrad_server.store.local_gradients import LocalGradientStore
from sparsegrad_shared.calibrations import GroupSpec
from sparsegrad_shared.digests import content_digest, digest_of

from .frames import any_body
from .tally import Tally
from .target import Target
from .wire import Answer, exchange, head

SLOTS = 20_000
BY_PARSER = (400, 408, 431)
Headers = list[tuple[str, str]]

NAMES = (
    "..", ".", "../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e", "..\\..\\x", "up%00",
    "up\x00",
    "zarr.json", "c.0.0.0", "c", "CON", "NUL.txt", "aux", "a" * 101, "a" * 60_000, "UP", "up ",
    " up",
    "u\u0440", "\uff55\uff50", "up%0d%0aX: 1", "up/../up", ".up", "-up", "up\n", "%ff%fe", "%",
    "%zz", "up;x=1", "up?x",
    "file:%2f%2f%2fetc%2fpasswd", "http:%2f%2flocalhost", "~", "$HOME", "${jndi:ldap://x}", "'--",
    "",
)  # fmt: skip
INDICES = (
    "-1", "00", "0x1", "1.0", "1e3", "\u0661", "+1", " 1", "999999999", "1" * 400, "1" * 5000,
    "%31", "",
    "NaN", "1_0", "../0", str(SLOTS), "2000000",
)  # fmt: skip
LENGTHS = (
    "0",
    "-1",
    "+5",
    "5.0",
    "0x10",
    "",
    "abc",
    "1" * 31,
    "9" * 20,
    str(2**63),
    str(2**64),
    "1,1",
)
DIGESTS = (
    "", "sha-256=::", "sha-256=:AAAA:", "md5=:AAAA:", "sha-256", "sha-256=:" + "A" * 50_000 + ":",
    "sha-512=:" + "A" * 86 + "==:", "sha-256=:" + "=" * 44 + ":", "sha-256=:" + "é" * 43 + "=:",
    "?1",
)  # fmt: skip
TYPES = (
    "text/html", "application/json", "multipart/form-data", "application/octet-stream;charset=\x80",
    "a" * 5000, "application/x-www-form-urlencoded", "",
)  # fmt: skip


@dataclass
class Uploads:
    """Uploads to one calibration of the server's.

    Attributes:
        stored: the seeds of the good gradients that were acknowledged, by index.
    """

    target: Target
    tally: Tally
    stored: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        with client(self.target) as http:
            self._id = open_calibration(http, gradients=SLOTS)
        self._next = 0

    def good(self) -> None:
        """Send a good gradient; it has to be taken."""
        index = self._slot()
        frame = dense_frame(index)
        body = b"".join(frame)
        headers = self._headers(body)
        answer = self._send("up", str(index), headers, [body])
        case = f"good gradient {index}"
        self.tally.count("upload: good", answer.status, answer.seconds, case)
        if answer.status == 201:
            self.stored[index] = index
        else:
            self.tally.complain("upload: good", f"answered {answer.status}", case)

    def bad(self, seed: str) -> None:
        """Send one that is wrong somewhere, or happens to be right."""
        chance = random.Random(seed)
        kind, body = any_body(chance)
        headers = self._headers(body)
        group, index, pieces = "up", str(self._slot()), [body]
        wrong = chance.choice(("body",) * 6 + ("digest", "length", "name", "index", "headers"))
        match wrong:
            case "digest":
                headers = _with(headers, "Content-Digest", self._digest(chance))
            case "length":
                headers, pieces = _lie(chance, headers, body)
            case "name":
                group = chance.choice(NAMES)
            case "index":
                index = chance.choice(INDICES)
            case "headers":
                headers = _odd_headers(chance, headers)
        answer = self._send(group, index, headers, pieces)
        case = f"{wrong}: {kind}, to {group[:60]!r}/{index[:60]!r} (seed {seed})"
        self.tally.count(f"upload: {wrong}", answer.status, answer.seconds, case)
        self._judge(f"upload: {wrong}", answer, case)

    def read_back(self) -> None:
        """Hold every acknowledged gradient to be stored bit for bit."""
        staging = Staging(self.target.settings.staging_folder)
        store = LocalGradientStore(self.target.settings.gradients_folder, staging)
        group = GroupSpec(
            name="up", layers=("l",), d_out=D_OUT, d_in=D_IN, dtype="float32", gradients=SLOTS
        )
        for index, seed in self.stored.items():
            found = store.read(self._id, group, index, "dense")["G"]
            if not np.array_equal(found, dense(seed)):
                self.tally.complain("upload: good", "is not what was sent", f"gradient {index}")

    def _judge(self, kind: str, answer: Answer, case: str) -> None:
        # What is no HTTP never reaches the app; the parser answers it in plain text.
        refused = isinstance(answer.status, int) and answer.status >= 400
        if refused and answer.status not in BY_PARSER and not answer.is_problem:
            self.tally.complain(kind, f"{answer.status} is no problem", case)
        if answer.status == "silent":
            self.tally.complain(kind, "no answer came", case)

    def _slot(self) -> int:
        self._next += 1
        return self._next - 1

    def _headers(self, body: bytes) -> Headers:
        return [
            ("Host", "127.0.0.1"),
            ("Authorization", f"Bearer {self.target.tokens['write']}"),
            ("Content-Length", str(len(body))),
            ("Content-Digest", content_digest(digest_of([body]))),
            ("Connection", "close"),
        ]

    def _digest(self, chance: random.Random) -> str:
        lie = base64.b64encode(chance.randbytes(32)).decode()
        return chance.choice((f"sha-256=:{lie}:", *DIGESTS))

    def _send(self, group: str, index: str, headers: Headers, pieces: list[bytes]) -> Answer:
        path = f"/v1/calibrations/{self._id}/gradients/{quote(group, safe=_SAFE)}/{index}"
        return exchange(self.target.address, [head("PUT", path, headers), *pieces])


# Sent as they are: what is encoded already stays so, and what no URL may hold is sent all the same.
_SAFE = "%/\\?;:@$'{}~\x00\n "


def _with(headers: Headers, name: str, value: str | None) -> Headers:
    """Headers with another value for one; none leaves it out."""
    others = [header for header in headers if header[0] != name]
    return others if value is None else [*others, (name, value)]


def _lie(chance: random.Random, headers: Headers, body: bytes) -> tuple[Headers, list[bytes]]:
    """A length that is not the body's, or none."""
    match chance.randrange(5):
        case 0:  # fewer bytes are to come than do
            said = str(chance.randrange(len(body) + 1))
            return _with(headers, "Content-Length", said), [body]
        case 1:
            return _with(headers, "Content-Length", chance.choice(LENGTHS)), [body]
        case 2:
            return _with(headers, "Content-Length", None), [body]
        case 3:
            chunked = [*_with(headers, "Content-Length", None), ("Transfer-Encoding", "chunked")]
            return chunked, list(_chunks(chance, body))
        case _:  # said to be over every limit; nothing of it is sent
            said = str((1 << 20) + 1 + chance.getrandbits(chance.choice((1, 40, 62))))
            return _with(headers, "Content-Length", said), []


def _chunks(chance: random.Random, body: bytes) -> Iterator[bytes]:
    size = chance.randint(1, 4096)
    for begin in range(0, len(body), size):
        piece = body[begin : begin + size]
        yield b"%x\r\n" % len(piece) + piece + b"\r\n"
    yield chance.choice((b"0\r\n\r\n", b"0\r\nX-Trailer: 1\r\n\r\n", b"-1\r\n\r\n", b"zz\r\n"))


def _odd_headers(chance: random.Random, headers: Headers) -> Headers:
    match chance.randrange(5):
        case 0:
            return _with(headers, "Content-Type", chance.choice(TYPES))
        case 1:
            coding = chance.choice(("gzip", "br", "identity", "zstd, gzip", "x" * 3000))
            return _with(headers, "Content-Encoding", coding)
        case 2:
            secret = chance.choice(
                ("", "Bearer", "Bearer x", "Basic eDp4", "Bearer sg_" + "é" * 99)
            )
            return _with(headers, "Authorization", secret)
        case 3:
            return [*headers, chance.choice(headers)]
        case _:
            ids = chance.choice(("a" * 9000, "é", "../..", "a b", "x\x7f"))
            return _with(headers, "X-Request-Id", ids)


def client(target: Target, scope: str = "write") -> httpx.Client:
    """A client with one of the target's tokens."""
    headers = {"Authorization": f"Bearer {target.tokens[scope]}"}
    return httpx.Client(base_url=target.url, headers=headers, timeout=60)
