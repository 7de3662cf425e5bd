"""A channel flow's processor behind HTTP on this machine: its events wait to be taken."""

import json
import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.conformance.sessions import PATIENCE_S


class Processor:
    """Takes events and answers `status` to them."""

    def __init__(self) -> None:
        self.events: queue.Queue[dict[str, Any]] = queue.Queue()
        self.status = 202
        processor = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                event = json.loads(self.rfile.read(int(self.headers["content-length"])))
                self.send_response(processor.status)
                self.send_header("content-length", "0")
                self.end_headers()
                if processor.status < 300:
                    processor.events.put(event)

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.arn = f"http://127.0.0.1:{self._server.server_port}/processor"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def takes(self) -> dict[str, Any]:
        """The next event."""
        return self.events.get(timeout=PATIENCE_S)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
