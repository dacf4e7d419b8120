"""`make test-openclaw`: the real gateway, a stand-in model, our own processes; loopback only, state in a temporary folder.

    python -m tests.openclaw [--write] [SCENE ...]

Says what it skips and why where it cannot run. --write puts what was seen into docs/openclaw.md, beside what the gateway does alone; it
takes all scenes, and none that failed.
"""

from __future__ import annotations

import argparse
import platform
import signal
import sys
import tempfile
from pathlib import Path

from tests.openclaw.gateway import AGENTS, HOOK_TOKEN, Gateway, free_port, install
from tests.openclaw.ingress import Ingress
from tests.openclaw.model import Model
from tests.openclaw.page import put_into
from tests.openclaw.scenes import SCENES, Stage
from tests.support.gateway import Gateway as Dispatcher
from tests.support.server import Server
from tests.support.sources import ROOT

PACKAGE = ROOT / ".openclaw"
DOCUMENT = ROOT / "docs" / "openclaw.md"


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
    if asked.write and len(wanted) < len(SCENES):
        parser.error("--write takes all scenes")
    seen, failed = {}, 0
    with tempfile.TemporaryDirectory(prefix="wake-openclaw-") as folder, Server(appendfsync="everysec") as server:
        root = Path(folder)
        (root / "dispatcher").mkdir()
        dispatcher, model, port = Dispatcher(root / "dispatcher", server), Model(), free_port()
        token_file = dispatcher.folder / "ingress.token"
        ingress_url = f"http://127.0.0.1:{port}"
        gateway = Gateway(PACKAGE, root / "gateway", model.base, ingress=ingress_url, token_file=token_file, notify=False)
        configure(dispatcher, gateway)
        with Ingress(dispatcher, port, token_file):
            try:
                stage = started(model, gateway, dispatcher)
                for scene in wanted:
                    try:
                        seen[scene.__name__] = scene(stage)
                        print(f"passed: {scene.__name__}: {seen[scene.__name__].seen}", flush=True)
                    except AssertionError as error:
                        failed += 1
                        print(f"FAILED: {scene.__name__}: {error}", flush=True)
            finally:
                gateway.close()
                dispatcher.close()
                print(gateway.log.read_text("utf-8", "replace")[-6000:] if failed or not seen else "")
    if asked.write and not failed:
        put_into(DOCUMENT, seen)
    print(f"{len(seen)} passed, {failed} failed")
    return 1 if failed else 0


def configure(dispatcher: Dispatcher, gateway: Gateway) -> None:
    runner = {"type": "openclaw", "url": gateway.hooks, "secret": HOOK_TOKEN}
    dispatcher.configure(
        defaults={"runner": runner, "min_spacing_ms": 30_000, "flood_starts": 5, "max_failures": 20},
        agents={agent: {} for agent in AGENTS},
        routing={"require_token": True},
    )


def started(model: Model, gateway: Gateway, dispatcher: Dispatcher) -> Stage:
    gateway.start()
    dispatcher.start_router()
    dispatcher.start_worker()
    dispatcher.ready()
    return Stage(model, gateway, dispatcher)


if __name__ == "__main__":
    sys.exit(main())
