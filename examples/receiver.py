"""A receiver to try the examples with: prints each request as `received.md` shows it, and answers 204.

python3 receiver.py [PORT] [ANSWERS]

ANSWERS is a JSON file: path → what is answered there, with status 200.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

ANSWERS = json.loads(Path(sys.argv[2]).read_text()) if len(sys.argv) > 2 else {}
# What every HTTP client sends.
LEFT_OUT = {"host", "user-agent", "accept", "content-length"}


class Receiver(BaseHTTPRequestHandler):
    """Takes what the engine delivers."""

    protocol_version = "HTTP/1.1"

    def take(self) -> None:
        """Print the request, and answer it."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        headers = [f"{name}: {value}" for name, value in self.headers.items() if name.lower() not in LEFT_OUT]
        text = "\n".join([f"{self.command} {self.path}", *headers, *(["", body] if body else [])])
        sys.stdout.write(f"{text}\n\n")
        sys.stdout.flush()
        path = urlsplit(self.path).path
        answer = json.dumps(ANSWERS[path]).encode() if path in ANSWERS else b""
        self.send_response(200 if path in ANSWERS else 204)
        if answer:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_PUT = take

    def log_message(self, format: str, *arguments: object) -> None:
        """Leave stderr alone; what matters is on stdout."""


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 9000
    ThreadingHTTPServer(("127.0.0.1", port), Receiver).serve_forever()
