"""A live system under `wake up --flower`, and an operator's two ways to look at it: Flower's API and a page in a real browser."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote

from celery import Celery

from dispatcher.embedded import server_url
from dispatcher.store.connect import kombu_url
from tests.support.gates import wait_until
from tests.support.gateway import PATIENCE_S, Gateway, Worker
from tests.support.server import free_port

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER_S = 200
QUIET = (
    "--headless",
    "--no-sandbox",  # refused as root otherwise
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--virtual-time-budget=8000",  # ms of the page's own clock: its tables are filled by then
)
TASKS = "/api/tasks?limit=2000"


class Watched(Gateway):
    """`wake up --flower` with an embedded server; agents ops and build in the default pool, hermit in its own."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, None)
        self.port, self.metrics_port = free_port(), free_port()
        self.configure(
            metrics={"port": self.metrics_port},
            agents={"ops": {}, "build": {}, "hermit": {}},
            pools={"research": {"agents": ["hermit"], "partitions": 2}},
            lease={"grace_ms": 5000},
            routing={"interval_ms": 500},  # as by default: a message is faster, and so its task has something to tell
        )

    def up(self) -> Worker:
        """Started; Flower listens and knows every queue."""
        supervisor = self.start("up", "--flower", "--flower-port", str(self.port))
        supervisor.hears("flower: http://127.0.0.1:")
        wait_until(self.answers, PATIENCE_S, "Flower answers")
        wait_until(lambda: len(self.queues()) == 3, PATIENCE_S, "Flower knows the queues of three workers")
        return supervisor

    @property
    def password(self) -> str:
        return (self.folder / ".wake" / "flower.password").read_text().strip()

    def get(self, path: str, login: str | None = None) -> tuple[int, str]:
        """(status, body), without a login unless one is given."""
        return self.ask("GET", path, login)

    def ask(self, method: str, path: str, login: str | None = None, body: str | None = None) -> tuple[int, str]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=200)
        headers = {"Authorization": "Basic " + base64.b64encode(login.encode()).decode()} if login else {}
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def answers(self) -> bool:
        try:
            return self.get("/healthcheck")[0] == 200
        except OSError:
            return False

    def api(self, path: str) -> Any:
        status, body = self.get(path, f"wake:{self.password}")
        assert status == 200, (path, status, body)
        return json.loads(body)

    def tasks(self, name: str, search: str = "") -> list[dict[str, Any]]:
        """What Flower knows of the tasks of one name, as its search finds them."""
        return list(self.api(f"{TASKS}&taskname={name}&search={quote(search)}").values())

    def queues(self) -> dict[str, list[str]]:
        """Queues by the pool that consumes them, from the workers' own names."""
        return {
            name.partition(".")[0]: sorted(queue["name"] for queue in worker.get("active_queues", []))
            for name, worker in self.api("/api/workers").items()
        }

    def raw(self, **completion: Any) -> None:
        """Sent by a program that knows nothing of us but the server and the task's name."""
        with Celery("foreign", broker=kombu_url(server_url(self.config)), set_as_current=False) as app:
            app.send_task("dispatcher.exec_completed", kwargs=completion, queue="wake.inbox")

    def browse(self, path: str, *words: str) -> str:
        """A page of Flower, or of a whole URL, in a fresh headless browser; `words` say what to do with it. What it prints is told."""
        found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
        assert found, f"no browser: install Chromium (apt-get install chromium), or name one in CHROMIUM; looked for {BROWSERS}"
        url = path if "://" in path else f"http://wake:{self.password}@127.0.0.1:{self.port}{path}"
        profile = self.folder / "browser"
        shutil.rmtree(profile, ignore_errors=True)
        done = subprocess.run(
            [found, *QUIET, f"--user-data-dir={profile}", *words, url],
            env=os.environ | {"HOME": str(self.folder)},
            capture_output=True,
            text=True,
            timeout=BROWSER_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def close(self) -> None:
        if self.workers and self.workers[0].alive:
            self.workers[0].signal(signal.SIGTERM)
            self.workers[0].ends()
        super().close()
