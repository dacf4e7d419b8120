#!/usr/bin/env python3
"""Answers `GET /NAME` with what `wake scale --pool NAME --json` says of that pool: for KEDA's metrics-api, or anything that asks over HTTP.

On port WAKE_SCALE_PORT (8391), all addresses of its container; it tells numbers and changes nothing. WAKE_SCALE_ARGS: more words, as in
`--wait 10s --max 20`.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LIMIT_S = 20
MORE = shlex.split(os.environ.get("WAKE_SCALE_ARGS", ""))


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        pool = self.path.strip("/")
        if not pool or pool.startswith("-"):
            self.say(404, {"error": "GET /NAME of a pool"})
            return
        try:
            done = subprocess.run(["wake", "scale", "--json", "--pool", pool, *MORE], capture_output=True, timeout=LIMIT_S, check=True)
            self.say(200, json.loads(done.stdout)["pools"][0])
        except (subprocess.SubprocessError, ValueError, LookupError) as error:
            # KEDA goes on with the last number that it was told, or with its fallback.
            self.say(503, {"error": str(error)})

    def say(self, status: int, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer(("", int(os.environ.get("WAKE_SCALE_PORT", "8391"))), Answer).serve_forever()
