"""The server: on loopback, at a port of its own, until it is stopped."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

from curation.explorer.app import application
from curation.explorer.guard import Guard
from curation.explorer.view import Explorer
from curation.pipeline.pipeline import Pipeline
from schemas.errors import WorkspaceError

LOOPBACK = "127.0.0.1"


def serve(
    workspace: Pipeline, port: int = 0, *, show: bool = True, ready: Callable[[str], None] | None = None
) -> None:
    """Serve the page until Ctrl-C.

    Args:
        workspace: that is shown.
        port: on loopback; 0: any that is free.
        show: open the page in a browser, where this machine has a screen.
        ready: is called with the address, which has the token, once requests are answered.

    Raises:
        WorkspaceError: nothing is ingested yet, or the port is taken.
    """
    import uvicorn

    explorer = Explorer(workspace)
    with _listening(port) as listener:
        app = application(explorer)
        guard = Guard(app, listener.getsockname()[1])
        config = uvicorn.Config(guard, log_level="warning", access_log=False, lifespan="off", ws="none")
        config.timeout_graceful_shutdown = 1
        config.server_header = False
        server = uvicorn.Server(config)
        threading.Thread(target=explorer.read_ahead, name="read ahead", daemon=True).start()
        if ready:
            ready(guard.url)
        if show:
            _open(guard.url)
        with suppress(KeyboardInterrupt):
            server.run(sockets=[listener])


def _listening(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise WorkspaceError(
            f"port {port} of this machine cannot be used: {error.strerror}; --port 0 takes one that is free"
        ) from None
    return listener


def _open(url: str) -> None:
    """Show the page where there is a screen: a browser in the terminal would take that away."""
    import webbrowser

    if sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open(url)
