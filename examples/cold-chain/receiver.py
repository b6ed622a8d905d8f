"""A receiver to try the example with: prints each request that arrives, and answers 204.

python3 receiver.py [PORT]
"""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Receiver(BaseHTTPRequestHandler):
    """Takes what the engine delivers."""

    protocol_version = "HTTP/1.1"

    def take(self) -> None:
        """Print the request line and the body."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        sys.stdout.write(f"{self.command} {self.path}\n")
        if body:
            sys.stdout.write(f"    {' '.join(body.split())}\n")
        sys.stdout.flush()
        self.send_response(204)
        self.end_headers()

    do_GET = do_POST = do_PUT = take

    def log_message(self, format: str, *arguments: object) -> None:
        """Leave stderr alone; what matters is on stdout."""


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 9000
    ThreadingHTTPServer(("127.0.0.1", port), Receiver).serve_forever()
