"""A page for a browser on this machine: the newest overlay as a stream of JPEG images (MJPEG), and the newest line.

It listens on the loopback address only, and answers only to its names. Overlays are drawn only while a browser shows
the page.
"""

from __future__ import annotations

import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from vision.errors import DactylError

_BOUNDARY = "frame"
_TIMEOUT_S = 5.0  # until a stream without new images repeats its last one
_HOSTS = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?", re.IGNORECASE)
"""Names by which a browser on this machine asks: a page of the Internet whose own name leads here (DNS rebinding) could
read the cameras."""
_PAGE = b"""<!doctype html><meta charset="utf-8"><title>dactyl estimate --live</title>
<style>body{margin:0;background:#16181c;color:#e8eaed;font:16px sans-serif}img{width:100%}pre{margin:1em}</style>
<img src="/stream.mjpg" alt="the cameras' pictures with the estimate over them"><pre id="line"></pre>
<script>setInterval(async()=>{line.textContent=await(await fetch("/line.json")).text()},500)</script>
"""


class Page:
    """Serves the newest line and image until it is closed.

    Args:
        port: port on 127.0.0.1; 0 for a free one.

    Raises:
        DactylError: the port is taken.
    """

    def __init__(self, port: int) -> None:
        self._changed = threading.Condition()
        self._jpeg, self._line, self._number, self._watchers, self._closed = b"", b"", 0, 0, False
        try:
            self._server = _Server(("127.0.0.1", port), _handler(self))
        except OSError as error:
            raise DactylError(f"port {port}: {error.strerror or error}; choose another with --port, or 0") from error
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    @property
    def watched(self) -> bool:
        """Whether a browser shows the images."""
        return self._watchers > 0

    def show(self, line: str, jpeg: bytes | None) -> None:
        """Show the newest line, and its image if one was drawn."""
        with self._changed:
            self._line = line.encode()
            if jpeg is not None:
                self._jpeg, self._number = jpeg, self._number + 1
            self._changed.notify_all()

    def close(self) -> None:
        """Close the page; closing it twice does no harm."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()

    def line(self) -> bytes:
        return self._line

    def stream(self, write: Any) -> None:
        """Write one image after another until the page is closed or ``write`` fails."""
        with self._changed:
            self._watchers += 1
        try:
            number = -1
            while not self._closed:
                with self._changed:
                    self._changed.wait_for(lambda: self._closed or self._number != number, _TIMEOUT_S)  # noqa: B023
                    jpeg, number = self._jpeg, self._number
                if jpeg:
                    write(f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n".encode())
                    write(jpeg + b"\r\n")
        except OSError:
            pass  # the browser closed the connection
        finally:
            with self._changed:
                self._watchers -= 1


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # else the browser closed the connection
            super().handle_error(request, client_address)


def _handler(page: Page) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10.0  # seconds, for a browser that neither sends nor reads

        def do_GET(self) -> None:
            if not _HOSTS.fullmatch(self.headers.get("Host", "")):
                self.send_error(403, "the page is for localhost only")
            elif self.path == "/stream.mjpg":
                self._begin(f"multipart/x-mixed-replace; boundary={_BOUNDARY}")
                page.stream(self.wfile.write)
            elif self.path in ("/", "/line.json"):
                content = _PAGE if self.path == "/" else page.line()
                self._begin("text/html" if self.path == "/" else "application/json", len(content))
                self.wfile.write(content)
            else:
                self.send_error(404)

        def _begin(self, kind: str, length: int | None = None) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Cache-Control", "no-store")
            if length is not None:
                self.send_header("Content-Length", str(length))
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Log nothing: standard error is for the user."""

    return Handler
