"""A Node process and a shell script report while the server is down, and everything is there when it is back."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.integration.examples.test_openclaw_plugin import Execs
from tests.integration.examples.test_producers import KEY, NOBODY, client
from tests.support.ingress import Ingress
from tests.support.server import Server

EACH = 3


def test_reports_that_are_made_while_the_server_is_down_arrive_once_each(
    tmp_path: Path, start: Callable[..., Ingress], server: Server
) -> None:
    """Down in both ways: first nobody listens, then the ingress is there and its store is not. Settled in the end, each id once."""
    execs, spool = Execs(tmp_path, NOBODY), tmp_path / "node-spool"
    ingress = start().ready()
    token = ingress.token("ops")
    execs.token.write_text(token)
    reported: list[str] = []

    def report(url: str, word: str) -> None:
        execs.config["url"] = url
        for n in range(EACH):
            script = execs.wrapped({"command": f"echo {word}; exit {n}", "background": True}, toolCallId=f"{word}-{n}")
            assert script is not None
            assert subprocess.run(["sh", "-c", script["command"]], timeout=60, check=False).returncode == n
            said = client(url, spool, "report", {"session_key": KEY, "exit_code": n, "output": word}, token=token)
            assert said["state"] == "spooled"
            reported.extend((f"r-1:{word}-{n}", said["completion_id"]))

    report(NOBODY, "nobody")
    server.kill()
    report(ingress.place, "no-store")
    assert len(execs.reports()) == len(list(spool.iterdir())) == 2 * EACH
    server.start()
    execs.send()
    assert client(ingress.place, spool, "flush", token=token) == {"sent": 2 * EACH, "left": 0}
    assert not execs.reports()
    ingress.route()
    assert sorted(ingress.settle()) == sorted(reported)
    assert ingress.store.ledger.balance().balance == 0
