"""Makes the picture of docs/top.md from a live system and a real terminal: `make screenshots`."""

from __future__ import annotations

import re
import sys
import tempfile
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

from tests.support.drawn import Drawn
from tests.support.gates import wait_until
from tests.support.gateway import PATIENCE_S, Gateway
from tests.support.server import Server

PICTURE = Path(__file__).parent / "images" / "top.svg"
AGENTS = {"ops": {}, "research": {"min_spacing_ms": 900_000}, "build": {"max_failures": 1}}


def main() -> None:
    with Server() as server, tempfile.TemporaryDirectory(prefix="wk-") as folder:
        gateway = Gateway(Path(folder), server)
        try:
            work(gateway)
            line = [sys.executable, "-P", "-m", "dispatcher.cli", "top", "--every", "0.2"]
            with Drawn(Path(folder), line, gateway.process_env() | {"TERM": "xterm-256color"}) as screen:
                screen.shows("deferred: min-spacing", "running", "ready")
                PICTURE.write_text(svg(screen.drawn()), "utf-8")
                screen.type(b"q")
                screen.end()
        finally:
            gateway.open("goes-on")
            gateway.close()
    print(PICTURE)


def work(gateway: Gateway) -> None:
    """One agent runs and has more waiting, one is deferred, one has dead letters."""
    gateway.configure(agents=AGENTS)
    gateway.plan("build", exit=1)
    gateway.plan("ops", gate="goes-on")
    gateway.start_router()
    gateway.start_worker()
    gateway.ready()
    gateway.submit("b1", "b2", session="agent:build:main")
    gateway.submit("r1", session="agent:research:main")
    wait_until(lambda: gateway.store.ledger.balance().settled == 1, PATIENCE_S, "research has run")
    gateway.submit("r2", "r3", session="agent:research:main")
    gateway.submit("o1")
    gateway.started(1, "ops")
    gateway.submit("o2", "o3")
    wait_until(lambda: gateway.store.ledger.balance().dead == 2, PATIENCE_S, "build has dead letters")


def svg(lines: list[Text]) -> str:
    """As rich draws a terminal, without the font that it would fetch."""
    console = Console(record=True, width=80, file=StringIO(), force_terminal=True, color_system=None)
    for line in lines:
        console.print(line, no_wrap=True, overflow="crop")
    drawn = console.export_svg(title="wake top", unique_id="wake-top")
    return re.sub(r"\s*@font-face \{.*?\}", "", drawn, flags=re.DOTALL)


if __name__ == "__main__":
    main()
