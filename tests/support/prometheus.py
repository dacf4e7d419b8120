"""promtool, and a Prometheus that scrapes what a test started."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.support.gates import wait_until
from tests.support.server import free_port
from tests.support.sources import ROOT

ALERTS = ROOT / "examples" / "prometheus" / "alerts.yml"
DASHBOARD = ROOT / "examples" / "grafana" / "dashboard.json"
LIMIT_S = 200


def tool(name: str) -> str:
    """Its path; fails where it is missing and could not be installed."""
    found = shutil.which(name)
    assert found, f"{name} is not installed: apt-get install prometheus (Debian, Ubuntu), or `.ci/promtool` as root"
    return found


def promtool(*words: str, cwd: Path | None = None, stdin: str | None = None) -> str:
    """What it says; it must be content."""
    done = subprocess.run([tool("promtool"), *words], cwd=cwd, input=stdin, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, f"promtool {' '.join(words)}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


@dataclass(frozen=True)
class Prometheus:
    """One that runs."""

    port: int

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an expression now. Fails on an expression that it refuses."""
        answer = self._get("query", query=expression)
        assert answer["status"] == "success", (expression, answer)
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def healthy(self) -> bool:
        """It has scraped everything more than twice: a rate needs two."""
        try:
            return bool(self.query("min(count_over_time(up[1h])) > 2 and min(up) == 1"))
        except (OSError, ValueError):  # not JSON while it starts
            return False

    def _get(self, what: str, **words: str) -> Any:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=LIMIT_S)
        try:
            connection.request("GET", f"/api/v1/{what}?{urlencode(words)}")
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()


@contextmanager
def prometheus(folder: Path, targets: Sequence[str]) -> Iterator[Prometheus]:
    """Scrapes each second and evaluates the alerts of the examples."""
    settings = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(ALERTS)],
        "scrape_configs": [{"job_name": "wake", "static_configs": [{"targets": list(targets)}]}],
    }
    config = folder / "prometheus.yml"
    config.write_text(json.dumps(settings))
    found = Prometheus(free_port())
    words = [f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}", f"--web.listen-address=127.0.0.1:{found.port}"]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen([tool("prometheus"), *words], cwd=folder, stdout=log, stderr=log)
    try:
        wait_until(found.healthy, LIMIT_S, f"Prometheus in {folder} scrapes {targets}")
        yield found
    finally:
        process.terminate()
        process.wait(LIMIT_S)


def dashboard_queries() -> dict[str, str]:
    """Title of the panel and legend -> its query, for all pools."""
    panels = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    return {
        f"{panel['title']}: {target['legendFormat']}": target["expr"].replace("$pool", ".*")
        for panel in panels
        for target in panel["targets"]
    }
