"""The inventory service: nothing but Python 3's standard library."""

import json
import os
import platform
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = int(os.environ.get("PORT", "8082"))
SELF = {
    "service": "inventory",
    "instance": os.environ.get("INSTANCE", "inventory"),
    "runtime": "python " + platform.python_version(),
}


class Inventory(BaseHTTPRequestHandler):
    # Connections are kept; with the default of HTTP/1.0 each request would cost one.
    protocol_version = "HTTP/1.1"
    # Head and body are two writes; together with Nagle's algorithm they would cost 40 ms.
    disable_nagle_algorithm = True

    def do_GET(self):
        if self.path.startswith("/stock/"):
            # The sidecar tells who called, from the caller's certificate.
            caller = self.headers.get("x-forwarded-client-cert")
            self.reply(200, {**SELF, "sku": self.path[len("/stock/"):], "stock": 7, "caller": caller})
        elif self.path == "/healthz":
            self.reply(200, SELF)
        else:
            self.reply(404, {**SELF, "error": "no such thing"})

    def reply(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", PORT), Inventory)
    server.daemon_threads = True
    print(f"inventory listens on http://127.0.0.1:{PORT}", flush=True)
    server.serve_forever()
