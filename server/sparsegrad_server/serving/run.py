"""The web server: its socket, its greeting, its end."""

from __future__ import annotations

import json
import logging
import signal
import socket
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime

import uvicorn

from sparsegrad_shared.errors import InvalidInput

from ..app import create_app
from ..auth import embedded as embedded_token
from ..catalog import Catalog
from ..parent import at_end_of_input
from ..settings import Settings
from ..store.files import make_folder
from .companion import CompanionWorker

LOOPBACK = "127.0.0.1"
LOOPBACK_NAMES = (LOOPBACK, "localhost")
GRACE_SECONDS = 5  # for open requests, such as a stream of a job's events, once asked to stop
BACKLOG = 2048

_log = logging.getLogger(__name__)


class _Server(uvicorn.Server):
    """uvicorn's server, which calls back once it answers requests."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        await super().startup(sockets)
        if self.started:
            self._on_started()


def serve_until_stopped(settings: Settings, *, with_worker: bool, embedded: bool) -> int:
    """Answer requests until a signal, or, embedded, until standard input ends.

    Embedded, it listens on loopback only and answers to loopback's names only; it keeps a token
    in a file for its user alone, and prints one line of JSON, `url` and `token_file`, on standard
    output once it answers requests.

    Args:
        settings: the server's.
        with_worker: whether to run a worker beside it.
        embedded: whether it is for a parent program.

    Returns:
        The exit code.

    Raises:
        InvalidInput: when the address cannot be listened on; says why.
        OSError: when the data folder cannot be written.
    """
    if embedded:
        settings = settings.model_copy(update={"host": LOOPBACK, "allowed_hosts": LOOPBACK_NAMES})
        _ensure_token(settings)
    with _listen(settings) as listener:
        url = f"http://{settings.host}:{listener.getsockname()[1]}"

        def greet() -> None:
            _log.info("answering at %s; data in %s", url, settings.data)
            if embedded:
                greeting = {"url": url, "token_file": str(settings.embedded_token_file)}
                print(json.dumps(greeting), flush=True)  # noqa: T201 - the parent reads it

        config = uvicorn.Config(
            create_app(settings),
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        server = _Server(config, greet)
        _end_with(server, input_too=embedded)
        with CompanionWorker(settings) if with_worker else nullcontext():
            server.run(sockets=[listener])
    return 0 if server.started else 1


def _ensure_token(settings: Settings) -> None:
    make_folder(settings.data)
    catalog = Catalog(settings.catalog_address)
    catalog.migrate()
    with catalog.writing() as session:
        embedded_token.ensure(session, settings.embedded_token_file, datetime.now(UTC))
    catalog.close()


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listener = socket.create_server(
            (settings.host, settings.port), family=family, backlog=BACKLOG
        )
    except OSError as error:
        raise InvalidInput(
            f"cannot listen on {settings.host}, port {settings.port}: {error.strerror}; "
            "choose another with --host and --port"
        ) from None
    # Its connections inherit it. An answer is two writes, head and body: without this the second
    # one waits 40 ms for the acknowledgement of the first.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _end_with(server: uvicorn.Server, *, input_too: bool) -> None:
    """Have the server end on a signal, also before uvicorn's own handlers are there.

    uvicorn raises a signal that it has heard once more when it is done; by then this handler is
    in place again, and what comes after the server is still done.
    """

    def ask(*_: object) -> None:
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)
    if input_too:
        at_end_of_input(ask)
