"""`make test-openclaw`: the real gateway, a stand-in model, our own processes; loopback only, state in a temporary folder.

    python -m tests.openclaw [--write] [SCENE ...]

Says what it skips and why where it cannot run. --write puts the rows that were seen into docs/openclaw.md.
"""

from __future__ import annotations

import argparse
import platform
import signal
import sys
import tempfile
from pathlib import Path

from tests.openclaw.gateway import HOOK_TOKEN, RELEASE, Gateway, install
from tests.openclaw.ingress import StoreIngress
from tests.openclaw.model import Model
from tests.openclaw.scenes import SCENES, Row, Stage
from tests.support.gateway import Gateway as Dispatcher
from tests.support.server import Server
from tests.support.sources import ROOT

PACKAGE = ROOT / ".openclaw"
DOCUMENT = ROOT / "docs" / "openclaw.md"
BEGIN, END = "<!-- seen: written by python -m tests.openclaw --write -->", "<!-- end of seen -->"
INGRESS_TOKEN = "t0ken"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.openclaw")
    parser.add_argument("--write", action="store_true", help="put what was seen into docs/openclaw.md")
    parser.add_argument("scenes", nargs="*", metavar="SCENE", help=", ".join(scene.__name__ for scene in SCENES))
    asked = parser.parse_args()
    if sys.platform != "linux":
        print(f"SKIPPED: the gateway is tried on Linux only, this is {platform.system()}")
        return 0
    if why := install(PACKAGE):
        print(f"SKIPPED: {why}")
        return 0
    for number in (signal.SIGINT, signal.SIGTERM):  # so that nothing is left running, also when it was started in the background
        signal.signal(number, signal.default_int_handler)
    wanted = [scene for scene in SCENES if not asked.scenes or scene.__name__ in asked.scenes]
    rows, failed = [], 0
    with tempfile.TemporaryDirectory(prefix="wake-openclaw-") as folder, Server(appendfsync="everysec") as server:
        root = Path(folder)
        (root / "dispatcher").mkdir()
        dispatcher, model = Dispatcher(root / "dispatcher", server), Model()
        (root / "token").write_text(f"{INGRESS_TOKEN}\n")
        with StoreIngress(dispatcher, INGRESS_TOKEN) as ingress:
            gateway = Gateway(PACKAGE, root / "gateway", model.base, ingress=ingress.base, token_file=root / "token", notify=False)
            try:
                stage = started(model, gateway, dispatcher)
                for scene in wanted:
                    try:
                        rows.append(scene(stage))
                        print(f"passed: {scene.__name__}: {rows[-1].seen}", flush=True)
                    except AssertionError as error:
                        failed += 1
                        print(f"FAILED: {scene.__name__}: {error}", flush=True)
            finally:
                gateway.close()
                dispatcher.close()
                print(gateway.log.read_text("utf-8", "replace")[-6000:] if failed or not rows else "")
    if asked.write and not failed:
        write(rows)
    print(f"{len(rows)} passed, {failed} failed")
    return 1 if failed else 0


def started(model: Model, gateway: Gateway, dispatcher: Dispatcher) -> Stage:
    gateway.start()
    runner = {"type": "openclaw", "url": gateway.hooks, "secret": HOOK_TOKEN}
    dispatcher.configure(
        defaults={"runner": runner, "min_spacing_ms": 30_000, "flood_starts": 5, "max_failures": 20},
        agents={agent: {} for agent in ("ops", "build", "data", "lab")},
    )
    dispatcher.start_router()
    dispatcher.start_worker()
    dispatcher.ready()
    return Stage(model, gateway, dispatcher)


def write(rows: list[Row]) -> None:
    """Replaces the table between the marks."""
    head, _, rest = DOCUMENT.read_text("utf-8").partition(BEGIN)
    _, _, tail = rest.partition(END)
    lines = ["| tried | seen |", "|---|---|", *(f"| {row.tried} | {row.seen} |" for row in rows)]
    said = f"Release {RELEASE}, {platform.system()} {platform.machine()}:"
    DOCUMENT.write_text("\n".join([f"{head}{BEGIN}", said, "", *lines, f"{END}{tail}"]), "utf-8")


if __name__ == "__main__":
    sys.exit(main())
