"""Bodies that are nearly gradients: frames, and what can be wrong with one.

A body is made of a kind's name and a source of chance, so that either gives it again. Those of
`VALID` are gradients of the group `up`; all others are wrong somewhere.
"""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from support.gradients import D_IN, D_OUT, dense, frame

Header = dict[str, Any]
Make = Callable[[random.Random], bytes]

HUGE = (1 << 31, 1 << 32, 1 << 53, 1 << 63, 1 << 64, 10**30, 10**4000)
TEXTS = (
    "", "\x00", "\ud800", "../../etc/passwd", "__metadata__", "G\u200b", "\u0413", "\U0001d406",
    "a" * 20_000,
    "\r\nX-Evil: 1", "é" * 500, "%s%n", "constructor",
)  # fmt: skip


def dense_body(chance: random.Random) -> bytes:
    return b"".join(frame({"G": dense(chance.getrandbits(32))}))


def factored_body(chance: random.Random) -> bytes:
    tokens = chance.randint(1, 40)
    seed = chance.getrandbits(32)
    tensors = {"g": dense(seed, tokens, D_OUT), "x": dense(seed + 1, tokens, D_IN)}
    return b"".join(frame(tensors))


def sums_body(chance: random.Random, **metadata: str) -> bytes:
    G = dense(chance.getrandbits(32)).astype(np.float64)
    said = {"count": "1", **metadata}
    return b"".join(frame({"A_in": G.T @ G, "A_out": G @ G.T}, **said))


def parts(body: bytes) -> tuple[Header, bytes]:
    """The header and the data of a frame."""
    (length,) = struct.unpack_from("<Q", body)
    return json.loads(body[8 : 8 + length]), body[8 + length :]


def joined(header: object, data: bytes, **options: Any) -> bytes:
    """A frame of whatever header."""
    return with_text(json.dumps(header, **options).encode("utf-8", "surrogatepass"), data)


