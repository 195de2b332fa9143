"""``sparsegrad-client dashboard``: where the pages of the server are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sparsegrad_shared.terminal.results import Result, show

from .connecting import connect, start_embedded
from .options import ServerOption

if TYPE_CHECKING:
    from ..embedded import EmbeddedServer


def dashboard(
    open_browser: Annotated[
        bool, typer.Option("--open", help="Open it in a browser, where there is one.")
    ] = False,
    show_token: Annotated[
        bool,
        typer.Option(
            "--show-token",
            help="Print the embedded server's token itself, not the file that holds it.",
        ),
    ] = False,
    server: ServerOption = None,
) -> Result | None:
    """Say where the dashboard is: bases, calibrations and jobs in a browser.

    With no server named, the one on this machine is started, and runs until Ctrl-C.

    Examples:
        sparsegrad-client dashboard --open

        sparsegrad-client dashboard --server http://bases.example:8765
    """
    from ..service import ServiceConfig

    config = ServiceConfig.resolve(server)
    if config is None:
        _serve(open_browser, show_token)
        return None
    with connect(server) as service:
        service.find_bases(limit=1)  # is it there, and is the token one of its own?
    data = {"url": config.url, "token_file": None, "token": None}
    return Result(
        data,
        shown=[config.url, "sign in with a token; SPARSEGRAD_TOKEN holds the one used here"],
        brief=[config.url],
        notes=_opened(config.url) if open_browser else (),
    )


def _serve(open_browser: bool, show_token: bool) -> None:
    """Run the embedded server until Ctrl-C: that is how this ends, and no error."""
    embedded = start_embedded()
    url, token = embedded.config.url, embedded.config.token if show_token else None
    try:
        show(
            Result(
                data={"url": url, "token_file": embedded.token_file, "token": token},
                shown=[url, f"sign in with the token {token or f'in {embedded.token_file}'}"],
                brief=[url],
                notes=[*(_opened(url) if open_browser else ()), "Ctrl-C ends it"],
            )
        )
        embedded.wait()
    except KeyboardInterrupt:
        return
    raise _ended(embedded)


def _ended(embedded: EmbeddedServer) -> Exception:
    from sparsegrad_shared.errors import ServerUnreachable

    return ServerUnreachable(f"the embedded server has ended; its log is {embedded.log}")


def _opened(url: str) -> list[str]:
    """Open a browser; what to say when there is none."""
    import webbrowser

    return [] if webbrowser.open(url) else ["there is no browser here; open the address yourself"]
