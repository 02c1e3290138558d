"""A web server for one folder on this machine, until Ctrl-C; with the headers that let a page use several threads."""

import functools
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from quantseg.cli import console

HOST = "127.0.0.1"
_HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cache-Control": "no-cache",
}


class _Handler(SimpleHTTPRequestHandler):
    """Files of the folder, said to be what they are wherever this runs."""

    extensions_map = {  # noqa: RUF012 (as the base class has it)
        **SimpleHTTPRequestHandler.extensions_map,
        ".js": "text/javascript",
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
        ".webmanifest": "application/manifest+json",
        ".md": "text/plain; charset=utf-8",
    }

    def end_headers(self) -> None:
        """Adds the headers."""
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *words: Any) -> None:
        """Says nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *words: Any) -> None:
        """Says nothing: browsers close connections as they like."""


def server(folder: Path, port: int = 0) -> ThreadingHTTPServer:
    """A server of the folder, not running yet. port: 0 takes a free one."""
    return _Server((HOST, port), functools.partial(_Handler, directory=str(folder)))


def serve(folder: Path) -> None:
    """Serves the folder until the command is interrupted; prints the address first."""
    with server(folder) as running:
        console.say(f"serving {folder} at http://localhost:{running.server_port} (Ctrl-C ends)")
        running.serve_forever()
