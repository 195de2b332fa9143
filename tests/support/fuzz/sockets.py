"""What a stranger can do with a connection alone: heads without measure, halves, floods, patience.

Whatever it is, the server answers that the request is wrong, or closes; and all the while it
answers others.
"""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from .tally import Tally
from .target import BODY_SECONDS, HEAD_SECONDS, Target
from .wire import CLOSED, Answer, exchange, head

FLOOD = 300  # connections
_GET = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n"
_PUT = b"PUT /v1/calibrations/x/gradients/up/0 HTTP/1.1\r\nHost: 127.0.0.1\r\n"
_END = b"\r\n"
# Requests that two servers in a row may cut apart at different places (RFC 9112, section 6.3).
AMBIGUOUS = (
    b"Content-Length: 4\r\nContent-Length: 40\r\n\r\n0\r\n\r\nGET /x",
    b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    b"Content-Length: 1_0\r\n\r\n0123456789",
    b"Content-Length: 5\x00\r\n\r\n01234",
    b" Content-Length: 5\r\n\r\n01234",
    b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    b"X: a\nContent-Length: 0\r\n\r\n",
    b"X: a\rContent-Length: 0\r\n\r\n",
    b"\x00: a\r\n\r\n",
    b": a\r\n\r\n",
)
UNUSUAL = (
    b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n5;" + b"e" * 70_000,
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"T: x\r\n" * 20_000,
    b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAAA\r\n\r\n",
)
LINES = (
    b"", b"\r\n" * 1000, b"GET", b"GET /livez", b"GET /livez HTTP/9.9\r\n\r\n",
    b"GET  HTTP/1.1\r\n\r\n",
    b"get /livez HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\x00" * 5000,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET http://evil.example/livez HTTP/1.1\r\nHost: x\r\n\r\n",
    b"CONNECT evil.example:443 HTTP/1.1\r\n\r\n", b"OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"GET /livez HTTP/1.1\r\n\r\n", b"GET //etc/passwd HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"GET /\xff\xfe HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"GET /livez HTTP/1.0\r\n\r\n",
    b"GET /%00%ff%c0%ae HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /livez HTTP/1.1\r\nHost: [::1\r\n\r\n",
    b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1:x\r\n\r\n",
    b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n",
    b"HEAD /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"TRACE / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
)  # fmt: skip


class Sockets:
    """Raw connections to a target."""

    def __init__(self, target: Target, tally: Tally) -> None:
        self._target = target
        self._tally = tally
        self._shapes: dict[str, Callable[[random.Random], Iterator[bytes]]] = {
            "huge head": _huge_head,
            "smuggling": _smuggling,
            "unusual": _unusual,
            "no request": _no_request,
            "half": _half,
        }

    def quick(self, seed: str) -> None:
        """A request that is answered at once."""
        chance = random.Random(seed)
        name = chance.choice(tuple(self._shapes))
        pieces = list(self._shapes[name](chance))
        answer = exchange(self._target.address, pieces, half_close=True)
        case = f"{b''.join(pieces)[:200]!r} (seed {seed})"
        self._count(f"socket: {name}", answer, case)
        if name == "smuggling" and answer.status not in (400, CLOSED):
            self._tally.complain(f"socket: {name}", f"answered {answer.status}", case)

    @contextmanager
    def slow(self, seed: str) -> Iterator[None]:
        """Senders without haste, side by side, while other things are done."""
        chance = random.Random(seed)
        dribbles = [_slow_head(chance) for _ in range(4)] + [self._slow_body(chance)]
        threads = [
            threading.Thread(target=self._dribble, args=(name, pieces, seed))
            for name, pieces in dribbles
        ]
        for thread in threads:
            thread.start()
        yield
        for thread in threads:
            thread.join()

    def flood(self) -> None:
        """Many connections that say nothing; the server answers another one meanwhile."""
        with ExitStack() as stack:
            for _ in range(FLOOD):
                connection = socket.create_connection(self._target.address, timeout=10)
                stack.enter_context(connection)
            self._check_alive(f"with {FLOOD} connections open")
        self._tally.count("socket: flood", CLOSED, 0.0, f"{FLOOD} connections")
        self._check_alive("after a flood")

    def _dribble(self, name: str, pieces: Iterator[bytes], seed: str) -> None:
        answer = exchange(self._target.address, pieces)
        self._count(f"socket: {name}", answer, f"seed {seed}")

    def _check_alive(self, when: str) -> None:
        answer = exchange(self._target.address, [_GET + b"Connection: close\r\n" + _END])
        self._tally.count("socket: good", answer.status, answer.seconds, when)
        if answer.status != 200:
            self._tally.complain("socket: good", f"answered {answer.status}", when)

    def _slow_body(self, chance: random.Random) -> tuple[str, Iterator[bytes]]:
        headers = [
            ("Host", "127.0.0.1"),
            ("Authorization", f"Bearer {self._target.tokens['write']}"),
            ("Content-Type", "application/json"),
            ("Content-Length", "100000"),
        ]
        return "slow body", _slowly(
            head("POST", "/v1/calibrations", headers), b" " * 100, BODY_SECONDS * 2
        )

    def _count(self, kind: str, answer: Answer, case: str) -> None:
        self._tally.count(kind, answer.status, answer.seconds, case)
        if answer.status == "silent":
            self._tally.complain(kind, "neither answered nor closed", case)


def _slow_head(chance: random.Random) -> tuple[str, Iterator[bytes]]:
    if chance.random() < 0.3:
        return "silent", _slowly(b"", b"", HEAD_SECONDS * 2)
    return "slow head", _slowly(_GET, b"X-Slow: 1\r\nX: ", HEAD_SECONDS * 2)


def _slowly(at_once: bytes, then: bytes, seconds: float) -> Iterator[bytes]:
    """Some bytes, then a byte now and then."""
    pause = threading.Event()
    yield at_once
    until, position = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        pause.wait(0.2)
        yield then[position % len(then) :][:1] if then else b""
        position += 1


def _huge_head(chance: random.Random) -> Iterator[bytes]:
    yield _GET
    match chance.randrange(4):
        case 0:
            yield b"X: " + b"a" * (1 << 20) + _END
        case 1:
            yield b"".join(b"X-%d: a\r\n" % i for i in range(10_000))
        case 2:
            yield b"a" * (1 << 20) + b": x" + _END
        case _:
            yield b"Cookie: " + b"a=b; " * 100_000 + _END
    yield _END


def _smuggling(chance: random.Random) -> Iterator[bytes]:
    yield chance.choice((_GET, _PUT)) + chance.choice(AMBIGUOUS)


def _unusual(chance: random.Random) -> Iterator[bytes]:
    yield chance.choice((_GET, _PUT)) + chance.choice(UNUSUAL)


def _no_request(chance: random.Random) -> Iterator[bytes]:
    if chance.random() < 0.3:
        yield chance.randbytes(chance.randint(1, 4000))
    elif chance.random() < 0.2:
        yield b"GET /" + b"a" * (1 << chance.randint(10, 20)) + b" HTTP/1.1\r\n\r\n"
    else:
        yield chance.choice(LINES)


def _half(chance: random.Random) -> Iterator[bytes]:
    whole = _PUT + b"Content-Length: 100\r\n\r\n" + b"x" * 50
    yield whole[: chance.randrange(1, len(whole))]
