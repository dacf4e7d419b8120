"""schemathesis asks a live ingress everything that its OpenAPI document allows, and much that it does not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.ingress import Ingress
from tests.support.server import Server

pytestmark = pytest.mark.slow
ANSWERS = ("status_code_conformance", "content_type_conformance", "response_schema_conformance", "unsupported_method")
CHECKS = ",".join(("not_a_server_error", *ANSWERS, "negative_data_rejection", "positive_data_acceptance"))


def asked(ingress: Ingress, *words: str) -> subprocess.CompletedProcess[str]:
    report = ingress.folder / "report.ndjson"
    line = [sys.executable, "-m", "schemathesis.cli", "run", f"{ingress.place}/openapi.json", "--no-color", "--generation-deterministic"]
    line += ["-H", f"Authorization: Bearer {ingress.token('ops', wakes=True)}", "--report-ndjson-path", str(report), *words]
    return subprocess.run(line, cwd=ingress.folder, capture_output=True, text=True, timeout=500, check=False)


@pytest.mark.timeout(600)
def test_a_live_ingress_answers_as_its_document_says(tmp_path: Path) -> None:
    with Server(appendfsync="everysec") as server:
        ingress = Ingress(tmp_path, server.url, "max_wait_s = 0.2").ready()
        try:
            done = asked(ingress, "--phases", "coverage,fuzzing", "--max-examples", "40", "--checks", CHECKS)
            assert done.returncode == 0, done.stdout[-6000:]
            accepted = ingress.store.ledger.balance().accepted
            assert accepted > 20, "hardly anything was good enough to be taken"
            ingress.route()
            assert ingress.store.ledger.balance().balance == 0
            assert "Traceback" not in ingress.process.said()
        finally:
            ingress.close()


@pytest.mark.timeout(600)
def test_at_its_bounds_it_says_429_and_503_and_nothing_worse(tmp_path: Path) -> None:
    """A full inbox, then no server."""
    with Server(appendfsync="everysec") as server:
        ingress = Ingress(tmp_path, server.url, "max_wait_s = 0.2", "[agents.ops]\n[bounds]\nmax_inbox = 3\n").ready()
        try:
            words = ("--phases", "fuzzing", "--max-examples", "15", "--checks", "status_code_conformance,content_type_conformance")
            done = asked(ingress, *words)
            assert done.returncode == 0, done.stdout[-6000:]
            assert ingress.store.ledger.balance().accepted == 3
            statuses = {429} & answered(ingress)
            server.stop()
            done = asked(ingress, *words)
            assert done.returncode == 0, done.stdout[-6000:]
            assert statuses | ({503} & answered(ingress)) == {429, 503}
            assert not {status for status in answered(ingress) if status >= 500 and status != 503}
        finally:
            ingress.close()


def answered(ingress: Ingress) -> set[int]:
    """Every status of the last run."""
    found: set[int] = set()

    def look(node: object) -> None:
        if isinstance(node, dict):
            status = node.get("status_code")
            found.update([status] if isinstance(status, int) else [])
            for value in node.values():
                look(value)
        elif isinstance(node, list):
            for value in node:
                look(value)

    for line in (ingress.folder / "report.ndjson").read_text("utf-8").splitlines():
        look(json.loads(line))
    return found
