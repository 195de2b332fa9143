"""The web server: its socket, its greeting, its end."""

from __future__ import annotations

import gc
import json
import logging
import math
import socket
import threading
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import partial

import uvicorn

from sparsegrad_shared.errors import InvalidInput

from ..app import create_app
from ..auth import embedded as embedded_token
from ..catalog import Catalog
from ..settings import Settings
from ..store.files import make_folder
from .companion import CompanionWorker
from .ending import StoppableServer, stop_when_asked
from .protocol import Protocol
from .tls import tls_context, warn_of_plain_http

LOOPBACK = "127.0.0.1"
LOOPBACK_NAMES = (LOOPBACK, "localhost")
BACKLOG = 2048

_log = logging.getLogger(__name__)


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
        InvalidInput: when the address cannot be listened on, or the certificate not be used; says
            why.
        OSError: when the data folder cannot be written.
    """
    if embedded:
        settings = settings.model_copy(update={"host": LOOPBACK, "allowed_hosts": LOOPBACK_NAMES})
        _ensure_token(settings)
    warn_of_plain_http(settings)
    tls = tls_context(settings)
    with _listen(settings) as listener:
        url = _url(settings, listener)

        def greet() -> None:
            # What was loaded stays: to look through it for garbage would stop every thread.
            gc.collect()
            gc.freeze()
            _log.info("answering at %s; data in %s", url, settings.data)
            if embedded:
                greeting = {"url": url, "token_file": str(settings.embedded_token_file)}
                print(json.dumps(greeting), flush=True)  # noqa: T201 - the parent reads it

        app = create_app(settings)
        config = uvicorn.Config(
            app,
            http=partial(Protocol, head_seconds=settings.head_seconds),  # type: ignore[arg-type]
            loop="asyncio",  # uvloop would not read into memory that we name
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=math.ceil(settings.grace_seconds),
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=list(settings.trusted_proxies),
            ssl_context_factory=None if tls is None else lambda *_: tls,
        )
        draining: threading.Event = app.state.draining
        worker = CompanionWorker(settings) if with_worker else None
        server = StoppableServer(
            config,
            draining,
            settings.drain_seconds,
            on_started=greet,
            on_stopping=worker.ask_to_stop if worker else lambda: None,
        )
        stop_when_asked(draining, input_too=embedded)
        with worker or nullcontext():
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


def _url(settings: Settings, listener: socket.socket) -> str:
    scheme = "http" if settings.tls_certificate is None else "https"
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{scheme}://{host}:{listener.getsockname()[1]}"
