"""The least that any server must do before it acknowledges a gradient, and nothing else.

A thread a connection: it takes a request's head, receives the body into memory that it uses again,
holds it to its SHA-256, writes it to a file of its own, flushes that and its folder, answers 201.
No catalog, no check of the numbers, no packing, no checksum to find damage by later. What it
reaches on a machine is the most that a server with those duties can reach there.

    python benchmarks/bare_server.py FOLDER [--unhashed]

prints its address as JSON, and ends when its standard input does. `--unhashed` believes whatever
comes, to tell what the digests cost. `ingest.py` starts it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import sys
import threading
from base64 import b64encode
from functools import partial
from pathlib import Path

HEAD_BYTES = 1 << 16
PIECE = 1 << 20  # bytes of one read


def serve(connection: socket.socket, folder: Path, *, hashed: bool) -> None:
    """Answer the requests of one connection until it ends."""
    memory = memoryview(bytearray())
    received = b""
    for number in range(sys.maxsize):
        while b"\r\n\r\n" not in received:
            piece = connection.recv(HEAD_BYTES)
            if not piece:
                return
            received += piece
        head, _, begun = received.partition(b"\r\n\r\n")
        size = int(re.findall(rb"(?i)content-length: *(\d+)", head)[0])
        if len(memory) < size:
            memory = memoryview(bytearray(size))
        body, received = memory[:size], begun[size:]
        body[: len(begun)] = begun
        filled = len(begun)
        while filled < size:
            filled += connection.recv_into(body[filled : filled + PIECE])
        if hashed:
            assert b64encode(hashlib.sha256(body).digest()) in head
        keep(body, folder / f"{threading.get_ident()}-{number}")
        connection.sendall(b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n")


def keep(body: memoryview, path: Path) -> None:
    """The body on disk, its name too."""
    with path.open("xb", buffering=0) as file:
        file.write(body)
        os.fsync(file.fileno())
    descriptor = os.open(path.parent, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def main() -> None:
    """Serve until standard input ends."""
    folder, *options = sys.argv[1:]
    serve_one = partial(serve, folder=Path(folder), hashed="--unhashed" not in options)
    Path(folder).mkdir()
    listening = socket.create_server(("127.0.0.1", 0), backlog=64)

    def accept() -> None:
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=serve_one, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    print(json.dumps({"url": f"http://127.0.0.1:{listening.getsockname()[1]}"}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