def with_text(text: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    """A frame of whatever text, and of whatever length it says that the text has."""
    return struct.pack("<Q", (len(text) if length is None else length) % 2**64) + text + data


def _truncated(chance: random.Random) -> bytes:
    body = chance.choice((dense_body, factored_body, sums_body))(chance)
    return body[: chance.randrange(len(body))]


def _trailing(chance: random.Random) -> bytes:
    return dense_body(chance) + chance.randbytes(chance.randint(1, 5000))


def _length_lies(chance: random.Random) -> bytes:
    body = dense_body(chance)
    lie = chance.choice((0, 1, 2, 7, -1, -8, 1 << 16, (1 << 16) + 1, *HUGE[:5], len(body)))
    return struct.pack("<Q", lie % 2**64) + body[8:]


def _flipped(chance: random.Random) -> bytes:
    body = bytearray(chance.choice((dense_body, factored_body, sums_body))(chance))
    for _ in range(chance.randint(1, 8)):  # where it hurts: in the head
        body[chance.randrange(min(len(body), 120))] ^= 1 << chance.randrange(8)
    return bytes(body)


def _not_utf8(chance: random.Random) -> bytes:
    header, data = parts(dense_body(chance))
    text = bytearray(json.dumps(header).encode())
    text[chance.randrange(len(text))] = chance.choice((0x80, 0xC0, 0xED, 0xFF, 0xFE))
    return with_text(bytes(text), data)


def _deep(chance: random.Random) -> bytes:
    depth = chance.choice((chance.randint(100, 1000), 5000, 30_000))
    opening, closing = chance.choice(((b"[", b"]"), (b'{"a":', b"}")))
    depth = min(depth, 65_000 // (len(opening) + 1))
    return with_text(opening * depth + chance.choice((b"", b"1" + closing * depth)))


def _twice(chance: random.Random) -> bytes:
    header, data = parts(dense_body(chance))
    entry, other = json.dumps(header["G"]), dict(header["G"], shape=[1, D_IN * D_OUT])
    entries = [f'"G":{entry}', f'"G":{json.dumps(other)}']
    chance.shuffle(entries)
    return with_text(f"{{{','.join(entries)}}}".encode(), data)


def _offsets(chance: random.Random) -> bytes:
    header, data = parts(factored_body(chance))
    name = chance.choice(tuple(header))
    size = len(data)
    odd: tuple[Any, ...] = (
        0, 1, 3, size - 1, size, size + 1, size * 2, -1, -size, True, None, 0.5, "0", [], *HUGE,
    )  # fmt: skip
    header[name]["data_offsets"] = [chance.choice(odd) for _ in range(chance.choice((2, 2, 1, 3)))]
    return joined(header, data)


def _shapes(chance: random.Random) -> bytes:
    header, data = parts(chance.choice((dense_body, factored_body))(chance))
    name = chance.choice(tuple(header))
    odd: tuple[Any, ...] = (0, 1, -1, D_IN, D_OUT, True, None, 1.0, "24", [], {}, *HUGE)
    shape = [chance.choice(odd) for _ in range(chance.choice((0, 1, 2, 2, 2, 3, 64)))]
    header[name]["shape"] = shape
    if chance.random() < 0.5 and all(type(extent) is int for extent in shape):
        item = int(np.prod(np.array(shape, dtype=object), initial=1)) * 4
        if item < 10**4200:
            header[name]["data_offsets"] = [0, item]
    return joined(header, data)


def _members(chance: random.Random) -> bytes:
    """An entry that has not the members of one, or others besides."""
    header, data = parts(dense_body(chance))
    odd: Any = chance.choice((None, [], 1, "x", {}, {"dtype": "F32"}, True, HUGE[-1]))
    match chance.randrange(4):
        case 0:
            header["G"] = odd
        case 1:
            header["G"][chance.choice(("dtype", "shape", "data_offsets"))] = odd
        case 2:
            del header["G"][chance.choice(tuple(header["G"]))]
        case _:
            header["G"][chance.choice(TEXTS)] = odd
            header["G"]["dtype"] = "F64"
    return joined(header, data)


def _dtypes(chance: random.Random) -> bytes:
    header, data = parts(dense_body(chance))
    header["G"]["dtype"] = chance.choice(("I8", "F8_E4M3", "BOOL", "f32", "F64", "F16", *TEXTS))
    return joined(header, data)


def _names(chance: random.Random) -> bytes:
    header, data = parts(dense_body(chance))
    entries = {chance.choice((*TEXTS, "H", "g", "A_in")): header["G"]}
    if chance.random() < 0.5:
        entries[chance.choice(TEXTS)] = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    return joined(entries, data, ensure_ascii=chance.random() < 0.5)


def _metadata(chance: random.Random) -> bytes:
    header, data = parts(dense_body(chance))
    bombs: tuple[Any, ...] = (
        None, [], 1, "x", {"a": 1}, {"a": None}, {"a": {}}, {"a": "b" * 70_000},
        {str(i): "" for i in range(8000)}, {chance.choice(TEXTS): 1}, {"count": 1},
    )  # fmt: skip
    return joined({"__metadata__": chance.choice(bombs), **header}, data)


def _many(chance: random.Random) -> bytes:
    """More tensors than any gradient has, none of them with an entry."""
    empty = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    return joined({f"t{i}": empty for i in range(chance.choice((3, 100, 1000)))}, b"")


def _not_finite(chance: random.Random) -> bytes:
    tensors = {"G": dense(chance.getrandbits(32))}
    if chance.random() < 0.5:
        tensors = {"g": dense(1, 3, D_OUT), "x": dense(2, 3, D_IN)}
    array = tensors[chance.choice(tuple(tensors))]
    for _ in range(chance.randint(1, array.size)):
        array.flat[chance.randrange(array.size)] = chance.choice((np.nan, np.inf, -np.inf))
    return b"".join(frame(tensors))


def _no_tokens(chance: random.Random) -> bytes:
    shapes = chance.choice((((0, D_OUT), (0, D_IN)), ((0, 0), (0, 0)), ((0,), (0,))))
    tensors = {name: np.zeros(s, np.float32) for name, s in zip("gx", shapes, strict=True)}
    return b"".join(frame(tensors))


def _sums(chance: random.Random) -> bytes:
    """Sums that say odd things of themselves, or are none."""
    odd = (
        "",
        "0",
        "-1",
        "1.5",
        "one",
        "1" * 30,
        "9" * 4000,
        "9" * 5000,
        "\u0967",
        " 1 ",
        "1_0",
        "\u0663",
    )
    said = {"count": chance.choice(odd), "zero_count": chance.choice((*odd, "0", "0"))}
    if chance.random() < 0.5:
        return sums_body(chance, **said)
    A_in = dense(chance.getrandbits(32), D_IN, D_IN).astype(np.float64)
    A_in = chance.choice((A_in, A_in * 1e300, -(A_in @ A_in.T), np.zeros_like(A_in)))
    return b"".join(frame({"A_in": A_in, "A_out": np.eye(D_OUT)}, **said))


def _not_a_frame(chance: random.Random) -> bytes:
    return chance.choice(
        (
            b"",
            b"\x00",
            b"\x80\x04cbuiltins\nexec\n(S'1'\ntR.",
            b"PK\x03\x04" + chance.randbytes(500),
            b"{}",
            b"null",
            chance.randbytes(chance.randint(1, 3000)),
            with_text(chance.choice((b"{}", b"[]", b"null", b"1", b'"x"', b"NaN", b"  ", b"{}{}"))),
            with_text(b" " * 65_530 + b"{}"),
            with_text(b"9" * 60_000),
        )
    )


VALID: Mapping[str, Make] = {
    "dense": dense_body,
    "factored": factored_body,
    "sums": sums_body,
}
WRONG: Mapping[str, Make] = {
    "truncated": _truncated,
    "trailing": _trailing,
    "length lies": _length_lies,
    "flipped bits": _flipped,
    "not UTF-8": _not_utf8,
    "deep": _deep,
    "a name twice": _twice,
    "offsets": _offsets,
    "shapes": _shapes,
    "members": _members,
    "data types": _dtypes,
    "names": _names,
    "metadata": _metadata,
    "many tensors": _many,
    "not finite": _not_finite,
    "no tokens": _no_tokens,
    "odd sums": _sums,
    "no frame": _not_a_frame,
}


def any_body(chance: random.Random) -> tuple[str, bytes]:
    """A body of some kind, and the kind's name."""
    name = chance.choice((*WRONG, *VALID))
    return name, {**VALID, **WRONG}[name](chance)
