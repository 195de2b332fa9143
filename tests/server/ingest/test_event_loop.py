"""While uploads run, the event loop's thread does nothing that could keep it from /livez."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from support.calibrations import Calibration
from support.gradients import dense_frame, open_calibration, put
from support.service import Service

from sparsegrad_server.settings import Settings
from sparsegrad_shared.errors import SlotTaken

# A server whose event loop's thread writes down each call into the modules that wait for a disk
# or a database, or that work through bytes.
_WATCHED = """
import functools, json, sys, threading, uvicorn
from pathlib import Path
from sparsegrad_server.app import create_app
from sparsegrad_server.serving.protocol import Protocol
from sparsegrad_server.settings import Settings

BLOCKING = {"_io", "posix", "_sqlite3", "sqlite3", "_hashlib", "zlib", "numcodecs.zstd"}
HARMLESS = {"fspath", "urandom", "getpid", "write", "flush"}  # the log's, to standard error
WARM_UP = 3  # requests, until what the framework reads when it first needs it is read
calls = set()

def watch(frame, event, function):
    if event != "c_call" or server.server_state.total_requests < WARM_UP:
        return
    owner = getattr(function, "__self__", None)
    modules = {function.__module__, type(owner).__module__, getattr(owner, "__name__", None)}
    if modules & BLOCKING and function.__name__ not in HARMLESS:
        calls.add(f"{function.__qualname__} in {frame.f_code.co_filename}:{frame.f_lineno}")

class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        sys.setprofile(watch)

    async def shutdown(self, sockets=None):
        sys.setprofile(None)
        Path(sys.argv[2]).write_text(json.dumps(sorted(calls)))
        await super().shutdown(sockets)

settings = Settings()
http = functools.partial(Protocol, head_seconds=settings.head_seconds)
config = uvicorn.Config(
    create_app(settings), fd=int(sys.argv[1]), http=http, loop="asyncio", log_level="warning"
)
server = Server(config)
server.run()
"""


@pytest.mark.parametrize("memory", [0, 64 << 20])
def test_no_file_no_database_no_hash_on_the_event_loop(tmp_path: Path, memory: int) -> None:
    seen = tmp_path / "calls.json"
    settings = Settings(data=tmp_path / "data", min_free_bytes=0, upload_memory_bytes=memory)
    environment = {
        "SPARSEGRAD_DATA": str(settings.data),
        "SPARSEGRAD_MIN_FREE_BYTES": "0",
        "SPARSEGRAD_UPLOAD_MEMORY_BYTES": str(memory),
    }
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = subprocess.Popen(
            [sys.executable, "-c", _WATCHED, str(listener.fileno()), str(seen)],
            env={**os.environ, **environment},
            pass_fds=[listener.fileno()],
        )
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    service = Service(settings, url, process)
    try:
        settings.data.mkdir(exist_ok=True)
        service.catalog.migrate()
        with service.client() as client:
            shape = {"d_out": 700, "d_in": 500}
            calibration = Calibration(open_calibration(client, **shape), client, service)
            assert client.get("/livez").status_code == 200
            for index in range(3):  # the last two are watched
                body = dense_frame(index, **shape)
                assert put(client, calibration.id, index, body).status_code == 201
            taken = put(client, calibration.id, 0, dense_frame(9, **shape))
            assert taken.json()["type"] == SlotTaken.type_uri()
            broken = put(client, calibration.id, 5, bytes(3 << 20))
            assert broken.status_code == 422, broken.text
            assert client.get("/livez").status_code == 200
    finally:
        process.terminate()
        process.wait(timeout=60)
        service.catalog.close()
    calls = json.loads(seen.read_text())
    assert not calls, "\n".join(calls)
