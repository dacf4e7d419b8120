"""The real ingress beside the real gateway: `wake web`, with a key and a token that the command made."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Self

import urllib3

from tests.openclaw.gateway import AGENTS
from tests.support.gates import wait_until
from tests.support.gateway import PATIENCE_S, Worker
from tests.support.gateway import Gateway as Dispatcher


class Ingress:
    """Listens on `port` as long as its `with` block. Writes a token for the gateway's agents into `token_file`, which its clients read."""

    def __init__(self, dispatcher: Dispatcher, port: int, token_file: Path) -> None:
        self.base, self._dispatcher = f"http://127.0.0.1:{port}", dispatcher
        self._wake("token", "keygen")
        token_file.touch(0o600)
        named = [word for agent in AGENTS for word in ("--agent", agent)]
        token_file.write_text(self._wake("token", "mint", *named, "--ttl", "1d"))
        # Not among the dispatcher's workers: it shows no presence, and scenes that kill those leave it alone.
        self.process = Worker(["web", "--port", str(port)], dispatcher.folder / "web.log", dispatcher.folder, dispatcher.process_env())

    def __enter__(self) -> Self:
        wait_until(self._ready, PATIENCE_S, f"the ingress is ready; {self.process.log} says what it does")
        return self

    def __exit__(self, *_: object) -> None:
        self.process.close()

    def _ready(self) -> bool:
        try:
            return urllib3.request("GET", f"{self.base}/readyz", retries=False, timeout=5).status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def _wake(self, *words: str) -> str:
        words = (sys.executable, "-P", "-m", "dispatcher.cli", *words)
        place, env = self._dispatcher.folder, self._dispatcher.process_env()
        done = subprocess.run(words, cwd=place, env=env, capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout
